"""The parts of the formula: constants, local moments, the two quotients and their product.

What the reference, the naive forms, the stable form and the closed-form gradient have in common,
so that the oracle stands beside what it judges. All work in the dtype that they are given. None
checks its arguments: the functions that people call do, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .window import Window

PUBLISHED_K = (0.01, 0.03)


class Constants(NamedTuple):
    """C1 = (k1 L)² and C2 = (k2 L)², in squared units of the pixels."""

    c1: float
    c2: float


class Moments(NamedTuple):
    """Local statistics of a pair of images, each of shape (…, H', W')."""

    mu_x: Tensor
    mu_y: Tensor
    sigma_x2: Tensor
    sigma_y2: Tensor
    sigma_xy: Tensor


def constants(
    data_range: float, k: tuple[float, float] = PUBLISHED_K, dtype: torch.dtype = torch.float64
) -> Constants:
    """The two constants of SSIM. Equation :eq:`eq-constants`.

    Raises ValueError where a square leaves the range of ``dtype``, in which they will be used.
    """
    limits = torch.finfo(dtype)
    c1, c2 = ((ki * data_range) * (ki * data_range) for ki in k)
    for ki, ci in zip(k, (c1, c2), strict=True):
        if ki > 0 and not limits.tiny <= ci <= limits.max:
            raise ValueError(
                f"data_range {data_range!r} with k={tuple(k)} gives the constants {(c1, c2)}, "
                f"outside the range of {str(dtype).removeprefix('torch.')}: rescale the images, "
                "or choose another k"
            )
    return Constants(c1, c2)


def moments(x: Tensor, y: Tensor, window: Window) -> Moments:
    """Weighted local means, variances and covariance, by their definitions.

    Equation :eq:`eq-moments`. The deviations from the mean are squared and averaged over the
    window, tap by tap: slow, and free of cancellation.

    Args:
        x, y: images, (…, H, W), of one shape.
        window: the weights w.

    Returns:
        Five maps of shape (…, H', W') in the dtype of the images.
    """
    padded_x, padded_y = window.extend(x), window.extend(y)
    mu_x, mu_y = window.gather(padded_x), window.gather(padded_y)
    height, width = mu_x.shape[-2:]
    sigma_x2, sigma_y2, sigma_xy = (torch.zeros_like(mu_x) for _ in range(3))
    for i, row_weight in enumerate(window.taps):
        for j, column_weight in enumerate(window.taps):
            w = row_weight * column_weight
            at = (..., slice(i, i + height), slice(j, j + width))
            dx, dy = padded_x[at] - mu_x, padded_y[at] - mu_y
            sigma_x2 = sigma_x2 + w * dx * dx
            sigma_y2 = sigma_y2 + w * dy * dy
            sigma_xy = sigma_xy + w * dx * dy
    return Moments(mu_x, mu_y, sigma_x2, sigma_y2, sigma_xy)


def rearranged_moments(x: Tensor, y: Tensor, average: Callable[[Tensor], Tensor]) -> Moments:
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


def one_pass_moments(x: Tensor, y: Tensor, window: Window) -> Moments:
    """:func:`rearranged_moments` by a window, each image padded once."""
    return rearranged_moments(window.extend(x), window.extend(y), window.gather)


def denominators(m: Moments, c: Constants) -> tuple[Tensor, Tensor]:
    """What the two quotients are divided by: μx² + μy² + C1 and σx² + σy² + C2.

    Equation :eq:`eq-l-cs`.
    """
    return m.mu_x**2 + m.mu_y**2 + c.c1, m.sigma_x2 + m.sigma_y2 + c.c2


def quotients(m: Moments, c: Constants) -> tuple[Tensor, Tensor]:
    """Luminance l and contrast-structure cs of the moments; SSIM is their product.

    Equation :eq:`eq-l-cs`.
    """
    of_means, of_variances = denominators(m, c)
    luminance = (2 * m.mu_x * m.mu_y + c.c1) / of_means
    contrast_structure = (2 * m.sigma_xy + c.c2) / of_variances
    return luminance, contrast_structure


def similarity(m: Moments, c: Constants) -> Tensor:
    """SSIM of the moments, l · cs. Equation :eq:`eq-ssim`."""
    luminance, contrast_structure = quotients(m, c)
    return luminance * contrast_structure
