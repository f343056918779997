"""The kernels for the GPU, written in Triton: one on the way forward and one on the way back.

A program has a strip of columns, one for each thread, and goes down a run of rows. Of each row it
makes what that row means for the windows above and below, which needs the pixels to the left and
right; these are read again for each tap, from the fastest cache. It keeps what it made of the last
rows, as many as the window has, in a ring of registers, and down the columns only registers are
read. Shared memory and barriers are not needed, and no program waits for another.

The way back is the adjoint of the way forward, and a sum over windows can be taken along rows
first as well: the same walk, with the factors at the map's pixels in place of the images. Only
they lie in memory between the two kernels. All sums have one order, so results repeat to the bit.

The formulas are those of the kernel for the CPU: rows about their center pixels, columns about a
pivot, and d = x - y carried for itself.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import eager
from .settings import Settings

try:
    import triton
    from triton import language as tl
except ImportError:  # `reason_against` says so, and nothing below is called
    triton = None

COLUMNS = 128  # of a strip; a power of two
ROWS = 32  # of a run: more of them repeat less work, fewer of them occupy a GPU with small images
LARGEST_WINDOW = 33
OLDEST_TRITON = 3, 3  # the first with tuples in kernels

if triton is None:
    jit: Any = lambda function: function  # noqa: E731
else:
    # One compilation is to serve images of any size and at any address.
    jit = functools.partial(
        triton.jit,
        do_not_specialize=["height", "width"],
        do_not_specialize_on_alignment=["x", "y", "weights"],
    )


class Planes(NamedTuple):
    """Images where they lie: pixel (i, j) of plane n is data[start[n] + i * row + j * column]."""

    data: Any
    start: Any
    row: Any
    column: Any


class Padded(NamedTuple):
    """One plane, scaled and with its border."""

    data: Any
    row: Any
    column: Any
    height: Any
    width: Any
    scale: Any
    border: Any
    mirror: Any


class Moments(NamedTuple):
    """Of a row of pixels or of a window: its center, and its moments about that."""

    x: Any
    y: Any
    mean_x: Any  # less the center, as the next two
    mean_y: Any
    mean_d: Any
    variances: Any  # of x and of y, added
    covariance: Any
    variance_d: Any


class Spread(NamedTuple):
    """The center of a row of pixels, and what the row's windows give to the gradient there."""

    x: Any
    y: Any
    total: Any
    by_x: Any
    by_y: Any
    by_d: Any


@jit
def source(t, size, mirror: tl.constexpr):
    """The pixel that stands at place t of a padded line, and whether there is one."""
    if mirror:
        t = tl.abs(t)
        t = tl.minimum(t, 2 * (size - 1) - t)
    return t, (t >= 0) & (t < size)


@jit
def pixels(image, i, j):
    """Row i of a padded plane at the columns j."""
    s, has_row = source(i - image.border, image.height, image.mirror)
    t, has_pixel = source(j - image.border, image.width, image.mirror)
    at = image.data + s.to(tl.int64) * image.row + t.to(tl.int64) * image.column
    return tl.load(at, mask=has_row & has_pixel, other=0.0) * image.scale


@jit
def along_row(x, y, i, j, w, SIZE: tl.constexpr):
    """The moments of row i in the windows whose first columns are j."""
    cx, cy = pixels(x, i, j + SIZE // 2), pixels(y, i, j + SIZE // 2)
    sx, sy, sd, vx, vy, vd, sc = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in tl.static_range(SIZE):
        px, py = pixels(x, i, j + k), pixels(y, i, j + k)
        a, b, d = px - cx, py - cy, (px - py) - (cx - cy)
        sx += w[k] * a
        sy += w[k] * b
        sd += w[k] * d
        vx += w[k] * (a * a)
        vy += w[k] * (b * b)
        vd += w[k] * (d * d)
        sc += w[k] * (a * b)
    variances = (vx - sx * sx) + (vy - sy * sy)
    return Moments(cx, cy, sx, sy, sd, variances, sc - sx * sy, vd - sd * sd)


@jit
def down_columns(rows, w, SIZE: tl.constexpr):
    """From the moments of a window's rows its own."""
    center = rows[SIZE // 2]
    cd = center.x - center.y
    # A pivot near the window's mean.
    p, q, o = center.x + center.mean_x, center.y + center.mean_y, cd + center.mean_d
    sx, sy, sd, vx, vy, vd, sc = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    inner_v, inner_c, inner_d = 0.0, 0.0, 0.0
    for k in tl.static_range(SIZE):
        row = rows[k]
        a, b = (row.x - p) + row.mean_x, (row.y - q) + row.mean_y
        d = ((row.x - row.y) - o) + row.mean_d
        sx += w[k] * a
        sy += w[k] * b
        sd += w[k] * d
        vx += w[k] * (a * a)
        vy += w[k] * (b * b)
        vd += w[k] * (d * d)
        sc += w[k] * (a * b)
        inner_v += w[k] * row.variances
        inner_c += w[k] * row.covariance
        inner_d += w[k] * row.variance_d
    return Moments(
        center.x,
        center.y,
        (p - center.x) + sx,
        (q - center.y) + sy,
        (o - cd) + sd,
        ((vx - sx * sx) + (vy - sy * sy)) + inner_v,
        (sc - sx * sy) + inner_c,
        (vd - sd * sd) + inner_d,
    )


@jit
def inverse(t):
    """1 / t; of float32 rounded to the nearest, which Triton's own division is not."""
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
    total = tl.where(luminance, of_means, 0.0) - (
        by_x * m.mean_x + by_y * m.mean_y + by_d * m.mean_d
    )
    return unlike, like, (total, by_x, by_y, by_d)


@jit
def forward(
    x, y, weights, numbers, unlike, sums, factors, height, width,
    SIZE: tl.constexpr, border: tl.constexpr, mirror: tl.constexpr, luminance: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The map of 1 - SSIM, its sums and those of SSIM, and the factors; each unless it is None.

    Args:
        x, y: the images, as Planes.
        weights: of the map's pixels in the gradient, as Planes, or None.
        numbers: c1, c2, the scale of the images, and the taps.
        unlike: for the map of 1 - SSIM, (planes, H', W').
        sums: for the sums of 1 - SSIM and of SSIM down each run, (planes, runs, 2, W').
        factors: for the factors, times the weights, (planes, H', 4, W').
        height, width: H and W.
    """
    r: tl.constexpr = SIZE // 2
    n = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * ROWS
    j = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    map_height, map_width = height + 2 * (border - r), width + 2 * (border - r)
    inside = j < map_width
    c1, c2, scale = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    x = Padded(
        x.data + tl.load(x.start + n), x.row, x.column, height, width, scale, border, mirror
    )
    y = Padded(
        y.data + tl.load(y.start + n), y.row, y.column, height, width, scale, border, mirror
    )
    w = ()
    ring = ()
    nothing = tl.full((COLUMNS,), 0.0, numbers.dtype.element_ty)
    for k in tl.static_range(SIZE):
        w += (tl.load(numbers + 3 + k),)
        ring += (
            Moments(nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing),
        )
    sum_of_unlike, sum_of_like = nothing, nothing
    for step in range(tl.minimum(ROWS, map_height - first) + 2 * r):
        ring = ring[1:] + (along_row(x, y, first + step, j, w, SIZE),)
        if step >= 2 * r:
            i = first + step - 2 * r
            at = n * map_height + i
            value, likeness, of_gradient = combine(
                down_columns(ring, w, SIZE), c1, c2, luminance
            )
            sum_of_unlike += value
            sum_of_like += likeness
            if unlike is not None:
                tl.store(unlike + at * map_width + j, value, mask=inside)
            if factors is not None:
                weight = tl.load(
                    weights.data
                    + tl.load(weights.start + n)
                    + i.to(tl.int64) * weights.row
                    + j.to(tl.int64) * weights.column,
                    mask=inside,
                    other=0.0,
                )
                for f in tl.static_range(4):
                    to = factors + (at * 4 + f) * map_width + j
                    tl.store(to, of_gradient[f] * weight, mask=inside)
    if sums is not None:
        at = (n * tl.num_programs(1) + tl.program_id(1)) * 2
        tl.store(sums + at * map_width + j, sum_of_unlike, mask=inside)
        tl.store(sums + (at + 1) * map_width + j, sum_of_like, mask=inside)
