"""An explorer as plain HTML that needs nothing else: no kernel, no file, no other host."""

from __future__ import annotations

import base64
import html
import itertools
import json
from dataclasses import dataclass
from importlib.resources import files

from .axis import Axis

_numbers = itertools.count(1)  # ids differ between the explorers of one page

# JupyterLab takes the arrow keys from whatever has the focus, unless this is set on it.
_KEEP_KEYS = 'data-lm-suppress-shortcuts="true"'
_ICON = (
    '<svg viewBox="0 0 16 16" aria-hidden="true" focusable="false">'
    '<path class="ssimlab-explorer-play" d="M4 2.5v11l9.5-5.5z"/>'
    '<path class="ssimlab-explorer-pause" d="M3.5 2.5h3v11h-3zm6 0h3v11h-3z"/></svg>'
)


@dataclass(frozen=True)
class Frames:
    """All that a page shows of an explorer.

    Args:
        pictures: the different frames as WebP bytes.
        states: for each combination of values, the last axis fastest, the index of its picture,
            its alternative text and its readout.
        size: displayed width and height in CSS pixels.
    """

    pictures: list[bytes]
    states: list[tuple[int, str, str]]
    size: tuple[int, int]


def figure_html(frames: Frames, axes: dict[str, Axis], title: str | None, caption: str) -> str:
    """The ``<figure>`` with picture, readout, controls, caption, style, data and script."""
    figure_id = f"ssimlab-explorer-{next(_numbers)}"
    ids = [f"{figure_id}-{name}" for name in axes]
    texts = [[axis.text(value) for value in axis.values] for axis in axes.values()]
    pictures = [f"data:image/webp;base64,{base64.b64encode(p).decode()}" for p in frames.pictures]
    start = 0
    for axis in axes.values():
        start = start * len(axis.values) + axis.start
    picture, alt, readout = frames.states[start]
    output = f'<output for="{" ".join(ids)}" aria-live="polite">{html.escape(readout)}</output>'
    data = {
        "axes": [
            {"label": axis.label, "texts": column}
            for axis, column in zip(axes.values(), texts, strict=True)
        ],
        "states": frames.states,
        "frames": pictures,
    }
    # Inside a script element, only "<" could open or end something.
    inert = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", r"\u003c")
    return f"""\
<figure class="ssimlab-explorer" id="{figure_id}" style="--picture-width: {frames.size[0]}px; \
--value-width: {max(len(text) for column in texts for text in column)}ch">
<style>{_asset("explorer.css")}</style>
<div class="ssimlab-explorer-picture"><img width="{frames.size[0]}" height="{frames.size[1]}" \
src="{pictures[picture]}" alt="{html.escape(alt)}"></div>
{output if any(text for _, _, text in frames.states) else ""}
<fieldset disabled aria-label="{html.escape(f"Controls: {title or 'figure'}")}">
{"".join(map(_control_html, ids, axes.values(), texts))}
</fieldset>
{f"<figcaption>{caption}</figcaption>" if caption else ""}
<script type="application/json">{inert}</script>
<script>{_asset("explorer.js").replace("$id", figure_id)}</script>
</figure>
"""


def caption_html(title: str | None, caption: str | None) -> str:
    """Title and caption in one line of HTML, empty where there is nothing to say."""
    stop = "" if title and title[-1] in ".?!" else "."
    words = [f"<strong>{html.escape(title)}{stop}</strong>"] if title else []
    words += [html.escape(caption)] if caption else []
    return " ".join(words)


def page_html(title: str, body: str) -> str:
    """A page of its own around a figure."""
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
</head>
<body style="font-family: system-ui, sans-serif; margin: 1rem">
<main>
<h1 style="font-size: 1.3rem">{html.escape(title)}</h1>
{body}</main>
</body>
</html>
"""


def _control_html(control_id: str, axis: Axis, texts: list[str]) -> str:
    label, start = html.escape(axis.label), html.escape(texts[axis.start])
    if axis.is_choice:
        options = "".join(
            f'<option value="{i}"{" selected" if i == axis.start else ""}>{html.escape(t)}</option>'
            for i, t in enumerate(texts)
        )
        control = f'<select id="{control_id}" {_KEEP_KEYS} autocomplete="off">{options}</select>'
    else:
        control = (
            f'<input type="range" id="{control_id}" {_KEEP_KEYS} min="0" max="{len(texts) - 1}" '
            f'step="1" value="{axis.start}" aria-valuetext="{start}" autocomplete="off">'
            f'<span class="ssimlab-explorer-value" aria-hidden="true">{start}</span>'
        )
    play = f'<button type="button" {_KEEP_KEYS} aria-label="Play {label}">{_ICON}</button>'
    return f'<label for="{control_id}">{label}</label>{play}{control}'


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()
