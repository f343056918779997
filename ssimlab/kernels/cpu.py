"""SSIM and its gradient in one sweep over the pixels, compiled for the CPU by Numba.

The images are cut into tiles. A tile's pixels are copied into a small array that the processor's
cache holds; there the moments are made, first along the rows and then down the columns, then the
map, then the gradient, and only the results go back to memory. Of the quantities between nothing
is ever as large as an image. The functions of a tile, in the order in which they run: `load`,
`along_rows…`, `down_columns…`, `combine`, `spread_down_columns`, `spread_along_rows`, `fold`.

All loops over columns have the same, known length and every array of a tile a known shape, so
that the compiler turns them into vector instructions; the loops over taps are unrolled, for which
the number of taps is part of the type of the tuple that holds them. `contract` allows a product
and a sum to be one instruction with one rounding; what is written of x is therefore written of y
in the same words, so that exchanging the images changes no bit. Nothing else of "fast math" is
allowed: sums in another order would lose what the differences have saved.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

BLOCK = 32  # columns in one go: the rows that one result needs then fit into the first cache
TILE = 64, 256  # rows and columns: the arrays of a tile fit into the second cache
MARGIN = (
    48  # columns beside a tile: twice the largest radius, and room to begin on a multiple of 16
)

_options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
step = njit(forceinline=True, **_options)


class Planes(NamedTuple):
    """Images where they lie: pixel (i, j) of plane n is data[start[n] + i * row + j * column]."""

    data: np.ndarray
    start: np.ndarray
    row: int
    column: int


@step
def source(t, size, mirror):
    """The pixel that stands at place t of the padded line; -1 for a zero."""
    if mirror and t < 0:
        t = -t
    if mirror and t >= size:
        t = 2 * (size - 1) - t
    return t if 0 <= t < size else -1


@step
def load(to, image, n, scale, top, left, size, mirror):
    """Fill ``to`` with the padded plane n, whose pixel (top, left) comes first."""
    rows, columns = to.shape
    height, width = size
    zero = to.dtype.type(0)
    begin = min(max(-left, 0), columns)
    end = max(min(width - left, columns), begin)
    for i in range(rows):
        t = source(top + i, height, mirror)
        out = to[i]
        if t < 0:
            out[:] = zero
            continue
        line = image.data[image.start[n] + t * image.row :]
        for j in range(begin):
            s = source(left + j, width, mirror)
            out[j] = line[s * image.column] * scale if s >= 0 else zero
        for j in range(end, columns):
            s = source(left + j, width, mirror)
            out[j] = line[s * image.column] * scale if s >= 0 else zero
        if image.column == 1:
            inside, pixels = out[begin:end], line[max(left, 0) :]
            for j in range(end - begin):
                inside[j] = pixels[j] * scale
        else:
            for j in range(begin, end):
                out[j] = line[(left + j) * image.column] * scale


@step
def along_rows_pair(images, moments, w, taps, i, j0):
    """Row means less the center pixel, row variances and covariance of x and y."""
    r = len(taps) // 2
    v, m = images[:, i, j0 - r :], moments[:, i, j0:]
    for j in range(BLOCK):
        x, y = v[0, j + r], v[1, j + r]
        sx = sy = vx = vy = sc = w.dtype.type(0)
        for k in range(len(taps)):
            a, b = v[0, j + k] - x, v[1, j + k] - y
            sx += w[k] * a
            sy += w[k] * b
            vx += w[k] * (a * a)
            vy += w[k] * (b * b)
            sc += w[k] * (a * b)
        m[0, j] = sx
        m[1, j] = sy
        m[3, j] = (vx - sx * sx) + (vy - sy * sy)
        m[4, j] = sc - sx * sy


@step
def along_rows_difference(images, moments, w, taps, i, j0):
    """The same of d = x - y, which is carried for itself: where x and y are alike it is small."""
    r = len(taps) // 2
    v, m = images[:, i, j0 - r :], moments[:, i, j0:]
    for j in range(BLOCK):
        d = v[2, j + r]
        sd = sv = w.dtype.type(0)
        for k in range(len(taps)):
            a = v[2, j + k] - d
            wa = w[k] * a
            sd += wa
            sv += wa * a
        m[2, j] = sd
        m[5, j] = sv - sd * sd


@step
def down_columns_pair(images, moments, window, w, taps, i, j0):
    """From the rows' moments those of the window, about a pivot near its mean."""
    r = len(taps) // 2
    v, m = images[:, i:, j0:], moments[:, i:, j0:]
    for j in range(BLOCK):
        x, y = v[0, r, j], v[1, r, j]
        p, q = x + m[0, r, j], y + m[1, r, j]
        sx = sy = vx = vy = sc = w.dtype.type(0)
        for k in range(len(taps)):
            a, b = (v[0, k, j] - p) + m[0, k, j], (v[1, k, j] - q) + m[1, k, j]
            sx += w[k] * a
            sy += w[k] * b
            vx += w[k] * (a * a)
            vy += w[k] * (b * b)
            sc += w[k] * (a * b)
        window[0, j] = (p - x) + sx
        window[1, j] = (q - y) + sy
        window[3, j] = (vx - sx * sx) + (vy - sy * sy)
        window[4, j] = sc - sx * sy


@step
def down_columns_difference(images, moments, window, w, taps, i, j0):
    """The same of d; and what the rows' own variances add to all, for lack of room above."""
    r = len(taps) // 2
    v, m = images[:, i:, j0:], moments[:, i:, j0:]
    for j in range(BLOCK):
        d = v[2, r, j]
        p = d + m[2, r, j]
        sd = vd = inner_v = inner_c = inner_d = w.dtype.type(0)
        for k in range(len(taps)):
            a = (v[2, k, j] - p) + m[2, k, j]
            sd += w[k] * a
            vd += w[k] * (a * a)
            inner_v += w[k] * m[3, k, j]
            inner_c += w[k] * m[4, k, j]
            inner_d += w[k] * m[5, k, j]
        window[2, j] = (p - d) + sd
        window[3, j] += inner_v
        window[4, j] += inner_c
        window[5, j] = (vd - sd * sd) + inner_d


@step
def combine(images, moments, window, result, taps, c1, c2, luminance, i, j0):
    """1 - SSIM and SSIM, and the four factors of the gradient in place of the rows' moments."""
    r = len(taps) // 2
    v, m, factor = images[:, i + r, j0:], window, moments[:, i, j0:]
    real = images.dtype.type
    zero, one, two, fifth, half = real(0), real(1), real(2), real(0.2), real(0.5) * c1
    for j in range(BLOCK):
        mu_x, mu_y, mu_d = v[0, j] + m[0, j], v[1, j] + m[1, j], v[2, j] + m[2, j]
        over_means = one / ((mu_x * mu_x + half) + (mu_y * mu_y + half))
        over_variances = one / (m[3, j] + c2)
        a = mu_d * mu_d * over_means
        l = (two * mu_x * mu_y + c1) * over_means
        if not luminance:
            a, l, over_means = zero, one, zero
        b = m[5, j] * over_variances
        cs = (two * m[4, j] + c2) * over_variances
        alike = (a < fifth) & (b < fifth)
        result[0, j] = a + b - a * b if alike else one - l * cs
        result[1, j] = one - (a + b - a * b) if alike else l * cs
        beta = two * l * over_variances
        by_x = -beta * b if alike else beta * cs
        by_y = zero if alike else -beta
        by_d = beta if alike else zero
        of_means = mu_d - a * mu_x if alike else l * mu_x - mu_y
        factor[0, j] = two * cs * over_means * of_means - (
            by_x * m[0, j] + by_y * m[1, j] + by_d * m[2, j]
        )
        factor[1, j] = by_x
        factor[2, j] = by_y
        factor[3, j] = by_d


@step
def spread_down_columns(images, factors, spread, w, taps, i, j0):
    """From the factors at map pixels p, sums over the column's p for row i of the gradient."""
    r = len(taps) // 2
    v, f, s = images[:, i + r :, j0:], factors[:, i:, j0:], spread[:, i, j0:]
    for j in range(BLOCK):
        x, y, d = v[0, r, j], v[1, r, j], v[2, r, j]
        total = by_x = by_y = by_d = w.dtype.type(0)
        for k in range(len(taps)):
            wx, wy, wd = w[k] * f[1, k, j], w[k] * f[2, k, j], w[k] * f[3, k, j]
            total = (
                total
                + w[k] * f[0, k, j]
                + wx * (x - v[0, k, j])
                + wy * (y - v[1, k, j])
                + wd * (d - v[2, k, j])
            )
            by_x += wx
            by_y += wy
            by_d += wd
        s[0, j] = total
        s[1, j] = by_x
        s[2, j] = by_y
        s[3, j] = by_d


@step
def spread_along_rows(images, spread, gradient, w, taps, i, j0):
    """Row i of the gradient from the columns' sums."""
    r = len(taps) // 2
    v, s, g = images[:, i + 2 * r, j0 - r :], spread[:, i, j0 - r :], gradient[i, j0:]
    for j in range(BLOCK):
        x, y, d = v[0, j + r], v[1, j + r], v[2, j + r]
        total = w.dtype.type(0)
        for k in range(len(taps)):
            total += w[k] * (
                s[0, j + k]
                + s[1, j + k] * (x - v[0, j + k])
                + s[2, j + k] * (y - v[1, j + k])
                + s[3, j + k] * (d - v[2, j + k])
            )
        g[j] = total


@step
def fold(gradient, r, low, high):
    """Add the gradient of the mirrored border rows to the rows they are copies of."""
    rows = gradient.shape[0]
    for k in range(1, r + 1):
        if low:
            gradient[r + k] += gradient[r - k]
        if high:
            gradient[rows - 1 - r - k] += gradient[rows - 1 - r + k]


class Extent(NamedTuple):
    """What a tile covers along one dimension; pixels of the padded image but for the map's."""

    first: int  # the pixels of the image
    end: int
    own_first: int  # the map pixels whose centers they are
    own_end: int
    map_first: int  # the map pixels to be computed
    map_end: int
    gradient_first: int  # the gradient's pixels; a mirrored border comes with the tile beside it
    gradient_end: int


@step
def extent(tile, tiles, size, r, border, mirror, backward):
    count = size + 2 * (border - r)
    first, end = size * tile // tiles, size * (tile + 1) // tiles
    own_first, own_end = max(first + border - r, 0), min(end + border - r, count)
    if not backward:
        return Extent(first, end, own_first, own_end, own_first, own_end, own_first, own_first)
    g_first = 0 if mirror and tile == 0 else first + border
    g_end = size + 2 * border if mirror and tile == tiles - 1 else end + border
    m_first, m_end = max(g_first - 2 * r, 0), min(g_end, count)
    return Extent(first, end, own_first, own_end, m_first, m_end, g_first, g_end)


def sweep(
    x, y, weights, taps, constants, luminance, scales, size, border, mirror, grid,
    tiles, sums, unlike, gradient,
):  # fmt: skip
    """Tiles tiles[0] to tiles[1] of a batch: the sums over the map, the map, the gradient by x.

    Args:
        x, y: the images, as :class:`Planes`.
        weights: of the map's pixels in the gradient, as Planes; without data all are one.
        taps: a tuple of the window's weights, of the dtype of the images, as all that follow.
        constants, luminance: as in :class:`~ssimlab.kernels.settings.Settings`.
        scales: what the pixels are multiplied by when they are read, and the gradient at the end.
        size: (H, W).
        border, mirror: the padding.
        grid: tiles (down, across) of one plane.
        sums: float64, (tiles, 2), for the sums of 1 - SSIM and of SSIM over each tile.
        unlike: for the map of 1 - SSIM, (planes, H', W'); not made if it is empty.
        gradient: for the gradient, (planes, H, W); not made if it is empty.
    """
    r = len(taps) // 2
    w = np.array(taps)
    flipped = w[::-1].copy()
    c1, c2 = constants
    scale, scale_of_gradient = scales
    height, width = size
    down, across = grid
    backward = gradient.size > 0
    images = np.empty((3, TILE[0] + 6 * r, TILE[1] + 3 * MARGIN + BLOCK), w.dtype)
    moments = np.empty((6, TILE[0] + 6 * r, TILE[1] + 3 * MARGIN + BLOCK), w.dtype)
    spread = np.empty((4, TILE[0] + 2 * r, TILE[1] + 3 * MARGIN + BLOCK), w.dtype)
    padded = np.empty((TILE[0] + 2 * r, TILE[1] + 3 * MARGIN + BLOCK), w.dtype)
    window = np.empty((6, BLOCK), w.dtype)
    result = np.empty((2, BLOCK), w.dtype)
    total = np.empty((2, BLOCK))
    for tile in range(tiles[0], tiles[1]):
        n, rest = divmod(tile, down * across)
        rows = extent(rest // across, down, height, r, border, mirror, backward)
        columns = extent(rest % across, across, width, r, border, mirror, backward)
        # Rows are counted from `top`, and a map pixel stands at the first row of its window, so
        # that factors can replace moments that are no longer needed; columns from `left`, and it
        # stands at its center.
        top = rows.gradient_first - 2 * r if backward else rows.map_first
        left = (columns.gradient_first if backward else columns.map_first + r) - MARGIN
        i0, i1 = rows.map_first - top, rows.map_end - top
        j0, j1 = columns.map_first + r - left, columns.map_end + r - left
        g1, h1 = (
            rows.gradient_end - rows.gradient_first,
            columns.gradient_end - columns.gradient_first,
        )
        start = j0 // 16 * 16
        stop = max(j1 + r, MARGIN + h1 + 2 * r)
        for c, image in enumerate((x, y)):
            load(
                images[c, : max(i1, g1 + 2 * r) + 2 * r, start - r : stop],
                image,
                n,
                scale,
                top - border,
                left + start - r - border,
                size,
                mirror,
            )
        for i in range(max(i1, g1 + 2 * r) + 2 * r):
            v = images[:, i]
            for j in range(start - r, stop):
                v[2, j] = v[0, j] - v[1, j]
        for i in range(i0, i1 + 2 * r):
            for j in range(start, j1, BLOCK):
                along_rows_pair(images, moments, w, taps, i, j)
                along_rows_difference(images, moments, w, taps, i, j)
        total[:] = 0
        for j in range(start, j1, BLOCK):
            own0 = min(max(columns.own_first + r - left - j, 0), BLOCK)
            own1 = max(min(columns.own_end + r - left - j, BLOCK), own0)
            for i in range(i0, i1):
                down_columns_pair(images, moments, window, w, taps, i, j)
                down_columns_difference(images, moments, window, w, taps, i, j)
                combine(images, moments, window, result, taps, c1, c2, luminance, i, j)
                if rows.own_first <= top + i < rows.own_end:
                    for c in range(own0, own1):
                        total[0, c] += result[0, c]
                        total[1, c] += result[1, c]
                    if unlike.size > 0:
                        for c in range(own0, own1):
                            unlike[n, top + i, left + j - r + c] = result[0, c]
                if weights.data.size > 0:
                    at = weights.start[n] + (top + i) * weights.row
                    for c in range(max(j, j0), min(j + BLOCK, j1)):
                        weight = weights.data[at + (left - r + c) * weights.column]
                        for k in range(4):
                            moments[k, i, c] *= weight
        sums[tile, 0] = total[0].sum()
        sums[tile, 1] = total[1].sum()
        if not backward:
            continue
        moments[:4, :i0] = 0
        moments[:4, i1 : g1 + 2 * r] = 0
        for j in range(start, j1, BLOCK):
            for i in range(g1):
                spread_down_columns(images, moments, spread, flipped, taps, i, j)
        spread[:, :g1, :j0] = 0
        spread[:, :g1, j1:stop] = 0
        for i in range(g1):
            for j in range(MARGIN, MARGIN + h1, BLOCK):
                spread_along_rows(images, spread, padded, flipped, taps, i, j)
        inside = padded[:g1, MARGIN : MARGIN + h1]
        if mirror:
            fold(inside, r, rows.gradient_first == 0, rows.gradient_end == height + 2 * r)
            fold(inside.T, r, columns.gradient_first == 0, columns.gradient_end == width + 2 * r)
        skip_rows, skip_columns = border - rows.gradient_first, border - columns.gradient_first
        for i in range(rows.first, rows.end):
            line, out = inside[i + skip_rows, columns.first + skip_columns :], gradient[n, i]
            for j in range(columns.end - columns.first):
                out[columns.first + j] = line[j] * scale_of_gradient


def compiled(function):
    """The function compiled, with its machine code kept on disk where that can be written."""
    try:
        return njit(cache=True, **_options)(function)
    except RuntimeError:  # Numba found no folder that it may write
        return njit(**_options)(function)


sweep = compiled(sweep)
