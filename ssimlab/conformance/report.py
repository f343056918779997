"""What was found, for a terminal, for a notebook and for other programs."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict, dataclass
from importlib import metadata

from ..trace.card import render
from . import words
from .cases import Case
from .judge import Outcome, Row
from .subjects import Subject

LINE = 100
_INDENT = " " * 6


@dataclass(frozen=True)
class Report:
    """The rows of one function; made by :func:`ssimlab.conformance.run`.

    Shows as a table in a notebook and as text in ``print``.

    Args:
        subject: the function and its conventions.
        rows: one for each case, in the order in which they were asked for.
        device: where it ran.
    """

    subject: Subject
    rows: tuple[Row, ...]
    device: str = "cpu"

    @property
    def misses(self) -> tuple[Row, ...]:
        """The rows that are faults of the function."""
        return tuple(row for row in self.rows if row.missed)

    @property
    def passed(self) -> bool:
        """Whether there is no miss."""
        return not self.misses

    @property
    def title(self) -> str:
        """One line: who, and how many misses in how many cases."""
        count = sum(row.case.counts for row in self.rows)
        misses = len(self.misses)
        who = " ".join(filter(None, (self.subject.name, self.subject.version)))
        return (
            f"Conformance of {who}: {misses or 'no'} {'miss' if misses in (0, 1) else 'misses'} in "
            f"{count} {'case' if count == 1 else 'cases'}"
        )

    @property
    def setting(self) -> str:
        """One line: the oracle's window, the version of torch, the device."""
        w = self.subject.window
        kind = "uniform" if w.sigma is None else f"sigma {w.sigma:g}"
        return (
            f"Oracle: float64, window {w.size} x {w.size}, {kind}, {w.padding} padding. "
            f"torch {metadata.version('torch')}, {self.device}."
        )

    def lines(self) -> list[tuple[Case, Row]]:
        """Each case with its row."""
        return [(row.case, row) for row in self.rows]

    def __getitem__(self, slug: str) -> Row:
        """The row of the case with this slug."""
        for row in self.rows:
            if row.case.slug == slug:
                return row
        raise KeyError(f"this report has no case {slug!r}")

    def __str__(self) -> str:
        lines = [self.title, self.setting]
        table = "  {:1} {:<20} {:<14} {:>12} {:>12} {:>14}".format
        lines += ["", table("", "case", "outcome", "truth", "obtained", "gradient error")]
        for group in words.by_group(self.lines()):
            lines.append(words.group_title(group[0][0]))
            for case, row in group:
                numbers = words.truth(row), words.obtained(row), words.gradient_error(row)
                lines.append(table(words.mark(row), case.slug, str(row.outcome), *numbers))
                if row.outcome is not Outcome.FINE:
                    why = textwrap.fill(
                        row.why, LINE, initial_indent=_INDENT, subsequent_indent=_INDENT
                    )
                    lines.append(why)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heads = ("Outcome", "Truth", "Obtained", "Gradient error", "Why")
        return render(
            __file__,
            "report.html",
            title=self.title,
            missed=not self.passed,
            setting=self.setting,
            heads=heads,
            columns=1 + len(heads),
            groups=words.by_group(self.lines()),
            words=words,
        )

    def to_dict(self) -> dict[str, object]:
        """The report as plain numbers, strings, lists and dicts."""
        return {
            "name": self.subject.name,
            "version": self.subject.version,
            "torch": metadata.version("torch"),
            "device": self.device,
            "window": {
                key: value for key, value in asdict(self.subject.window).items() if key != "taps"
            },
            "passed": self.passed,
            "misses": [row.case.slug for row in self.misses],
            "rows": [_row_dict(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """The report as JSON; NaN and the infinities are the strings "nan", "inf" and "-inf"."""
        return _json(self.to_dict())


@dataclass(frozen=True)
class Comparison:
    """Several reports over the same cases; made by :func:`ssimlab.conformance.compare`.

    Args:
        reports: the report of each function, by the name of its column.
    """

    reports: dict[str, Report]

    @property
    def versions(self) -> dict[str, str | None]:
        """The version of the library in each column, None where it has none, and of torch."""
        found = {name: report.subject.version for name, report in self.reports.items()}
        return {**found, "torch": metadata.version("torch")}

    def lines(self) -> list[tuple[Case, tuple[Row, ...]]]:
        """Each case with its row in every column."""
        columns = zip(*(report.rows for report in self.reports.values()), strict=True)
        return [(rows[0].case, rows) for rows in columns]

    def __str__(self) -> str:
        width = max(17, *(len(name) + 2 for name in self.reports))
        heads = [f"{name:<{width}}" for name in self.reports]
        versions = [f"{self.versions[name] or '':<{width}}" for name in self.reports]
        lines = [(" " * 24 + "".join(row)).rstrip() for row in (heads, versions)]
        for group in words.by_group(self.lines()):
            lines.append(words.group_title(group[0][0]))
            for case, rows in group:
                cells = "".join(f"{words.finding(row):<{width}}" for row in rows)
                lines.append(f"  {case.slug:<22}{cells}".rstrip())
        lines.append("")
        lines += [f"  {symbol:<10} {meaning}" for symbol, meaning in words.LEGEND]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        versions = self.versions
        heads = []
        for name, report in self.reports.items():
            notes = [versions[name], None if report.subject.gradient else "values only"]
            heads.append((name, ", ".join(filter(None, notes))))
        return render(
            __file__,
            "comparison.html",
            title="What each function does on each case",
            torch=versions["torch"],
            heads=heads,
            columns=1 + len(heads),
            groups=words.by_group(self.lines()),
            words=words,
        )

    def to_json(self) -> str:
        """All reports as JSON, by the name of their column."""
        return _json({name: report.to_dict() for name, report in self.reports.items()})


def _row_dict(row: Row) -> dict[str, object]:
    return {
        "case": row.case.slug,
        "group": row.case.group,
        "title": row.case.title,
        "outcome": str(row.outcome),
        "counts": row.case.counts,
        "truth": row.truth,
        "obtained": row.obtained,
        "gradient_error": row.gradient_error,
        "gradient_offered": row.gradient_offered,
        "why": row.why,
    }


def _json(value: object) -> str:
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: object) -> object:
    """JSON has no NaN and no infinities: they become strings."""
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_finite(member) for member in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
