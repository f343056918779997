"""The package's own code in a page."""

import functools

import pytest

from ssimlab.lab.source import source


def example(x):
    return x + 1


def test_the_code_stands_as_it_is_written():
    shown = source(example)
    assert repr(shown) == "def example(x):\n    return x + 1"
    assert shown._repr_markdown_() == f"```python\n{shown}\n```"


def test_several_functions_stand_below_each_other():
    assert repr(source(example, example)).count("def example(x):") == 2


def test_code_can_be_folded_under_a_line():
    markdown = source(example, fold="How it is done")._repr_markdown_()
    assert markdown.startswith("<details><summary>How it is done</summary>\n\n```python\n")
    assert markdown.endswith("```\n\n</details>")


def test_what_a_compiler_made_is_undone():
    numba = pytest.importorskip("numba", reason="the extra kernels is not installed")
    assert repr(source(numba.njit(example))) == repr(source(example))
    wrapped = functools.wraps(example)(lambda *arguments: example(*arguments))
    assert repr(source(wrapped)) == repr(source(example))
