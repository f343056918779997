"""The kernels for the GPU, in Triton: one for the way forward and one for the way back.

A program has a strip of columns, a thread for each, and walks down a run of rows. From each row it
takes the moments along the row, for which the pixels beside are read from the fastest cache, and
keeps those of the last rows, as many as the window has, in a ring of registers. Down the columns
each thread then needs nothing that is not its own: no shared memory, no barrier, no program that
waits for another. What is made twice are the rows that two runs share.

A sum over windows is taken back in the same way, first along the rows and then down the columns,
with the factors of the map's pixels beside the images. Only they lie in memory between the two
kernels. Every sum has one order, so that results repeat to the bit.

The formulas are those of the kernel for the CPU: rows about their center pixels, columns about a
pivot, and d = x - y differenced for itself. What is written of x is written of y in the same words.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections import namedtuple
from typing import Any

import torch
from torch import Tensor

from . import eager
from .choice import LARGEST_WINDOW
from .settings import Settings

try:
    import triton
    from triton import language as tl
except ImportError:  # `reason_against` will say so
    triton = tl = None

COLUMNS = 128  # of a strip; a power of two
RUNS = (64, 32, 16, 8)  # rows: the longest run that keeps the GPU busy makes least twice
BUSY = 2  # programs for each multiprocessor

# Images where they lie: pixel (i, j) of plane n is data[start[n] + i * row + j * column].
Planes = namedtuple("Planes", "data start row column")
# One plane of x and one of y, and how they are read.
Pair = namedtuple("Pair", "x y height width border mirror scale")
# A center pixel, and the moments of the row or of the window around it: the means less the center,
# the variances of x and of y added.
Moments = namedtuple("Moments", "x y mean_x mean_y mean_d variances covariance variance_d")
# A pixel, and what the windows in one row of the map give to its gradient.
Spread = namedtuple("Spread", "x y total by_x by_y by_d")
# Out of a ring they are named again: where tuples are joined, Triton before 3.9 forgets the names.


def jit(function: Any) -> Any:
    """A kernel or a part of one. For images of another size it is not compiled again."""
    if triton is None:
        return function
    return triton.jit(function, do_not_specialize=["height", "width", "rows"])


@jit
def plane(images, n):
    """The images from plane n on."""
    return Planes(images.data + tl.load(images.start + n), images.start, images.row, images.column)


@jit
def address(image, i, j):
    return image.data + i.to(tl.int64) * image.row + j.to(tl.int64) * image.column


@jit
def source(t, size, mirror):
    """The pixel that stands at place t of a padded line; outside the line for a zero."""
    if mirror:
        t = tl.abs(t)
        t = tl.minimum(t, 2 * (size - 1) - t)
    return t


@jit
def inside(i, j, height, width):
    i = tl.broadcast_to(i, j.shape)  # Triton's interpreter cannot do it below
    return (i >= 0) & (i < height) & (j >= 0) & (j < width)


@jit
def pixels(pair, i, j):
    """The pixels of x and of y in row i and the columns j of the padded images."""
    i = source(i - pair.border, pair.height, pair.mirror)
    j = source(j - pair.border, pair.width, pair.mirror)
    mask = inside(i, j, pair.height, pair.width)
    x = tl.load(address(pair.x, i, j), mask=mask, other=0.0)
    y = tl.load(address(pair.y, i, j), mask=mask, other=0.0)
    return x * pair.scale, y * pair.scale


@jit
def centers(pair, p, q, mask, r):
    """The center pixels of windows of the map; they lie within the image, whatever the padding."""
    i, j = p + r - pair.border, q + r - pair.border
    x = tl.load(address(pair.x, i, j), mask=mask, other=0.0)
    y = tl.load(address(pair.y, i, j), mask=mask, other=0.0)
    return x * pair.scale, y * pair.scale


@jit
def read_taps(taps, SIZE: tl.constexpr):
    w = ()
    for k in tl.static_range(SIZE):
        w += (tl.load(taps + k),)
    return w


@jit
def along_row(pair, i, j, w, SIZE: tl.constexpr):
    """The moments along row i of the windows whose first columns are j."""
    x, y = pixels(pair, i, j + SIZE // 2)
    sx, sy, sd, vx, vy, vd, sc = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in tl.static_range(SIZE):
        px, py = pixels(pair, i, j + k)
        a, b, d = px - x, py - y, (px - py) - (x - y)
        sx += w[k] * a
        sy += w[k] * b
        sd += w[k] * d
        vx += w[k] * (a * a)
        vy += w[k] * (b * b)
        vd += w[k] * (d * d)
        sc += w[k] * (a * b)
    variances = (vx - sx * sx) + (vy - sy * sy)
    return Moments(x, y, sx, sy, sd, variances, sc - sx * sy, vd - sd * sd)


@jit
def down_columns(rows, w, SIZE: tl.constexpr):
    """From the moments of a window's rows those of the window, about a pivot near its mean."""
    center = Moments(*rows[SIZE // 2])
    x, y, d0 = center.x, center.y, center.x - center.y
    p, q, o = x + center.mean_x, y + center.mean_y, d0 + center.mean_d
    sx, sy, sd, vx, vy, vd, sc, inner = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in tl.static_range(SIZE):
        row = Moments(*rows[k])
        a, b = (row.x - p) + row.mean_x, (row.y - q) + row.mean_y
        d = ((row.x - row.y) - o) + row.mean_d
        sx += w[k] * a
        sy += w[k] * b
        sd += w[k] * d
        vx += w[k] * (a * a)
        vy += w[k] * (b * b)
        vd += w[k] * (d * d + row.variance_d)
        sc += w[k] * (a * b + row.covariance)
        inner += w[k] * row.variances
    variances = ((vx - sx * sx) + (vy - sy * sy)) + inner
    means = (p - x) + sx, (q - y) + sy, (o - d0) + sd
    return Moments(x, y, means[0], means[1], means[2], variances, sc - sx * sy, vd - sd * sd)


@jit
def inverse(t):
    """1 / t. Of float32, Triton's own division is an approximation."""
    if t.dtype == tl.float32:
        return tl.math.div_rn(1.0, t)
    else:
        return 1.0 / t


@jit
def combine(m, c1, c2, luminance: tl.constexpr):
    """1 - SSIM and SSIM of a window, and the four factors of the gradient."""
    mu_x, mu_y, mu_d = m.x + m.mean_x, m.y + m.mean_y, (m.x - m.y) + m.mean_d
    over_means = inverse((mu_x * mu_x + 0.5 * c1) + (mu_y * mu_y + 0.5 * c1))
    over_variances = inverse(m.variances + c2)
    a = tl.where(luminance, mu_d * mu_d * over_means, 0.0)
    l = tl.where(luminance, (2 * mu_x * mu_y + c1) * over_means, 1.0)
    b, cs = m.variance_d * over_variances, (2 * m.covariance + c2) * over_variances
    alike = (a < 0.2) & (b < 0.2)
    unlike = tl.where(alike, a + b - a * b, 1 - l * cs)
    like = tl.where(alike, 1 - (a + b - a * b), l * cs)
    beta = 2 * l * over_variances
    by_x = tl.where(alike, -beta * b, beta * cs)
    by_y = tl.where(alike, 0.0, -beta)
    by_d = tl.where(alike, beta, 0.0)
    of_means = 2 * cs * over_means * tl.where(alike, mu_d - a * mu_x, l * mu_x - mu_y)
    shifts = by_x * m.mean_x + by_y * m.mean_y + by_d * m.mean_d
    return unlike, like, (tl.where(luminance, of_means, 0.0) - shifts, by_x, by_y, by_d)


@jit
def forward(
    x, y, numbers, height, width, rows, weights, unlike, sums, factors, luminance: tl.constexpr,
    SIZE: tl.constexpr, border: tl.constexpr, mirror: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The map, its sums and the factors of the gradient; None in place of what is not wanted.

    Args:
        x, y: the images, as Planes.
        numbers: c1, c2, the scale, and the taps.
        height, width: H and W.
        rows: of a run.
        weights: of the map's pixels in the gradient, as Planes; None without factors.
        unlike: for the map of 1 - SSIM, (planes, H', W').
        sums: for the sums of 1 - SSIM and of SSIM down each run, (planes, runs, 2, W').
        factors: for the factors times the weights, (planes, H', 4, W').
    """
    r = SIZE // 2
    n, top = tl.program_id(0).to(tl.int64), tl.program_id(1) * rows
    j = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    map_height, map_width = height + 2 * (border - r), width + 2 * (border - r)
    mask = j < map_width
    c1, c2, w = tl.load(numbers), tl.load(numbers + 1), read_taps(numbers + 3, SIZE)
    scale = tl.load(numbers + 2)
    pair = Pair(plane(x, n), plane(y, n), height, width, border, mirror, scale)
    zero = tl.full((COLUMNS,), 0.0, numbers.dtype.element_ty)
    ring = (Moments(zero, zero, zero, zero, zero, zero, zero, zero),) * SIZE
    sum_of_unlike, sum_of_like = zero, zero
    for step in range(tl.minimum(rows, map_height - top) + 2 * r):
        ring += (along_row(pair, top + step, j, w, SIZE),)
        ring = ring[1:]
        if step >= 2 * r:
            i = top + step - 2 * r
            window = down_columns(ring, w, SIZE)
            value, likeness, of_gradient = combine(window, c1, c2, luminance)
            sum_of_unlike += value
            sum_of_like += likeness
            if unlike is not None:
                tl.store(unlike + (n * map_height + i) * map_width + j, value, mask=mask)
            if factors is not None:
                weight = tl.load(address(plane(weights, n), i, j), mask=mask, other=0.0)
                to = factors + (n * map_height + i) * 4 * map_width + j
                for f in tl.static_range(4):
                    tl.store(to + f * map_width, of_gradient[f] * weight, mask=mask)
    if sums is not None:
        to = sums + (n * tl.num_programs(1) + tl.program_id(1)) * 2 * map_width + j
        tl.store(to, sum_of_unlike, mask=mask)
        tl.store(to + map_width, sum_of_like, mask=mask)


@jit
def back_along_row(pair, factors, map_height, map_width, p, j, w, SIZE: tl.constexpr):
    """What the windows in row p of the map give to the pixels j of their middle row."""
    r = SIZE // 2
    x, y = pixels(pair, p + r, j)
    total, by_x, by_y, by_d = 0.0, 0.0, 0.0, 0.0
    for k in tl.static_range(SIZE):
        q, weight = j - 2 * r + k, w[SIZE - 1 - k]
        mask = inside(p, q, map_height, map_width)
        px, py = centers(pair, p, q, mask, r)
        at = factors + p.to(tl.int64) * 4 * map_width + q
        t = tl.load(at, mask=mask, other=0.0)
        fx = tl.load(at + map_width, mask=mask, other=0.0)
        fy = tl.load(at + 2 * map_width, mask=mask, other=0.0)
        fd = tl.load(at + 3 * map_width, mask=mask, other=0.0)
        total += weight * (t + fx * (x - px) + fy * (y - py) + fd * ((x - y) - (px - py)))
        by_x += weight * fx
        by_y += weight * fy
        by_d += weight * fd
    return Spread(x, y, total, by_x, by_y, by_d)


@jit
def back_down_columns(rows, w, SIZE: tl.constexpr):
    """The gradient at the pixels of the middle row."""
    center, total = Spread(*rows[SIZE // 2]), 0.0
    x, y = center.x, center.y
    for k in tl.static_range(SIZE):
        row = Spread(*rows[k])
        of_d = row.by_d * ((x - y) - (row.x - row.y))
        of_row = row.total + row.by_x * (x - row.x) + row.by_y * (y - row.y) + of_d
        total += w[SIZE - 1 - k] * of_row
    return total


@jit
def backward(
    x, y, numbers, height, width, rows, factors, gradient,
    SIZE: tl.constexpr, border: tl.constexpr, mirror: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The gradient by x, (planes, H, W); where there is a mirror, by each of the padded pixels.

    Arguments as :func:`forward`, which has made the factors.
    """
    r = SIZE // 2
    n, top = tl.program_id(0).to(tl.int64), tl.program_id(1) * rows
    j = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    map_height, map_width = height + 2 * (border - r), width + 2 * (border - r)
    skipped = 0 if mirror else border  # of the padded pixels at each side
    out_height, out_width = height + 2 * (border - skipped), width + 2 * (border - skipped)
    scale, w = tl.load(numbers + 2), read_taps(numbers + 3, SIZE)
    pair = Pair(plane(x, n), plane(y, n), height, width, border, mirror, scale)
    factors += n * map_height * 4 * map_width
    zero = tl.full((COLUMNS,), 0.0, numbers.dtype.element_ty)
    ring = (Spread(zero, zero, zero, zero, zero, zero),) * SIZE
    for step in range(tl.minimum(rows, out_height - top) + 2 * r):
        i = top + step - 2 * r
        p, q = i + skipped, j + skipped
        ring += (back_along_row(pair, factors, map_height, map_width, p, q, w, SIZE),)
        ring = ring[1:]
        if step >= 2 * r:
            value = back_down_columns(ring, w, SIZE) * scale
            tl.store(gradient + (n * out_height + i) * out_width + j, value, mask=j < out_width)


def means(
    x: Tensor, y: Tensor, settings: Settings, gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Means of 1 - SSIM and of SSIM over the map of each plane, and the gradient of the former.

    Arguments and returns as the function of this name in :mod:`.threads`, but on a GPU.
    """
    size = height, width = settings.map_size(*x.shape[-2:])
    sums = x.new_empty(*x.shape[:-2], -(-height // _rows(x, size)), 2, width)
    if gradient:
        weights = x.new_full((), 1 / (height * width)).expand(*x.shape[:-2], *size)
        by_x = _gradient(x, y, weights, settings, sums)
    else:
        by_x = x.new_empty(0)
        _launch(forward, x, y, settings, size, None, None, sums, None, settings.luminance)
    unlike, like = (sums.sum((-3, -1), dtype=torch.float64) / (height * width)).unbind(-1)
    return unlike.to(x.dtype, copy=True), like.to(x.dtype, copy=True), by_x


def unlike_map(x: Tensor, y: Tensor, settings: Settings) -> Tensor:
    """The map of 1 - SSIM, (…, H', W'). Arguments as :func:`means`."""
    size = settings.map_size(*x.shape[-2:])
    values = x.new_empty(*x.shape[:-2], *size)
    _launch(forward, x, y, settings, size, None, values, None, None, settings.luminance)
    return values


def gradient(x: Tensor, y: Tensor, weights: Tensor, settings: Settings) -> Tensor:
    """The gradient by x of Σ weights · map; weights are (…, H', W'), of any strides."""
    return _gradient(x, y, weights, settings, None)


COMPILER = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
INTERPRETED = triton is not None and not isinstance(forward, triton.JITFunction)


def reason_against(x: Tensor, y: Tensor, settings: Settings) -> str | None:
    """Why these kernels cannot be used for a pair, or None."""
    if triton is None:
        return "Triton is not installed"
    if not (COMPILER or INTERPRETED):
        return "Triton finds no C compiler, gcc or clang"
    if torch.version.hip:
        return "these kernels have run on GPUs of NVIDIA alone"
    if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 3):  # no tuples in kernels
        return f"Triton {triton.__version__} is too old: 3.3 is needed"
    if (taps := len(settings.taps)) > LARGEST_WINDOW:
        return f"the window has {taps} taps, and the kernels take up to {LARGEST_WINDOW}"
    if x.device.type != "cuda" and not INTERPRETED:
        return f"the images are on {x.device}, and this kernel is for the GPU"
    return None


def _gradient(
    x: Tensor, y: Tensor, weights: Tensor, settings: Settings, sums: Tensor | None
) -> Tensor:
    height, width = size = settings.map_size(*x.shape[-2:])
    factors = x.new_empty(x.shape[:-2].numel(), height, 4, width)
    of_forward = _planes(weights), None, sums, factors, settings.luminance
    _launch(forward, x, y, settings, size, *of_forward)
    mirror = settings.padding == "reflect"
    size = tuple(n + 2 * settings.border * mirror for n in x.shape[-2:])
    by_x = x.new_empty(*x.shape[:-2], *size)
    _launch(backward, x, y, settings, size, factors, by_x)
    return eager._fold(by_x, settings, x.shape[-2:]) if mirror else by_x


def _launch(
    kernel: Any, x: Tensor, y: Tensor, settings: Settings, size: tuple[int, int], *arguments: Any
) -> None:
    """Run a kernel for each strip of each run of rows of what it makes, which is of ``size``."""
    rows = _rows(x, size)
    grid = x.shape[:-2].numel(), -(-size[0] // rows), -(-size[1] // COLUMNS)
    with torch.cuda.device_of(x):
        kernel[grid](
            _planes(x),
            _planes(y),
            _numbers(settings, x.dtype, x.device),
            *x.shape[-2:],
            rows,
            *arguments,
            SIZE=len(settings.taps),
            border=settings.border,
            mirror=settings.padding == "reflect",
            COLUMNS=COLUMNS,
            num_warps=max(1, COLUMNS // 32),  # a thread for each column
            enable_fp_fusion=True,  # a product and a sum may be one instruction
        )


def _rows(images: Tensor, size: tuple[int, int]) -> int:
    """Rows of a run of what is made for each plane, which is of ``size``."""
    strips = images.shape[:-2].numel() * -(-size[1] // COLUMNS)
    wanted = BUSY * _multiprocessors(images.device)
    return next((rows for rows in RUNS if strips * -(-size[0] // rows) >= wanted), RUNS[-1])


def _planes(images: Tensor) -> Any:
    """Images as the kernels see them; nothing is copied."""
    images = images.detach().resolve_neg()
    *strides, row, column = images.stride()
    return Planes(images, _starts(images.shape[:-2], tuple(strides), images.device), row, column)


@functools.lru_cache
def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


# These two are kept: what is copied to a GPU anew waits for all work before it.


@functools.lru_cache
def _starts(batch: torch.Size, strides: tuple[int, ...], device: torch.device) -> Tensor:
    start = torch.zeros((), dtype=torch.int64)
    for size, stride in zip(batch, strides, strict=True):
        start = start.unsqueeze(-1) + torch.arange(size) * stride
    return start.reshape(-1).to(device)


@functools.lru_cache
def _numbers(settings: Settings, dtype: torch.dtype, device: torch.device) -> Tensor:
    """As a tensor, since Triton makes a float32 of a Python number."""
    numbers = (settings.c1, settings.c2, settings.scale, *settings.taps)
    return torch.tensor(numbers, dtype=dtype, device=device)
