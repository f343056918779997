"""An explorer as ipywidgets (7.7 or later) that draw any value, also those between the given."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..._extras import extra
from ...trace.card import render
from .axis import Axis
from .drawing import Drawing

if TYPE_CHECKING:
    import ipywidgets


def tree(
    attempt: Callable[[dict[str, Any]], Drawing | str],
    shown: Drawing | str,
    axes: dict[str, Axis],
    title: str | None,
    caption: str | None,
) -> ipywidgets.VBox:
    """The widgets: picture, words, one control for each axis, caption.

    Args:
        attempt: from a dict of values to a drawing, or to a text that tells why there is none.
        shown: what that is for the values at the start.
        axes: the checked axes by name.
        title, caption: what stands below the controls.
    """
    with extra("lab"):
        import ipywidgets

    controls = {name: control(axis) for name, axis in axes.items()}
    picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%"))
    words = ipywidgets.HTML()

    def show(shown: Drawing | str):
        if isinstance(shown, str):
            picture.layout.display = "none"
        else:
            picture.width = str(shown.width)
            picture.value = shown.encoded("png", compress_level=1)
            picture.layout.display = None
        words.value = render(__file__, "words.html", shown=shown)

    def update(_change):
        show(attempt({name: control.value for name, control in controls.items()}))

    for widget in controls.values():
        widget.observe(update, names="value")
    show(shown)
    said = render(__file__, "caption.html", title=title, caption=caption)
    below = [ipywidgets.HTML(said)] if said else []
    return ipywidgets.VBox([picture, words, *controls.values(), *below])


def control(axis: Axis) -> ipywidgets.ValueWidget:
    """The control of one axis: list, integer slider, slider, or slider in logarithms."""
    import ipywidgets

    start = axis.values[axis.start]
    common = {
        "description": f"{axis.label} ({axis.unit})" if axis.unit else axis.label,
        "style": {"description_width": "initial"},
        "layout": ipywidgets.Layout(width="30rem", max_width="100%"),
    }
    if axis.is_choice:
        options = [(axis.text(value), value) for value in axis.values]
        return ipywidgets.Dropdown(options=options, value=start, **common)
    ordered = sorted(axis.values)
    low, high = ordered[0], ordered[-1]
    steps = [after - before for before, after in itertools.pairwise(ordered)]
    if all(isinstance(value, int) for value in ordered):
        # The common step keeps what the values share: odd window sizes stay odd.
        step = math.gcd(*steps)
        return ipywidgets.IntSlider(min=low, max=high, step=step, value=start, **common)
    # Python's ".2g" and the slider's mean the same; what else a format says is not for sliders.
    spec = re.fullmatch(r"\{:(\.\d+[efg])\}", axis.format or "")
    common["readout_format"] = spec.group(1) if spec else ".3g"
    if low > 0:
        ratios = [math.log(after / before) for before, after in itertools.pairwise(ordered)]
        if max(ratios) / min(ratios) < max(steps) / min(steps):  # more even in logarithms
            low, high = math.log10(low), math.log10(high)
            step = (high - low) / 100
            return ipywidgets.FloatLogSlider(min=low, max=high, step=step, value=start, **common)
    step = (high - low) / 100
    return ipywidgets.FloatSlider(min=low, max=high, step=step, value=start, **common)
