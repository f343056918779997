"""A figure with sliders that is alive in a rendered page and in a live kernel alike.

In a page, an explorer is plain HTML: every frame is drawn beforehand, and a few lines of script
swap them. In a live kernel it is a tree of ipywidgets that draws any value in between.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import itertools
import math
import os
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._progress import in_kernel, is_static, progress
from . import page, widgets
from .axis import Axis, checked_axis
from .page import Frames


def explore(
    draw: Callable,
    *,
    alt: str | Callable[..., str] | None = None,
    title: str | None = None,
    caption: str | None = None,
    readout: Callable[..., str] | None = None,
    pixels: bool = True,
    dpi: float | None = None,
    max_frames: int = 240,
    **axes: Sequence | Axis,
) -> Explorer:
    """Make one object that shows ``draw`` for every value of its axes, wherever it is displayed.

    Nothing is drawn until the object is shown or saved, except where the environment variable
    ``SSIMLAB_STATIC=1`` announces a book build: there all frames are drawn at once, so that a
    ``draw`` that fails, fails its cell.

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
        Explorer: shows itself as ipywidgets in a live kernel, as HTML elsewhere.

    Raises:
        TypeError, ValueError: one sentence on the argument at fault.
    """
    if not axes:
        raise ValueError("explore needs at least one axis, such as explore(draw, sigma=[0, 1, 2])")
    axes = {name: checked_axis(name, axis) for name, axis in axes.items()}
    _check_parameters(draw, axes)
    count = math.prod(len(axis.values) for axis in axes.values())
    if count > max_frames:
        raise ValueError(
            f"{' × '.join(axes)} makes {count} frames and max_frames is {max_frames}: "
            "give fewer values, or a larger max_frames"
        )
    if alt is None and title is None:
        raise ValueError("alt and title are both missing: give one, so that frames can be told")
    if isinstance(alt, str):
        _check_alt(alt, axes)
    explorer = Explorer(draw, axes, alt, title, caption, readout, pixels, dpi)
    if is_static():
        explorer.frames()
    return explorer


class Explorer:
    """A drawing and its axes; made by :func:`explore`."""

    def __init__(self, draw, axes, alt, title, caption, readout, pixels, dpi):
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
        caption = page.caption_html(self.title, self.caption)
        return page.figure_html(self.frames(), self.axes, self.title, caption)

    def save(self, path: str | os.PathLike) -> Path:
        """Write a page of its own that holds the explorer, and return its path."""
        path = Path(path)
        title = self.title or f"Explorer of {_name(self.draw)}"
        path.write_text(page.page_html(title, self.to_html()), encoding="utf-8")
        return path

    def widget(self):
        """A new tree of ipywidgets that draws whatever value is chosen."""
        caption = page.caption_html(self.title, self.caption)
        return widgets.tree(self._draw_one, self.axes, caption)

    def _ipython_display_(self):
        if not _live():
            raise NotImplementedError  # IPython's word for "ask _repr_html_ instead"
        from IPython.display import display

        display(self.widget())

    def _repr_html_(self) -> str:
        return self.to_html()

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
        height = round(first.picture.height * first.width / first.picture.width)
        return Frames(list(index_of), states, (first.width, height))

    def _draw_one(self, values: dict) -> _Drawing:
        picture, text, width = _render(self.draw, values, self.dpi)
        if self.readout is not None:
            if text:
                raise ValueError("readout was given and draw returns a text too: keep one of them")
            text = self.readout(**values)
        return _Drawing(picture, self._alt_text(values, text), text, width)

    def _alt_text(self, values: dict, readout: str) -> str:
        if isinstance(self.alt, str):
            return self.alt.format(**{"readout": readout, **values})
        if self.alt is not None:
            alt = self.alt(**values)
            if not isinstance(alt, str) or not alt.strip():
                raise ValueError(f"alt returned {alt!r}: it must return a sentence")
            return alt
        where = ", ".join(f"{axis.label} {axis.text(values[n])}" for n, axis in self.axes.items())
        return f"{self.title}: {where}. {readout}".strip()


@dataclass(frozen=True)
class _Drawing:
    """One rendered figure: an opaque RGB picture, its words, its displayed width in pixels."""

    picture: object
    alt: str
    readout: str
    width: int

    def encoded(self, format: str, **options) -> bytes:
        buffer = io.BytesIO()
        self.picture.save(buffer, format, **options)
        return buffer.getvalue()


def _render(draw: Callable, values: dict, dpi: float | None):
    """Call ``draw``; return its picture on opaque white, its text and its displayed width."""
    from matplotlib import pyplot, rc_context
    from PIL import Image

    before = set(pyplot.get_fignums())
    buffer = io.BytesIO()
    try:
        with pyplot.ioff():
            drawn = draw(**values)
        figure, text = drawn if isinstance(drawn, tuple) and len(drawn) == 2 else (drawn, "")
        if not hasattr(figure, "savefig") or not isinstance(text, str):
            raise TypeError(
                f"draw returned {drawn!r}: it must return a matplotlib Figure, or (figure, text)"
            )
        dpi = dpi or figure.dpi
        # A tight box would give each frame a size of its own.
        fixed = {"savefig.bbox": None, "savefig.facecolor": "auto", "savefig.transparent": False}
        with rc_context(fixed):
            figure.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
        pyplot.close(figure)
    finally:
        for number in set(pyplot.get_fignums()) - before:
            pyplot.close(number)
    picture = Image.open(buffer).convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return opaque.convert("RGB"), text, round(picture.width * figure.dpi / dpi)


def _check_parameters(draw: Callable, axes: dict[str, Axis]) -> None:
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


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _named(values: dict) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
