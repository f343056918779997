"""An explorer as ipywidgets (7.7 or later) that draw any value, also those between the given."""

from __future__ import annotations

import html
import itertools
import math
import re
import traceback
from collections.abc import Callable

from .axis import Axis


def tree(draw_one: Callable, axes: dict[str, Axis], caption: str):
    """The widgets: picture, words, error, one control for each axis, caption.

    Args:
        draw_one: from a dict of values to a drawing: ``encoded``, ``width``, ``alt``, ``readout``.
        axes: the checked axes by name.
        caption: HTML that stands below the controls.
    """
    import ipywidgets

    controls = {name: control(axis) for name, axis in axes.items()}
    picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%"))
    words, failure = ipywidgets.HTML(), ipywidgets.HTML()

    def update(_change=None):
        try:
            drawing = draw_one({name: control.value for name, control in controls.items()})
        except Exception:
            picture.layout.display, words.value = "none", ""
            failure.value = f"<pre>{html.escape(traceback.format_exc())}</pre>"
            return
        picture.width = str(drawing.width)
        picture.value = drawing.encoded("png", compress_level=1)
        picture.layout.display, words.value = None, _words(drawing)
        failure.value = ""

    for widget in controls.values():
        widget.observe(update, names="value")
    update()
    below = [ipywidgets.HTML(caption)] if caption else []
    return ipywidgets.VBox([picture, words, failure, *controls.values(), *below])


def control(axis: Axis):
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


def _words(drawing) -> str:
    """The readout, and the alternative text unseen: the Image widget has no place for it."""
    unseen = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"
    return f'<span style="{unseen}">{html.escape(drawing.alt)}</span>{html.escape(drawing.readout)}'
