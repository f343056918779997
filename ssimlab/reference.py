"""SSIM as Wang et al. (2004) define it, in float64: the oracle that all else is held against.

The definition is computed four times. :func:`ssim_loops` visits each window in turn and
:func:`ssim`, the oracle, does the same arithmetic for all windows at once: both subtract the mean
before they square. :func:`ssim_convolution` and :func:`ssim_separable` rearrange the variance as
E[x²] - μ², as most code does. The four agree to rounding unless the mean is large beside the
contrast.

Every function takes any floating dtype, computes in float64 and returns float64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ._inputs import apply_reduction, check_arguments, needs_data_range
from .formula import (
    PUBLISHED_K,
    Moments,
    constants,
    denominators,
    moments,
    quotients,
    rearranged_moments,
    similarity,
)
from .window import Window


@needs_data_range
def ssim(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
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
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    local = moments(x.double(), y.double(), window)
    return apply_reduction(similarity(local, constants(data_range, k)), reduction)


@needs_data_range
def components(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
) -> tuple[Tensor, Tensor, Tensor]:
    """The maps of luminance l, contrast c and structure s, whose product is SSIM.

    Equation :eq:`eq-components`, with C3 = C2 / 2. For looking at, not for training: the square
    roots have no derivative where an image is flat.

    Args and errors: as :func:`ssim`. Returns three float64 maps, each (…, H', W').

    Source: Wang et al. (2004), equations 6, 9 and 10.
    """
    data_range, k = check_arguments(x, y, data_range, window, k)
    c = constants(data_range, k)
    m = moments(x.double(), y.double(), window)
    luminance, _ = quotients(m, c)
    spread = torch.sqrt(m.sigma_x2 * m.sigma_y2)
    contrast = (2 * spread + c.c2) / denominators(m, c)[1]
    structure = (m.sigma_xy + c.c2 / 2) / (spread + c.c2 / 2)
    return luminance, contrast, structure


@needs_data_range
def ssim_loops(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """The definition, one window at a time, in plain loops: the first rung of the ladder.

    Arguments, returns and errors as :func:`ssim`. Meant for small images.
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    c = constants(data_range, k)
    w = window.weights().to(x.device)
    padded_x, padded_y = window.extend(x.double()), window.extend(y.double())
    height, width = window.output_size(x.shape[-2:])
    rows: list[Tensor] = []
    for i in range(height):
        row: list[Tensor] = []
        for j in range(width):
            at = (..., slice(i, i + window.size), slice(j, j + window.size))
            px, py = padded_x[at], padded_y[at]
            mu_x, mu_y = (w * px).sum((-2, -1)), (w * py).sum((-2, -1))
            dx, dy = px - mu_x[..., None, None], py - mu_y[..., None, None]
            sigma_x2, sigma_y2, sigma_xy = (
                (w * a * b).sum((-2, -1)) for a, b in ((dx, dx), (dy, dy), (dx, dy))
            )
            row.append(similarity(Moments(mu_x, mu_y, sigma_x2, sigma_y2, sigma_xy), c))
        rows.append(torch.stack(row, dim=-1))
    return apply_reduction(torch.stack(rows, dim=-2), reduction)


@needs_data_range
def ssim_convolution(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """E[x²] - μ² with one two-dimensional convolution per average: the second rung.

    Arguments, returns and errors as :func:`ssim`.
    """

    def average(padded: Tensor) -> Tensor:
        kernel = window.weights().to(padded.device)[None, None]
        maps = F.conv2d(padded.reshape(-1, 1, *padded.shape[-2:]), kernel)
        return maps.reshape(*padded.shape[:-2], *maps.shape[-2:])

    return _rearranged(x, y, average, data_range, window, k, reduction)


@needs_data_range
def ssim_separable(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """E[x²] - μ² with two one-dimensional passes per average: the third rung.

    Equation :eq:`eq-separable`. Arguments, returns and errors as :func:`ssim`.
    """
    return _rearranged(x, y, window.gather, data_range, window, k, reduction)


def _rearranged(
    x: Tensor,
    y: Tensor,
    average: Callable[[Tensor], Tensor],
    data_range: float,
    window: Window,
    k: tuple[float, float],
    reduction: str,
) -> Tensor:
    """SSIM by E[x²] - μ², with ``average`` for the windows of an image that is padded already."""
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    padded = window.extend(x.double()), window.extend(y.double())
    local = rearranged_moments(*padded, average)
    return apply_reduction(similarity(local, constants(data_range, k)), reduction)
