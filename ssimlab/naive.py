"""SSIM as it is commonly written, each form under the name of what it does.

In exact arithmetic the forms named for their arithmetic are all SSIM. In floating point each
fails somewhere, and the book shows where. They compute in the dtype that they are given, as code
in the wild does, so a half-precision image shows half precision's faults. For work, use
:func:`ssimlab.ssim`.

All take the arguments of :func:`ssimlab.reference.ssim`, so that a loop can compare them.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ._inputs import apply_reduction, check_arguments, needs_data_range
from .formula import (
    PUBLISHED_K,
    Constants,
    Moments,
    constants,
    denominators,
    one_pass_moments,
    quotients,
    similarity,
)
from .window import Window


@needs_data_range
def one_pass(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """Variances as E[x²] - μ²: the textbook form.

    Equation :eq:`eq-rearranged`. The difference of two nearly equal numbers keeps the rounding of
    the larger: where the mean is large beside the contrast, the variance may even be negative.
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    m = one_pass_moments(x, y, window)
    return apply_reduction(similarity(m, constants(data_range, k)), reduction)


@needs_data_range
def clamped_variance(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """:func:`one_pass` with the variances, but not the covariance, clamped at zero.

    The clamp removes the sign of the error and keeps the error; the covariance keeps both, so
    that an image compared with itself need not score 1.
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    m = one_pass_moments(x, y, window)
    m = m._replace(sigma_x2=m.sigma_x2.clamp(min=0), sigma_y2=m.sigma_y2.clamp(min=0))
    return apply_reduction(similarity(m, constants(data_range, k)), reduction)


@needs_data_range
def product_form(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """:func:`one_pass` with one quotient of two products, instead of two quotients.

    The products span twice the exponents of their factors: in float16 they overflow on 8-bit
    values and underflow on dark images.
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    m, c = one_pass_moments(x, y, window), constants(data_range, k)
    return apply_reduction(_one_quotient(m, c), reduction)


@needs_data_range
def luminance_contrast_structure(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """The product l · c · s with explicit standard deviations.

    Equation :eq:`eq-components`. The square root has an infinite derivative at zero and no real
    value below it, and a flat window of :func:`one_pass` variance gives it both.
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    m, c = one_pass_moments(x, y, window), constants(data_range, k)
    luminance, _ = quotients(m, c)
    sigma_x, sigma_y = m.sigma_x2.sqrt(), m.sigma_y2.sqrt()
    contrast = (2 * sigma_x * sigma_y + c.c2) / (sigma_x**2 + sigma_y**2 + c.c2)
    structure = (m.sigma_xy + c.c2 / 2) / (sigma_x * sigma_y + c.c2 / 2)
    return apply_reduction(luminance * contrast * structure, reduction)


@needs_data_range
def zero_padded_same(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """:func:`one_pass` on images surrounded by zeros, whatever the window's own padding.

    The convention of Gaussian-splatting code. Not an error of arithmetic: a different function
    near the border, where the zeros count as pixels that the two images share.
    """
    return one_pass(
        x,
        y,
        data_range=data_range,
        window=replace(window, padding="zero"),
        k=k,
        reduction=reduction,
    )


@needs_data_range
def unsquared_constants(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(sigma=None, padding="zero"),
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
    eps: float = 1e-8,
) -> Tensor:
    """A uniform window, constants k L instead of (k L)², and eps added to the denominator.

    The custom loss of an article on NaN in SSIM losses. At data range 1 its constants are 100 and
    33 times the published ones, so it answers a different question, and eps makes two equal
    images score N / (N + eps) instead of 1.
    """
    data_range, k = check_arguments(x, y, data_range, window, k, reduction)
    c = Constants(k[0] * data_range, k[1] * data_range)
    m = one_pass_moments(x, y, window)
    return apply_reduction(_one_quotient(m, c, eps), reduction)


def _one_quotient(m: Moments, c: Constants, eps: float = 0.0) -> Tensor:
    above = (2 * m.mu_x * m.mu_y + c.c1) * (2 * m.sigma_xy + c.c2)
    of_means, of_variances = denominators(m, c)
    return above / (of_means * of_variances + eps)


#: The form that most code calls SSIM.
ssim = one_pass

#: Every form, by name.
FORMS = {
    form.__name__: form
    for form in (
        one_pass,
        clamped_variance,
        product_form,
        luminance_contrast_structure,
        zero_padded_same,
        unsquared_constants,
    )
}
