"""Cards, tables and reports in a page: accessible, legible in light and dark, never too wide."""

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from matplotlib.figure import Figure

from ssimlab import conformance
from ssimlab.lab import check
from ssimlab.lab.explore import explore
from ssimlab.trace import first_nonfinite

FAULTY = ["ordinary-pair", "offset-1e5", "nan-pixel", "range-none-flat", "sqrt-of-loss"]
PAGE = """<!doctype html><html lang="en"><head><title>Cards</title>
<meta name="viewport" content="width=device-width">
<style>body {{ background: {ground}; color: {ink}; font: 16px system-ui; }}</style></head>
<body><main><h1>Cards</h1>{body}</main></body></html>"""
THEMES = {"light": ("#ffffff", "#222832"), "dark": ("#14181e", "#ced6dd")}


def spoiled(x):
    return (x / torch.where(torch.eye(12) > 0, 0.0, 1.0)).sum()


@pytest.fixture(scope="module")
def body():
    shown = (
        explore(lambda k: Figure(figsize=(2, 1)), title="Nothing", k=[1, 2]),
        first_nonfinite(spoiled, torch.ones(1, 12, 12)),
        conformance.compare(conformance.LIBRARIES, FAULTY),
        conformance.run("naive.one_pass", FAULTY),
        check.ssim(lambda x, y, data_range: 0.5),
        check.ssim(lambda x, y, data_range: undefined),  # noqa: F821
    )
    return "".join(each._repr_html_() for each in shown)


@pytest.mark.browser
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [390, 1000])
def test_every_card_is_accessible_and_scrolls_in_its_own_box(browser, body, theme, width):
    ground, ink = THEMES[theme]
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(PAGE.format(ground=ground, ink=ink, body=body))
    assert page.locator(".ssimlab-card").count() == 6
    # What a card has of its own outweighs what all have in common, though that comes again later.
    paddings = page.locator(".ssimlab-card").evaluate_all(
        "cards => cards.map(card => getComputedStyle(card).paddingLeft)"
    )
    assert paddings == ["0px", *["16px"] * 5]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    violations = Axe().run(page).response["violations"]
    assert [(v["id"], v["impact"]) for v in violations] == []
    page.close()
