"""The book's one figure style: white ground, few colors, scales that say what they mean.

A figure is made of panels. ``picture``, ``ssim_map``, ``signed`` and ``magnitude`` turn a tensor
into a panel with the right colors and limits, and :func:`show` sets panels side by side. Every
function returns a closed matplotlib Figure: end a cell with it and it shows once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from .._extras import extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType
    from numpy.typing import ArrayLike

#: Okabe and Ito's colors, which color-blind readers can tell apart; black and yellow left out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
WIDTH = 7.2  # inches: the column of the page

STYLE: dict[RcKeyType, Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 144,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "savefig.bbox": None,
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


@contextmanager
def styled() -> Iterator[ModuleType]:
    """Matplotlib's settings for the book, around its pyplot; what is drawn inside follows them."""
    with extra("lab"):
        import matplotlib.pyplot as plt
        from cycler import cycler

    cycle = cycler(color=COLORS) + cycler(linestyle=LINE_STYLES)
    with plt.rc_context({**STYLE, "axes.prop_cycle": cycle}):
        yield plt


@dataclass(frozen=True)
class Panel:
    """An image to show: (H, W), or (3, H, W) in color, with its colors and their limits."""

    image: torch.Tensor
    title: str
    colors: str
    low: float
    high: float
    bar: bool = True


def picture(image: ArrayLike, title: str = "", *, low: float = 0.0, high: float = 1.0) -> Panel:
    """A photograph; what lies outside [low, high] shows as black or white."""
    return Panel(_plane(image, color=True), title, "gray", low, high, bar=False)


def ssim_map(values: ArrayLike, title: str = "SSIM map", *, low: float = 0.0) -> Panel:
    """A map of SSIM: bright where the images agree. Values below ``low`` show as the darkest."""
    return Panel(_plane(values), title, "magma", low, 1.0)


def signed(values: ArrayLike, title: str = "", *, limit: float | None = None) -> Panel:
    """Positive red, negative blue, zero white; the scale is symmetric, and finite at zero."""
    plane = _plane(values)
    limit = _largest(plane.abs()) if limit is None else limit
    return Panel(plane, title, "RdBu_r", -limit, limit)


def magnitude(
    values: ArrayLike, title: str = "", *, low: float = 0.0, high: float | None = None
) -> Panel:
    """Quantities of one sign, dark at ``low``."""
    plane = _plane(values)
    high = _largest(plane) if high is None else high
    return Panel(plane, title, "viridis", low, high)


def show(
    *panels: Panel, columns: int | None = None, width: float = WIDTH, note: str = ""
) -> Figure:
    """Panels in a grid, each with square pixels and its own scale beside it.

    Args:
        panels: what to show, in reading order.
        columns: panels in a row; all of them by default.
        width: of the figure, in inches.
        note: a line under the figure.

    Returns:
        A matplotlib Figure. NaN and inf show in light gray.
    """
    columns = columns or len(panels)
    rows = -(-len(panels) // columns)
    tallest = max(p.image.shape[-2] / p.image.shape[-1] for p in panels)
    height = rows * (width / columns * tallest * 0.92 + 0.32) + (0.25 if note else 0)
    with styled() as plt:
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.axis("off")
        for axis, panel in zip(axes.flat, panels, strict=False):
            _draw(figure, axis, panel)
        if note:
            figure.supxlabel(note, fontsize=9)
        plt.close(figure)
    return figure


def lines(
    x: ArrayLike | None,
    series: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    xscale: str = "linear",
    yscale: str = "linear",
    title: str = "",
    height: float = 3.2,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Curves over one axis, named in a legend; each differs in dash as well as in color.

    Args:
        x: the common abscissa, or None where each series is a pair (x, y).
        series: name -> values.
        xlabel, ylabel: with units.
        xscale, yscale: matplotlib's scales, such as "log".
        marks: name -> abscissa of thin vertical lines.
        height: of the figure, in inches.
    """
    with styled() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH, height))
        for name, values in series.items():
            abscissa, ordinate = (x, values) if x is not None else values
            axis.plot(_numbers(abscissa), _numbers(ordinate), label=name)
        for name, at in (marks or {}).items():
            axis.axvline(at, color="#777777", linewidth=1, linestyle=":")
            axis.annotate(name, (at, 0.98), xycoords=("data", "axes fraction"), ha="right",
                          va="top", rotation=90, fontsize=8, color="#555555")  # fmt: skip
        axis.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale, title=title)
        if len(series) > 1:
            axis.legend()
        plt.close(figure)
    return figure


def bars(
    values: Mapping[str, float | torch.Tensor],
    *,
    xlabel: str,
    title: str = "",
    low: float | None = None,
    high: float | None = None,
    format: str = "{:.3f}",
) -> Figure:
    """One horizontal bar for each named value, with its figure at the end."""
    with styled() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH, 0.5 + 0.34 * len(values)))
        names, numbers = list(values), [float(v) for v in values.values()]
        drawn = axis.barh(names, numbers, color=COLORS[0], height=0.62)
        axis.bar_label(drawn, labels=[format.format(v) for v in numbers], padding=3, fontsize=9)
        axis.invert_yaxis()
        axis.grid(False, axis="y")
        axis.set_axisbelow(True)
        axis.set(xlabel=xlabel, title=title, xlim=(low, high))
        axis.margins(x=0.12)
        plt.close(figure)
    return figure


def spreads(
    values: Mapping[str, tuple[float, float, float]],
    *,
    xlabel: str,
    xscale: str = "linear",
    notes: Mapping[str, str] | None = None,
    notes_title: str = "",
    format: str = "{:.1f}",
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """One line for each name: the median as a dot with its figure, the quartiles as a bar.

    Args:
        values: name -> (lower quartile, median, upper quartile).
        xlabel: with units.
        xscale: matplotlib's scale, such as "log".
        notes: name -> what stands at the right end of its line.
        notes_title: stands above the notes.
        format: of the median.
        marks: name -> abscissa of thin vertical lines.
    """
    with styled() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH, 0.75 + 0.36 * len(values)))
        for place, (low, median, high) in enumerate(values.values()):
            axis.plot([low, high], [place] * 2, "-", color=COLORS[0], linewidth=3)
            axis.plot([median], [place], "o", color=COLORS[0], markersize=7)
            axis.annotate(format.format(median), (high, place), xytext=(8, 0), fontsize=9,
                          textcoords="offset points", va="center")  # fmt: skip
        for name, at in (marks or {}).items():
            axis.axvline(at, color="#777777", linewidth=1, linestyle=":")
            axis.annotate(name, (at, 1), xycoords=("data", "axes fraction"), ha="center",
                          va="bottom", fontsize=8, color="#555555")  # fmt: skip
        for place, name in enumerate(values):
            axis.annotate((notes or {}).get(name, ""), (1.02, place), va="center", fontsize=8.5,
                          xycoords=("axes fraction", "data"), annotation_clip=False)  # fmt: skip
        axis.annotate(notes_title, (1.02, -0.75), va="center", fontsize=8.5, color="#555555",
                      xycoords=("axes fraction", "data"), annotation_clip=False)  # fmt: skip
        axis.set_yticks(range(len(values)), list(values))
        axis.set(xlabel=xlabel, xscale=xscale, ylim=(len(values) - 0.4, -0.6))
        axis.margins(x=0.18)
        if xscale == "log":
            _plain_ticks(axis.xaxis)
        axis.grid(False, axis="y")
        plt.close(figure)
    return figure


def roof(operations: float, bandwidth: float, points: Mapping[str, tuple[float, float]]) -> Figure:
    """A roofline: what the machine's two peaks allow, and where some computations stand.

    Args:
        operations: of the machine, 10⁹ in a second.
        bandwidth: of its memory, 10⁹ bytes in a second.
        points: name -> (operations for each byte, 10⁹ operations in a second).
    """
    ridge = operations / bandwidth
    left = min([ridge / 4, *(x / 2 for x, _ in points.values())])
    right = max([ridge * 4, *(2 * x for x, _ in points.values())])
    with styled() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH, 2.9))
        axis.plot([left, ridge, right], [left * bandwidth, *[operations] * 2], color="#555555")
        for (name, (x, y)), color in zip(points.items(), COLORS, strict=False):
            axis.plot([x, x], [y, min(operations, x * bandwidth)], ":", color=color, linewidth=1)
            axis.plot([x], [y], "o", color=color, markersize=8, label=name)
        axis.legend(loc="lower right")
        axis.set(xscale="log", yscale="log", xlim=(left, right))
        axis.set(xlabel="operations for each byte", ylabel="10⁹ operations a second")
        for name, at, height in (
            ("memory", (left * ridge) ** 0.5, (left * ridge) ** 0.5 * bandwidth),
            ("arithmetic", (ridge * right) ** 0.5, operations),
        ):
            axis.annotate(name, (at, height), (0, 5), textcoords="offset points", ha="right",
                          fontsize=9, color="#555555")  # fmt: skip
        _plain_ticks(axis.xaxis)
        _plain_ticks(axis.yaxis)
        plt.close(figure)
    return figure


def _plain_ticks(axis):
    """1, 2, 5, 10 … along a logarithmic axis, as numbers and not as powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _draw(figure, axis, panel):
    image = panel.image.detach().cpu()
    if image.ndim == 3:
        # Unlike a gray image, imshow takes a color one as it is, between 0 and 1.
        level = ((image.double() - panel.low) / (panel.high - panel.low)).clamp(0, 1)
        axis.imshow(level.movedim(0, -1).numpy())
    else:
        import matplotlib

        colors = matplotlib.colormaps[panel.colors].with_extremes(bad="#cccccc")
        finite = torch.where(torch.isfinite(image), image, torch.nan).double().numpy()
        drawn = axis.imshow(finite, cmap=colors, vmin=panel.low, vmax=panel.high)
        if panel.bar:
            bar = figure.colorbar(drawn, ax=axis, shrink=0.8, pad=0.02)
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=7.5, length=2)
            bar.ax.yaxis.get_offset_text().set_fontsize(7.5)
    axis.set_title(panel.title)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(panel.bar)
        spine.set_color("#cccccc")


def _plane(values: ArrayLike, *, color: bool = False) -> torch.Tensor:
    """Drop leading dimensions of size one; refuse a batch, and channels where no colors are."""
    image = torch.as_tensor(values)
    plane = image
    while plane.ndim > 2 and plane.shape[0] == 1:
        plane = plane[0]
    if plane.ndim != 2 and not (color and plane.ndim == 3 and plane.shape[0] == 3):
        wanted = "(H, W) or (3, H, W)" if color else "(H, W)"
        raise ValueError(
            f"one image at a time, {wanted}, not {tuple(image.shape)}: index the batch or a channel"
        )
    return plane


def _largest(values: torch.Tensor) -> float:
    """The largest finite value, or 1 where there is none above zero."""
    finite = values[torch.isfinite(values)]
    return (finite.max().item() if finite.numel() else 0) or 1.0


def _numbers(values):
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
