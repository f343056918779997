"""SSIM in the centered difference form: accurate in float32 where other forms cancel.

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

from . import kernels
from ._inputs import check_arguments, check_choice, needs_data_range
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
    backend: str = "auto",
) -> Tensor:
    """1 - SSIM; where the images are alike, nothing is subtracted from 1.

    Equation :eq:`eq-dissimilarity`. Exactly zero, with a gradient of exactly zero, for identical
    images. Symmetric in x and y, up to rounding. Finite, value and gradient, for pixels of up to
    1e15 data ranges and data ranges that are not as small as 1e-30.

    In float32, with windows of up to 15 taps, the map is right to 1e-6 and a gradient to 3e-6 of
    its largest entry, unless what SSIM itself adds up cancels: means, where W|x| + W|y| exceeds
    √(μx² + μy² + C1) twofold, as among pixels of both signs; variances, where, xp and yp being
    the pixels in the middle of the window, W(x - xp)² + W(y - yp)² + C2 exceeds σx² + σy² + C2
    fivefold; the gradient, where its terms exceed its largest entry tenfold, as where y is nearly
    c - x or one image many times the other. There, and with n > 15 taps, the errors are at most
    n + 8 roundings, of 6e-8, of the map's terms and twice as many of the largest of the
    gradient's, terms which ``tests/kernels/extended.py`` computes. In float64 each number is 2⁻²⁹
    times as large. These bounds are measured, on ten thousand random pairs.

    Args:
        x, y: images, (…, H, W), floating point, of one shape, dtype and device.
        data_range: L, the span of possible pixel values, in the units of x.
        window: the averaging window.
        k: (k1, k2), dimensionless. A k of zero removes its constant, and windows on which both
            images are flat (k2) or black (k1) are then 0/0 and NaN, as they are in mathematics.
        reduction: "mean" over everything, or "none" for the map.
        backend: "auto" for the CPU or the Triton kernel where it fits and torch's own operations
            elsewhere, "eager" for these, "cpu" or "triton" for a kernel by name.
            :func:`ssimlab.kernels.describe` says what fits.

    Returns:
        A scalar, or the map, (…, H', W'): float64 for float64 images, float32 for all others.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be used.
        RuntimeError: the backend that is named cannot be used for these images.

    Source: this project; the means and variances follow Chan, Golub and LeVeque (1983).
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    check_choice("backend", backend, kernels.BACKENDS)
    if reduction == "mean":
        return plane_means(x, y, data_range, window, k, backend).mean()
    x, y, settings = prepare(x, y, data_range, window, k)
    backend = kernels.choose(backend, x, y, settings)
    if backend == "traced":
        return traced_map(x, y, window, settings)
    return kernels.unlike_map(x, y, settings, backend)


@needs_data_range
def ssim(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
    backend: str = "auto",
) -> Tensor:
    """Structural similarity, 1 - :func:`dissimilarity`.

    Arguments, returns and errors as :func:`dissimilarity`. As a loss use that function: it keeps
    its relative accuracy where the two images are nearly equal.
    """
    unlike = dissimilarity(
        x, y, data_range=data_range, window=window, k=k, reduction=reduction, backend=backend
    )
    return 1 - unlike


def plane_means(
    x: Tensor,
    y: Tensor,
    data_range: float,
    window: Window,
    k: tuple[float, float],
    backend: str,
) -> Tensor:
    """The mean of 1 - SSIM over the map of each plane, (…). The images have been checked."""
    x, y, settings = prepare(x, y, data_range, window, k)
    backend = kernels.choose(backend, x, y, settings)
    if backend == "traced":
        return traced_map(x, y, window, settings).mean((-2, -1))
    return kernels.means(x, y, settings, backend)[0]


def prepare(
    x: Tensor, y: Tensor, data_range: float, window: Window, k: tuple[float, float]
) -> tuple[Tensor, Tensor, kernels.Settings]:
    """The images in a dtype to compute in, and all else as the kernels take it.

    The dtype is float64 for float64 images and float32 for all others. The scale brings the data
    range near one, so that squares stay in range; it is a power of two, so that it is exact.
    """
    if x.dtype not in (torch.float32, torch.float64):
        x, y = x.float(), y.float()
    limits = torch.finfo(x.dtype)
    if not limits.tiny <= data_range <= limits.max:
        raise ValueError(
            f"data_range {data_range!r} is outside the range of {x.dtype}, "
            f"{limits.tiny:.1e} to {limits.max:.1e}: rescale the images"
        )
    scale = math.ldexp(1.0, 1 - math.frexp(data_range)[1])
    c1, c2 = constants(data_range * scale, k, x.dtype)
    return x, y, kernels.Settings(window.taps, window.padding, c1, c2, scale)


def traced_map(x: Tensor, y: Tensor, window: Window, settings: kernels.Settings) -> Tensor:
    """The map of 1 - SSIM with a derivative for each operation, as torch.func needs it."""
    stack = difference_stack(x, y, settings.scale)
    return dissimilarity_map((stack,), window, Constants(settings.c1, settings.c2))


def difference_stack(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """The stack (x, y, x - y), (3, …, H, W), of the scaled images."""
    if scale != 1:
        x, y = x * scale, y * scale
    return torch.stack((x, y, x - y))


class Factors(NamedTuple):
    """a, b, l = 1 - a and cs = 1 - b, each by its own formula and each (…, H', W')."""

    a: Tensor
    b: Tensor
    luminance: Tensor
    contrast_structure: Tensor

    @property
    def alike(self) -> Tensor:
        """Where a and b are to be used; l and cs are the more accurate elsewhere.

        Below 0.2 the means are, but for C1, within a factor of two of each other.
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
