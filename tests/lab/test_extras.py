"""A package that only an extra installs: asked for where it is needed, and in one sentence."""

import json
import subprocess
import sys

import pytest

from ssimlab._extras import extra

# All modules are imported, and what needs nothing of the extra is used; then each thing that does.
BARE = """
import importlib.machinery, json, sys, types

missing = {"matplotlib", "cycler", "PIL", "skimage", "ipywidgets", "IPython", "tqdm"}

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder

import torch
import ssimlab.conformance, ssimlab.trace
from ssimlab.lab import check, explore, figures, glue, images, pitfalls, remedies, train
from ssimlab.lab._progress import progress

assert "jinja2" not in sys.modules

assert ssimlab.conformance.run("ssimlab", ["equal"]).passed
assert "<div" in ssimlab.conformance.run("ssimlab", ["equal"])._repr_html_()
assert "<div" in ssimlab.trace.first_nonfinite(torch.log, torch.zeros(2, 2))._repr_html_()
assert check.ssim(ssimlab.ssim)

def explorer():
    return explore.explore(lambda k: 1 / 0, title="Nothing", k=[1, 2])

def widget():
    for name in ("matplotlib", "matplotlib.pyplot", "PIL", "PIL.Image"):
        sys.modules[name] = types.ModuleType(name)
    explorer().widget()

sys.stderr.isatty = lambda: True
needs = {
    "photo": images.photo,
    "crops": lambda: train.Crops(["camera"]),
    "figure": lambda: figures.show(figures.picture(torch.rand(4, 4))),
    "explorer": explorer,
    "number": lambda: glue.glue("one", 1),
    "bar": lambda: progress([1], desc="", unit=""),
    "library": lambda: ssimlab.conformance.run("skimage"),
    "widget": widget,
}
said = {}
for name, needing in needs.items():
    try:
        needing()
    except ModuleNotFoundError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def test_without_the_lab_extra_all_is_imported_and_what_needs_it_says_so_in_one_sentence():
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        name: f'{package} is not installed: pip install "ssimlab[lab]"'
        for name, package in {
            "photo": "skimage",
            "crops": "skimage",
            "figure": "matplotlib",
            "explorer": "matplotlib",
            "widget": "ipywidgets",
            "number": "IPython",
            "bar": "tqdm",
            "library": "skimage",
        }.items()
    }


def test_any_other_failure_of_an_import_is_told_as_it_is():
    with pytest.raises(ImportError, match="half an installation"), extra("lab"):
        raise ImportError("half an installation")
