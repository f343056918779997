"""The compiled sweep on torch tensors: planes where they lie, tiles dealt out to threads.

The threads are Python's, as many as `torch.get_num_threads()` says, and the compiled code runs
without Python's lock. The caller works with them, so that nothing waits for a thread that is busy
elsewhere; a forked child makes threads of its own. Every tile has its own place for its sums,
which are added up in one order: the result does not depend on who did what.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .settings import Settings

Array = np.ndarray[Any, Any]

LARGEST_WINDOW = 33
COMPILE_NOTE = (
    "ssimlab: compiling the CPU kernel for windows of {taps} taps in {dtype}, once: about ten "
    "seconds (python -m ssimlab warm does it beforehand)"
)


class Planes(NamedTuple):
    """Images where they lie: pixel (i, j) of plane n is data[start[n] + i * row + j * column]."""

    data: Array
    start: Array
    row: int
    column: int


def means(
    x: Tensor, y: Tensor, settings: Settings, gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Means of 1 - SSIM and of SSIM over the map of each plane, and the gradient of the former.

    Args:
        x, y: images on the CPU, (…, H, W), float32 or float64, of any strides.
        settings: the window, the constants, the units.
        gradient: whether the gradient by x of each plane's mean is wanted.

    Returns:
        Two tensors of shape (…), and one of the shape of x, or an empty one.
    """
    height, width = settings.map_size(*x.shape[-2:])
    share = 1 / (height * width)
    by_x = torch.empty(x.shape if gradient else (0,), dtype=x.dtype)
    sums = _sweep(x, y, settings, None, None, by_x, share)
    real = np.float32 if x.dtype == torch.float32 else np.float64
    unlike, like = (
        torch.from_numpy(of_planes.astype(real).reshape(x.shape[:-2]))
        for of_planes in sums.T / (height * width)
    )
    return unlike, like, by_x


def unlike_map(x: Tensor, y: Tensor, settings: Settings) -> Tensor:
    """The map of 1 - SSIM, (…, H', W'). Arguments as :func:`means`."""
    values = x.new_empty(*x.shape[:-2], *settings.map_size(*x.shape[-2:]))
    _sweep(x, y, settings, None, values, x.new_empty(0))
    return values


def gradient(x: Tensor, y: Tensor, weights: Tensor, settings: Settings) -> Tensor:
    """The gradient by x of Σ weights · map; weights are (…, H', W'), of any strides."""
    by_x = torch.empty(x.shape, dtype=x.dtype)
    _sweep(x, y, settings, weights, None, by_x)
    return by_x


def warm(taps: int, dtype: torch.dtype) -> None:
    """Compile, or load from disk, the kernel for windows of so many taps."""
    image = torch.zeros(taps, taps, dtype=dtype)
    means(image, image, Settings((1 / taps,) * taps, "valid", 1.0, 1.0), gradient=True)


def _sweep(
    x: Tensor,
    y: Tensor,
    settings: Settings,
    weights: Tensor | None,
    values: Tensor | None,
    by_x: Tensor,
    share: float = 1.0,
) -> Array:
    """Run the kernel over all tiles and return the sums of each plane, float64, (planes, 2).

    ``share`` is what the map's pixels weigh in the gradient where there are no ``weights``.
    """
    cpu = _compiled()
    height, width = x.shape[-2:]
    taps, constants, none = _typed(settings, x.dtype)
    real = taps[0].dtype.type
    planes = x.shape[:-2].numel()
    grid = tuple(
        _tiles(size, length, settings.radius)
        for size, length in zip((height, width), cpu.TILE, strict=True)
    )
    count = planes * grid[0] * grid[1]
    sums = np.zeros((count, 2))
    arguments = (
        planes_of(x),
        planes_of(y),
        Planes(none.ravel(), _starts((), ()), 0, 0) if weights is None else planes_of(weights),
        taps,
        constants,
        settings.luminance,
        (real(settings.scale), real(settings.scale * share)),
        (height, width),
        settings.border,
        settings.padding == "reflect",
        grid,
    )
    results = (
        sums,
        none if values is None else values.reshape(planes, *values.shape[-2:]).numpy(),
        by_x.reshape(planes, height, width).numpy() if by_x.numel() else none,
    )
    deal(lambda taken: cpu.sweep(*arguments, taken, *results), count)
    return sums.reshape(planes, -1, 2).sum(1)


@functools.cache
def _compiled() -> ModuleType:
    """The module of the kernel. Numba takes a second to import, and may be missing."""
    from numba.core import event

    from . import cpu

    class Announcement(event.Listener):
        """One line when the compiler begins: what is loaded from disk is not announced."""

        def on_start(self, event: Any) -> None:
            # A page of the book is read on a machine that did not wait.
            if event.data["dispatcher"] is cpu.sweep and "SSIMLAB_STATIC" not in os.environ:
                taps = event.data["args"][3]
                line = COMPILE_NOTE.format(taps=taps.count, dtype=taps.dtype)
                print(line, file=sys.stderr, flush=True)

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Announcement())
    return cpu


def _tiles(size: int, length: int, radius: int) -> int:
    """Into how many tiles of about ``length`` to cut; each is longer than the border to fold."""
    return max(1, min(-(-size // length), size // (radius + 1)))


def planes_of(image: Tensor) -> Planes:
    """An image as the kernel sees it; nothing is copied."""
    image = image.detach().resolve_neg()
    shape, strides = image.shape, image.stride()
    span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    data = image.as_strided((span,), (1,)).numpy()
    return Planes(data, _starts(tuple(shape[:-2]), strides[:-2]), *strides[-2:])


# The steps of a training ask the same again and again, and for small images the answers would
# take as long as the kernel.
@functools.lru_cache(maxsize=64)
def _starts(shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """Where each plane begins."""
    start = np.zeros((), np.int64)
    for size, stride in zip(shape, strides, strict=True):
        start = start[..., None] + np.arange(size) * stride
    return start.reshape(-1)


@functools.lru_cache(maxsize=64)
def _typed(settings: Settings, dtype: torch.dtype) -> tuple[Any, ...]:
    """The taps and the constants in the dtype of the images, and an image of no pixels."""
    real: Any = np.float32 if dtype == torch.float32 else np.float64
    taps = tuple(np.array(settings.taps, real))
    return taps, (real(settings.c1), real(settings.c2)), np.empty((0, 0, 0), real)


def deal(work: Callable[[Array], object], count: int) -> None:
    """Call work(taken) in this thread and its helpers, for each to take what is left of ``count``.

    What has been taken is counted in the array ``taken``, by :func:`ssimlab.kernels.loops.take`.
    """
    taken = np.zeros(1, np.int64)
    threads = min(torch.get_num_threads(), count)
    helpers = [_helpers(threads - 1).submit(work, taken) for _ in range(threads - 1)]
    try:
        work(taken)
    finally:
        for helper in helpers:
            if not helper.cancel():
                helper.result()


@functools.cache
def _helpers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="ssimlab")


# A fork copies the pool and none of its threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)
