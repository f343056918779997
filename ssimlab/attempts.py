"""The forum thread's three attempts at the gradient of SSIM, each with the reason it fails.

"Analytical SSIM derivative differs from autograd computation" (PyTorch forums) compares three
hand-made gradients with autograd. All three go wrong at the adjoint Wᵀ, which is left out, or
moved past a map that it does not commute with. They are rebuilt here from the formulas of the
thread, on its data, to be measured. What is right in each is right where the maps are constant
over the window.

All compute in the dtype of the images, so that an error can be asked whether it is rounding.
Those with a ``data_range`` take the arguments of :func:`ssimlab.reference.ssim`, but for
``reduction`` and with a padding that keeps the size, and raise its errors. Gradients have the shape
and the dtype of x.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._inputs import check_arguments, needs_data_range
from .formula import (
    PUBLISHED_K,
    Constants,
    Moments,
    constants,
    denominators,
    one_pass_moments,
    quotients,
)
from .window import Window

#: The thread's window: 3 x 3, Gaussian, zeros around the image.
FORUM_WINDOW = Window(size=3, sigma=1.5, padding="zero")


def forum_images() -> tuple[Tensor, Tensor]:
    """The two 4 x 4 images of the thread, (1, 4, 4), float64, data range 1."""
    image = [[0.2, 0.3, 0.3, 0.4], [0.5, 0.3, 0.4, 0.2], [0.2, 0.3, 0.4, 0.4], [0.5, 0.4, 0.5, 0.2]]
    reference = [
        [0.1, 0.2, 0.23, 0.4],
        [0.3, 0.21, 0.43, 0.2],
        [0.1, 0.1, 0.44, 0.14],
        [0.3345, 0.412, 0.53, 0.132],
    ]
    return (
        torch.tensor([image], dtype=torch.float64),
        torch.tensor([reference], dtype=torch.float64),
    )


@needs_data_range
def mean_luminance(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = FORUM_WINDOW,
    k: tuple[float, float] = PUBLISHED_K,
) -> Tensor:
    """mean(l), the scalar that attempts 2 and 3 differentiate. Equation :eq:`eq-l-cs`."""
    m, c = _prepare(x, y, data_range, window, k)
    return quotients(m, c)[0].mean()


@needs_data_range
def pixelwise(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = FORUM_WINDOW,
    k: tuple[float, float] = PUBLISHED_K,
) -> Tensor:
    """Attempt 1: the quotient rule at one pixel, as if a map pixel saw only its own image pixel.

    Meant as ∂ mean(SSIM) / ∂x. Every window that covers a pixel contributes to its gradient,
    each with its own weight; this keeps one of them and multiplies by the sum of the weights, Wᵀ1.
    Right for a 1 x 1 window. Needs a padding that keeps the size.
    """
    m, c = _prepare(x, y, data_range, window, k)
    luminance, contrast_structure = quotients(m, c)
    b, q = denominators(m, c)
    reach = _adjoint_of_ones(x, window)
    by_luminance = 2 * reach * (m.mu_y - luminance * m.mu_x) / b
    by_structure = 2 * reach * ((y - m.mu_y) - contrast_structure * (x - m.mu_x)) / q
    return (by_luminance * contrast_structure + luminance * by_structure) / luminance.numel()


@needs_data_range
def by_local_mean(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = FORUM_WINDOW,
    k: tuple[float, float] = PUBLISHED_K,
) -> Tensor:
    """Attempt 2: the luminance differentiated by μx, and offered as its derivative by x.

    Meant as ∂ mean(l) / ∂x. The quotient rule is right for ∂ mean(l) / ∂μx; what is missing is
    the last link of the chain, μx = W x, whose adjoint is Wᵀ.
    """
    m, c = _prepare(x, y, data_range, window, k)
    above, below = _luminance_parts(m, c)
    by_mean = (2 * m.mu_y * below - above * 2 * m.mu_x) / below**2
    return by_mean / above.numel()


@needs_data_range
def by_gradients_of_sums(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = FORUM_WINDOW,
    k: tuple[float, float] = PUBLISHED_K,
) -> Tensor:
    """Attempt 3: the quotient rule applied to gradients of sums.

    Meant as ∂ mean(l) / ∂x. The gradients of a.sum() and b.sum() have already added up what each
    pixel does to all map pixels, 2 Wᵀμy and 2 Wᵀμx; dividing by b afterwards weights that sum,
    and not each of its terms: Wᵀ(μy) / b stands where Wᵀ(μy / b) belongs.
    """
    m, c = _prepare(x, y, data_range, window, k)
    above, below = _luminance_parts(m, c)
    size = tuple(x.shape[-2:])
    of_above = 2 * window.adjoint(m.mu_y, size)
    of_below = 2 * window.adjoint(m.mu_x, size)
    return (of_above * below - above * of_below) / below**2 / above.numel()


@needs_data_range
def luminance_gradient(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = FORUM_WINDOW,
    k: tuple[float, float] = PUBLISHED_K,
) -> Tensor:
    """∂ mean(l) / ∂x as it should be: Wᵀ outside every pixelwise factor.

    Equation :eq:`eq-luminance-gradient`.
    """
    m, c = _prepare(x, y, data_range, window, k)
    above, below = _luminance_parts(m, c)
    by_mean = (2 * m.mu_y * below - above * 2 * m.mu_x) / below**2
    return window.adjoint(by_mean / above.numel(), tuple(x.shape[-2:]))


def sum_of_products_as_posted(x: Tensor, y: Tensor, window: Window = FORUM_WINDOW) -> Tensor:
    """The thread's gradient of Σ W(xy) by x: x ⊙ Wᵀ(xy). The right one is y ⊙ Wᵀ1."""
    return x * window.adjoint(x * y, tuple(x.shape[-2:]))


def sum_of_variances_as_posted(x: Tensor, window: Window = FORUM_WINDOW) -> Tensor:
    """The thread's gradient of Σ σx² by x: 2 Wᵀx - 2 μx ⊙ Wᵀ1.

    The right one is 2 x ⊙ Wᵀ1 - 2 Wᵀμx: again factor and adjoint have changed places.
    """
    size = tuple(x.shape[-2:])
    return 2 * window.adjoint(x, size) - 2 * window(x) * _adjoint_of_ones(x, window)


def commutator(factor: Tensor, upstream: Tensor, window: Window = FORUM_WINDOW) -> Tensor:
    """Wᵀ(f ⊙ u) - f ⊙ Wᵀu, the error of moving a pixelwise factor out of Wᵀ.

    Equation :eq:`eq-commutator`. ``factor`` and ``upstream`` are maps, (…, H, W), of a window
    that keeps the size.
    """
    size = tuple(upstream.shape[-2:])
    return window.adjoint(factor * upstream, size) - factor * window.adjoint(upstream, size)


def _prepare(
    x: Tensor, y: Tensor, data_range: float, window: Window, k: tuple[float, float]
) -> tuple[Moments, Constants]:
    if window.padding == "valid" and window.size > 1:
        raise ValueError(
            'the attempts multiply maps by images, so they need padding="zero" or "reflect"'
        )
    data_range, k = check_arguments(x, y, data_range, window, k)
    return one_pass_moments(x, y, window), constants(data_range, k)


def _luminance_parts(m: Moments, c: Constants) -> tuple[Tensor, Tensor]:
    return 2 * m.mu_x * m.mu_y + c.c1, denominators(m, c)[0]


def _adjoint_of_ones(x: Tensor, window: Window) -> Tensor:
    return window.adjoint(torch.ones_like(x), tuple(x.shape[-2:]))
