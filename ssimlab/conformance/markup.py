"""The tables of the ordeal as HTML: no script, no color of their own, no width but their own."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable

from . import words
from .cases import Case
from .judge import Outcome, Row

# The page's own colors serve in light and dark; what is wider than the page scrolls in its box.
STYLE = """\
<style>
.ssimlab-conformance { position: relative; max-width: 100%; overflow-x: auto; color: inherit; }
.ssimlab-conformance table { display: table; max-width: none; overflow: visible;
  border-collapse: collapse; font-size: 0.875em; color: inherit; background: none; }
.ssimlab-conformance caption { caption-side: top; text-align: left; font-weight: 600;
  color: inherit; }
.ssimlab-conformance :is(th, td) { padding: 0.3em 0.7em; text-align: left; vertical-align: top;
  background: none; border: 0; border-bottom: 1px solid currentColor;
  border-bottom-color: color-mix(in srgb, currentColor 25%, transparent); }
.ssimlab-conformance th { font-weight: 600; }
.ssimlab-conformance th[scope="row"] { font-weight: 400; min-width: 13em; }
.ssimlab-conformance th[scope="rowgroup"] { padding-top: 1em; }
.ssimlab-conformance th span { display: block; opacity: 0.8; font-weight: 400; }
.ssimlab-conformance .number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.ssimlab-conformance .why { min-width: 20em; }
.ssimlab-conformance .fault { font-weight: 600; }
.ssimlab-conformance-note { margin: 0.5em 0; font-size: 0.875em; }
dl.ssimlab-conformance-note { display: grid; grid-template-columns: max-content auto;
  gap: 0.2em 1em; }
dl.ssimlab-conformance-note :is(dt, dd) { margin: 0; font-weight: 400; }
.ssimlab-conformance .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
</style>
"""


def report_html(report) -> str:
    """A :class:`~ssimlab.conformance.Report`: a row for each case."""
    heads = ("Case", "Outcome", "Truth", "Obtained", "Gradient error", "Why")
    body = []
    for rows in words.by_group(report.rows):
        title = words.group_title(rows[0].case)
        body.append(_group(title, len(heads), map(_report_row, rows)))
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    note = f'<p class="ssimlab-conformance-note">{_text(report.setting)}</p>'
    return _page(report.title, head, body, note)


def comparison_html(comparison) -> str:
    """A :class:`~ssimlab.conformance.Comparison`: a row for each case, a column for each name."""
    versions = comparison.versions
    head = '<th scope="col">Case</th>'
    for name, report in comparison.reports.items():
        notes = [versions[name], None if report.subject.gradient else "values only"]
        small = ", ".join(filter(None, notes))
        head += f'<th scope="col">{_text(name)}<span>{_text(small)}</span></th>'
    body = []
    for _, lines in itertools.groupby(comparison.lines(), key=lambda line: line[0].group):
        lines = list(lines)
        title = words.group_title(lines[0][0])
        group = (f"{_case(case)}{''.join(map(_finding, rows))}" for case, rows in lines)
        body.append(_group(title, 1 + len(comparison.reports), group))
    legend = "".join(f"<dt>{_text(s)}</dt><dd>{_text(m)}</dd>" for s, m in words.LEGEND)
    note = (
        f'<dl class="ssimlab-conformance-note">{legend}</dl>\n'
        f'<p class="ssimlab-conformance-note">Measured with torch {_text(versions["torch"])}.</p>'
    )
    return _page("What each function does on each case", head, body, note)


def _page(caption: str, head: str, body: list[str], note: str) -> str:
    # A box that scrolls must take the keyboard's focus, and say what it is.
    return (
        f'{STYLE}{note}\n<div class="ssimlab-conformance" role="region" tabindex="0" '
        f'aria-label="{_text(caption)}">\n<table>\n<caption>{_text(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n" + "\n".join(body) + "\n</table>\n</div>"
    )


def _group(title: str, width: int, rows: Iterable[str]) -> str:
    heading = f'<th scope="rowgroup" colspan="{width}">{_text(title)}</th>'
    return "<tbody>" + "\n".join(f"<tr>{row}</tr>" for row in (heading, *rows)) + "</tbody>"


def _report_row(row: Row) -> str:
    numbers = (words.truth(row), words.obtained(row), words.gradient_error(row))
    return (
        f'{_case(row.case)}<td class="{_css(row)}">{_mark(row)} {row.outcome}</td>'
        + "".join(f'<td class="number">{_text(n)}</td>' for n in numbers)
        + f'<td class="why">{_text(row.why)}</td>'
    )


def _case(case: Case) -> str:
    return (
        f'<th scope="row" title="{_text(case.why)}">{_text(case.title)}'
        f"<span><code>{case.slug}</code></span></th>"
    )


def _css(row: Row) -> str:
    return "number fault" if row.missed else "number"


def _mark(row: Row) -> str:
    return f'<span aria-hidden="true">{words.mark(row)}</span>'


def _finding(row: Row) -> str:
    symbol = _text(words.finding(row))
    return (
        f'<td class="{_css(row)}"><span aria-hidden="true">{symbol}</span>'
        f'<span class="unseen">{_spoken(row)}</span></td>'
    )


def _spoken(row: Row) -> str:
    if row.outcome is Outcome.FINE:
        return "fine, refuses" if row.refused else "fine"
    if row.outcome is Outcome.WRONG_GRADIENT:
        return f"wrong gradient, off by {words.gradient_error(row)}"
    return f"{row.outcome}, returns {words.obtained(row)}"


def _text(text: str) -> str:
    return html.escape(text)
