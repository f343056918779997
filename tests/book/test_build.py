"""The build does again what has to be done again; its parts, without Sphinx and without kernels."""

import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

import claims
from claims import Finding
from tools import build_book, fingerprints
from tools.imports import Project


@pytest.fixture
def measured(monkeypatch) -> list[list[str]]:
    """The numbers of the claims that each round measured; nothing is measured in fact."""
    rounds = []

    def measure(chosen):
        rounds.append([claim.number for claim in chosen])
        return {c.number: Finding({"round": True}, {"round": len(rounds)}, "So.") for c in chosen}

    monkeypatch.setattr(claims, "measure", measure)
    return rounds


def test_findings_are_kept_until_what_is_behind_them_changes(tmp_path, monkeypatch, measured):
    kept_in = tmp_path / "build" / "claims.json"
    numbers = [claim.number for claim in claims.all_claims()]
    state = dict.fromkeys(numbers, "as it was")
    monkeypatch.setattr(fingerprints, "of_claims", lambda project: dict(state))

    first = build_book.findings_of_claims(Project(), kept_in)
    assert measured == [numbers]
    assert build_book.findings_of_claims(Project(), kept_in) == first
    assert len(measured) == 1
    state["2.2"] = "changed"
    second = build_book.findings_of_claims(Project(), kept_in)
    assert measured[1:] == [["2.2"]]
    assert {n for n in numbers if second[n] != first[n]} == {"2.2"}
    assert build_book.findings_of_claims(Project(), kept_in) == second
    assert len(measured) == 2


def test_a_verdict_that_surprises_ends_the_build_after_the_page_is_written(monkeypatch):
    written = []
    findings = {c.number: Finding({"a": True}, {"b": 1}, "So.") for c in claims.all_claims()}
    monkeypatch.setattr(build_book, "findings_of_claims", lambda project: findings)
    monkeypatch.setattr(build_book.claims_page, "write", written.append)
    with pytest.raises(SystemExit, match=r"claim 2\.2: FALSE was expected, HOLDS came out"):
        build_book.write_claims(Project())
    assert written == [findings]


@pytest.fixture
def chapter(tmp_path):
    """A chapter that imports a module of a package, with its outputs in a cache."""
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "used.py").write_text("x = 1\n")
    (tmp_path / "pkg" / "unused.py").write_text("x = 1\n")
    path = tmp_path / "chapter.ipynb"
    cells = [
        nbformat.v4.new_markdown_cell("# A chapter"),
        nbformat.v4.new_code_cell("from pkg import used"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    run = nbformat.read(path, as_version=4)
    run.cells[1].execution_count = 1
    noted = {"fingerprint": fingerprints.of_notebook(Project(tmp_path, ["pkg"]), path)}
    get_cache(tmp_path / "outputs").cache_notebook_bundle(CacheBundleIn(run, "", data=noted))
    return path


def runs_again(chapter) -> bool:
    cache = get_cache(chapter.parent / "outputs")
    return bool(build_book.changed_notebooks(cache, Project(chapter.parent, ["pkg"]), [chapter]))


def replace(path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_a_chapter_runs_again_when_its_code_or_a_module_that_it_imports_changes(chapter):
    package = chapter.parent / "pkg"
    assert not runs_again(chapter)
    replace(package / "used.py", "1", "2")
    assert runs_again(chapter)
    replace(package / "used.py", "2", "1")
    assert not runs_again(chapter)
    replace(chapter, "import used", "import used as it")
    assert runs_again(chapter)


def test_a_chapter_does_not_run_again_for_its_prose_or_a_module_that_it_does_not_import(chapter):
    replace(chapter.parent / "pkg" / "unused.py", "1", "2")
    replace(chapter, "# A chapter", "# The chapter")
    assert not runs_again(chapter)


def test_outputs_of_which_nothing_is_noted_are_not_trusted(chapter):
    cache = get_cache(chapter.parent / "outputs")
    run = nbformat.read(chapter, as_version=4)
    run.cells[1].execution_count = 1
    cache.cache_notebook_bundle(CacheBundleIn(run, ""), overwrite=True)
    assert runs_again(chapter)
