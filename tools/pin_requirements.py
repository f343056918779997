"""Make requirements.txt: the exact environment of the book, its tests and its linters.

pip resolves the extras of pyproject.toml for the oldest Python that the book supports, without
installing anything, so that every version chosen exists for the newer ones too; then each pin is
looked up for every supported Python.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:
    sys.exit("Run this with Python 3.11 or newer: make pins PYTHON=python3.11")

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11.0", "3.12.0", "3.13.0")
EXTRAS = ("lab", "peers", "book", "test", "lint")
# Chosen by hand; everything else is the newest version that pip finds to fit.
TORCH = "torch==2.13.0"
# torch asks for these by itself on machines with an NVIDIA GPU.
TORCHS_OWN = re.compile(r"nvidia-|cuda-|triton$")

HEADER = f"""\
# The exact environment in which the book is built and tested, on Python 3.11 to 3.13.
# Made by `make pins` from the extras of pyproject.toml ({", ".join(EXTRAS)}); do not edit by hand.
# The package ssimlab itself needs none of these versions: its lower bounds are in pyproject.toml.
"""


def pip_dry_run(python: str, *arguments: str) -> None:
    """Let pip look for wheels for another Python than the one that runs it."""
    with tempfile.TemporaryDirectory() as target:
        options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", target]
        command = [sys.executable, "-m", "pip", "install", *options, "--python-version", python]
        subprocess.run([*command, *arguments], check=True)


def wanted() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    # `make` installs the package without build isolation, so its build backend is wanted too.
    requirements = [TORCH, *project["build-system"]["requires"]]
    requirements += project["project"]["dependencies"]
    for extra in EXTRAS:
        requirements += project["project"]["optional-dependencies"][extra]
    return requirements


def resolve() -> dict[str, str]:
    """Name and version of every package that the extras need on the oldest Python."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip_dry_run(PYTHONS[0], "--report", str(report), *wanted())
        packages = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    pins = {}
    for package in packages:
        name = re.sub(r"[-_.]+", "-", package["name"]).lower()
        if not TORCHS_OWN.match(name):
            pins[name] = package["version"].partition("+")[0]  # 2.13.0+cpu is a build of 2.13.0
    return pins


def main() -> None:
    pins = resolve()
    requirements = ROOT / "requirements.txt"
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    requirements.write_text(HEADER + "".join(lines))
    for python in PYTHONS:
        print(f"looking the pins up for Python {python}", flush=True)
        pip_dry_run(python, "-q", "--no-deps", "-r", str(requirements))
    print(f"requirements.txt: {len(pins)} pins")


if __name__ == "__main__":
    main()
