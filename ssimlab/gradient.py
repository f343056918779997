"""The gradient of SSIM in closed form.

SSIM depends on x through three local averages: μx = W x, W x² and W xy. Its gradient is therefore
three applications of the adjoint Wᵀ, each multiplied by a pixelwise factor outside it. The
attempts of :mod:`ssimlab.attempts` move such factors through Wᵀ.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ._inputs import apply_reduction, check_arguments, needs_data_range, shown
from .formula import PUBLISHED_K, Constants, constants, denominators, moments, quotients, similarity
from .window import Window


class Partials(NamedTuple):
    """Derivatives of the SSIM map by the local averages of x, each (…, H', W')."""

    by_mean: Tensor
    by_mean_square: Tensor
    by_mean_product: Tensor


@needs_data_range
def partials(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
) -> Partials:
    """Derivatives of S by μx = W x, by W x² and by W xy, in float64.

    Equations :eq:`eq-partial-mean`, :eq:`eq-partial-square` and :eq:`eq-partial-product`.
    Arguments and errors as :func:`ssimlab.reference.ssim`.
    """
    data_range, k = check_arguments(x, y, data_range, window, k)
    return _partials(x.double(), y.double(), constants(data_range, k), window)


@needs_data_range
def ssim_gradient(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    wrt: str = "x",
    upstream: float | Tensor | None = None,
) -> Tensor:
    """∂L/∂x, or ∂L/∂y, for L = Σ u S, in closed form.

    Equation :eq:`eq-ssim-gradient`: Wᵀ g_m + 2 x ⊙ Wᵀ g_xx + y ⊙ Wᵀ g_xy. Computed in float64 and
    differentiable itself.

    Args:
        x, y: images, (…, H, W), floating point, of one shape, dtype and device.
        data_range: L, the span of possible pixel values, in the units of x.
        window: the averaging window, of any padding.
        k: (k1, k2), dimensionless.
        wrt: "x" or "y".
        upstream: u, a number or a tensor that broadcasts to the map, (…, H', W'); None is
            1 / (number of map pixels), for the gradient of the mean SSIM.

    Returns:
        A tensor of the shape and dtype of x (float32 for half precision); units 1 / units of x.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be used.

    Source: derived in the book; compare Avanaki (2009), equations 7 and 8.
    """
    data_range, k = check_arguments(x, y, data_range, window, k)
    if wrt not in ("x", "y"):
        raise ValueError(f'wrt must be "x" or "y", not {shown(wrt)}')
    given, other = (x, y) if wrt == "x" else (y, x)
    exact, other = given.double(), other.double()
    map_size = (*x.shape[:-2], *window.output_size(x.shape[-2:]))
    u = _upstream(upstream, map_size, exact)
    gradient = _closed_form(exact, other, constants(data_range, k), window, u)
    return gradient if given.dtype == torch.float64 else gradient.float()


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
    """SSIM whose backward pass is the closed form instead of autograd's own.

    Arguments, returns and errors as :func:`ssimlab.reference.ssim`. The backward pass keeps x
    and y alone, and can be differentiated again in reverse mode. Forward mode (``torch.func.jvp``,
    ``jacfwd``, ``hessian``) raises NotImplementedError: use :func:`ssimlab.ssim` for it.
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    c = constants(data_range, k)
    values = cast(Tensor, _ClosedFormBackward.apply(x.double(), y.double(), c, window))  # pyright: ignore[reportUnknownMemberType]
    return apply_reduction(values, reduction)


class _ClosedFormBackward(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, c: Constants, window: Window) -> Tensor:
        return similarity(moments(x, y, window), c)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, ctx.constants, ctx.window = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (u,) = grad_outputs
        x, y = ctx.saved_tensors
        needs_x, needs_y, *_ = ctx.needs_input_grad
        by_x = _closed_form(x, y, ctx.constants, ctx.window, u) if needs_x else None
        by_y = _closed_form(y, x, ctx.constants, ctx.window, u) if needs_y else None
        return by_x, by_y, None, None


def _upstream(upstream: float | Tensor | None, map_size: tuple[int, ...], like: Tensor) -> Tensor:
    if upstream is None:
        count = torch.Size(map_size).numel()
        return torch.full(map_size, 1 / count, dtype=like.dtype, device=like.device)
    u = torch.as_tensor(upstream, dtype=like.dtype, device=like.device)
    try:
        return u.expand(map_size)
    except RuntimeError as error:
        raise ValueError(
            f"upstream has shape {tuple(u.shape)}, which does not broadcast to the map's "
            f"{tuple(map_size)}: give one weight for each pixel of the map"
        ) from error


def _partials(x: Tensor, y: Tensor, c: Constants, window: Window) -> Partials:
    m = moments(x, y, window)
    luminance, contrast_structure = quotients(m, c)
    b, q = denominators(m, c)
    by_mean = (
        2 * contrast_structure * (m.mu_y - luminance * m.mu_x) / b
        + 2 * luminance * (contrast_structure * m.mu_x - m.mu_y) / q
    )
    return Partials(by_mean, -luminance * contrast_structure / q, 2 * luminance / q)


def _closed_form(x: Tensor, y: Tensor, c: Constants, window: Window, u: Tensor) -> Tensor:
    size = x.shape[-2:]
    g_m, g_xx, g_xy = (u * partial for partial in _partials(x, y, c, window))
    return (
        window.scatter(g_m, size)
        + 2 * x * window.scatter(g_xx, size)
        + y * window.scatter(g_xy, size)
    )
