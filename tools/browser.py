"""The browser in which the pages are tested.

python -m tools.browser    print the path of one that starts; where there is none, obtain it
"""

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SYSTEM = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
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
PLAYWRIGHTS_OWN = [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]
DEBIANS = "apt-get update && apt-get install --yes --no-install-recommends chromium"


def playwrights_folder() -> Path:
    """Where in the user's cache Playwright keeps its own headless shell."""
    command = [*PLAYWRIGHTS_OWN, "--dry-run"]
    plan = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Path(re.findall(r"Install location: +(.+)", plan)[0])


def candidates() -> Iterator[str]:
    """Programs that may be the browser; where CHROMIUM names one, that alone."""
    if named := os.environ.get("CHROMIUM"):
        yield shutil.which(named) or named
        return
    yield from filter(None, map(shutil.which, SYSTEM))
    yield from filter(shutil.which, map(str, playwrights_folder().glob("*/*headless*shell*")))


def starts(program: str) -> bool:
    """Whether the program is a browser that shows a page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, "--headless", f"--user-data-dir={profile}", *QUIET]
        command += ["--dump-dom", "data:text/html,<p>shown"]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return "<p>shown</p>" in run.stdout


@functools.cache
def find() -> str | None:
    """The path of the first candidate that starts."""
    return next(filter(starts, candidates()), None)


def obtain() -> str | None:
    """The path of a browser that is installed now: Playwright's own, else Debian's."""
    ways = [PLAYWRIGHTS_OWN]
    if shutil.which("apt-get") and os.geteuid() == 0:
        ways.append(["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", DEBIANS])
    for command in ways:
        print(f"No browser yet. Running {' '.join(command)}", file=sys.stderr, flush=True)
        subprocess.run(command, stdout=sys.stderr)
        find.cache_clear()
        if program := find():
            return program
    return None


def missing() -> str:
    """What to say where there is no browser."""
    if named := os.environ.get("CHROMIUM"):
        return f"CHROMIUM is set to {named!r}, which does not start: name another, or unset it."
    return (
        "The pages are tested in Chromium, and none that starts is here: install it (on Debian "
        "`apt-get install chromium`), or set CHROMIUM to the path of the program."
    )


def main() -> None:
    argparse.ArgumentParser(description="Print the path of a browser; obtain it.").parse_args()
    program = find() or (None if os.environ.get("CHROMIUM") else obtain())
    print(program or sys.exit(missing()))


if __name__ == "__main__":
    main()
