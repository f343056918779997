"""SSIM and its gradient by the definition, in NumPy's long double, for images of some size.

Nothing of the package is used but the window's taps and padding. A mean is kept as a sum of two
numbers, so that deviations from it are as accurate as the pixels; with the 64 bits of x86's long
double the results can judge float64.

Beside each result stands its scale: by how much, in roundings, it can move when each quantity
that it is made of is rounded once. Where the scale is larger than the result, the result cancels,
and no computation in the dtype of the pixels keeps all its digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

REAL = np.longdouble
#: Elsewhere a long double is a float64, which cannot judge float64.
IS_EXTENDED = np.finfo(REAL).eps < 1e-18


class Exact(NamedTuple):
    """What is true of a pair of images; each scale is of the shape of what it belongs to."""

    unlike: np.ndarray  # the map of 1 - SSIM
    by_x: np.ndarray
    by_y: np.ndarray
    scale: np.ndarray
    scale_by_x: np.ndarray
    scale_by_y: np.ndarray
    means: np.ndarray  # by how much W|x| + W|y| exceeds √(μx² + μy² + C1), and
    variances: np.ndarray  # W (x - x_p)² + W (y - y_p)² + C2 the σx² + σy² + C2 in window p


def exact(x, y, weights, *, data_range, taps, padding, k=(0.01, 0.03)) -> Exact:
    """The map of 1 - SSIM of the arrays x and y, (…, H, W), and the gradients of Σ weights · map.

    Args:
        x, y: images of any floating dtype.
        weights: (…, H', W').
        data_range, k: as everywhere.
        taps, padding: of the window.
    """
    w = np.array(taps, REAL)
    w /= w.sum()  # the taps were rounded one by one
    border = 0 if padding == "valid" else len(w) // 2
    around = [(0, 0)] * (np.ndim(x) - 2) + [(border, border)] * 2
    mode = "reflect" if padding == "reflect" else "constant"
    px, py = (np.pad(np.asarray(image).astype(REAL), around, mode) for image in (x, y))
    c1, c2 = ((REAL(ki) * REAL(data_range)) ** 2 for ki in k)
    m = _moments(np.stack((px, py, px - py)), w)
    (mu_x, mu_y, mu_d), (var_x, var_y, var_d) = m.mean + m.rest, m.variance
    over_means, over_variances = 1 / (mu_x**2 + mu_y**2 + c1), 1 / (var_x + var_y + c2)
    a, b = mu_d**2 * over_means, var_d * over_variances
    l = (2 * mu_x * mu_y + c1) * over_means
    cs = (2 * m.covariance + c2) * over_variances
    unlike = np.where((a < 0.5) & (b < 0.5), a + b - a * b, 1 - l * cs)

    # Half of the digits are enough for the scales. The package switches from a and b to l and cs
    # where one of them is 0.2.
    alike = (a < 0.199) & (b < 0.199)
    size, spread = m.size.astype(float), m.spread.astype(float)
    inverse, root = over_means.astype(float), np.sqrt(over_means.astype(float))
    of_means = 1 + (size[0] + size[1]) * root
    of_variances = (spread[0] + spread[1] + float(c2)) * over_variances.astype(float)
    scale = abs(unlike) + np.where(
        alike,
        abs(cs) * (2 * abs(mu_d) * size[2] * inverse + a * of_means)
        + abs(l) * (spread[2] * over_variances + b * of_variances),
        abs(cs) * of_means + abs(l) * of_variances,
    )

    weights = np.asarray(weights).astype(REAL)
    gradients, scales = [], []
    for i, sign in ((0, 1), (1, -1)):  # d = x - y, and to y it is y - x
        mine, other = m.mean[i] + m.rest[i], m.mean[1 - i] + m.rest[1 - i]
        of_luminance = np.where(a < 0.5, sign * mu_d - a * mine, l * mine - other)
        constant = 2 * cs * over_means * of_luminance
        beta = 2 * l * over_variances
        factors = np.zeros_like(m.mean)
        factors[i] = np.where(b < 0.5, -beta * b, beta * cs)
        factors[1 - i] = np.where(b < 0.5, 0, -beta)
        factors[2] = np.where(b < 0.5, sign * beta, 0)
        padded = _spread(weights * constant, weights * factors, m, w)
        gradients.append(_fold(padded, np.shape(x)[-2:], border, mode))
        rms = np.sqrt(spread)
        e = (
            2
            * abs(cs)
            * over_means
            * np.where(alike, size[2] + a * size[i], abs(l) * size[i] + size[1 - i])
        )
        e += abs(constant) * (of_means + of_variances)
        e += (
            abs(beta)
            * (of_means + of_variances)
            * np.where(alike, rms[2] + b * rms[i], abs(cs) * rms[i] + rms[1 - i])
        )
        padded = _scatter(_scatter(abs(weights) * e, w, -1), w, -2)
        scales.append(_fold(padded, np.shape(x)[-2:], border, mode))
    means = m.magnitude[:2].sum(0) * root
    from_center = (m.variance + (m.center - m.mean) ** 2)[:2].sum(0)
    variances = (from_center + c2) * over_variances
    return Exact(unlike, *gradients, scale, *scales, means, variances)


class _Moments(NamedTuple):
    """Of (x, y, x - y), stacked, over each window."""

    images: np.ndarray
    mean: np.ndarray  # the mean is the sum of these two
    rest: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray  # of x and y
    center: np.ndarray  # the pixel in the middle
    magnitude: np.ndarray  # the mean of the pixels' sizes
    size: np.ndarray  # sizes: of the center, the mean of the rows' centers and of all pixels
    spread: np.ndarray  # the mean squares of all that is added up for the variance


def _moments(images, w) -> _Moments:
    r, none = len(w) // 2, np.zeros((1,) * images.ndim, REAL)
    row_mean, row_rest, inner, inner_c = _along(images, none, w, -1)
    mean, rest, variance, covariance = _along(row_mean, row_rest, w, -2)
    variance = variance + _gather(inner, w, -2)
    covariance = covariance + _gather(inner_c, w, -2)
    of_rows = images[..., r : images.shape[-1] - r]
    center = of_rows[..., r : images.shape[-2] - r, :]
    magnitude = _gather(_gather(abs(images), w, -1), w, -2)
    size = abs(center) + _gather(abs(of_rows), w, -2) + magnitude
    # Each row is added up about its own center pixel, and the rows about the middle one's mean.
    spread = variance + _gather((of_rows - row_mean) ** 2, w, -2)
    spread = spread + (_part(row_mean, r, mean.shape[-2], -2) - mean) ** 2
    spread = spread + (center - mean) ** 2
    return _Moments(images, mean, rest, variance, covariance, center, magnitude, size, spread)


def _along(high, low, w, axis):
    """Means, as sums of two, variances and the covariance along one axis of high + low."""
    count = high.shape[axis] - len(w) + 1
    low = np.broadcast_to(low, high.shape)
    mean = _gather(high, w, axis)
    parts = range(len(w))
    differences = ((_part(high, k, count, axis) - mean) + _part(low, k, count, axis) for k in parts)
    rest = sum(w[k] * difference for k, difference in zip(parts, differences, strict=True))
    variance, covariance = np.zeros_like(mean), np.zeros_like(mean[0])
    for k in parts:
        deviation = (_part(high, k, count, axis) - mean) + (_part(low, k, count, axis) - rest)
        variance += w[k] * deviation**2
        covariance += w[k] * deviation[0] * deviation[1]
    return mean, rest, variance, covariance


def _spread(constant, factors, m, w):
    """Σ over windows p of w (constant_p + factors_p · (pixel - mean_p)) for each padded pixel."""
    r, (height, width) = len(w) // 2, constant.shape[-2:]
    by_rows = np.zeros((*m.images.shape[1:-1], width), REAL)
    factors_by_rows = np.zeros((3, *by_rows.shape), REAL)
    for k in range(len(w)):
        rows = (..., slice(k, k + height), slice(None))
        pixels = m.images[..., k : k + height, r : r + width]
        deviations = (pixels - m.mean) - m.rest
        by_rows[rows] += w[k] * (constant + (factors * deviations).sum(0))
        factors_by_rows[rows] += w[k] * factors
    total = np.zeros(m.images.shape[1:], REAL)
    centers = m.images[..., r : r + width]
    for k in range(len(w)):
        columns = slice(k, k + width)
        differences = m.images[..., columns] - centers
        total[..., columns] += w[k] * (by_rows + (factors_by_rows * differences).sum(0))
    return total


def _part(image, first, count, axis):
    at = [slice(None)] * image.ndim
    at[axis] = slice(first, first + count)
    return image[tuple(at)]


def _gather(image, w, axis):
    count = image.shape[axis] - len(w) + 1
    return sum(wk * _part(image, k, count, axis) for k, wk in enumerate(w))


def _scatter(values, w, axis):
    """The adjoint of gather."""
    around = [(0, 0)] * values.ndim
    around[axis] = (len(w) - 1,) * 2
    return _gather(np.pad(values, around), w[::-1], axis)


def _fold(padded, size, border, mode):
    """The adjoint of the padding."""
    for axis, count in ((-2, size[0]), (-1, size[1])):
        total = _part(padded, border, count, axis).copy()
        for k in range(1, border + 1) if mode == "reflect" else ():
            _part(total, k, 1, axis)[...] += _part(padded, border - k, 1, axis)
            last = border + count - 1
            _part(total, count - 1 - k, 1, axis)[...] += _part(padded, last + k, 1, axis)
        padded = total
    return padded
