"""The notebooks as they are kept in the repository, and as a stranger would run them."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools import build_book, stamp_address

ROOT = build_book.ROOT
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HIDDEN = {"remove-cell", "remove-input", "hide-input", "hide-cell"}

per_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


def test_there_are_notebooks_and_each_is_a_page():
    pages = {page for page in build_book.toc_pages() if page.startswith("notebooks/")}
    assert pages == {f"notebooks/{path.stem}" for path in NOTEBOOKS}
    assert pages


@per_notebook
def test_a_notebook_is_valid_and_names_its_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@per_notebook
def test_a_notebook_carries_no_outputs(path):
    for cell in cells(path, "code"):
        assert not cell["outputs"]
        assert cell["execution_count"] is None


@per_notebook
def test_every_cell_has_an_id_of_its_own(path):
    ids = [cell.get("id") for cell in json.loads(path.read_text())["cells"]]
    assert None not in ids
    assert len(set(ids)) == len(ids)


@per_notebook
def test_the_first_cell_installs_the_package_and_the_head_links_to_colab(path):
    address = stamp_address.Address.of(ROOT)
    text = path.read_text(encoding="utf8")
    assert stamp_address.stamp_notebook(text, path.name, address) == text


@per_notebook
def test_no_visible_cell_is_longer_than_thirty_lines(path):
    for cell in cells(path, "code"):
        lines = "".join(cell["source"]).count("\n") + 1
        assert lines <= 30 or HIDDEN & {*cell["metadata"].get("tags", [])}, cell["id"]


@per_notebook
def test_a_notebook_reads_nothing_of_this_machine(path):
    text = path.read_text(encoding="utf8")
    for word in (f"{Path.home()}/", "/home/", "/Users/", "C:\\\\", "localhost"):
        assert word not in text


@pytest.fixture
def empty_venv(tmp_path) -> Path:
    """A Python that has everything that this one has, ssimlab excepted."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own, new = (
        Path(subprocess.check_output([program, "-c", ask], text=True).strip())
        for program in (sys.executable, python)
    )
    for entry in own.iterdir():
        if "ssimlab" not in entry.name:
            (new / entry.name).symlink_to(entry)
    return python


@pytest.fixture
def source(tmp_path) -> Path:
    """A copy of what pip needs of the working tree: building in place would leave files there."""
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "ssimlab", copy / "ssimlab")
    return copy


def test_the_install_cell_installs_the_package_where_it_is_missing(empty_venv, source, tmp_path):
    """As on Colab, but from this working tree, and with nothing fetched from anywhere."""
    try_it = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ssimlab') is not None)"
    subprocess.run([empty_venv, "-c", try_it], cwd=tmp_path, check=True)

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    address = stamp_address.Address.of(ROOT)
    install = stamp_address.INSTALL_CELL.format(url=address.url)
    check = f"import ssimlab\nassert ssimlab.__version__ == {version!r}\nssimlab.__file__"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (install, check)]
    )
    kernel = {"argv": [str(empty_venv), "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    kernels = tmp_path / "share" / "kernels" / "empty"
    kernels.mkdir(parents=True)
    spec = {**kernel, "display_name": "empty", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    environment = {
        **os.environ,
        "JUPYTER_PATH": str(tmp_path / "share"),
        "SSIMLAB_SOURCE": source.as_uri(),
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads 0 as "do not isolate": nothing is fetched
        "PIP_NO_INDEX": "1",
    }
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        client = NotebookClient(
            notebook, kernel_name="empty", resources={"metadata": {"path": str(folder)}}
        )
        client.execute()
    where = notebook.cells[-1].outputs[-1]["data"]["text/plain"]
    assert str(empty_venv.parent.parent) in where
