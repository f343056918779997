"""Fixtures for the tests that open the built book in a browser."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

from tools import build_book

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The browser talks to the pages and to nobody else.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="session")
def built_book() -> Path:
    """The folder of the built pages, which have to be those of the sources as they are now."""
    if not build_book.is_current():
        pytest.fail("The book is not built, or is older than its sources: run `make book`.")
    return build_book.HTML


@pytest.fixture(scope="session")
def site(built_book) -> str:
    """The address at which the built book is served on this machine."""
    handler = functools.partial(QuietHandler, directory=built_book)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Chromium, from the system: Playwright's own download is not needed."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.fail(
            "The pages are tested in Chromium, and none was found: install it (on Debian or "
            "Ubuntu `apt-get install chromium`), or set CHROMIUM to the path of the program."
        )
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield chromium
        chromium.close()
