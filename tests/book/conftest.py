"""Fixtures for the tests that open the built book in a browser."""

import functools
import http.server
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tools import browser as chromium
from tools import build_book


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="session")
def built_book() -> Path:
    """The folder of the built pages."""
    return build_book.HTML


@pytest.fixture(scope="session")
def site(built_book) -> str:
    """The address at which the built book is served on this machine."""
    handler = functools.partial(QuietHandler, directory=built_book)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pytest_collection_finish(session):
    """Where a browser or the pages are missing, stop once, and not in each test that needs them."""
    needed = {name for item in session.items for name in item.fixturenames}
    if "browser" in needed and not chromium.find():
        reason = chromium.missing()
    elif "built_book" in needed and not build_book.is_current():
        reason = "The book is not built, or is older than its sources: run `make book`."
    else:
        return
    # Not pytest.exit, which pytest-xdist takes for a crash.
    session.shouldfail = reason
    raise session.Failed(reason)


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.QUIET)
        yield program
        program.close()
