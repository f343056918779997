"""The values along which an explorer moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Axis:
    """The values along which an explorer moves, and how they are shown.

    Args:
        values: at least two different numbers, or two different strings (or booleans).
        label: what the control is called; the keyword that names the axis if not given.
        unit: printed after each value, such as ``"px"``.
        format: a format string for one value, such as ``"{:.2g}"``.
        start: index, as in a list, of the value that is shown first.
    """

    values: Sequence[Any]
    label: str | None = None
    unit: str = ""
    format: str | None = None
    start: int = 0

    @property
    def is_choice(self) -> bool:
        """Whether the values are names to choose from, not numbers to slide over."""
        return isinstance(self.values[0], (str, bool))

    def text(self, value: object) -> str:
        """The value as it is shown, with its unit."""
        default = "{:.4g}" if isinstance(value, float) else "{}"
        return f"{(self.format or default).format(value)} {self.unit}".rstrip()


def checked_axis(name: str, axis: Sequence[Any] | Axis) -> Axis:
    """The axis with plain Python values, a label and a start that is not negative.

    Raises:
        TypeError, ValueError: one sentence that names the axis and what is wrong with it.
    """
    axis = axis if isinstance(axis, Axis) else Axis(axis)
    if isinstance(axis.values, (str, bytes)) or not hasattr(axis.values, "__iter__"):
        raise TypeError(f"axis {name} was given {axis.values!r}: give it a list of values")
    values = tuple(v.item() if hasattr(v, "item") else v for v in axis.values)
    if len(values) < 2:
        raise ValueError(
            f"axis {name} was given {len(values)} values: give it at least two to move between"
        )
    if {_kind(value) for value in values} not in ({"number"}, {"string"}, {"boolean"}):
        raise TypeError(
            f"axis {name} was given {list(values)}: give it finite numbers only, or strings only"
        )
    if len(set(values)) < len(values):
        raise ValueError(f"axis {name} was given a value twice in {list(values)}: remove one")
    if not isinstance(axis.start, int) or not -len(values) <= axis.start < len(values):
        raise ValueError(
            f"axis {name} was given start={axis.start!r}: give it an index into its "
            f"{len(values)} values"
        )
    try:
        texts = [axis.text(value) for value in values]
    except (ValueError, LookupError) as error:
        raise ValueError(
            f"axis {name} cannot show its values by format={axis.format!r} ({error}): "
            "give it a format string such as '{:.2g}'"
        ) from error
    if len(set(texts)) < len(texts):
        raise ValueError(f"axis {name} shows different values alike, {texts}: give a finer format")
    return replace(axis, values=values, label=axis.label or name, start=axis.start % len(values))


def _kind(value) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return "number" if isinstance(value, (int, float)) and math.isfinite(value) else "other"
