"""The cards of the conformance, as a reader's notebook shows them, in Chromium."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from ssimlab import conformance

FAULTY = ["ordinary-pair", "offset-1e5", "nan-pixel", "range-none-flat", "sqrt-of-loss"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1000])
def test_the_tables_scroll_in_their_own_box_and_are_accessible(browser, width):
    comparison = conformance.compare(conformance.LIBRARIES, FAULTY)
    report = conformance.run("naive.one_pass", FAULTY)
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(
        '<!doctype html><html lang="en"><head><title>Tables</title><meta name="viewport" '
        'content="width=device-width"></head><body><main><h1>Tables</h1>'
        f"{comparison._repr_html_()}{report._repr_html_()}</main></body></html>"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    violations = Axe().run(page).response["violations"]
    assert [(v["id"], v["impact"]) for v in violations] == []
    page.close()
