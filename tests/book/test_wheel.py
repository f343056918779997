"""What pip installs: the package and its data, and nothing of the book."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from tools.build_book import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in the wheel of a copy of the working tree: building would leave files there."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, copy)
    for name in ("ssimlab", "claims", "tools", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*build, "-q", "-w", out, copy], check=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_package(wheel):
    package = ROOT / "ssimlab"
    files = {path for path in package.rglob("*") if path.is_file()}
    kept = {path for path in files if "__pycache__" not in path.parts}
    assert wheel == {path.relative_to(ROOT).as_posix() for path in kept}


def test_the_wheel_says_that_it_is_typed(wheel):
    assert "ssimlab/py.typed" in wheel
