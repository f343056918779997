"""SSIM and its gradient in one sweep over the pixels, compiled for the CPU by Numba.

The images are cut into tiles. A tile's pixels are copied into a small array that the processor's
cache holds; there the moments are made, first along the rows and then down the columns, then the
map, then the gradient, and only the results go back to memory. Of the quantities between nothing
is larger than a tile. The functions of a tile, in the order in which they run: `load`, `subtract`,
`along_rows…`, `rise`, `down_columns…`, `combine`, `spread_down_columns`, `spread_along_rows`,
`write`. All but the first two and the last two go down a strip of a few columns together, row by
row: what one of them makes is still in the first cache when the next one takes it.

Planes 0 to 2 of the moments are the means of x, y and d = x - y, less a pixel; 3 is the sum of the
variances of x and y (of the rows, half of it), 4 their covariance, 5 the variance of d. The
factors of a window are U, P, N and the factor of d, as the book's chapter on kernels has them, and
what is spread are their sums.

The window is the same from both ends. Its taps are taken in pairs, w (a² + e²) and not
w a² + w e², which is a quarter fewer operations for a sum of squares.

The loops over the columns of a strip have one known length and every array of a tile a known
shape, so that the compiler turns them into vector instructions; the loops over taps are unrolled,
for which the number of taps is part of the type of the tuple that holds them. `contract` allows a
product and a sum to be one instruction with one rounding; what is written of x is therefore
written of y in the same words, so that exchanging the images changes no bit of a map. Nothing else
of "fast math" is allowed: sums in another order would lose what the differences have saved.
"""

from __future__ import annotations

import numpy as np

from .loops import compiled, on_lines, step, take, whole_registers
from .tiles import load, place, subtract, write

LINE = 16  # columns of one or two lines of the cache, on which blocks begin
BLOCK = 32  # columns in one go: the rows that one result needs then fit into the first cache
TILE = 128, 256  # rows and columns: the arrays of a tile fit into the second cache
MARGIN = 48  # columns beside a map: more than twice the largest radius, in whole lines


@step
def along_rows_pair(images, moments, w, taps, i, j0):
    """Row means less the center pixel, half the sum of the row variances, and the covariance.

    Half, because down the columns both x and y take it up.
    """
    r = len(taps) // 2
    v, m = images[:, i, j0 - r :], moments[:, i]
    half = w.dtype.type(0.5)
    for j in range(BLOCK):
        x, y = v[0, j + r], v[1, j + r]
        sx = sy = vx = vy = sc = w.dtype.type(0)
        for k in range(1, r + 1):
            a, b = v[0, j + r - k] - x, v[1, j + r - k] - y
            e, f = v[0, j + r + k] - x, v[1, j + r + k] - y
            sx += w[r + k] * (a + e)
            sy += w[r + k] * (b + f)
            vx += w[r + k] * (a * a + e * e)
            vy += w[r + k] * (b * b + f * f)
            sc += w[r + k] * (a * b + e * f)
        m[0, j] = sx
        m[1, j] = sy
        m[3, j] = half * ((vx - sx * sx) + (vy - sy * sy))
        m[4, j] = sc - sx * sy


@step
def along_rows_difference(images, moments, w, taps, i, j0):
    """The same of d = x - y, which is carried for itself: where x and y are alike it is small."""
    r = len(taps) // 2
    v, m = images[:, i, j0 - r :], moments[:, i]
    for j in range(BLOCK):
        d = v[2, j + r]
        sd = vd = w.dtype.type(0)
        for k in range(1, r + 1):
            a, e = v[2, j + r - k] - d, v[2, j + r + k] - d
            sd += w[r + k] * (a + e)
            vd += w[r + k] * (a * a + e * e)
        m[2, j] = sd
        m[5, j] = vd - sd * sd


@step
def rise(images, moments, rises, i, j0):
    """By how much the mean of row i + 1 exceeds that of row i."""
    v, m, d = images[:, i:, j0:], moments[:, i:], rises[:, i]
    for j in range(BLOCK):
        d[0, j] = (v[0, 1, j] - v[0, 0, j]) + (m[0, 1, j] - m[0, 0, j])
        d[1, j] = (v[1, 1, j] - v[1, 0, j]) + (m[1, 1, j] - m[1, 0, j])
        d[2, j] = (v[2, 1, j] - v[2, 0, j]) + (m[2, 1, j] - m[2, 0, j])


@step
def down_columns_pair(moments, rises, window, w, taps, i):
    """From the rows' moments those of the window; rows deviate from the center row's mean.

    Each row's deviation is that of the row before and one step more, from the center outwards.
    """
    r = len(taps) // 2
    m, d = moments[:, i:], rises[:, i:]
    for j in range(BLOCK):
        a = b = e = f = sx = sy = w.dtype.type(0)
        vx = vy = w[r] * m[3, r, j]
        sc = w[r] * m[4, r, j]
        for k in range(1, r + 1):
            a += d[0, r + k - 1, j]
            b += d[1, r + k - 1, j]
            e -= d[0, r - k, j]
            f -= d[1, r - k, j]
            inner = m[3, r + k, j] + m[3, r - k, j]
            sx += w[r + k] * (a + e)
            sy += w[r + k] * (b + f)
            vx += w[r + k] * (inner + a * a + e * e)
            vy += w[r + k] * (inner + b * b + f * f)
            sc += w[r + k] * (m[4, r + k, j] + m[4, r - k, j] + a * b + e * f)
        window[0, j] = m[0, r, j] + sx
        window[1, j] = m[1, r, j] + sy
        window[3, j] = (vx - sx * sx) + (vy - sy * sy)
        window[4, j] = sc - sx * sy


@step
def down_columns_difference(moments, rises, window, w, taps, i):
    """The same of d."""
    r = len(taps) // 2
    m, d = moments[:, i:], rises[:, i:]
    for j in range(BLOCK):
        a = e = sd = w.dtype.type(0)
        vd = w[r] * m[5, r, j]
        for k in range(1, r + 1):
            a += d[2, r + k - 1, j]
            e -= d[2, r - k, j]
            sd += w[r + k] * (a + e)
            vd += w[r + k] * (m[5, r + k, j] + m[5, r - k, j] + a * a + e * e)
        window[2, j] = m[2, r, j] + sd
        window[5, j] = vd - sd * sd


@step
def combine(images, window, result, factors, taps, c1, c2, luminance, backward, i, j0):
    """1 - SSIM and SSIM, and the four factors of the gradient."""
    r = len(taps) // 2
    v, m, factor = images[:, i + r, j0:], window, factors[:, i]
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
        if backward:
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
    v, f, s = images[:, i + r :, j0:], factors[:, i:], spread[:, i, j0:]
    for j in range(BLOCK):
        x, y, d = v[0, r, j], v[1, r, j], v[2, r, j]
        total, by_x = w[r] * f[0, r, j], w[r] * f[1, r, j]
        by_y, by_d = w[r] * f[2, r, j], w[r] * f[3, r, j]
        for k in range(1, r + 1):
            o, p = r - k, r + k
            total += w[r + k] * (
                (f[0, o, j] + f[0, p, j])
                + f[1, o, j] * (x - v[0, o, j])
                + f[1, p, j] * (x - v[0, p, j])
                + f[2, o, j] * (y - v[1, o, j])
                + f[2, p, j] * (y - v[1, p, j])
                + f[3, o, j] * (d - v[2, o, j])
                + f[3, p, j] * (d - v[2, p, j])
            )
            by_x += w[r + k] * (f[1, o, j] + f[1, p, j])
            by_y += w[r + k] * (f[2, o, j] + f[2, p, j])
            by_d += w[r + k] * (f[3, o, j] + f[3, p, j])
        s[0, j] = total
        s[1, j] = by_x
        s[2, j] = by_y
        s[3, j] = by_d


@step
def spread_along_rows(images, spread, w, taps, i, j0):
    """Row i of the gradient, in the last plane of ``spread``, from the columns' sums."""
    r = len(taps) // 2
    v, s = images[:, i + 2 * r, j0 - r :], spread[:, i, j0 - r :]
    for j in range(BLOCK):
        x, y = v[0, j + r], v[1, j + r]
        d = x - y
        total = w[r] * s[0, j + r]
        for k in range(1, r + 1):
            o, p = j + r - k, j + r + k
            total += w[r + k] * (
                (s[0, o] + s[0, p])
                + s[1, o] * (x - v[0, o])
                + s[1, p] * (x - v[0, p])
                + s[2, o] * (y - v[1, o])
                + s[2, p] * (y - v[1, p])
                + s[3, o] * (d - (v[0, o] - v[1, o]))
                + s[3, p] * (d - (v[0, p] - v[1, p]))
            )
        s[4, j + r] = total


@step
def weigh(factors, weights, n, i, j0, count, at):
    """Multiply the factors in row ``at`` by the weights of the map's row i."""
    line = weights.data[weights.start[n] + i * weights.row + j0 * weights.column :]
    for c in range(min(BLOCK, count)):
        weight = line[c * weights.column]
        for k in range(4):
            factors[k, at, c] *= weight


@step
def scratch(r, dtype):
    """The arrays that a tile is worked on in; all but the first two are as wide as a strip.

    Those two do not yet begin on a line of the cache.
    """
    high, wide = TILE[0] + 6 * r, TILE[1] + 3 * MARGIN + BLOCK + LINE
    pixels = np.empty((3, high, wide), dtype)
    # More than half of all: a C library that keeps as much as twice the largest piece of memory
    # that was given back, as glibc does, then hands out the same pages in the next call.
    gathered = np.empty((5, high, wide), dtype)
    moments = on_lines(np.empty((6, high, BLOCK + LINE), dtype))
    rises = on_lines(np.empty((3, high, BLOCK + LINE), dtype))
    # Written, because the loop over the map stores factors under a mask, which is all false where
    # no gradient is asked for: on memory never touched each such store costs hundreds of cycles.
    factors = on_lines(np.zeros((4, high, BLOCK + LINE), dtype))
    window, result = np.empty((6, BLOCK), dtype), np.empty((2, BLOCK), dtype)
    return pixels, gathered, moments, rises, factors, window, result, np.empty((2, BLOCK))


def sweep(
    x, y, weights, taps, constants, luminance, scales, size, border, mirror, grid,
    taken, sums, unlike, gradient,
):  # fmt: skip
    """The tiles of a batch that nobody has taken: sums over the map, the map, the gradient by x.

    Args:
        x, y: the images, as :class:`Planes`.
        weights: of the map's pixels in the gradient, as Planes; without data all are one.
        taps: a tuple of the window's weights, of the dtype of the images, as all that follow.
        constants, luminance: as in :class:`~ssimlab.kernels.settings.Settings`.
        scales: what the pixels are multiplied by when they are read, and the gradient at the end.
        size: (H, W).
        border, mirror: the padding.
        grid: tiles (down, across) of one plane.
        taken: int64, (1,), how many tiles the threads that work on this batch have taken.
        sums: float64, (tiles, 2), for the sums of 1 - SSIM and of SSIM over each tile.
        unlike: for the map of 1 - SSIM, (planes, H', W'); not made if it is empty.
        gradient: for the gradient, (planes, H, W); not made if it is empty.
    """
    whole_registers()
    r = len(taps) // 2
    w = np.array(taps)
    c1, c2 = constants
    backward = gradient.size > 0
    pixels, gathered, moments, rises, factors, window, result, total = scratch(r, w.dtype)
    # Of a slice Numba does not know that a row's neighbors lie side by side. The loops over a
    # strip show it once they are unrolled; those that load, subtract and write get the whole
    # arrays instead, in which their columns come so many places later.
    images, spread = on_lines(pixels), on_lines(gathered)
    later = pixels.shape[2] - images.shape[2]
    later_spread = gathered.shape[2] - spread.shape[2]
    while True:
        number = take(taken)
        if number >= sums.shape[0]:
            break
        tile = place(number, grid, size, r, border, mirror, backward, MARGIN)
        n, top, rows, columns = tile.plane, tile.top, tile.rows, tile.columns
        i0, i1 = rows.map_first - top, rows.map_end - top
        j0, j1 = MARGIN, columns.map_end + r - tile.left
        high = rows.gradient_end - rows.gradient_first
        h0, h1 = columns.gradient_first - tile.left, columns.gradient_end - tile.left
        start, stop = min(j0, h0) - r, max(j1, h1) + r
        seen, span = max(i1, high + 2 * r) + 2 * r, (later + start, later + stop)
        for c, image in enumerate((x, y)):
            corner = top - border, tile.left + start - border
            load(pixels[c, :seen], span, image, n, scales[0], corner, size, mirror)
        subtract(pixels, seen, span)
        total[:] = 0
        if backward:
            factors[:, :i0] = 0
            factors[:, i1 : high + 2 * r] = 0
        for j in range(j0, j1, BLOCK):
            first = tile.left + j - r  # the map's column in the plane
            own0 = min(max(columns.own_first - first, 0), BLOCK)
            own1 = max(min(columns.own_end - first, BLOCK), own0)
            for last in range(i0, i1 + 2 * r):
                along_rows_pair(images, moments, w, taps, last, j)
                along_rows_difference(images, moments, w, taps, last, j)
                if last > i0:
                    rise(images, moments, rises, last - 1, j)
                i = last - 2 * r
                if i < i0:
                    continue
                down_columns_pair(moments, rises, window, w, taps, i)
                down_columns_difference(moments, rises, window, w, taps, i)
                combine(images, window, result, factors, taps, c1, c2, luminance, backward, i, j)
                # Not a step: what adds up is made into vectors better when its place is known.
                if rows.own_first <= top + i < rows.own_end:
                    for c in range(own0, own1):
                        total[0, c] += result[0, c]
                        total[1, c] += result[1, c]
                    if unlike.size > 0:
                        for c in range(own0, own1):
                            unlike[n, top + i, first + c] = result[0, c]
                if weights.data.size > 0:
                    weigh(factors, weights, n, top + i, first, columns.map_end - first, i)
                if backward and i >= 2 * r:
                    spread_down_columns(images, factors, spread, w, taps, i - 2 * r, j)
            if backward:
                for i in range(max(i1 - 2 * r, 0), high):
                    spread_down_columns(images, factors, spread, w, taps, i, j)
        sums[number, 0] = total[0].sum()
        sums[number, 1] = total[1].sum()
        if backward:
            spread[:4, :high, start:j0] = 0
            spread[:4, :high, j1:stop] = 0
            for i in range(high):
                for j in range(h0, h1, BLOCK):
                    spread_along_rows(images, spread, w, taps, i, j)
            span = later_spread + h0, later_spread + h1
            write(gradient, gathered[4, :high], span, tile, scales[1], r, border, mirror, size)


sweep = compiled(sweep)
