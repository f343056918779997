"""Jacobians, and the products with them that are all a gradient ever needs.

The gradient of a sum is the sum of the Jacobian's rows. Many Jacobians share one sum, so no rule
can make the gradient of a product or quotient out of the gradients of its parts; two
vector-Jacobian products can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import reference
from ._inputs import check_arguments, needs_data_range, shown
from .formula import PUBLISHED_K
from .window import Window

#: A function of one tensor that returns one.
Map = Callable[[Tensor], Tensor]

#: A full Jacobian larger than this is refused, in bytes.
MEMORY_LIMIT = 512 * 2**20

#: Rows of a Jacobian are computed together until they fill this many bytes.
CHUNK = 2**20


def square(x: Tensor) -> Tensor:
    """fₐ(x) = x², for a vector x: each output depends on one input. Equation :eq:`eq-fa-fb`."""
    return x**2


def ramp_times_mean(x: Tensor) -> Tensor:
    """f_b(x) = r · x · mean(x), r = (-1.5, -0.5, …): each output depends on every input.

    Equation :eq:`eq-fa-fb`. At x = (0, 1, 2, 3, 4) its sum has the gradient of ``square``'s sum.
    """
    ramp = torch.arange(x.numel(), dtype=x.dtype, device=x.device) - 1.5
    return ramp * x * x.mean()


def gradient_of_sum(fn: Map, x: Tensor) -> Tensor:
    """∇ Σᵢ fᵢ(x), of the shape of x."""

    def total(at: Tensor) -> Tensor:
        return fn(at).sum()

    return torch.func.grad(total)(x)


def vjp(fn: Map, x: Tensor, upstream: Tensor) -> Tensor:
    """Jᵀu: weights u on the outputs of fn pulled back to x, by one reverse pass.

    Equation :eq:`eq-vjp`. ``upstream`` has the shape of fn(x), the result the shape of x.
    """
    pull_back = torch.func.vjp(fn, x)[1]
    return pull_back(upstream)[0]


def jvp(fn: Map, x: Tensor, direction: Tensor) -> Tensor:
    """Jv: a direction v at x pushed forward to the outputs of fn, by one forward pass.

    Equation :eq:`eq-jvp`. ``direction`` has the shape of x, the result the shape of fn(x).
    """
    return torch.func.jvp(fn, (x,), (direction,))[1]


def product_gradient(f: Map, g: Map, x: Tensor) -> Tensor:
    """∇ Σᵢ fᵢ(x) gᵢ(x) by two vector-Jacobian products. Equation :eq:`eq-product-vjp`."""
    return vjp(f, x, g(x)) + vjp(g, x, f(x))


def quotient_gradient(f: Map, g: Map, x: Tensor) -> Tensor:
    """∇ Σᵢ fᵢ(x) / gᵢ(x) by two vector-Jacobian products. Equation :eq:`eq-quotient-vjp`."""
    above, below = f(x), g(x)
    return vjp(f, x, 1 / below) - vjp(g, x, above / below**2)


def jacobian_bytes(output_shape: Sequence[int], x: Tensor) -> int:
    """The memory of a full Jacobian, in bytes, before it is computed."""
    return torch.Size(output_shape).numel() * x.numel() * x.element_size()


def full_jacobian(
    fn: Map, x: Tensor, *, mode: str = "reverse", limit: int = MEMORY_LIMIT
) -> Tensor:
    """Every ∂fn(x)ᵢ/∂xⱼ, of shape ``(*output, *input)``.

    Rows are computed a few at a time. Forward mode computes all columns at once, and meanwhile
    may need many times the memory of the result.

    Args:
        fn: a function of one tensor.
        x: where to differentiate; floating point.
        mode: "reverse" computes rows (``torch.func.jacrev``), "forward" columns (``jacfwd``).
        limit: bytes that the result may take.

    Raises:
        ValueError: the Jacobian would be larger than ``limit``, or the mode is unknown.
    """
    if mode not in ("reverse", "forward"):
        raise ValueError(f'mode must be "reverse" or "forward", not {shown(mode)}')
    with torch.no_grad():
        output_shape = fn(x).shape
    needed = jacobian_bytes(output_shape, x)
    if needed > limit:
        raise ValueError(
            f"the Jacobian of shape {(*output_shape, *x.shape)} would take {needed / 2**20:,.0f} "
            f"MiB, above the limit of {limit / 2**20:,.0f} MiB: use a smaller image, raise limit, "
            "or ask for vjp or jvp, which never form it"
        )
    if mode == "forward":
        return torch.func.jacfwd(fn)(x)
    return torch.func.jacrev(fn, chunk_size=max(1, CHUNK // jacobian_bytes((1,), x)))(x)


@needs_data_range
def ssim_map_jacobian(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    mode: str = "reverse",
    limit: int = MEMORY_LIMIT,
) -> Tensor:
    """∂S(p)/∂x(q) of the reference's SSIM map, in float64.

    Equation :eq:`eq-jacobian`. One row, ``J[..., i, j, :, :]``, is what map pixel (i, j) sees of
    the image; one column, ``J[:, :, i, j]``, is what image pixel (i, j) does to the map; the sum
    of the rows is the gradient of the map's sum.

    Args:
        x, y: images, (H, W) or with leading dimensions; meant for 8 x 8 to 32 x 32.
        data_range, window, k: as :func:`ssimlab.reference.ssim`.
        mode, limit: as :func:`full_jacobian`.

    Returns:
        ``(*map, *x.shape)``, where the map is (…, H', W').

    Raises:
        TypeError, ValueError: an argument cannot be used, or the result would be too large.
    """
    check_arguments(x, y, data_range, window, k)
    x, y = x.double(), y.double()

    def ssim_map(image: Tensor) -> Tensor:
        return reference.ssim(image, y, data_range=data_range, window=window, k=k, reduction="none")

    return full_jacobian(ssim_map, x, mode=mode, limit=limit)
