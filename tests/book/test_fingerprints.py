"""What runs again after a change, and what does not: tried on copies of the real files."""

import json
import re
import shutil
from pathlib import Path

import pytest

from claims import all_claims
from tools import fingerprints
from tools.imports import ROOT, Project

CHAPTERS = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
CLAIMS = {claim.number for claim in all_claims()}


def of_documents(*indices: str) -> set[str]:
    return {number for number in CLAIMS if number.split(".")[0] in indices}


def state(root: Path) -> dict[str, str]:
    """The fingerprint of every chapter and every claim, by name or number."""
    project = Project(root)
    chapters = {
        path.stem: fingerprints.of_notebook(project, path)
        for path in (root / "notebooks").glob("*.ipynb")
    }
    return chapters | fingerprints.of_claims(project)


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return state(ROOT)


@pytest.fixture
def copy(tmp_path) -> Path:
    for name in ("ssimlab", "claims", "notebooks"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("requirements.txt", "_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def again(copy, before):
    """What is run and measured again when a text in a file is replaced by another one."""

    def replace(name: str, old: str, new: str) -> set[str]:
        path = copy / name
        text = path.read_text(encoding="utf8")
        assert old in text
        pages = fingerprints.of_pages(copy)
        path.write_text(text.replace(old, new, 1), encoding="utf8")
        assert fingerprints.of_pages(copy) != pages
        after = state(copy)
        path.write_text(text, encoding="utf8")
        assert before.keys() == after.keys() == CHAPTERS | CLAIMS
        return {key for key in before if before[key] != after[key]}

    return replace


def test_a_copy_elsewhere_is_as_current_as_the_original(copy, before):
    assert state(copy) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("The naive log-probability loss on the example", "The naive, log-probability loss"),
        ("expected=HOLDS,", "expected=FALSE,"),
        ('concept="losses",', 'concept="floats",'),
        ("def naive_log_probability():", "def naive_log_probability():  # what a loss"),
        ("import math\n", "import math  # and more\n"),
    ],
)
def test_what_is_said_about_a_claim_or_in_a_comment_measures_nothing(again, old, new):
    assert again("claims/debug_nan.py", old, new) == set()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("page.css", "flex", "grid"),
        ("page.md.jinja", "Five documents", "A few documents"),
        ("page.py", "LIBRARIES =", "PACKAGES ="),
    ],
)
def test_the_look_of_the_page_of_claims_measures_nothing(again, name, old, new):
    assert again(f"claims/{name}", old, new) == set()


def test_a_claim_that_changes_is_measured_again_alone(again):
    assert again("claims/debug_nan.py", "loss > 1000}", "loss > 2000}") == {"2.1"}
    assert again("claims/debug_nan.py", "The first example, with", "The first, with") == {"2.1"}


def test_a_helper_that_changes_measures_the_claims_of_its_module_again(again):
    old, new = "torch.tensor([10.0, -20.0])", "torch.tensor([11.0, -20.0])"
    assert again("claims/debug_nan.py", old, new) == of_documents("2")


def test_what_all_claims_share_measures_all_of_them_again(again):
    assert again("claims/measuring.py", "seed=0", "seed=1") == CLAIMS


def test_prose_runs_nothing_and_measures_nothing(again):
    path = "notebooks/01_what_ssim_sees.ipynb"
    cells = json.loads((ROOT / path).read_text(encoding="utf8"))["cells"]
    prose = next(cell["source"][0] for cell in cells if cell["cell_type"] == "markdown")
    assert again(path, json.dumps(prose)[1:-1], "A typo") == set()


@pytest.mark.parametrize(
    ("module", "words", "measured"),
    [
        ("ssimlab/lab/train.py", r"import .*\btrain\b", set()),
        ("ssimlab/conformance/cases.py", r"import .*\bconformance\b", set()),
        ("ssimlab/trace/tracer.py", r"import first_nonfinite", of_documents("0", "3")),
        ("ssimlab/lab/explore/explorer.js", r"from ssimlab\.lab\.explore import", set()),
        (
            "ssimlab/lab/pitfalls.py",
            r"import .*\b(pitfalls|remedies)\b",
            of_documents("0", "2", "3"),
        ),
        ("ssimlab/jacobian.py", r"import .*\bjacobian\b|ssimlab\.jacobian", of_documents("1")),
        ("ssimlab/window.py", r"ssimlab", CLAIMS),
        ("requirements.txt", r"ssimlab", CLAIMS),
    ],
)
def test_a_file_runs_and_measures_again_whatever_imports_it(again, module, words, measured):
    chapters = [ROOT / "notebooks" / f"{name}.ipynb" for name in CHAPTERS]
    importing = {p.stem for p in chapters if re.search(words, p.read_text(encoding="utf8"))}
    assert importing
    text = (ROOT / module).read_text(encoding="utf8")
    assert again(module, text, f"{text}\n") == importing | measured


def test_a_name_that_a_package_hands_on_from_elsewhere_runs_those_that_ask_for_it(again):
    old = "from .stable import dissimilarity, ssim"
    new = "from .stable import dissimilarity, dissimilarity as ssim"
    changed = again("ssimlab/__init__.py", old, new)
    assert changed == {
        "08_how_ssim_really_fails",
        "10_a_stable_ssim",
        "12_training_with_ssim",
        "13_kernels",
    }
