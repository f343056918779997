"""SSIM in the centered difference form: accurate in float32 for any offset, contrast and pair.

With d = x - y the two quotients of SSIM are 1 - a and 1 - b, where

    a = (E d)² / (μx² + μy² + C1),    b = Var d / (σx² + σy² + C2),

so 1 - SSIM = a + b - ab is a sum of small terms for similar images, and nothing is subtracted
from 1. The variances are sums of squares of differences between nearby pixels, so an offset
cancels exactly before anything is squared, and every term is zero or more. Where two images
disagree it is the quotients l and cs that are small, and 1 - l · cs is taken: either way a small
factor is computed as such, so that the gradient, made of these factors, is accurate too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._inputs import apply_reduction, check_arguments, needs_data_range
from .formula import PUBLISHED_K, Constants, constants
from .window import Window


@needs_data_range
def dissimilarity(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """1 - SSIM, never formed by subtracting from 1.

    Equation :eq:`eq-dissimilarity`. Exactly zero, with a gradient of exactly zero, for identical
    images; symmetric in x and y. Finite, value and gradient, for pixels of up to 1e15 data ranges.

    Args:
        x, y: images, (…, H, W), floating point, of one shape, dtype and device.
        data_range: L, the span of possible pixel values, in the units of x.
        window: the averaging window.
        k: (k1, k2), dimensionless. A k of zero removes its constant, and windows on which both
            images are flat (k2) or black (k1) are then 0/0 and NaN, as they are in mathematics.
        reduction: "mean" over everything, or "none" for the map.

    Returns:
        A scalar, or the map, (…, H', W'): float64 for float64 images, float32 for all others.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be used.

    Source: this project; the means and variances follow Chan, Golub and LeVeque (1983).
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    stack, data_range = difference_stack(x, y, data_range)
    c = constants(data_range, k, stack.dtype)
    return apply_reduction(dissimilarity_map((stack,), window, c), reduction)


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
    """Structural similarity, 1 - :func:`dissimilarity`.

    Arguments, returns and errors as :func:`dissimilarity`. As a loss use that function: it keeps
    its relative accuracy where the two images are nearly equal.
    """
    return 1 - dissimilarity(x, y, data_range=data_range, window=window, k=k, reduction=reduction)


def difference_stack(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, float]:
    """The stack (x, y, x - y), (3, …, H, W), in units in which the data range is near one.

    Returns the stack, float64 for float64 images and float32 for all others, and the data range
    in its units.
    """
    if x.dtype not in (torch.float32, torch.float64):
        x, y = x.float(), y.float()
    x, y, data_range = _rescale(x, y, data_range)
    return torch.stack((x, y, x - y)), data_range


class Factors(NamedTuple):
    """a, b, l = 1 - a and cs = 1 - b, each by its own formula and each (…, H', W')."""

    a: Tensor
    b: Tensor
    luminance: Tensor
    contrast_structure: Tensor

    @property
    def alike(self) -> Tensor:
        """Where a and b are to be used; l and cs are the more accurate elsewhere.

        Below 0.2 the means are within a factor of two of each other, and x - y is exact.
        """
        return (self.a < 0.2) & (self.b < 0.2)


def factors(parts: Sequence[Tensor], window: Window, c: Constants) -> Factors:
    """The factors of SSIM and their distances from 1.

    Equation :eq:`eq-dissimilarity`.

    Args:
        parts: one or more tensors (3, …, H, W) whose sum is the stack (x, y, x - y).
        window: the averaging window.
        c: the constants, in squared units of the stack.
    """
    (mu_x, mu_y, mu_d), (var_x, var_y, var_d), cov_xy = centered_moments(parts, window)
    of_means, of_variances = mu_x**2 + mu_y**2 + c.c1, var_x + var_y + c.c2
    return Factors(
        mu_d**2 / of_means,
        var_d / of_variances,
        (2 * mu_x * mu_y + c.c1) / of_means,
        (2 * cov_xy + c.c2) / of_variances,
    )


def dissimilarity_map(parts: Sequence[Tensor], window: Window, c: Constants) -> Tensor:
    """The map of 1 - SSIM, (…, H', W'). Arguments as :func:`factors`."""
    f = factors(parts, window, c)
    return torch.where(f.alike, f.a + f.b - f.a * f.b, 1 - f.luminance * f.contrast_structure)


def centered_moments(parts: Sequence[Tensor], window: Window) -> tuple[Tensor, Tensor, Tensor]:
    """Local moments of the stack (x, y, x - y), (3, …, H, W), given as a sum of ``parts``.

    Equation :eq:`eq-total-variance`. First along the rows, then along the columns: the variance
    of a window is the mean of its rows' variances plus the variance of its rows' means, and so is
    the covariance. Each pass works on differences from the window's center pixel.

    Returns the means and the variances, each (3, …, H', W'), and the covariance of x and y.
    """
    parts = [window.extend(part) for part in parts]
    first, *rest = (window.gather(part) for part in parts)
    means = sum(rest, first)
    offset, *within = _pass(parts, None, window, dim=-1)
    centers = [part.narrow(-1, window.radius, offset.shape[-1]) for part in parts]
    _, variances, covariance = _pass((*centers, offset), within, window, dim=-2)
    return means, variances, covariance


def _pass(
    parts: Sequence[Tensor], within: Sequence[Tensor] | None, window: Window, dim: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One dimension of the window over a signal given as a sum of ``parts``.

    The parts, an image and small corrections to it, are differenced one by one: their sum would
    round the corrections away. ``within`` are the variances and the covariance of the pass before.
    Returns the mean minus the center, the variances and the covariance.
    """
    count = parts[0].shape[dim] - window.size + 1
    centers = [part.narrow(dim, window.radius, count) for part in parts]

    def difference(tap: int) -> Tensor:
        total, *rest = (
            part.narrow(dim, tap, count) - center
            for part, center in zip(parts, centers, strict=True)
        )
        for part in rest:
            total.add_(part)
        return total

    shift = torch.zeros_like(centers[0])
    for tap, weight in enumerate(window.taps):
        if tap != window.radius:
            shift.add_(difference(tap), alpha=weight)
    variances, covariance = torch.zeros_like(shift), torch.zeros_like(shift[0])
    for tap, weight in enumerate(window.taps):
        deviation = difference(tap).sub_(shift)
        variances.add_(deviation * deviation, alpha=weight)
        covariance.add_(deviation[0] * deviation[1], alpha=weight)
        if within is not None:
            for total, inner in zip((variances, covariance), within, strict=True):
                total.add_(inner.narrow(dim, tap, count), alpha=weight)
    return shift, variances, covariance


def _rescale(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, Tensor, float]:
    """Divide by the power of two next to the data range, so that squares stay in range.

    A power of two because dividing by it is exact.
    """
    limits = torch.finfo(x.dtype)
    if not limits.tiny <= data_range <= limits.max:
        raise ValueError(
            f"data_range {data_range!r} is outside the range of {x.dtype}, "
            f"{limits.tiny:.1e} to {limits.max:.1e}: rescale the images"
        )
    exponent = math.frexp(data_range)[1] - 1
    if exponent == 0:
        return x, y, data_range
    factor = math.ldexp(1.0, -exponent)
    return x * factor, y * factor, data_range * factor
