"""The mistakes that are made in SSIM, each as the step of the recipe that it replaces.

What a mistake does can so be computed on any pair of images, and held against what a reader's
function returns.
"""

from __future__ import annotations

import math

import torch

from ...formula import PUBLISHED_K, Constants, constants, quotients, similarity
from ...window import Window
from .recipe import PADDINGS, Mistake


def _equal_weights(window):
    return (1 / window.size,) * window.size


def _with_sigma(change):
    """The window's taps with another standard deviation; a uniform window has none to change."""
    return lambda window: Window(window.size, change(window.sigma or math.inf)).taps


def _bell(window, center):
    """Taps that are not divided by their sum."""
    sigma = window.sigma or math.inf
    return [math.exp(-0.5 * ((i - center) / sigma) ** 2) for i in range(window.size)]


def _off_center(window):
    bell = _bell(window, window.size / 2)
    return [tap / sum(bell) for tap in bell]


def _sample(m, factor):
    return m._replace(
        sigma_x2=m.sigma_x2 * factor, sigma_y2=m.sigma_y2 * factor, sigma_xy=m.sigma_xy * factor
    )


def _divide_by_count_less_one(m, window, *_):
    return _sample(m, 1 / (1 - 1 / window.size**2) if window.size > 1 else math.nan)


def _divide_by_free_weight(m, window, *_):
    free = 1 - sum(tap * tap for tap in window.taps) ** 2
    return _sample(m, 1 / free if window.size > 1 else math.nan)


def _raw_second_moments(m, *_):
    return m._replace(
        sigma_x2=m.sigma_x2 + m.mu_x**2,
        sigma_y2=m.sigma_y2 + m.mu_y**2,
        sigma_xy=m.sigma_xy + m.mu_x * m.mu_y,
    )


def _in_two_passes(own, pixels=True):
    """Moments by rows and then columns, as someone makes them who has not understood it.

    ``own`` gives the rows' part from their second moments about the center pixel, the products of
    their means there, and the taps; without ``pixels`` the means stay relative to that pixel.
    """

    def moments(m, window, x, y):
        taps = torch.tensor(window.taps, dtype=x.dtype)
        pad = PADDINGS[window.padding]
        x, y = (pad(v.reshape(-1, 1, *v.shape[-2:]), window.radius) for v in (x, y))

        def covariance(a, b):
            rows = [v.unfold(-1, window.size, 1) for v in (a, b)]
            centers = [row[..., window.radius] for row in rows]
            rows = [row - center[..., None] for row, center in zip(rows, centers, strict=True)]
            means = [row @ taps for row in rows]
            inner = own((rows[0] * rows[1]) @ taps, means[0] * means[1], taps)
            if pixels:
                means = [mean + center for mean, center in zip(means, centers, strict=True)]
            columns = [v.unfold(-2, window.size, 1) for v in means]
            outer = (columns[0] * columns[1]) @ taps - (columns[0] @ taps) * (columns[1] @ taps)
            return (outer + inner).reshape(m.mu_x.shape)

        return m._replace(
            sigma_x2=covariance(x, x), sigma_y2=covariance(y, y), sigma_xy=covariance(x, y)
        )

    return moments


def _no_rows(second, product, taps):
    return 0.0


def _center_row(second, product, taps):
    return (second - product).unfold(-2, len(taps), 1)[..., len(taps) // 2]


def _all_rows(second, product, taps):
    return (second - product).unfold(-2, len(taps), 1) @ taps


def _rows_about_their_centers(second, product, taps):
    return second.unfold(-2, len(taps), 1) @ taps


def _luminance_below(m, c):
    return m.mu_x**2 + m.mu_y**2 + c.c1


def _structure_below(m, c):
    return m.sigma_x2 + m.sigma_y2 + c.c2


def _covariance_once(m, c):
    return quotients(m, c)[0] * (m.sigma_xy + c.c2) / _structure_below(m, c)


def _means_once(m, c):
    return (m.mu_x * m.mu_y + c.c1) / _luminance_below(m, c) * quotients(m, c)[1]


def _constants_on_one_side(above, below):
    """l and cs with the constants of ``above`` and ``below``, pairs of 0 or 1, multiplied in."""

    def combine(m, c):
        (a1, a2), (b1, b2) = above, below
        luminance = (2 * m.mu_x * m.mu_y + a1 * c.c1) / (m.mu_x**2 + m.mu_y**2 + b1 * c.c1)
        above_structure = 2 * m.sigma_xy + a2 * c.c2
        return luminance * above_structure / (m.sigma_x2 + m.sigma_y2 + b2 * c.c2)

    return combine


def _deviations(m):
    # A variance is never negative; rounding can make it so, and the square root needs it not.
    return m.sigma_x2.clamp(min=0).sqrt(), m.sigma_y2.clamp(min=0).sqrt()


def _deviations_below(m, c):
    below = sum(_deviations(m)) + c.c2
    return quotients(m, c)[0] * (2 * m.sigma_xy + c.c2) / below


def _third_constant_too_large(m, c):
    spread = math.prod(_deviations(m))
    contrast = (2 * spread + c.c2) / _structure_below(m, c)
    return quotients(m, c)[0] * contrast * (m.sigma_xy + c.c2) / (spread + c.c2)


def _unsquared(data_range):
    return Constants(*(k * data_range for k in PUBLISHED_K))


_UNSQUARED_ADVICE = (
    "The constants are C1 = (k1 L)² and C2 = (k2 L)²; yours are k1 L and k2 L, which for L = 1 are "
    "a hundred and thirty-three times too large."
)
_COUNT_ADVICE = "The mean SSIM is the sum over the map divided by the number of pixels of the map"
_RANGE_ADVICE = "L is the argument data_range, and C1 and C2 must grow with its square"


def _paddings():
    sentences = {
        "valid": "keeps only the windows that lie inside the image",
        "zero": "surrounds the images with zeros, which then count as pixels that they share",
        "reflect": "mirrors the images about their border pixels",
        "replicate": "repeats the border pixels",
        "circular": "wraps the images around, as a product of Fourier transforms does",
        "symmetric": 'mirrors the images about their edges, as SciPy\'s mode="reflect" does',
    }
    for padding, sentence in sentences.items():
        yield Mistake(
            f"wrong padding: {padding}",
            f"Your window {sentence}. The check expects the padding of its window argument, "
            'which unless you say otherwise is "valid": no padding.',
            {"padding": padding},
        )


def _counts():
    def count(name, what, of):
        advice = f"{_COUNT_ADVICE}; yours is divided by {what}."
        return Mistake(f"mean over the wrong count: {name}", advice, {"reduce": of})

    yield Mistake("sum instead of mean", f"{_COUNT_ADVICE}.", {"reduce": lambda s, x: s.sum()})
    yield count(
        "pixels of the image, not of the map",
        "the number of pixels of x",
        lambda s, x: s.sum() / x.numel(),
    )
    yield count(
        "rows times columns of the map",
        "rows times columns of one map, so images and channels are added up",
        lambda s, x: s.sum() / math.prod(s.shape[-2:]),
    )
    yield count(
        "rows times columns of the image",
        "rows times columns of one image, so images and channels are added up",
        lambda s, x: s.sum() / math.prod(x.shape[-2:]),
    )
    yield count(
        "one image of the batch",
        "the number of map pixels of one image, so the images of the batch are added up",
        lambda s, x: s.sum() / math.prod(s.shape[-3:]),
    )


def _ranges():
    def measured(name, what, span, undefined_when_flat=True):
        return Mistake(
            f"data range measured on {name}",
            f"{_RANGE_ADVICE}; yours is the difference of largest and smallest pixel of {what}, "
            "so one image's score depends on its own extremes.",
            {"data_range": span},
            undefined_when_flat,
        )

    for value in (1, 255):
        yield Mistake(
            f"data_range ignored: L = {value}",
            f"{_RANGE_ADVICE}; yours stay those of L = {value}.",
            {"data_range": lambda case, value=value: value},
        )
    yield measured("x", "x", lambda case: float(case.x.max() - case.x.min()))
    yield measured("y", "y", lambda case: float(case.y.max() - case.y.min()))
    yield measured(
        "the pair",
        "the two images together",
        lambda case: float(
            torch.maximum(case.x, case.y).max() - torch.minimum(case.x, case.y).min()
        ),
        undefined_when_flat=False,
    )


def _one_sided():
    for name, missing in (("C1 and C2", (0, 0)), ("C1", (0, 1)), ("C2", (1, 0))):
        for side, other in (("below", "above"), ("above", "below")):
            steps = {"below": (1, 1), "above": (1, 1), other: missing}
            yield Mistake(
                f"{name} added {side} only",
                "C1 and C2 stand in numerator and denominator alike; that is what makes "
                "SSIM(x, x) = 1.",
                {"combine": _constants_on_one_side(**steps)},
                undefined_when_flat=other == "below",
            )


#: What is done wrong in SSIM itself. The gradient inherits each of them.
SSIM_MISTAKES = (
    Mistake("C not squared", _UNSQUARED_ADVICE, {"constants": _unsquared}),
    Mistake(
        "only k squared: C = k² L",
        "The constants are C = (k L)²: the data range is squared too.",
        {"constants": lambda L: Constants(*(k**2 * L for k in PUBLISHED_K))},
    ),
    Mistake(
        "only L squared: C = k L²",
        "The constants are C = (k L)²: k is squared too.",
        {"constants": lambda L: Constants(*(k * L**2 for k in PUBLISHED_K))},
    ),
    Mistake(
        "C1 and C2 swapped",
        "C1 = (0.01 L)² belongs to the means, C2 = (0.03 L)² to the variances.",
        {"constants": lambda L: Constants(*reversed(constants(L)))},
    ),
    Mistake(
        "C1 and C2 are zero",
        "Without its constants SSIM is the universal quality index of 2002, which is 0/0 on "
        "constant images: add C1 = (0.01 L)² and C2 = (0.03 L)².",
        {"constants": lambda L: Constants(0.0, 0.0)},
        undefined_when_flat=True,
    ),
    *_ranges(),
    Mistake(
        "sample covariance",
        "Variances and covariance are multiplied by N/(N - 1), with N the number of pixels of the "
        "window (scikit-image's default). Wang et al. average with weights that sum to one.",
        {"moments": _divide_by_count_less_one},
    ),
    Mistake(
        "sample covariance: divided by 1 - Σw²",
        "Variances and covariance are divided by 1 - Σw², which makes weighted estimates unbiased. "
        "Wang et al. average with weights that sum to one, and leave it at that.",
        {"moments": _divide_by_free_weight},
    ),
    Mistake(
        "mean not subtracted from the second moments",
        "The variance is E[x²] - μx² and the covariance E[xy] - μx μy; yours are E[x²] and E[xy].",
        {"moments": _raw_second_moments},
    ),
    Mistake(
        "covariances within the rows forgotten",
        "In two passes a variance is the variance of the rows' means and the mean of the rows' own "
        "variances, and so is the covariance; the second part is missing.",
        {"moments": _in_two_passes(_no_rows)},
    ),
    Mistake(
        "covariances within the center row alone",
        "In two passes the rows' own variances and covariances are averaged down the columns with "
        "the window's weights; yours are those of the center row.",
        {"moments": _in_two_passes(_center_row)},
    ),
    Mistake(
        "second moments about the rows' center pixels in place of covariances",
        "What is summed about a center pixel is a covariance once the product of the two means, "
        "as seen from that pixel, is subtracted; in the rows it is not.",
        {"moments": _in_two_passes(_rows_about_their_centers)},
    ),
    Mistake(
        "rows' means without their center pixels",
        "Down the columns the rows' whole means vary; yours are measured from each row's center "
        "pixel, and those pixels differ from row to row.",
        {"moments": _in_two_passes(_all_rows, pixels=False)},
    ),
    *_paddings(),
    Mistake(
        "uniform window",
        "The weights are all equal. The published window is a Gaussian with a standard deviation "
        "of 1.5 pixels.",
        {"taps": _equal_weights},
    ),
    Mistake(
        "wrong sigma: 1 pixel",
        "The Gaussian's standard deviation is 1 pixel; the published window has 1.5.",
        {"taps": _with_sigma(lambda sigma: 1.0)},
    ),
    Mistake(
        "wrong sigma: not squared in the exponent",
        "The weights are exp(-i² / 2σ²); yours have 2σ below.",
        {"taps": _with_sigma(math.sqrt)},
    ),
    Mistake(
        "wrong sigma: factor 2 missing in the exponent",
        "The weights are exp(-i² / 2σ²); yours have σ² below.",
        {"taps": _with_sigma(lambda sigma: sigma / math.sqrt(2))},
    ),
    Mistake(
        "wrong window size: 7 instead of 11",
        "Your Gaussian has 7 x 7 weights; the published window has 11 x 11.",
        {"taps": lambda window: Window(7, window.sigma).taps},
    ),
    Mistake(
        "wrong window size: 13 instead of 11",
        "Your Gaussian reaches 6 pixels from its center, four standard deviations, which is where "
        "SciPy stops by default; the published window reaches 5.",
        {"taps": lambda window: Window(13, window.sigma).taps},
    ),
    Mistake(
        "window not normalized",
        "The weights do not sum to one: divide them by their sum.",
        {"taps": lambda window: _bell(window, window.radius)},
    ),
    Mistake(
        "window off center",
        "The Gaussian is centered at size / 2, between two pixels; the center of an odd window is "
        "the pixel size // 2.",
        {"taps": _off_center},
    ),
    Mistake(
        "no local window",
        "Means and variances are those of the whole image. SSIM takes them around each pixel and "
        "averages afterwards.",
        {"filter": lambda padded, kernel: padded.mean((-2, -1), keepdim=True), "padding": "valid"},
    ),
    Mistake(
        "scikit-image's defaults",
        "A uniform 7 x 7 window and the sample covariance are what scikit-image takes unless told "
        "otherwise: gaussian_weights=True, sigma=1.5, use_sample_covariance=False.",
        {
            "taps": lambda window: Window(7, None).taps,
            "moments": lambda m, *_: _divide_by_count_less_one(m, Window(7, None)),
        },
    ),
    Mistake(
        "C not squared, uniform window, zero padding",
        f"This is the loss of an article on NaN. {_UNSQUARED_ADVICE} Its window has equal weights, "
        "and zeros around the images.",
        {"constants": _unsquared, "taps": _equal_weights, "padding": "zero"},
    ),
    Mistake(
        "luminance only",
        "This is the mean of l alone; SSIM is the mean of l · cs.",
        {"combine": lambda m, c: quotients(m, c)[0]},
    ),
    Mistake(
        "contrast and structure only",
        "This is the mean of cs alone; SSIM is the mean of l · cs.",
        {"combine": lambda m, c: quotients(m, c)[1]},
    ),
    Mistake(
        "factor 2 of the covariance forgotten",
        "The numerator of cs is 2 σxy + C2.",
        {"combine": _covariance_once},
    ),
    Mistake(
        "factor 2 of the means forgotten",
        "The numerator of l is 2 μx μy + C1.",
        {"combine": _means_once},
    ),
    *_one_sided(),
    Mistake(
        "standard deviations in place of variances",
        "The denominator of cs is σx² + σy² + C2; yours has σx + σy, after a square root.",
        {"combine": _deviations_below},
    ),
    Mistake(
        "C3 = C2",
        "With three factors l · c · s the constant of the structure is C3 = C2 / 2; only then is "
        "c · s equal to cs.",
        {"combine": _third_constant_too_large},
    ),
    Mistake(
        "map clamped at zero",
        "SSIM is negative where the images are anticorrelated, and those pixels count; yours "
        "replaces them by zero.",
        {"combine": lambda m, c: similarity(m, c).clamp(min=0)},
    ),
    Mistake(
        "product of two means",
        "SSIM is the mean of l · cs; yours is the mean of l times the mean of cs.",
        {"combine": lambda m, c: quotients(m, c)[0].mean() * quotients(m, c)[1]},
    ),
    *_counts(),
    Mistake(
        "1 - SSIM instead of SSIM",
        "This belongs to the loss 1 - SSIM, whose gradient has the opposite sign.",
        {"reduce": lambda s, x: 1 - s.mean()},
    ),
    Mistake(
        "(1 - SSIM) / 2 instead of SSIM",
        "This belongs to the loss (1 - SSIM) / 2, kornia's convention.",
        {"reduce": lambda s, x: (1 - s.mean()) / 2},
    ),
    Mistake("-SSIM instead of SSIM", "The sign is reversed.", {"reduce": lambda s, x: -s.mean()}),
)

_CONVENTIONS = {"taps", "padding", "moments", "constants", "reduce"}

#: Those that come in company: a window, a padding, a covariance, constants, a way to count.
CONVENTIONS = tuple(
    mistake
    for mistake in SSIM_MISTAKES
    if len(mistake.changes) == 1 and mistake.changes.keys() <= _CONVENTIONS
)
