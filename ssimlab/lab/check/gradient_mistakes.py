"""The mistakes that are made in the gradient of SSIM, where SSIM itself is right."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from ... import attempts
from ...formula import denominators, quotients
from .recipe import Mistake, chain_rule


def _place(p):
    """Put a map in the middle of zeros: what is left to do with it where Wᵀ is forgotten."""

    def place(g):
        rows, columns = ((n - k) // 2 for n, k in zip(p.x.shape[-2:], g.shape[-2:], strict=True))
        return F.pad(g, (columns, columns, rows, rows))

    return place


def _without_adjoint(p):
    return chain_rule(p._replace(adjoint=_place(p)))


def _pixel_by_pixel(p):
    return p.adjoint(torch.ones_like(p.by_mean)) * _without_adjoint(p)


def _factors_inside(p):
    inside = [(n - k) // 2 for n, k in zip(p.x.shape[-2:], p.by_mean.shape[-2:], strict=True)]
    rows, columns = (slice(i, n - i) for i, n in zip(inside, p.x.shape[-2:], strict=True))
    x, y = p.x[..., rows, columns], p.y[..., rows, columns]
    return p.adjoint(p.by_mean + 2 * x * p.by_mean_square + y * p.by_mean_product)


def _centers_for_means(of_x, of_y, left=lambda mean, center: mean - center):
    """Differences from the windows' center pixels, with the rest made for those from the means.

    Of x, of y or of both: the other has been taken from the rest. ``left`` is what is too much in
    the rest, for each unit of the factor.
    """

    def assemble(p):
        rows, columns = (
            (n - k) // 2 for n, k in zip(p.x.shape[-2:], p.by_mean.shape[-2:], strict=True)
        )
        inside = (..., slice(rows, p.x.shape[-2] - rows), slice(columns, p.x.shape[-1] - columns))
        shift_x, shift_y = left(p.moments.mu_x, p.x[inside]), left(p.moments.mu_y, p.y[inside])
        missing = of_x * 2 * shift_x * p.by_mean_square + of_y * shift_y * p.by_mean_product
        return chain_rule(p) + p.adjoint(missing)

    return assemble


def _gradients_of_sums(p):
    """Attempt 3 carried through for l · cs: both quotient rules with gradients of sums."""
    luminance, contrast_structure = quotients(p.moments, p.constants)
    ones = p.adjoint(torch.ones_like(luminance))
    of_above = 2 * (p.y * ones - p.adjoint(p.moments.mu_y))
    of_below = 2 * (p.x * ones - p.adjoint(p.moments.mu_x))
    _, below = denominators(p.moments, p.constants)
    by_structure = (of_above - contrast_structure * of_below) / below
    by_luminance = _luminance_of_sums(p)
    return by_luminance * contrast_structure + luminance * by_structure / luminance.numel()


def _luminance_of_sums(p):
    return attempts.by_gradients_of_sums(
        p.x, p.y, data_range=p.case.data_range, window=p.case.window
    )


def _other_adjoint(adjoint):
    """The chain rule with ``adjoint(window, placed map, size)`` where Wᵀ belongs."""

    def assemble(p):
        size, place = tuple(p.x.shape[-2:]), _place(p)
        return chain_rule(p._replace(adjoint=lambda g: adjoint(p.case.window, place(g), size)))

    return assemble


def _adjoint_of(padding):
    return _other_adjoint(lambda w, g, size: replace(w, padding=padding).adjoint(g, size))


def _window_of(padding):
    return _other_adjoint(lambda w, g, size: replace(w, padding=padding)(g))


def _without(term):
    return lambda p: chain_rule(p._replace(**{term: torch.zeros_like(p.by_mean)}))


def _means_held(m, *_):
    """The same moments, whose derivatives by the means are lost."""
    x, y = m.mu_x, m.mu_y
    return m._replace(
        sigma_x2=m.sigma_x2 + x**2 - x.detach() ** 2,
        sigma_xy=m.sigma_xy + x * y - x.detach() * y,
    )


_ADJOINT_ADVICE = (
    "An image pixel is seen by every window that covers it, so each partial derivative, a map, "
    "goes back to the image by the adjoint Wᵀ: Wᵀ g_m + 2 x ⊙ Wᵀ g_xx + y ⊙ Wᵀ g_xy."
)
_PADDING_ADVICE = (
    "Wᵀ is the adjoint of W with its padding: ⟨W x, g⟩ = ⟨x, Wᵀ g⟩ must hold for every x and g."
)

#: The commoner ones first.
CHAIN_RULE_MISTAKES = (
    Mistake("adjoint forgotten", _ADJOINT_ADVICE, {"assemble": _without_adjoint}),
    Mistake(
        "pixel by pixel: the forum's attempt 1",
        "Each map pixel is differentiated as if it saw one image pixel, and the result is "
        f"multiplied by the sum of weights Wᵀ1. {_ADJOINT_ADVICE}",
        {"assemble": _pixel_by_pixel},
    ),
    Mistake(
        "derivative by the local mean: the forum's attempt 2",
        "This is ∂ mean(l) / ∂μx, right for what it is. The chain goes on: μx = W x, so it takes "
        f"Wᵀ to get to x, and cs depends on x as well. {_ADJOINT_ADVICE}",
        {
            "combine": lambda m, c: quotients(m, c)[0],
            "assemble": lambda p: _place(p)(p.by_mean),
        },
    ),
    Mistake(
        "derivative by the local mean",
        "This is ∂ mean(SSIM) / ∂μx alone, as if nothing else depended on x, and without Wᵀ. "
        f"{_ADJOINT_ADVICE}",
        {"assemble": lambda p: _place(p)(p.by_mean)},
    ),
    Mistake(
        "gradients of sums, luminance only: the forum's attempt 3",
        "The quotient rule is applied to the gradients of a.sum() and b.sum(), which have already "
        "added up what it must weight: Wᵀ(μy) / b stands where Wᵀ(μy / b) belongs. And it is the "
        "gradient of l alone.",
        {"assemble": _luminance_of_sums},
    ),
    Mistake(
        "gradients of sums: the forum's attempt 3",
        "The quotient rule is applied to gradients of sums, which have already added up what it "
        "must weight: Wᵀ stands inside the factors, and belongs outside.",
        {"assemble": _gradients_of_sums},
    ),
    Mistake(
        "factors inside the adjoint",
        "You have Wᵀ(x ⊙ g) where x ⊙ Wᵀ g belongs: x is multiplied before W averages, so it is "
        "multiplied after Wᵀ on the way back.",
        {"assemble": _factors_inside},
    ),
    Mistake(
        "adjoint with the wrong padding: zero",
        f"{_PADDING_ADVICE} Yours is the adjoint of zero padding.",
        {"assemble": _adjoint_of("zero")},
    ),
    Mistake(
        "adjoint with the wrong padding: reflect",
        f"{_PADDING_ADVICE} Yours is the adjoint of reflection.",
        {"assemble": _adjoint_of("reflect")},
    ),
    Mistake(
        "W in place of its adjoint",
        f"{_PADDING_ADVICE} Yours averages the map with reflection, as W does an image.",
        {"assemble": _window_of("reflect")},
    ),
    Mistake(
        "gradient with respect to y",
        "The check asks for the gradient with respect to the first image, x.",
        {"images": lambda x, y: (y, x)},
    ),
    Mistake(
        "factor 2 of 2 x ⊙ Wᵀ g_xx forgotten",
        "The derivative of x² is 2 x.",
        {"assemble": lambda p: chain_rule(p._replace(by_mean_square=p.by_mean_square / 2))},
    ),
    Mistake(
        "term y ⊙ Wᵀ g_xy forgotten",
        "x also acts through W xy, in the covariance, and its derivative there is y.",
        {"assemble": _without("by_mean_product")},
    ),
    Mistake(
        "term 2 x ⊙ Wᵀ g_xx forgotten",
        "x also acts through W x², in the variance, and its derivative there is 2 x.",
        {"assemble": _without("by_mean_square")},
    ),
    Mistake(
        "term Wᵀ g_m forgotten",
        "x also acts through the mean μx = W x.",
        {"assemble": _without("by_mean")},
    ),
    Mistake(
        "x ⊙ Wᵀ g_xy instead of y ⊙ Wᵀ g_xy",
        "The derivative of W xy by x has y as its factor.",
        {"assemble": lambda p: chain_rule(p._replace(y=p.x))},
    ),
    *(
        Mistake(
            f"center pixels in place of means{which}",
            "Where the differences are those from a window's center pixel and no longer from its "
            "mean, what lies between the two, 2 (μx - x_p) g_xx + (μy - y_p) g_xy, in the book's "
            f"letters P δx + N δy, has to leave the rest{more}.",
            {"assemble": _centers_for_means(of_x, of_y)},
        )
        for which, more, of_x, of_y in (
            ("", "", 1, 1),
            (": of x", "; the part with δx is still there", 1, 0),
            (": of y", "; the part with δy is still there", 0, 1),
        )
    ),
    Mistake(
        "center pixels in place of means: added",
        "What lies between mean and center pixel, P δx + N δy, is added to the rest. It has to "
        "leave it: with the sign of minus.",
        {"assemble": _centers_for_means(1, 1, lambda mean, center: 2 * (mean - center))},
    ),
    Mistake(
        "center pixels in place of means: whole means taken",
        "The means themselves, P μx + N μy, are taken from the rest. What has to leave it is what "
        "lies between mean and center pixel, δx = μx - x_p and δy = μy - y_p.",
        {"assemble": _centers_for_means(1, 1, lambda mean, center: -center)},
    ),
    Mistake(
        "luminance held constant",
        "The product rule has two terms, cs ∂l and l ∂cs; the first is missing (l is detached?).",
        {"combine": lambda m, c: quotients(m, c)[0].detach() * quotients(m, c)[1]},
    ),
    Mistake(
        "contrast and structure held constant",
        "The product rule has two terms, cs ∂l and l ∂cs; the second is missing (cs is detached?).",
        {"combine": lambda m, c: quotients(m, c)[0] * quotients(m, c)[1].detach()},
    ),
    Mistake(
        "means held constant in the variances",
        "σx² = E[x²] - μx² and σxy = E[xy] - μx μy depend on x through the means too: g_m has a "
        "term for it (μx is detached?).",
        {"moments": _means_held},
    ),
)
