"""What must hold of the repository as a whole."""

import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import ssimlab
import ssimlab.lab
from tools import build_book, stamp_address

ROOT = build_book.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = (ROOT / "requirements.txt").read_text().splitlines()
PINS = [line for line in REQUIREMENTS if line and not line.startswith("#")]
TEXT = {".bib", ".cff", ".css", ".ipynb", ".js", ".md", ".py", ".svg", ".toml", ".txt", ".yaml"}
TEXT |= {".yml", ""}


def kept_files() -> list[Path]:
    """The text files of the repository: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\0")
    files = [ROOT / name for name in names if name and Path(name).suffix in TEXT]
    return [file for file in files if file.is_file()]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_address_is_stamped_everywhere():
    texts = stamp_address.stamped(ROOT)
    stale = [path.name for path, text in texts.items() if path.read_text(encoding="utf8") != text]
    assert not stale, "run `make stamp`"


def test_a_new_address_reaches_every_file_that_holds_the_old_one(tmp_path):
    old = stamp_address.Address.of(ROOT)
    new = stamp_address.Address("https://github.com/someone/a-fork", "next")
    for path in stamp_address.stamped(ROOT):
        text = path.read_text(encoding="utf8")
        if path.suffix == ".ipynb":
            after = stamp_address.stamp_notebook(text, path.name, new)
            assert f"{new.colab}/blob/next/notebooks/{path.name}" in after
            assert f"git+{new.url}" in after
        else:
            after = stamp_address.stamp_text(text, old, new)
            assert (old.url in text) == (new.url in after)
        assert old.url not in after
        assert old.colab not in after


@pytest.mark.parametrize("url", ["https://example.org/a/b", "https://github.com/owner", "a/b"])
def test_an_address_that_colab_cannot_open_is_refused(url):
    with pytest.raises(ValueError, match=r"repository\.url in _config\.yml must look like"):
        stamp_address.Address(url, "main")


def test_the_readme_names_the_address():
    assert stamp_address.Address.of(ROOT).url in (ROOT / "README.md").read_text(encoding="utf8")


def test_no_file_names_a_path_of_the_machine_it_was_made_on():
    # Put together, so that this file does not name them either.
    folders = {f"/{name}" for name in ("root", "work")} | {str(ROOT), str(Path.home())}
    pattern = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, folders))})/\w")
    texts = {path: path.read_text(encoding="utf8") for path in kept_files()}
    assert not [str(path.relative_to(ROOT)) for path in texts if pattern.search(texts[path])]


def test_importing_ssimlab_imports_nothing_that_draws_or_compiles():
    heavy = ["matplotlib", "numba", "ipywidgets", "IPython", "skimage", "kornia", "torchmetrics"]
    script = (
        "import torch, sys; before = set(sys.modules); import ssimlab; "
        f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    )
    printed = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert printed.strip() == "[]"


def test_the_package_pins_nothing_exactly():
    extras = PROJECT["optional-dependencies"]
    requirements = [*PROJECT["dependencies"], *(r for extra in extras.values() for r in extra)]
    assert not [r for r in requirements if "==" in r or "~=" in r]
    upper = [r for r in requirements if "<" in r]
    assert [re.match(r"[\w-]+", r)[0] for r in upper] == ["jupyter-book"]


def test_the_environment_pins_everything_exactly_and_once():
    assert PINS
    # name==version, and perhaps for which systems: no address, no path, no option.
    pattern = r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; [\w .<>=!'()]+)?"
    assert not [pin for pin in PINS if not re.fullmatch(pattern, pin)]
    names = [pin.partition("==")[0] for pin in PINS]
    assert names == sorted(set(names))


def test_the_environment_holds_what_the_book_the_tests_and_the_linters_need():
    pinned = {pin.partition("==")[0] for pin in PINS}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(r for extra in extras.values() for r in extra)]
    assert {canonical(re.match(r"[\w.-]+", r)[0]) for r in wanted} <= pinned


def test_the_environment_leaves_cuda_to_those_who_have_it():
    assert not [pin for pin in PINS if re.match("cuda|nvidia|triton", pin)]


def test_every_page_of_the_table_of_contents_exists():
    kept = [page for page in build_book.toc_pages() if not page.startswith("book/_generated/")]
    files = [[ROOT / f"{page}{suffix}" for suffix in (".md", ".ipynb")] for page in kept]
    assert all(sum(file.exists() for file in pair) == 1 for pair in files)
    assert len(kept) > 5


def test_a_missing_page_ends_the_build(tmp_path):
    (tmp_path / "_toc.yml").write_text("root: here\nparts: [{chapters: [{file: gone}]}]\n")
    (tmp_path / "here.md").write_text("# Here\n")
    with pytest.raises(SystemExit, match="gone: missing"):
        build_book.sources(tmp_path)


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert ssimlab.__version__ == PROJECT["version"] == citation["version"]


def test_every_public_module_of_the_package_is_on_an_api_page():
    pages = (ROOT / "book").glob("api*.md")
    shown = {m for p in pages for m in re.findall(r"automodule:: ([\w.]+)", p.read_text("utf8"))}
    modules = {
        f"{package.__name__}.{module.name}"
        for package in (ssimlab, ssimlab.lab)
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }
    assert modules - {"ssimlab.lab"} == shown  # which is there module by module
