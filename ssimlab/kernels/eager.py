"""The closed form in torch operations, for where no kernel fits: a piece of the map at a time.

Autograd would keep some hundred images of what lies between the pixels and the map. Here the
backward pass keeps the two images and makes the rest again, piece by piece, so that what lies
between is as small as a piece. It is differentiable itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .settings import Settings

PIECE = 1 << 17  # pixels; smaller ones make more rows twice, larger ones do not fit in the cache


class WindowMoments(NamedTuple):
    """Moments of (x, y, x - y) over each window; the first two are stacked, (3, …, H', W')."""

    shift: Tensor  # the mean less the center pixel
    center: Tensor
    spread: Tensor  # the variances
    covariance: Tensor  # of x and y


def means(x: Tensor, y: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Means of 1 - SSIM and of SSIM over the map of each plane, (…)."""
    unlike, like = maps(x, y, settings)
    return unlike.mean((-2, -1)), like.mean((-2, -1))


def maps(x: Tensor, y: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """The maps of 1 - SSIM and of SSIM, (…, H', W'), each accurate where it is small."""
    return cast("tuple[Tensor, Tensor]", _ClosedForm.apply(x, y, settings))  # pyright: ignore[reportUnknownMemberType]


def gradients(
    x: Tensor, y: Tensor, weights: Tensor, settings: Settings, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of Σ weights · map by x and by y, where wanted; differentiable."""
    by_x, by_y = wanted
    return (
        _gradient(x, y, weights, settings) if by_x else None,
        _gradient(y, x, weights, settings) if by_y else None,
    )


class _ClosedForm(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, y: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
        padded = [_extend(image, settings) for image in (x, y)]
        size = settings.map_size(*x.shape[-2:])
        unlike = x.new_empty(padded[0].shape[0], *size)
        like = torch.empty_like(unlike)
        for planes, first, end in _pieces(unlike.shape):
            px, py = (image[planes, first : end + 2 * settings.radius] for image in padded)
            f = _factors(_moments(px, py, settings), settings)
            unlike[planes, first:end], like[planes, first:end] = f.unlike, f.like
        return unlike.reshape(*x.shape[:-2], *size), like.reshape(*x.shape[:-2], *size)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, y, ctx.settings = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        unlike, like = grad_outputs
        x, y = ctx.saved_tensors
        needs_x, needs_y, _ = ctx.needs_input_grad
        return *gradients(x, y, unlike - like, ctx.settings, (needs_x, needs_y)), None


class _Factors(NamedTuple):
    """The map's values and what the gradient is made of; see the book's chapter on kernels."""

    unlike: Tensor
    like: Tensor
    alike: Tensor
    a: Tensor
    b: Tensor
    luminance: Tensor
    contrast_structure: Tensor
    over_means: Tensor
    over_variances: Tensor


def _pieces(size: torch.Size) -> list[tuple[slice, int, int]]:
    """Planes of the map and their first and last row, to work on together: several planes where
    they are small, else a few rows of one; everything where the compiler does the cutting."""
    planes, height, width = size
    if torch.compiler.is_compiling() or torch.is_grad_enabled():
        return [(slice(None), 0, height)]
    together = max(1, PIECE // (height * width))
    rows = max(1, min(height, PIECE // width))
    return [
        (slice(plane, plane + together), first, min(first + rows, height))
        for plane in range(0, planes, together)
        for first in range(0, height, rows)
    ]


def _moments(x: Tensor, y: Tensor, settings: Settings) -> WindowMoments:
    """Rows about their center pixels, then columns about a pivot near the window's mean."""
    r, taps = settings.radius, settings.taps
    images = torch.stack((x, y, x - y))
    width, height = images.shape[-1] - 2 * r, images.shape[-2] - 2 * r
    center = images.narrow(-1, r, width)
    shift, spread = torch.zeros_like(center), torch.zeros_like(center)
    covariance = torch.zeros_like(center[0])
    for k, weight in enumerate(taps):
        deviation = images.narrow(-1, k, width) - center
        shift.add_(deviation, alpha=weight)
        spread.addcmul_(deviation, deviation, value=weight)
        covariance.addcmul_(deviation[0], deviation[1], value=weight)
    spread, covariance = spread - shift * shift, covariance - shift[0] * shift[1]
    rows, row_shift = center, shift
    center = rows.narrow(-2, r, height)
    pivot = center + row_shift.narrow(-2, r, height)
    total, variance = torch.zeros_like(pivot), torch.zeros_like(pivot)
    product = torch.zeros_like(pivot[0])
    for k, weight in enumerate(taps):
        deviation = rows.narrow(-2, k, height) - pivot + row_shift.narrow(-2, k, height)
        total.add_(deviation, alpha=weight)
        variance.addcmul_(deviation, deviation, value=weight)
        variance.add_(spread.narrow(-2, k, height), alpha=weight)
        product.addcmul_(deviation[0], deviation[1], value=weight)
        product.add_(covariance.narrow(-2, k, height), alpha=weight)
    return WindowMoments(
        (pivot - center) + total, center, variance - total * total, product - total[0] * total[1]
    )


def _factors(m: WindowMoments, settings: Settings) -> _Factors:
    mu_x, mu_y, mu_d = m.center + m.shift
    over_variances = 1 / (m.spread[0] + m.spread[1] + settings.c2)
    b = m.spread[2] * over_variances
    contrast_structure = (2 * m.covariance + settings.c2) * over_variances
    if settings.luminance:
        over_means = 1 / (mu_x * mu_x + mu_y * mu_y + settings.c1)
        a, luminance = mu_d * mu_d * over_means, (2 * mu_x * mu_y + settings.c1) * over_means
    else:
        over_means, a, luminance = (torch.full_like(b, value) for value in (0.0, 0.0, 1.0))
    alike = (a < 0.2) & (b < 0.2)
    small, product = a + b - a * b, luminance * contrast_structure
    return _Factors(
        torch.where(alike, small, 1 - product),
        torch.where(alike, 1 - small, product),
        alike, a, b, luminance, contrast_structure, over_means, over_variances,
    )  # fmt: skip


def _gradient(x: Tensor, y: Tensor, weights: Tensor, settings: Settings) -> Tensor:
    """∂/∂x of Σ weights · map: sums over the windows that hold a pixel, of differences to it."""
    padded = [_extend(image, settings) for image in (x, y)]
    weights = weights.reshape(-1, *weights.shape[-2:])
    total = torch.zeros_like(padded[0])
    for planes, first, end in _pieces(weights.shape):
        seen = planes, slice(first, end + 2 * settings.radius)
        px, py = (image[seen] for image in padded)
        part = _gradient_of_rows(px, py, weights[planes, first:end], settings)
        total[seen].add_(part)
    return (_fold(total, settings, x.shape[-2:]) * settings.scale).reshape(x.shape)


def _gradient_of_rows(x: Tensor, y: Tensor, weights: Tensor, settings: Settings) -> Tensor:
    """What some rows of the map give to the gradient at the rows of pixels that they see."""
    r, taps = settings.radius, settings.taps
    m = _moments(x, y, settings)
    f = _factors(m, settings)
    mu_x, mu_y, mu_d = m.center + m.shift
    beta = 2 * f.luminance * f.over_variances * weights
    nothing = torch.zeros_like(beta)
    by = torch.stack((
        torch.where(f.alike, -beta * f.b, beta * f.contrast_structure),
        torch.where(f.alike, nothing, -beta),
        torch.where(f.alike, beta, nothing),
    ))  # fmt: skip
    of_means = torch.where(f.alike, mu_d - f.a * mu_x, f.luminance * mu_x - mu_y)
    constant = 2 * f.contrast_structure * f.over_means * weights * of_means
    constant = constant - (by * m.shift).sum(0)
    # From map pixels back to image pixels: the map surrounded by zeros, and its centers by pixels.
    images = torch.stack((x, y, x - y))
    constant, by = (F.pad(part, (0, 0, 2 * r, 2 * r)) for part in (constant, by))
    around = F.pad(images.narrow(-1, r, images.shape[-1] - 2 * r), (0, 0, r, r))
    here = around.narrow(-2, r, x.shape[-2])
    constant, by = _collect(constant, by, around, here, taps[::-1], -2)
    constant, by = (F.pad(part, (2 * r, 2 * r)) for part in (constant, by))
    return _collect(constant, by, F.pad(images, (r, r)), images, taps[::-1], -1)[0]


def _collect(
    constant: Tensor,
    by: Tensor,
    around: Tensor,
    here: Tensor,
    taps: tuple[float, ...],
    dim: int,
) -> tuple[Tensor, Tensor]:
    """Sums over map pixels p along ``dim`` of w (constant_p + by_p (here - around_p))."""
    count = here.shape[dim]
    total, factors = torch.zeros_like(here[0]), torch.zeros_like(here)
    for k, weight in enumerate(taps):
        at = by.narrow(dim, k, count)
        total.add_(constant.narrow(dim, k, count), alpha=weight)
        total.add_((at * (here - around.narrow(dim, k, count))).sum(0), alpha=weight)
        factors.add_(at, alpha=weight)
    return total, factors


def _extend(image: Tensor, settings: Settings) -> Tensor:
    """The scaled planes with their border, (planes, H, W)."""
    image = image.reshape(-1, *image.shape[-2:])
    if settings.scale != 1:
        image = image * settings.scale
    if settings.border == 0:
        return image
    mode = "reflect" if settings.padding == "reflect" else "constant"
    return F.pad(image, (settings.border,) * 4, mode=mode)


def _fold(gradient: Tensor, settings: Settings, size: torch.Size) -> Tensor:
    """The adjoint of the border: mirrored pixels are added to their originals, zeros dropped."""
    r = settings.border
    for dim, count in ((-2, size[0]), (-1, size[1])):
        inside = gradient.narrow(dim, r, count)
        if settings.padding == "reflect" and r:
            low = gradient.narrow(dim, 0, r).flip(dim)
            high = gradient.narrow(dim, r + count, r).flip(dim)
            inside = inside.clone()
            inside.narrow(dim, 1, r).add_(low)
            inside.narrow(dim, count - 1 - r, r).add_(high)
        gradient = inside
    return gradient
