"""The browser of the tests: found, obtained, or asked for in one sentence."""

import subprocess
import sys

import pytest

from tools import browser
from tools.build_book import ROOT


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    browser.find.cache_clear()
    yield
    browser.find.cache_clear()


@pytest.fixture
def nothing_there(monkeypatch, tmp_path):
    """A machine with no browser at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setattr(browser, "SYSTEM", ("chromium",))


def program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return str(path)


def test_what_chromium_names_is_the_only_candidate(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/opt/of/mine")
    assert list(browser.candidates()) == ["/opt/of/mine"]


@pytest.mark.usefixtures("nothing_there")
def test_the_systems_browser_comes_before_playwrights(tmp_path):
    assert not list(browser.candidates())
    own = program(browser.playwrights_folder() / "chrome-headless-shell-linux64/headless_shell")
    (browser.playwrights_folder() / "chrome-headless-shell-linux64/headless_shell.pak").touch()
    system = program(tmp_path / "chromium")
    assert list(browser.candidates()) == [system, own]


@pytest.mark.usefixtures("nothing_there")
def test_a_program_that_does_not_start_is_no_browser(tmp_path):
    program(tmp_path / "chromium")
    assert browser.find() is None


@pytest.mark.parametrize(("user", "tried"), [(0, ["playwright", "apt-get"]), (1, ["playwright"])])
def test_a_browser_is_downloaded_or_else_installed_by_root(monkeypatch, user, tried):
    commands = []
    monkeypatch.setattr(browser, "find", browser.functools.cache(lambda: None))
    monkeypatch.setattr(browser.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(browser.os, "geteuid", lambda: user)
    monkeypatch.setattr(browser.subprocess, "run", lambda command, **_: commands.append(command))
    assert browser.obtain() is None
    assert [name for c in commands for name in ("playwright", "apt-get") if name in str(c)] == tried


@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_browser_a_run_stops_once_and_before_the_first_test(monkeypatch, workers):
    monkeypatch.setenv("CHROMIUM", "/of/nobody")
    command = [sys.executable, "-m", "pytest", "-n", workers, "-p", "no:cacheprovider"]
    command.append("tests/book/test_pages.py")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode
    assert run.stdout.count("CHROMIUM is set to '/of/nobody', which does not start") == 1
    assert "no tests ran" in run.stdout
    assert "ERROR" not in run.stdout


def test_make_test_says_in_one_sentence_what_is_missing(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/of/nobody")
    command = [sys.executable, "-m", "tools.browser"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode
    assert run.stderr.splitlines() == [browser.missing()]
