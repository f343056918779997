"""An explorer as plain HTML that needs nothing else: no kernel, no file, no other host."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ...trace.card import render
from .axis import Axis
from .drawing import Drawing, address

_numbers = itertools.count(1)  # ids differ between the explorers of one page


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


def figure_html(
    frames: Frames, axes: dict[str, Axis], title: str | None, caption: str | None
) -> str:
    """The ``<figure>`` with picture, readout, controls, caption, style, data and script."""
    return render(__file__, "figure.html", **_parts(frames, axes, title, caption))


def page_html(
    heading: str, frames: Frames, axes: dict[str, Axis], title: str | None, caption: str | None
) -> str:
    """A page of its own around such a figure."""
    parts = _parts(frames, axes, title, caption)
    return render(__file__, "page.html", heading=heading, **parts)


def still_html(shown: Drawing | str, title: str | None, caption: str | None) -> str:
    """What is shown instead of the widgets where no kernel runs: one frame, or an error's text."""
    picture = "" if isinstance(shown, str) else address(shown.encoded("png"), "png")
    return render(
        __file__, "still.html", shown=shown, picture=picture, title=title, caption=caption
    )


def _parts(frames, axes, title, caption) -> dict[str, object]:
    """What the template of the figure speaks of."""
    figure_id = f"ssimlab-explorer-{next(_numbers)}"
    controls = [
        {
            "id": f"{figure_id}-{name}",
            "label": axis.label,
            "texts": [axis.text(value) for value in axis.values],
            "start": axis.start,
            "is_choice": axis.is_choice,
        }
        for name, axis in axes.items()
    ]
    pictures = [address(picture, "webp") for picture in frames.pictures]
    start = 0
    for axis in axes.values():
        start = start * len(axis.values) + axis.start
    index, alt, readout = frames.states[start]
    return {
        "id": figure_id,
        "width": frames.size[0],
        "height": frames.size[1],
        "value_width": max(len(text) for control in controls for text in control["texts"]),
        "picture": pictures[index],
        "alt": alt,
        "has_readout": any(text for _, _, text in frames.states),
        "readout": readout,
        "controls": controls,
        "title": title,
        "caption": caption,
        "data": {
            "axes": [{"label": c["label"], "texts": c["texts"]} for c in controls],
            "states": frames.states,
            "frames": pictures,
        },
    }
