import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.figure import Figure

from ssimlab.lab.explore import Axis, explore

# What the book's theme does to images and to HTML of cells in dark mode.
THEME = """
html[data-theme="dark"] { color-scheme: dark; }
html[data-theme="dark"] body { background: #14181e; color: #ced6dd; }
html[data-theme="dark"] .bd-content img:not(.only-dark):not(.dark-light) {
  filter: brightness(.8) contrast(1.2);
}
html[data-theme="dark"] .bd-content div.cell_output .text_html:not(:has(table.dataframe)),
html[data-theme="dark"] .bd-content div.cell_output img {
  background: #ced6dd; color: #222832; padding: .5rem;
}
"""


def draw(sigma, mode):
    figure = Figure(figsize=(6.4, 1.6), facecolor=(min(sigma, 1), 0.5, 0 if mode == "a" else 1))
    return figure, f"sigma is {sigma:.1f}"


def make_explorer():
    sigma = Axis([0.0, 0.5, 1.0], label="blur sigma", unit="px", start=1)
    return explore(draw, title="Color", caption="Flat.", sigma=sigma, mode=["a", "b"])


def document(body, theme="light"):
    return f"""<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1"><title>Two</title>
    <link rel="icon" href="data:,"><style>{THEME}</style></head>
    <body class="bd-content"><main><h1>Two explorers</h1>
    <div class="cell_output"><div class="output text_html">{body}</div></div>
    </main></body></html>"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    explorer = make_explorer()
    twice = explorer.to_html() + explorer.to_html()
    for theme in ("light", "dark"):
        (folder / f"{theme}.html").write_text(document(twice, theme), encoding="utf-8")
    (folder / "empty.html").write_text(document(""), encoding="utf-8")
    explorer.save(folder / "alone.html")
    return folder


class Seen:
    """What an explorer on a page shows to a reader, and what else the page did."""

    def __init__(self, page):
        self.page = page
        self.complaints, self.requests = [], []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path):
        self.page.goto(path.as_uri())
        return self

    def figure(self, index):
        return self.page.locator(".ssimlab-explorer").nth(index)

    def state(self, index):
        figure = self.figure(index)
        return {
            "src": figure.locator("img").get_attribute("src"),
            "alt": figure.locator("img").get_attribute("alt"),
            "readout": figure.locator("output").inner_text(),
            "valuetext": figure.locator("input").get_attribute("aria-valuetext"),
            "value": figure.locator(".ssimlab-explorer-value").inner_text(),
        }

    def overflows(self):
        return self.page.evaluate("""document.documentElement.scrollWidth > innerWidth ||
          [...document.querySelectorAll("figure *")].some(
            (node) => node.getBoundingClientRect().right > innerWidth)""")


@pytest.fixture
def seen(browser):
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    yield Seen(context.new_page())
    context.close()


def words(state):
    return {name: text for name, text in state.items() if name != "src"}


AT_ONE = {
    "alt": "Color: blur sigma 1 px, mode a. sigma is 1.0",
    "readout": "sigma is 1.0",
    "valuetext": "1 px",
    "value": "1 px",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_keyboard_moves_one_explorer_and_leaves_the_other(seen, files, theme):
    seen.open(files / f"{theme}.html")
    start = seen.state(0)
    other = seen.state(1)
    assert words(start) == words(other)
    assert start["valuetext"] == "0.5 px"

    seen.figure(0).locator("input").focus()
    seen.page.keyboard.press("ArrowRight")
    assert words(seen.state(0)) == AT_ONE
    assert seen.state(0)["src"] != start["src"]
    seen.page.keyboard.press("Home")
    assert seen.state(0)["valuetext"] == "0 px"
    seen.page.keyboard.press("ArrowRight")
    assert seen.state(0) == start
    assert seen.state(1) == other

    seen.figure(1).locator("select").select_option("b")
    assert seen.state(1)["alt"] == "Color: blur sigma 0.5 px, mode b. sigma is 0.5"
    assert seen.state(1)["src"] != other["src"]
    assert seen.state(0) == start

    assert seen.complaints == []
    assert seen.requests == [(files / f"{theme}.html").as_uri()]


def test_tab_reaches_every_control_in_reading_order_and_leaves_again(seen, files):
    seen.open(files / "alone.html")
    reached = []
    for _ in range(5):
        seen.page.keyboard.press("Tab")
        reached.append(seen.page.evaluate("document.activeElement.tagName"))
    assert reached == ["BUTTON", "INPUT", "BUTTON", "SELECT", "BODY"]


def test_play_advances_wraps_around_and_pauses(seen, files):
    seen.page.clock.install()
    seen.open(files / "light.html")
    before = seen.state(0), seen.state(1)
    button = seen.figure(0).locator("button").first
    seen.page.clock.run_for(5000)
    assert seen.state(0) == before[0]  # never by itself

    button.press("Enter")
    assert button.get_attribute("aria-label") == "Pause blur sigma"
    assert seen.figure(0).locator("output").get_attribute("aria-live") == "off"
    passed = []
    for _ in range(3):
        seen.page.clock.run_for(800)
        passed.append(seen.state(0)["valuetext"])
    assert passed == ["1 px", "0 px", "0.5 px"]
    assert seen.state(1) == before[1]

    button.press("Enter")
    assert button.get_attribute("aria-label") == "Play blur sigma"
    assert seen.figure(0).locator("output").get_attribute("aria-live") == "polite"
    seen.page.clock.run_for(5000)
    assert seen.state(0) == before[0]


def test_only_one_axis_plays_and_a_hand_on_its_slider_stops_it(seen, files):
    seen.page.clock.install()
    seen.open(files / "alone.html")
    sigma, mode = seen.figure(0).locator("button").all()
    sigma.click()
    mode.click()
    assert sigma.get_attribute("aria-label") == "Play blur sigma"
    seen.page.clock.run_for(800)
    assert seen.state(0)["alt"] == "Color: blur sigma 0.5 px, mode b. sigma is 0.5"
    sigma.click()
    seen.figure(0).locator("input").press("End")
    seen.page.clock.run_for(5000)
    assert seen.state(0)["valuetext"] == "1 px"
    assert sigma.get_attribute("aria-label") == "Play blur sigma"


def test_play_takes_its_time_where_reduced_motion_is_asked_for(seen, files):
    seen.page.emulate_media(reduced_motion="reduce")
    seen.page.clock.install()
    seen.open(files / "alone.html")
    seen.figure(0).locator("button").first.click()
    seen.page.clock.run_for(800)
    assert seen.state(0)["valuetext"] == "0.5 px"
    seen.page.clock.run_for(800)
    assert seen.state(0)["valuetext"] == "1 px"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000])
def test_it_is_accessible_and_never_wider_than_the_page(seen, files, theme, width):
    seen.page.set_viewport_size({"width": width, "height": 800})
    seen.open(files / f"{theme}.html")
    assert not seen.overflows()
    violations = Axe().run(seen.page).response["violations"]
    assert [(v["id"], v["impact"]) for v in violations] == []


def test_no_theme_touches_the_picture_or_its_card_and_its_place_is_reserved(seen, files):
    seen.open(files / "dark.html")
    picture = seen.figure(0).locator("img")
    style = "getComputedStyle(node)"
    assert picture.evaluate(f"node => {style}.filter") == "none"
    assert picture.evaluate(f"node => {style}.padding") == "0px"
    assert seen.figure(0).evaluate(f"node => {style}.color") == "rgb(206, 214, 221)"
    sheet = seen.page.locator(".text_html")
    assert sheet.evaluate(f"node => {style}.backgroundColor") == "rgba(0, 0, 0, 0)"
    assert picture.evaluate("node => [node.width, node.height]") == [640, 160]
    assert picture.evaluate("node => [node.naturalWidth, node.naturalHeight]") == [640, 160]
    card = seen.figure(0).locator(".ssimlab-explorer-picture")
    assert card.evaluate(f"node => {style}.backgroundColor") == "rgb(255, 255, 255)"


def test_the_focused_control_has_a_ring(seen, files):
    seen.open(files / "light.html")
    for _ in range(2):
        seen.page.keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outline"
        assert "solid 2px" in seen.page.evaluate(outline)


def test_it_leaves_no_name_in_the_page(seen, files):
    names = [
        set(seen.open(files / name).page.evaluate("Object.getOwnPropertyNames(window)"))
        for name in ("empty.html", "light.html")
    ]
    assert names[0] == names[1]


def test_it_comes_alive_when_inserted_after_loading(seen, files):
    seen.open(files / "empty.html")
    # As notebooks do it: set the markup, then replace each script to run it.
    insert = """html => {
      const place = document.body.appendChild(document.createElement("div"));
      place.innerHTML = html;
      for (const old of place.querySelectorAll("script")) {
        const script = document.createElement("script");
        for (const { name, value } of old.attributes) script.setAttribute(name, value);
        script.textContent = old.textContent;
        old.replaceWith(script);
      }
    }"""
    markup = make_explorer().to_html()
    seen.page.evaluate(insert, markup)
    seen.page.evaluate(insert, markup)  # the same cell shown a second time: the same ids
    start = seen.state(0)
    seen.figure(1).locator("input").press("ArrowRight")
    assert words(seen.state(1)) == AT_ONE
    assert seen.state(0) == start
    assert seen.complaints == []


def test_without_script_the_start_frame_shows_and_the_controls_are_off(browser, files):
    context = browser.new_context(java_script_enabled=False)
    seen = Seen(context.new_page()).open(files / "alone.html")
    assert seen.state(0)["alt"] == "Color: blur sigma 0.5 px, mode a. sigma is 0.5"
    assert seen.figure(0).locator("img").is_visible()
    assert seen.figure(0).locator("input").is_disabled()
    context.close()
