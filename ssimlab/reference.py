"""SSIM as Wang et al. (2004) define it, in float64: the oracle that all else is held against.

The definition is computed four times. :func:`ssim_loops` visits each window in turn and
:func:`ssim`, the oracle, does the same arithmetic for all windows at once: both subtract the mean
before they square. :func:`ssim_convolution` and :func:`ssim_separable` rearrange the variance as
E[x²] - μ², as most code does. The four agree to rounding unless the mean is large beside the
contrast.

Every function takes any floating dtype, computes in float64 and returns float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ._inputs import check_arguments, needs_data_range, reduce
from .window import Window

PUBLISHED_K = (0.01, 0.03)


class Moments(NamedTuple):
    """Local statistics of a pair of images, each of shape (…, H', W')."""

    mu_x: torch.Tensor
    mu_y: torch.Tensor
    sigma_x2: torch.Tensor
    sigma_y2: torch.Tensor
    sigma_xy: torch.Tensor


class Constants(NamedTuple):
    """C1 = (k1 L)² and C2 = (k2 L)², in squared units of the pixels."""

    c1: float
    c2: float


def constants(
    data_range: float, k: tuple[float, float] = PUBLISHED_K, dtype: torch.dtype = torch.float64
) -> Constants:
    """The two constants of SSIM. Equation :eq:`eq-constants`.

    Raises ValueError where a square leaves the range of ``dtype``, in which they will be used.
    """
    limits = torch.finfo(dtype)
    c = Constants(*((ki * data_range) * (ki * data_range) for ki in k))
    if any(ki > 0 and not limits.tiny <= ci <= limits.max for ki, ci in zip(k, c, strict=True)):
        raise ValueError(
            f"data_range {data_range!r} with k={tuple(k)} gives the constants {tuple(c)}, outside "
            f"the range of {str(dtype).removeprefix('torch.')}: rescale the images, or choose "
            "another k"
        )
    return c


def moments(x: torch.Tensor, y: torch.Tensor, window: Window) -> Moments:
    """Weighted local means, variances and covariance, by their definitions.

    Equation :eq:`eq-moments`. The deviations from the mean are squared and averaged over the
    window, tap by tap: slow, and free of cancellation.

    Args:
        x, y: images, (…, H, W), of one shape.
        window: the weights w.

    Returns:
        Five maps of shape (…, H', W') in the dtype of the images.
    """
    mu_x, mu_y = window(x), window(y)
    height, width = mu_x.shape[-2:]
    sigma_x2, sigma_y2, sigma_xy = (torch.zeros_like(mu_x) for _ in range(3))
    padded_x, padded_y = window.pad(x), window.pad(y)
    for i, row_weight in enumerate(window.taps):
        for j, column_weight in enumerate(window.taps):
            w = row_weight * column_weight
            at = (..., slice(i, i + height), slice(j, j + width))
            dx, dy = padded_x[at] - mu_x, padded_y[at] - mu_y
            sigma_x2 = sigma_x2 + w * dx * dx
            sigma_y2 = sigma_y2 + w * dy * dy
            sigma_xy = sigma_xy + w * dx * dy
    return Moments(mu_x, mu_y, sigma_x2, sigma_y2, sigma_xy)


def quotients(m: Moments, c: Constants) -> tuple[torch.Tensor, torch.Tensor]:
    """Luminance l and contrast-structure cs of the moments; SSIM is their product.

    Equation :eq:`eq-l-cs`.
    """
    luminance = (2 * m.mu_x * m.mu_y + c.c1) / (m.mu_x**2 + m.mu_y**2 + c.c1)
    contrast_structure = (2 * m.sigma_xy + c.c2) / (m.sigma_x2 + m.sigma_y2 + c.c2)
    return luminance, contrast_structure


@needs_data_range
def ssim(x, y, *, data_range, window=Window(), k=PUBLISHED_K, reduction="mean"):
    """Structural similarity, by the definition, in float64.

    Equation :eq:`eq-ssim`.

    Args:
        x, y: images, (…, H, W), floating point, of one shape, dtype and device.
        data_range: L, the span of possible pixel values, in the units of x.
        window: the averaging window; the published one is 11 x 11, Gaussian, sigma 1.5.
        k: (k1, k2), dimensionless.
        reduction: "mean" over everything, or "none" for the map.

    Returns:
        A float64 scalar, or the map, (…, H', W'), in float64.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be used.

    Source: Wang et al. (2004), equations 13 to 16.
    """
    data_range, *k = check_arguments(x, y, data_range, k, reduction)
    local = moments(x.double(), y.double(), window)
    luminance, contrast_structure = quotients(local, constants(data_range, k))
    return reduce(luminance * contrast_structure, reduction)


@needs_data_range
def components(x, y, *, data_range, window=Window(), k=PUBLISHED_K):
    """The maps of luminance l, contrast c and structure s, whose product is SSIM.

    Equation :eq:`eq-components`, with C3 = C2 / 2. For looking at, not for training: the square
    roots have no derivative where an image is flat.

    Args and errors: as :func:`ssim`. Returns three float64 maps, each (…, H', W').

    Source: Wang et al. (2004), equations 6, 9 and 10.
    """
    data_range, *k = check_arguments(x, y, data_range, k)
    c = constants(data_range, k)
    m = moments(x.double(), y.double(), window)
    luminance, _ = quotients(m, c)
    spread = torch.sqrt(m.sigma_x2 * m.sigma_y2)
    contrast = (2 * spread + c.c2) / (m.sigma_x2 + m.sigma_y2 + c.c2)
    structure = (m.sigma_xy + c.c2 / 2) / (spread + c.c2 / 2)
    return luminance, contrast, structure


@needs_data_range
def ssim_loops(x, y, *, data_range, window=Window(), k=PUBLISHED_K, reduction="mean"):
    """The definition, one window at a time, in plain loops: the first rung of the ladder.

    Arguments, returns and errors as :func:`ssim`. Meant for small images.
    """
    data_range, *k = check_arguments(x, y, data_range, k, reduction)
    c = constants(data_range, k)
    w = window.weights().to(x.device)
    padded_x, padded_y = window.pad(x.double()), window.pad(y.double())
    height, width = window.output_size(x.shape[-2:])
    rows = []
    for i in range(height):
        row = []
        for j in range(width):
            at = (..., slice(i, i + window.size), slice(j, j + window.size))
            px, py = padded_x[at], padded_y[at]
            mu_x, mu_y = (w * px).sum((-2, -1)), (w * py).sum((-2, -1))
            dx, dy = px - mu_x[..., None, None], py - mu_y[..., None, None]
            sigma_x2, sigma_y2, sigma_xy = (
                (w * a * b).sum((-2, -1)) for a, b in ((dx, dx), (dy, dy), (dx, dy))
            )
            luminance, contrast_structure = quotients(
                Moments(mu_x, mu_y, sigma_x2, sigma_y2, sigma_xy), c
            )
            row.append(luminance * contrast_structure)
        rows.append(torch.stack(row, dim=-1))
    return reduce(torch.stack(rows, dim=-2), reduction)


@needs_data_range
def ssim_convolution(x, y, *, data_range, window=Window(), k=PUBLISHED_K, reduction="mean"):
    """E[x²] - μ² with one two-dimensional convolution per average: the second rung.

    Arguments, returns and errors as :func:`ssim`.
    """

    def average(image):
        padded, kernel = window.pad(image), window.weights().to(image.device)[None, None]
        maps = F.conv2d(padded.reshape(-1, 1, *padded.shape[-2:]), kernel)
        return maps.reshape(*image.shape[:-2], *maps.shape[-2:])

    return _rearranged(x, y, average, data_range, k, reduction)


@needs_data_range
def ssim_separable(x, y, *, data_range, window=Window(), k=PUBLISHED_K, reduction="mean"):
    """E[x²] - μ² with two one-dimensional passes per average: the third rung.

    Equation :eq:`eq-separable`. Arguments, returns and errors as :func:`ssim`.
    """
    return _rearranged(x, y, window, data_range, k, reduction)


def rearranged_moments(x: torch.Tensor, y: torch.Tensor, average) -> Moments:
    """Moments by σ² = E[x²] - μ², with ``average`` for E. Equation :eq:`eq-rearranged`.

    Equal to :func:`moments` in exact arithmetic; in floating point the subtraction cancels where
    the mean is large beside the contrast.
    """
    mu_x, mu_y = average(x), average(y)
    return Moments(
        mu_x,
        mu_y,
        average(x * x) - mu_x**2,
        average(y * y) - mu_y**2,
        average(x * y) - mu_x * mu_y,
    )


def _rearranged(x, y, average, data_range, k, reduction):
    data_range, *k = check_arguments(x, y, data_range, k, reduction)
    local = rearranged_moments(x.double(), y.double(), average)
    luminance, contrast_structure = quotients(local, constants(data_range, k))
    return reduce(luminance * contrast_structure, reduction)
