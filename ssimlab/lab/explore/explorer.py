"""A figure with sliders that is alive in a rendered page and in a live kernel alike.

In a page, an explorer is plain HTML: every frame is drawn beforehand, and a few lines of script
swap them. In a live kernel it is a tree of ipywidgets that draws any value in between, and beside
it one frame as HTML, for whoever reads the saved notebook.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import math
import os
import string
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._extras import extra
from .._progress import in_kernel, is_static, progress
from . import page, widgets
from .axis import Axis, checked_axis
from .drawing import Drawing, rendered
from .page import Frames

if TYPE_CHECKING:
    import ipywidgets

WIDGET = "application/vnd.jupyter.widget-view+json"


def explore(
    draw: Callable[..., object],
    *,
    alt: str | Callable[..., str] | None = None,
    title: str | None = None,
    caption: str | None = None,
    readout: Callable[..., str] | None = None,
    pixels: bool = True,
    dpi: float | None = None,
    max_frames: int = 240,
    **axes: Sequence[Any] | Axis,
) -> Explorer:
    """Make one object that shows ``draw`` for every value of its axes, wherever it is displayed.

    Nothing is drawn until the object is shown or saved, except where the book is built: there all
    frames are drawn at once, so that a ``draw`` that fails, fails its cell.

    Args:
        draw: takes one keyword for each axis and returns a matplotlib Figure of a fixed size, or
            ``(figure, text)`` where the text is the readout under the picture. The figure is
            closed after it is rendered.
        alt: alternative text of each frame: a format string over the axes
            (``"SSIM map for noise {sigma:.1f}"``; ``{readout}`` is known too) or a function of
            the values. If not given, it is made of ``title``, the values and the readout.
        title: what the explorer shows, in a few words; stands before the caption.
        caption: a sentence or two under the controls, as plain text.
        readout: a function of the values that gives the readout, where ``draw`` does not.
        pixels: True stores lossless frames; False, for big photographs, lossy WebP.
        dpi: pixels per inch of the frames, those of the figure if not given. It changes the
            sharpness and not the displayed size.
        max_frames: the largest number of frames that is allowed.
        **axes: the values of each parameter of ``draw``, or an :class:`Axis`. In a live kernel
            floats slide continuously (in logarithms where they are spaced so), integers move in
            their greatest common step, and strings are chosen from a list.

    Returns:
        Explorer: shows itself as ipywidgets and one frame in HTML in a live kernel, and with all
        frames in HTML elsewhere.

    Raises:
        TypeError, ValueError: one sentence on the argument at fault.
        ModuleNotFoundError: the packages of the extra ``lab`` are not installed.
    """
    with extra("lab"):  # here, because a failure further down is taken for draw's
        import matplotlib.pyplot  # noqa: F401
        import PIL.Image  # noqa: F401
    if not axes:
        raise ValueError("explore needs at least one axis, such as explore(draw, sigma=[0, 1, 2])")
    checked = {name: checked_axis(name, axis) for name, axis in axes.items()}
    _check_parameters(draw, checked)
    count = math.prod(len(axis.values) for axis in checked.values())
    if count > max_frames:
        raise ValueError(
            f"{' × '.join(axes)} makes {count} frames and max_frames is {max_frames}: "
            "give fewer values, or a larger max_frames"
        )
    if alt is None and title is None:
        raise ValueError("alt and title are both missing: give one, so that frames can be told")
    if isinstance(alt, str):
        _check_alt(alt, checked)
    explorer = Explorer(draw, checked, alt, title, caption, readout, pixels, dpi)
    if is_static():
        explorer.frames()
    return explorer


class Explorer:
    """A drawing and its axes; made by :func:`explore`."""

    def __init__(
        self,
        draw: Callable[..., object],
        axes: dict[str, Axis],
        alt: str | Callable[..., str] | None,
        title: str | None,
        caption: str | None,
        readout: Callable[..., str] | None,
        pixels: bool,
        dpi: float | None,
    ):
        self.draw, self.axes = draw, axes
        self.alt, self.title, self.caption, self.readout = alt, title, caption, readout
        self.pixels, self.dpi = pixels, dpi
        self._frames = None

    def __repr__(self) -> str:
        axes = ", ".join(
            f"{name} ({len(axis.values)} values, {axis.text(axis.values[0])} to "
            f"{axis.text(axis.values[-1])})"
            for name, axis in self.axes.items()
        )
        return f"<Explorer of {_name(self.draw)} over {axes}: show it in a notebook, or .save() it>"

    def frames(self) -> Frames:
        """Draw every combination of values, once; later calls return the same frames."""
        if self._frames is None:
            self._frames = self._draw_all()
        return self._frames

    def to_html(self) -> str:
        """The explorer as HTML that needs nothing else: no kernel, no file, no other host."""
        return page.figure_html(self.frames(), self.axes, self.title, self.caption)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a page of its own that holds the explorer, and return its path."""
        path = Path(path)
        heading = self.title or f"Explorer of {_name(self.draw)}"
        made = page.page_html(heading, self.frames(), self.axes, self.title, self.caption)
        path.write_text(made, encoding="utf-8")
        return path

    def widget(self) -> ipywidgets.VBox:
        """A new tree of ipywidgets that draws whatever value is chosen."""
        return self._tree(self._at_start())

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        if not _live():
            return {}  # where HTML can be shown, IPython asks _repr_html_ next
        shown = self._at_start()
        model = self._tree(shown).model_id
        return {
            WIDGET: {"version_major": 2, "version_minor": 0, "model_id": model},
            "text/html": page.still_html(shown, self.title, self.caption),
            "text/plain": repr(self),
        }

    def _repr_html_(self) -> str:
        return self.to_html()

    def _tree(self, shown: Drawing | str) -> ipywidgets.VBox:
        return widgets.tree(self._attempt, shown, self.axes, self.title, self.caption)

    def _at_start(self) -> Drawing | str:
        return self._attempt({name: axis.values[axis.start] for name, axis in self.axes.items()})

    def _attempt(self, values: dict[str, Any]) -> Drawing | str:
        """A drawing, or the traceback that tells why there is none."""
        try:
            return self._draw_one(values)
        except Exception:
            return traceback.format_exc()

    def _draw_all(self) -> Frames:
        grid = list(itertools.product(*(axis.values for axis in self.axes.values())))
        options = {"lossless": True, "method": 4} if self.pixels else {"quality": 85}
        index_of, states, first = {}, [], None
        for combination in progress(grid, desc="drawing frames", unit="frame"):
            values = dict(zip(self.axes, combination, strict=True))
            try:
                drawing = self._draw_one(values)
            except Exception as error:
                raise RuntimeError(f"draw failed at {_named(values)}: {error}") from error
            first = first or drawing
            if drawing.picture.size != first.picture.size:
                sizes = ["×".join(map(str, d.picture.size)) for d in (first, drawing)]
                raise ValueError(
                    f"the first frame is {sizes[0]} pixels and the one at {_named(values)} is "
                    f"{sizes[1]}: give the figure the same figsize for all values"
                )
            index = index_of.setdefault(drawing.encoded("webp", **options), len(index_of))
            states.append((index, drawing.alt, drawing.readout))
        assert first is not None  # every axis has values
        height = round(first.picture.height * first.width / first.picture.width)
        return Frames(list(index_of), states, (first.width, height))

    def _draw_one(self, values: dict[str, Any]) -> Drawing:
        picture, width, text = rendered(self.draw, values, self.dpi)
        if self.readout is not None:
            if text:
                raise ValueError("readout was given and draw returns a text too: keep one of them")
            text = self.readout(**values)
        return Drawing(picture, width, self._alt_text(values, text), text)

    def _alt_text(self, values: dict[str, Any], readout: str) -> str:
        if isinstance(self.alt, str):
            return self.alt.format(**{"readout": readout, **values})
        if self.alt is not None:
            alt = self.alt(**values)
            if not isinstance(alt, str) or not alt.strip():
                raise ValueError(f"alt returned {alt!r}: it must return a sentence")
            return alt
        where = ", ".join(f"{axis.label} {axis.text(values[n])}" for n, axis in self.axes.items())
        return f"{self.title}: {where}. {readout}".strip()


def _check_parameters(draw: Callable[..., object], axes: dict[str, Axis]) -> None:
    parameters = inspect.signature(draw).parameters.values()
    keywords = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in axes:
        if name not in keywords and not takes_any:
            raise TypeError(
                f"draw does not take the axis {name}: its parameters are "
                f"{', '.join(keywords) or 'none'}"
            )
    for p in parameters:
        required = p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        if required and p.name not in axes:
            raise TypeError(f"draw needs {p.name}: give it an axis of that name, or a default")


def _check_alt(alt: str, axes: dict[str, Axis]) -> None:
    fields = {field for _, field, _, _ in string.Formatter().parse(alt) if field is not None}
    if unknown := fields - set(axes) - {"readout"}:
        raise ValueError(
            f"alt names {', '.join(sorted(unknown))}: it knows {', '.join(axes)} and readout"
        )
    if not fields:
        raise ValueError(
            f"alt is {alt!r} for every frame: name an axis in it, such as {{{next(iter(axes))}}}"
        )


def _live() -> bool:
    """Whether the display goes to a kernel that can answer a slider."""
    return not is_static() and in_kernel() and importlib.util.find_spec("ipywidgets") is not None


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
