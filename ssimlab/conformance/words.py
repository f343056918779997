"""The findings in words, symbols and digits, the same in text and HTML."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import TypeVar

from .cases import Case
from .judge import Outcome, Row

Found = TypeVar("Found")

#: What the cells of a comparison mean, for both of its forms.
LEGEND = (
    ("✓", "fine: value and gradient agree with the oracle"),
    ("✓ refuses", "fine: it raises an error, where that is right"),
    ("✗ 1.93", "wrong value: what it returned instead"),
    ("✗ NaN", "NaN or inf, where the truth is a number or an error"),
    ("∇ 0.48", "right value, wrong gradient: off by this part of its size"),
    ("∇ NaN", "right value, NaN or inf in the gradient"),
    ("∇ 0", "right value, dead gradient: zero where it must not be"),
    ("! error", "an error where there is an answer"),
)


def finding(row: Row) -> str:
    """A row in a few characters, as :data:`LEGEND` explains them."""
    if row.obtained is None:
        return "✓ refuses" if row.outcome is Outcome.FINE else "! error"
    if row.outcome is Outcome.FINE:
        return "✓"
    if row.outcome is Outcome.WRONG_VALUE or not math.isfinite(row.obtained):
        return f"✗ {_unlike_the_truth(row.obtained, row.truth)}"
    if row.outcome is Outcome.DEAD_GRADIENT:
        return "∇ 0"
    return f"∇ {gradient_error(row)}"


def spoken(row: Row) -> str:
    """The same for who hears it."""
    if row.outcome is Outcome.FINE:
        return "fine, refuses" if row.refused else "fine"
    if row.outcome is Outcome.WRONG_GRADIENT:
        return f"wrong gradient, off by {gradient_error(row)}"
    return f"{row.outcome}, returns {obtained(row)}"


def mark(row: Row) -> str:
    """A check mark, a cross for a miss, a note for what does not count."""
    if row.outcome is Outcome.FINE:
        return "✓"
    return "✗" if row.missed else "i"


def truth(row: Row) -> str:
    """The oracle's answer in words or digits."""
    return "an error" if row.truth is None else number(row.truth)


def obtained(row: Row) -> str:
    """The function's answer in words or digits."""
    return "an error" if row.obtained is None else number(row.obtained)


def gradient_error(row: Row) -> str:
    """The error of the gradient, or why there is none."""
    if not row.gradient_offered:
        return "not offered"
    return "-" if row.gradient_error is None else number(row.gradient_error, digits=2)


def number(value: float, digits: int = 6) -> str:
    """A few digits; NaN and inf as they are called in the book."""
    return "NaN" if math.isnan(value) else f"{value:.{digits}g}"


def by_group(lines: Iterable[tuple[Case, Found]]) -> list[list[tuple[Case, Found]]]:
    """The lines, each a case and what was found, that stand under one heading of the catalogue."""
    groups = itertools.groupby(lines, key=lambda line: line[0].group)
    return [list(members) for _, members in groups]


def group_title(case: Case) -> str:
    """The heading above a case."""
    return case.group if case.counts else f"{case.group} (not counted)"


def _unlike_the_truth(value: float, truth: float | None) -> str:
    """Three digits of what was obtained, or as many as tell it from the truth."""
    candidates = [number(value, digits) for digits in range(3, 9)]
    if truth is None:
        return candidates[0]
    differ = (c for d, c in enumerate(candidates, 3) if c != number(truth, d))
    return next(differ, candidates[-1])
