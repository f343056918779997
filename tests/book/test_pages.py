"""Every page of the built book, opened in Chromium as a reader would."""

import re
from types import SimpleNamespace

import pytest

from tools import build_book
from tools.html_checks import dead_links, problems

pytestmark = pytest.mark.browser

WIDE, NARROW = 1280, 390


def page_names() -> list[str]:
    """The pages of the table of contents, and those that Sphinx made beside them."""
    names = {f"{page}.html" for page in build_book.toc_pages()}
    for page in build_book.HTML.rglob("*.html"):
        name = page.relative_to(build_book.HTML).as_posix()
        if not name.startswith("_static/") and name != "index.html":
            names.add(name)
    return sorted(names)


@pytest.fixture(scope="module", params=page_names())
def visit(request, browser, site):
    """One page, opened wide and light, with all that it asked for and complained of."""
    context = browser.new_context(viewport={"width": WIDE, "height": 900}, color_scheme="light")
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda sent: requests.append(sent.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.goto(f"{site}/{request.param}", wait_until="load")
    page.add_style_tag(content="* { transition: none !important }")
    page.evaluate("window.MathJax?.startup?.promise")
    page.wait_for_load_state("networkidle")
    yield SimpleNamespace(name=request.param, page=page, requests=requests, complaints=complaints)
    context.close()


@pytest.fixture(params=["light", "dark"])
def theme(request, visit):
    visit.page.evaluate("name => { document.documentElement.dataset.theme = name }", request.param)
    yield request.param
    visit.page.evaluate("() => { document.documentElement.dataset.theme = 'light' }")


def test_the_page_asks_no_other_host_for_anything(visit, site):
    own = (f"{site}/", "data:", "blob:")
    assert not [address for address in visit.requests if not address.startswith(own)]


def test_the_page_writes_no_error_to_the_console(visit):
    assert not visit.complaints


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_never_scrolls_sideways(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 900})
    needed = visit.page.evaluate("document.scrollingElement.scrollWidth")
    # What hides its overflow scrolls nothing, but cuts the text off.
    cut = visit.page.evaluate(
        """width => [...document.querySelectorAll('.bd-article > section *')]
            .filter(e => !e.closest('mjx-assistive-mml') && e.getClientRects().length)
            .filter(e => e.getBoundingClientRect().right > width + 1)
            .filter(e => {
                for (let box = e.parentElement; box; box = box.parentElement)
                    if (['auto', 'scroll'].includes(getComputedStyle(box).overflowX)) return false;
                return true;
            })
            .map(e => e.outerHTML.slice(0, 120))""",
        width,
    )
    visit.page.set_viewport_size({"width": WIDE, "height": 900})
    assert needed <= width
    assert not cut


def test_every_formula_is_set(visit):
    left = visit.page.evaluate(
        r"""() => {
            const article = document.querySelector('article') || document.body;
            const wrong = [...article.querySelectorAll('mjx-merror')].map(e => e.textContent);
            const unset = [...article.querySelectorAll('.math')]
                .filter(e => !e.querySelector('mjx-container'));
            const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
            const raw = [];
            while (texts.nextNode()) {
                const { textContent, parentElement } = texts.currentNode;
                if (/\\\(|\\\[|\$\$/.test(textContent)
                    && !parentElement.closest('pre, code, script, style, mjx-container'))
                    raw.push(textContent);
            }
            return [...wrong, ...unset.map(e => e.outerHTML), ...raw];
        }"""
    )
    assert not left


def test_pictures_keep_their_pixels(visit, theme):
    filters = visit.page.evaluate(
        """() => [...document.querySelectorAll('.bd-article img, .bd-article svg')]
            .map(e => getComputedStyle(e).filter)"""
    )
    assert set(filters) <= {"none"}


def test_every_picture_loads(visit):
    broken = visit.page.evaluate(
        """async () => {
            const pictures = [...document.querySelectorAll('img')];
            pictures.forEach(e => { e.loading = 'eager' });
            await Promise.allSettled(pictures.map(e => e.decode()));
            return pictures.filter(e => !e.naturalWidth).map(e => e.outerHTML.slice(0, 200));
        }"""
    )
    assert not broken


def test_the_page_is_accessible(visit, theme):
    from axe_playwright_python.sync_playwright import Axe

    # Each symbol of a formula and each token of a listing or signature would be measured alone.
    context = {"exclude": [["mjx-container"], [".highlight pre"], ["dt.sig"]]}
    options = {"resultTypes": ["violations"]}
    found = Axe().run(visit.page, context=context, options=options).response["violations"]
    grave = [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert not grave


def test_every_slider_of_every_explorer_changes_picture_and_text(visit):
    for explorer in visit.page.locator(".ssimlab-explorer").all():
        picture, readout = explorer.locator("img").first, explorer.locator("output")

        def shown(picture=picture, readout=readout):
            words = readout.inner_text() if readout.count() else ""
            return picture.get_attribute("src"), picture.get_attribute("alt"), words

        for slider in explorer.locator("input[type=range]").all():
            before = shown()
            at_the_end = slider.input_value() == slider.get_attribute("max")
            slider.press("Home" if at_the_end else "End")
            name = f"{explorer.get_attribute('id')}: {slider.get_attribute('id')}"
            after = shown()
            assert after[0] != before[0], f"{name} does not change the picture"
            assert after[1] != before[1], f"{name} does not change the alternative text"
            assert not before[2] or slider.get_attribute("aria-valuetext")


def test_every_explorer_plays_and_pauses(visit):
    for button in visit.page.locator(".ssimlab-explorer button").all():
        assert button.get_attribute("aria-label").startswith("Play ")
        button.click()
        assert button.get_attribute("aria-label").startswith("Pause ")
        button.click()
        assert button.get_attribute("aria-label").startswith("Play ")


def test_links_within_the_book_lead_somewhere(visit, built_book):
    assert not dead_links((built_book / visit.name).resolve(), built_book)


def test_the_chapters_show_at_least_one_explorer_each(built_book):
    chapters = [page for page in build_book.toc_pages() if re.match(r"notebooks/\d", page)]
    assert chapters
    texts = {page: (built_book / f"{page}.html").read_text(encoding="utf8") for page in chapters}
    assert not [page for page, text in texts.items() if 'ssimlab-explorer"' not in text]


def test_the_checks_of_the_build_see_what_they_are_for(tmp_path):
    (tmp_path / "wrong.html").write_text(
        """<html><head><script src="https://example.org/a.js"></script></head><body>
        <article id="here"><img src="a.png"><img src="b.png" alt="../_images/b.png">
        <img src="c.png" alt="A gray photograph."><a href="#here">good</a><a href="#gone">bad</a>
        <a href="missing.html">bad</a></article></body></html>"""
    )
    found = problems(tmp_path, ["wrong.html", "unmade.html"])
    assert len(found) == 6
    for word in ("a.png", "b.png", "example.org", "#gone", "missing.html", "unmade.html"):
        assert sum(word in line for line in found) == 1
