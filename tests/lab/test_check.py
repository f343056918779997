"""The checker of the exercises: right solutions pass, and each wrong one is told what it does.

The solutions are written here as a reader would write them, and share nothing with the checker's
own catalogue of mistakes.
"""

import functools
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssimlab import Window, attempts, formula, gradient, naive, reference, stable
from ssimlab.lab import check
from ssimlab.lab.check import gradient_mistakes, pairs, recipe, ssim_mistakes

FORUM = attempts.FORUM_WINDOW
SMALL = Window(size=5, sigma=1.5)


# What a reader writes ------------------------------------------------------------------------


def bell(size=11, sigma=1.5, dtype=torch.float64):
    i = torch.arange(size, dtype=dtype) - size // 2
    g = torch.exp(-(i**2) / (2 * sigma**2))
    return g / g.sum()


def blur(image, taps=None, pad=None):
    """Local averages of (N, C, H, W), with an optional way of padding."""
    taps = bell() if taps is None else taps
    taps = taps.to(image.dtype)
    n, c, h, w = image.shape
    image = image.reshape(n * c, 1, h, w)
    if pad is not None:
        image = F.pad(image, (len(taps) // 2,) * 4, mode=pad)
    image = F.conv2d(image, torch.outer(taps, taps)[None, None])
    return image.reshape(n, c, *image.shape[-2:])


def statistics(x, y, **how):
    mx, my = blur(x, **how), blur(y, **how)
    return (
        mx,
        my,
        blur(x * x, **how) - mx * mx,
        blur(y * y, **how) - my * my,
        blur(x * y, **how) - mx * my,
    )


def ssim_map(x, y, data_range, c=None, stretch=1.0, **how):
    c1, c2 = ((0.01 * data_range) ** 2, (0.03 * data_range) ** 2) if c is None else c
    mx, my, vx, vy, vxy = statistics(x, y, **how)
    vx, vy, vxy = stretch * vx, stretch * vy, stretch * vxy
    num = (2 * mx * my + c1) * (2 * vxy + c2)
    return num / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def mean_of(**twist):
    """A solution with a twist that needs no data_range of its own."""
    return lambda x, y, data_range: ssim_map(x, y, data_range, **twist).mean()


def quotients(x, y, data_range):
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my, vx, vy, vxy = statistics(x, y)
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1), (2 * vxy + c2) / (vx + vy + c2)


def blur_columns(v):
    return torch.tensordot(v.unfold(-2, 11, 1), bell(), dims=([-1], [0]))


def in_two_passes(average, slip=None):
    """Rows first, then columns; ``average`` makes of the rows' covariances those of the windows."""

    def along(v, dim):
        return torch.tensordot(v.unfold(dim, 11, 1), bell(), dims=([-1], [0]))

    def covariance(a, b):
        rows = along(a, -1), along(b, -1)
        own = along(a * b, -1) - rows[0] * rows[1]
        from_centers = rows[0] - a[..., 5:-5], rows[1] - b[..., 5:-5]
        if slip == "product of means left out":
            own = own + from_centers[0] * from_centers[1]
        if slip == "centers left out":
            rows = from_centers
        means = along(rows[0], -2), along(rows[1], -2)
        return along(rows[0] * rows[1], -2) - means[0] * means[1] + average(own)

    def solution(x, y, data_range):
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        mx, my = blur(x), blur(y)
        top = (2 * mx * my + c1) * (2 * covariance(x, y) + c2)
        below = (mx**2 + my**2 + c1) * (covariance(x, x) + covariance(y, y) + c2)
        return (top / below).mean()

    return solution


def by_autograd(fn):
    def solution(x, y, data_range):
        x = x.clone().requires_grad_()
        fn(x, y, data_range).backward()
        return x.grad

    return solution


def chain_rule(x, y, data_range, taps=None, pad=0, adjoint=None, halves=(1, 1, 1)):
    """The gradient by hand, with conv_transpose2d for the adjoint."""
    taps = bell() if taps is None else taps
    kernel = torch.outer(taps, taps)[None, None]

    def average(image):
        return F.conv2d(image.flatten(0, 1)[:, None], kernel, padding=pad).reshape(
            *image.shape[:2], *(n - len(taps) + 1 + 2 * pad for n in image.shape[2:])
        )

    def back(g):
        spread = F.conv_transpose2d(g.flatten(0, 1)[:, None], kernel, padding=pad)
        return spread.reshape(x.shape)

    back = adjoint or back
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = average(x), average(y)
    b = mx**2 + my**2 + c1
    q = average(x * x) - mx**2 + average(y * y) - my**2 + c2
    lum = (2 * mx * my + c1) / b
    cs = (2 * (average(x * y) - mx * my) + c2) / q
    n = lum.numel()
    g_mean = (2 * cs * (my - lum * mx) / b + 2 * lum * (cs * mx - my) / q) / n
    g_square, g_product = -lum * cs / q / n, 2 * lum / q / n
    first, second, third = halves
    return first * back(g_mean) + second * 2 * x * back(g_square) + third * y * back(g_product)


def zero_padded(adjoint=None, **more):
    """The same for the forum's window, 3 x 3 in a frame of zeros."""
    return lambda x, y, data_range: chain_rule(
        x, y, data_range, taps=bell(3), pad=1, adjoint=adjoint, **more
    )


def forum_ssim(x, y, data_range):
    return ssim_map(x, y, data_range, taps=bell(3), pad="constant").mean()


# Right solutions -----------------------------------------------------------------------------


def with_loops(x, y, data_range):
    """One image, one window after the other, in NumPy; a plain float comes back."""
    x, y, w = x.numpy(), y.numpy(), bell(5).numpy()
    w = w[:, None] * w
    total, count = 0.0, 0
    for i in range(x.shape[0] - 4):
        for j in range(x.shape[1] - 4):
            a, b = x[i : i + 5, j : j + 5], y[i : i + 5, j : j + 5]
            ma, mb = (w * a).sum(), (w * b).sum()
            va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
            vab = (w * (a - ma) * (b - mb)).sum()
            c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
            total += (2 * ma * mb + c1) / (ma**2 + mb**2 + c1) * (2 * vab + c2) / (va + vb + c2)
            count += 1
    return float(total / count)


def with_scikit_image(x, y, data_range, **options):
    options = options or {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    ssim = pytest.importorskip("skimage.metrics").structural_similarity
    planes = zip(x.flatten(0, 1).numpy(), y.flatten(0, 1).numpy(), strict=True)
    return np.mean([ssim(a, b, data_range=data_range, **options) for a, b in planes])


def with_separable_passes(x, y, data_range):
    taps = bell()

    def average(image):
        flat = image.flatten(0, 1)[:, None]
        flat = F.conv2d(F.conv2d(flat, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
        return flat.reshape(*image.shape[:2], *flat.shape[2:])

    mx, my = average(x), average(y)
    vxy = average(x * y) - mx * my
    spread = average(x * x) - mx**2 + average(y * y) - my**2
    c1, c2 = 1e-4 * data_range**2, 9e-4 * data_range**2
    return ((2 * mx * my + c1) / (mx**2 + my**2 + c1) * (2 * vxy + c2) / (spread + c2)).mean()


@pytest.mark.parametrize(
    "solution",
    [mean_of(), with_scikit_image, with_separable_passes, reference.ssim, stable.ssim, naive.ssim],
)
def test_right_ssim_of_any_style_passes(solution):
    report = check.ssim(solution)
    assert report.passed, str(report)
    assert report
    assert report.diagnosis is None
    assert report.worst_error < 1e-10
    assert not report.failed


def test_loops_over_a_single_image_pass_with_ndim_2():
    report = check.ssim(with_loops, window=SMALL, ndim=2)
    assert report.passed, str(report)
    assert report.case.x.ndim == 2


def by_functional_grad(x, y, data_range):
    return torch.func.grad(lambda z: ssim_map(z, y, data_range).mean())(x)


def in_numpy(x, y, data_range):
    return by_functional_grad(x, y, data_range).numpy()


def in_place_of_the_input(x, y, data_range):
    x.requires_grad_()
    ssim_map(x, y, data_range).mean().backward()
    return x.grad


@pytest.mark.parametrize(
    "solution",
    [
        chain_rule,
        by_functional_grad,
        in_numpy,
        in_place_of_the_input,
        by_autograd(mean_of()),
        gradient.ssim_gradient,
    ],
)
def test_right_gradient_of_any_style_passes(solution):
    report = check.gradient(solution)
    assert report.passed, str(report)
    assert report.diagnosis is None


@pytest.mark.parametrize("ndim", [2, 3, 4])
@pytest.mark.parametrize(
    "window", [FORUM, Window(7, None, "reflect"), Window(1), Window(3)], ids=str
)
def test_right_solutions_pass_with_any_window_and_number_of_dimensions(window, ndim):
    def value(x, y, data_range):
        return stable.ssim(x, y, data_range=data_range, window=window)

    def derivative(x, y, data_range):
        return gradient.ssim_gradient(x, y, data_range=data_range, window=window)

    assert check.ssim(value, window=window, ndim=ndim).passed
    assert check.gradient(derivative, window=window, ndim=ndim).passed


def test_a_gradient_is_found_where_gradients_are_switched_off():
    with torch.no_grad():
        assert check.gradient(by_autograd(mean_of())).passed


def test_the_unchanged_recipe_is_the_reference():
    for window in (Window(5), Window(3, None, "zero"), Window(5, 1.0, "reflect")):
        for case in pairs.make_pairs(window, 4):
            arguments = {"data_range": case.data_range, "window": window}
            value = reference.ssim(case.x, case.y, **arguments)
            derivative = gradient.ssim_gradient(case.x, case.y, **arguments)
            right = recipe.Recipe()
            torch.testing.assert_close(right.ssim(case), value, rtol=1e-9, atol=1e-11)
            floor = 1e-9 / case.x.numel() / case.data_range
            torch.testing.assert_close(right.gradient(case), derivative, rtol=1e-9, atol=floor)


# Wrong SSIMs ---------------------------------------------------------------------------------


def with_constants(*c):
    """Constants from factors of powers of the data range."""

    def solution(x, y, data_range):
        return ssim_map(x, y, data_range, c=[f(data_range) for f in c]).mean()

    return solution


def of_quotients(combine):
    return lambda x, y, data_range: combine(*quotients(x, y, data_range))


def of_statistics(combine):
    def solution(x, y, data_range):
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        return combine(*statistics(x, y), c1, c2).mean()

    return solution


def one_sided(a1, a2, b1, b2):
    return of_statistics(
        lambda mx, my, vx, vy, vxy, c1, c2: (
            (2 * mx * my + a1 * c1)
            * (2 * vxy + a2 * c2)
            / ((mx**2 + my**2 + b1 * c1) * (vx + vy + b2 * c2))
        )
    )


def of_map(finish):
    return lambda x, y, data_range: finish(ssim_map(x, y, data_range), x)


def without_channels_in_the_count(x, y, data_range):
    s = ssim_map(x, y, data_range)
    return s.sum() / (s.shape[2] * s.shape[3])


def symmetric(x, y, data_range):
    """scipy.ndimage's habit, uncropped."""

    def mirrored(image):
        rows = np.pad(image.numpy(), [(0, 0), (0, 0), (5, 5), (5, 5)], mode="symmetric")
        return torch.from_numpy(rows)

    return ssim_map(mirrored(x), mirrored(y), data_range).mean()


def globally(x, y, data_range):
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    dims = (-2, -1)
    mx, my = x.mean(dims), y.mean(dims)
    vx, vy = x.var(dims, unbiased=False), y.var(dims, unbiased=False)
    vxy = (x * y).mean(dims) - mx * my
    return ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


def three_factors(x, y, data_range):
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my, vx, vy, vxy = statistics(x, y)
    sx, sy = vx.clamp(min=0).sqrt(), vy.clamp(min=0).sqrt()
    lum = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return (lum * (2 * sx * sy + c2) / (vx + vy + c2) * (vxy + c2) / (sx * sy + c2)).mean()


def uncentered():
    i = torch.arange(11, dtype=torch.float64) - 5.5
    g = torch.exp(-(i**2) / (2 * 1.5**2))
    return g / g.sum()


def unnormalized():
    i = torch.arange(11, dtype=torch.float64) - 5
    return torch.exp(-(i**2) / (2 * 1.5**2))


UNIFORM = torch.full((11,), 1 / 11, dtype=torch.float64)
UNBIASED = 1 / (1 - float((torch.outer(bell(), bell()) ** 2).sum()))

WRONG_SSIMS = [
    ("C not squared", with_constants(lambda r: 0.01 * r, lambda r: 0.03 * r)),
    ("only k squared: C = k² L", with_constants(lambda r: 1e-4 * r, lambda r: 9e-4 * r)),
    ("only L squared: C = k L²", with_constants(lambda r: 0.01 * r**2, lambda r: 0.03 * r**2)),
    ("C1 and C2 swapped", with_constants(lambda r: (0.03 * r) ** 2, lambda r: (0.01 * r) ** 2)),
    ("C1 and C2 are zero", with_constants(lambda r: 0.0, lambda r: 0.0)),
    ("data_range ignored: L = 1", with_constants(lambda r: 1e-4, lambda r: 9e-4)),
    ("data_range ignored: L = 255", with_constants(lambda r: 2.55**2, lambda r: 7.65**2)),
    (
        "data range measured on x",
        lambda x, y, data_range: ssim_map(x, y, x.max() - x.min()).mean(),
    ),
    (
        "data range measured on y",
        lambda x, y, data_range: ssim_map(x, y, y.max() - y.min()).mean(),
    ),
    (
        "data range measured on the pair",
        lambda x, y, data_range: ssim_map(
            x, y, max(x.max(), y.max()) - min(x.min(), y.min())
        ).mean(),
    ),
    ("sample covariance", mean_of(stretch=121 / 120)),
    (
        "sample covariance",
        lambda x, y, data_range: with_scikit_image(
            x, y, data_range, gaussian_weights=True, sigma=1.5
        ),
    ),
    ("sample covariance: divided by 1 - Σw²", mean_of(stretch=UNBIASED)),
    (
        "mean not subtracted from the second moments",
        lambda x, y, data_range: (
            quotients(x, y, data_range)[0]
            * (2 * blur(x * y) + (0.03 * data_range) ** 2)
            / (blur(x * x) + blur(y * y) + (0.03 * data_range) ** 2)
        ).mean(),
    ),
    ("wrong padding: zero", mean_of(pad="constant")),
    ("wrong padding: reflect", mean_of(pad="reflect")),
    ("wrong padding: replicate", mean_of(pad="replicate")),
    ("wrong padding: circular", mean_of(pad="circular")),
    ("wrong padding: symmetric", symmetric),
    ("uniform window", mean_of(taps=UNIFORM)),
    ("wrong sigma: 1 pixel", mean_of(taps=bell(11, 1.0))),
    ("wrong sigma: not squared in the exponent", mean_of(taps=bell(11, 1.5**0.5))),
    ("wrong sigma: factor 2 missing in the exponent", mean_of(taps=bell(11, 1.5 / 2**0.5))),
    ("wrong window size: 7 instead of 11", mean_of(taps=bell(7))),
    ("window not normalized", mean_of(taps=unnormalized())),
    ("window off center", mean_of(taps=uncentered())),
    ("no local window", globally),
    (
        "scikit-image's defaults",
        lambda x, y, data_range: with_scikit_image(x, y, data_range, win_size=7),
    ),
    ("C not squared, uniform window, zero padding", naive.unsquared_constants),
    ("luminance only", of_quotients(lambda lum, cs: lum.mean())),
    ("contrast and structure only", of_quotients(lambda lum, cs: cs.mean())),
    ("product of two means", of_quotients(lambda lum, cs: lum.mean() * cs.mean())),
    (
        "factor 2 of the covariance forgotten",
        of_statistics(
            lambda mx, my, vx, vy, vxy, c1, c2: (
                (2 * mx * my + c1) * (vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
            )
        ),
    ),
    (
        "factor 2 of the means forgotten",
        of_statistics(
            lambda mx, my, vx, vy, vxy, c1, c2: (
                (mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
            )
        ),
    ),
    ("C1 and C2 added below only", one_sided(0, 0, 1, 1)),
    ("C1 added below only", one_sided(0, 1, 1, 1)),
    ("C2 added below only", one_sided(1, 0, 1, 1)),
    ("C1 and C2 added above only", one_sided(1, 1, 0, 0)),
    ("C1 added above only", one_sided(1, 1, 0, 1)),
    ("C2 added above only", one_sided(1, 1, 1, 0)),
    (
        "standard deviations in place of variances",
        of_statistics(
            lambda mx, my, vx, vy, vxy, c1, c2: (
                (2 * mx * my + c1)
                * (2 * vxy + c2)
                / ((mx**2 + my**2 + c1) * (vx.clamp(min=0) ** 0.5 + vy.clamp(min=0) ** 0.5 + c2))
            )
        ),
    ),
    ("covariances within the rows forgotten", in_two_passes(lambda own: 0 * own[..., 5:-5, :])),
    ("covariances within the center row alone", in_two_passes(lambda own: own[..., 5:-5, :])),
    (
        "second moments about the rows' center pixels in place of covariances",
        in_two_passes(blur_columns, "product of means left out"),
    ),
    (
        "rows' means without their center pixels",
        in_two_passes(blur_columns, "centers left out"),
    ),
    ("C3 = C2", three_factors),
    ("map clamped at zero", of_map(lambda s, x: s.clamp(0, 1).mean())),
    ("sum instead of mean", of_map(lambda s, x: s.sum())),
    (
        "mean over the wrong count: pixels of the image, not of the map",
        of_map(lambda s, x: s.sum() / x.numel()),
    ),
    ("mean over the wrong count: rows times columns of the map", without_channels_in_the_count),
    (
        "mean over the wrong count: rows times columns of the image",
        of_map(lambda s, x: s.sum() / (x.shape[2] * x.shape[3])),
    ),
    (
        "mean over the wrong count: one image of the batch",
        of_map(lambda s, x: s.sum() / s[0].numel()),
    ),
    ("1 - SSIM instead of SSIM", of_map(lambda s, x: 1 - s.mean())),
    ("(1 - SSIM) / 2 instead of SSIM", of_map(lambda s, x: (1 - s.mean()) / 2)),
    ("-SSIM instead of SSIM", of_map(lambda s, x: -s.mean())),
]


@pytest.mark.parametrize(("name", "solution"), WRONG_SSIMS)
def test_a_wrong_ssim_is_caught_and_named(name, solution):
    report = check.ssim(solution)
    assert not report.passed
    assert not report
    assert report.diagnosis == name, str(report)
    assert report.explanation


def test_missing_padding_is_named_where_padding_is_wanted():
    solution = mean_of(taps=bell(3))
    assert check.ssim(solution, window=FORUM).diagnosis == "wrong padding: valid"


def scipy_filter(x, y, data_range):
    """Gaussians of SciPy's own size and padding, on the whole image."""

    def average(image):
        ndimage = pytest.importorskip("scipy.ndimage")
        planes = [ndimage.gaussian_filter(plane, 1.5) for plane in image.flatten(0, 1).numpy()]
        return torch.from_numpy(np.stack(planes))

    mx, my = average(x), average(y)
    vx, vy = average(x * x) - mx**2, average(y * y) - my**2
    vxy = average(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


def loss_with_unsquared_constants(x, y, data_range):
    return 1 - ssim_map(x, y, data_range, c=(0.01 * data_range, 0.03 * data_range)).mean()


@pytest.mark.parametrize(
    ("names", "solution"),
    [
        (
            {"wrong padding: symmetric", "wrong window size: 13 instead of 11"},
            scipy_filter,
        ),
        ({"C not squared", "1 - SSIM instead of SSIM"}, loss_with_unsquared_constants),
    ],
)
def test_two_mistakes_at_once_are_both_named(names, solution):
    report = check.ssim(solution)
    assert set(report.diagnosis.split("; ")) == names
    assert report.explanation.startswith("Two things at once.")


# Wrong gradients -----------------------------------------------------------------------------


def same(image, taps):
    taps = torch.outer(taps, taps)[None, None]
    return F.conv2d(image.flatten(0, 1)[:, None], taps, padding=1).reshape(image.shape)


def forum_pieces(x, y, data_range):
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my, vx, vy, vxy = statistics(x, y, taps=bell(3), pad="constant")
    return mx, my, mx**2 + my**2 + c1, vx + vy + c2, 2 * mx * my + c1, 2 * vxy + c2


def first_attempt(x, y, data_range):
    mx, my, b, q, a, p = forum_pieces(x, y, data_range)
    lum, cs = a / b, p / q
    spread = same(torch.ones_like(x), bell(3))
    lum_x = 2 * spread * (my - mx * lum) / b
    cs_x = 2 / q * spread * ((y - my) - cs * (x - mx))
    return (lum_x * cs + lum * cs_x) / x.numel()


def second_attempt(x, y, data_range):
    mx, my, b, _, a, _ = forum_pieces(x, y, data_range)
    return (2 * my * b - a * 2 * mx) / b**2 / x.numel()


def third_attempt(x, y, data_range):
    mx, my, b, _, a, _ = forum_pieces(x, y, data_range)
    d_a, d_b = 2 * same(my, bell(3)), same(2 * mx, bell(3))
    return (d_a * b - a * d_b) / b**2 / x.numel()


def third_attempt_for_ssim(x, y, data_range):
    mx, my, b, q, a, p = forum_pieces(x, y, data_range)
    ones = same(torch.ones_like(x), bell(3))
    d_a, d_b = 2 * same(my, bell(3)), same(2 * mx, bell(3))
    d_p = 2 * (y * ones - same(my, bell(3)))
    d_q = 2 * x * ones - same(2 * mx, bell(3))
    by_lum = (d_a * b - a * d_b) / b**2
    by_cs = (d_p * q - p * d_q) / q**2
    return (by_lum * p / q + a / b * by_cs) / x.numel()


def by_mean_alone(x, y, data_range):
    mx, my, vx, vy, vxy = statistics(x, y, taps=bell(3), pad="constant")
    square, product = vx + mx**2, vxy + mx * my
    mx = mx.clone().requires_grad_()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    lum = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    cs = (2 * (product - mx * my) + c2) / (square - mx**2 + vy + c2)
    (lum * cs).mean().backward()
    return mx.grad


def inside_the_adjoint(x, y, data_range):
    """Wᵀ of the whole sum, by giving the pieces no adjoint and the sum one."""
    return same(zero_padded(adjoint=lambda g: g)(x, y, data_range), bell(3))


def by_y(x, y, data_range):
    return by_autograd(forum_ssim)(y, x, data_range)


def swapped_factor(x, y, data_range):
    whole = zero_padded()(x, y, data_range)
    without_third = zero_padded(halves=(1, 1, 0))(x, y, data_range)
    return without_third + (whole - without_third) * x / y


def product_rule(keep_lum, keep_cs):
    def value(x, y, data_range):
        _, _, b, q, a, p = forum_pieces(x, y, data_range)
        lum, cs = a / b, p / q
        return ((lum if keep_lum else lum.detach()) * (cs if keep_cs else cs.detach())).mean()

    return by_autograd(value)


def detached_means(x, y, data_range):
    how = {"taps": bell(3), "pad": "constant"}
    mx, my = blur(x, **how), blur(y, **how)
    held = mx.detach()
    vx, vy = blur(x * x, **how) - held**2, blur(y * y, **how) - my**2
    vxy = blur(x * y, **how) - held * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return ((2 * mx * my + c1) / (mx**2 + my**2 + c1) * (2 * vxy + c2) / (vx + vy + c2)).mean()


def mirrored_filter(g):
    """W with reflection, where the adjoint of W with zeros belongs."""
    return blur(g, taps=bell(3), pad="reflect")


def mirrored_adjoint(g):
    """The adjoint of W with reflection, by autograd."""
    image = torch.zeros_like(g, requires_grad=True)
    return torch.autograd.grad(mirrored_filter(image), image, g)[0]


def of_forum_map(finish):
    def value(x, y, data_range):
        return finish(ssim_map(x, y, data_range, taps=bell(3), pad="constant"), x)

    return by_autograd(value)


WRONG_GRADIENTS = [
    ("adjoint forgotten", zero_padded(adjoint=lambda g: g)),
    ("pixel by pixel: the forum's attempt 1", first_attempt),
    ("derivative by the local mean: the forum's attempt 2", second_attempt),
    ("gradients of sums, luminance only: the forum's attempt 3", third_attempt),
    ("gradients of sums: the forum's attempt 3", third_attempt_for_ssim),
    ("derivative by the local mean", by_mean_alone),
    ("factors inside the adjoint", inside_the_adjoint),
    ("adjoint with the wrong padding: reflect", zero_padded(adjoint=mirrored_adjoint)),
    ("W in place of its adjoint", zero_padded(adjoint=mirrored_filter)),
    ("gradient with respect to y", by_y),
    ("factor 2 of 2 x ⊙ Wᵀ g_xx forgotten", zero_padded(halves=(1, 0.5, 1))),
    ("term y ⊙ Wᵀ g_xy forgotten", zero_padded(halves=(1, 1, 0))),
    ("term 2 x ⊙ Wᵀ g_xx forgotten", zero_padded(halves=(1, 0, 1))),
    ("term Wᵀ g_m forgotten", zero_padded(halves=(0, 1, 1))),
    ("x ⊙ Wᵀ g_xy instead of y ⊙ Wᵀ g_xy", swapped_factor),
    ("luminance held constant", product_rule(False, True)),
    ("contrast and structure held constant", product_rule(True, False)),
    ("means held constant in the variances", by_autograd(detached_means)),
    (
        "luminance only",
        lambda x, y, data_range: attempts.luminance_gradient(x, y, data_range=data_range),
    ),
    (
        "C not squared",
        by_autograd(
            lambda x, y, data_range: ssim_map(
                x,
                y,
                data_range,
                c=(0.01 * data_range, 0.03 * data_range),
                taps=bell(3),
                pad="constant",
            ).mean()
        ),
    ),
    ("sum instead of mean", of_forum_map(lambda s, x: s.sum())),
    (
        "mean over the wrong count: rows times columns of the map",
        of_forum_map(lambda s, x: s.sum() / (x.shape[2] * x.shape[3])),
    ),
    (
        "mean over the wrong count: one image of the batch",
        of_forum_map(lambda s, x: s.sum() / x[0].numel()),
    ),
    ("1 - SSIM instead of SSIM", of_forum_map(lambda s, x: 1 - s.mean())),
    ("(1 - SSIM) / 2 instead of SSIM", of_forum_map(lambda s, x: (1 - s.mean()) / 2)),
    (
        "wrong padding: reflect",
        by_autograd(
            lambda x, y, data_range: ssim_map(x, y, data_range, taps=bell(3), pad="reflect").mean()
        ),
    ),
    (
        "wrong padding: valid",
        by_autograd(lambda x, y, data_range: ssim_map(x, y, data_range, taps=bell(3)).mean()),
    ),
    ("the gradient is zero everywhere", lambda x, y, data_range: torch.zeros_like(x)),
]


@pytest.mark.parametrize(("name", "solution"), WRONG_GRADIENTS)
def test_a_wrong_gradient_is_caught_and_named(name, solution):
    report = check.gradient(solution, window=FORUM)
    assert not report.passed
    assert report.diagnosis == name, str(report)
    assert report.explanation


def from_the_centers(x, y, data_range, left=(1, 1), whole_means=False):
    """The gradient gathered from differences to center pixels, with U made for the means.

    ``left`` says what was left in U of the parts of x and of y that do not belong there; with
    ``whole_means`` the means left it, and not what lies between them and the center pixels.
    """
    m = formula.moments(x, y, Window())
    by_mean, by_square, by_product = (
        partial / partial.numel() for partial in gradient.partials(x, y, data_range=data_range)
    )
    constant = by_mean + 2 * m.mu_x * by_square + m.mu_y * by_product
    total, (rows, columns) = torch.zeros_like(x), constant.shape[-2:]
    center = (..., slice(5, 5 + rows), slice(5, 5 + columns))
    taken = (m.mu_x, m.mu_y) if whole_means else (m.mu_x - x[center], m.mu_y - y[center])
    constant = constant - (1 - left[0]) * 2 * by_square * taken[0]
    constant = constant - (1 - left[1]) * by_product * taken[1]
    for i, line in enumerate(Window().weights()):
        for j, weight in enumerate(line):
            at = (..., slice(i, i + rows), slice(j, j + columns))
            by_x, by_y = 2 * by_square * (x[at] - x[center]), by_product * (y[at] - y[center])
            total[at] += weight * (constant + by_x + by_y)
    return total


@pytest.mark.parametrize(
    ("name", "solution"),
    [
        ("center pixels in place of means", from_the_centers),
        (
            "center pixels in place of means: of x",
            functools.partial(from_the_centers, left=(1, 0)),
        ),
        (
            "center pixels in place of means: of y",
            functools.partial(from_the_centers, left=(0, 1)),
        ),
        (
            "center pixels in place of means: added",
            functools.partial(from_the_centers, left=(2, 2)),
        ),
        (
            "center pixels in place of means: whole means taken",
            functools.partial(from_the_centers, left=(0, 0), whole_means=True),
        ),
        (
            "adjoint forgotten",
            lambda x, y, data_range: chain_rule(
                x, y, data_range, adjoint=lambda g: F.pad(g, (5, 5, 5, 5))
            ),
        ),
        (
            "mean over the wrong count: pixels of the image, not of the map",
            by_autograd(of_map(lambda s, x: s.sum() / x.numel())),
        ),
        ("sample covariance", by_autograd(mean_of(stretch=121 / 120))),
        ("uniform window", by_autograd(mean_of(taps=UNIFORM))),
        (
            "gradient of the size of the map",
            lambda x, y, data_range: ssim_map(x, y, data_range),
        ),
        ("one number instead of a gradient", mean_of()),
        ("wrong shape", lambda x, y, data_range: x[..., 1:]),
    ],
)
def test_a_wrong_gradient_of_the_published_window_is_named(name, solution):
    assert check.gradient(solution).diagnosis == name


def test_the_adjoint_of_zero_padding_is_named_where_images_are_reflected():
    window = Window(3, 1.5, "reflect")

    def solution(x, y, data_range):
        how = {"data_range": data_range, "window": window}
        g = [partial / partial.numel() for partial in gradient.partials(x, y, **how)]
        back = [same(partial, bell(3)) for partial in g]
        return back[0] + 2 * x * back[1] + y * back[2]

    assert (
        check.gradient(solution, window=window).diagnosis == "adjoint with the wrong padding: zero"
    )


def test_a_mistake_in_the_chain_rule_and_one_in_ssim_are_both_named():
    report = check.gradient(
        lambda x, y, data_range: -zero_padded(adjoint=lambda g: g)(x, y, data_range),
        window=FORUM,
    )
    assert report.diagnosis == "adjoint forgotten; 1 - SSIM instead of SSIM"


SHIFTS = ("", ": of x", ": of y", ": added", ": whole means taken")


def test_every_mistake_of_the_catalogue_is_tried_here():
    tried = {name for name, _ in WRONG_SSIMS + WRONG_GRADIENTS}
    # These have tests of their own above.
    tried |= {"wrong padding: valid", "wrong window size: 13 instead of 11"}
    tried |= {"adjoint with the wrong padding: zero"}
    tried |= {f"center pixels in place of means{which}" for which in SHIFTS}
    catalogue = ssim_mistakes.SSIM_MISTAKES + gradient_mistakes.CHAIN_RULE_MISTAKES
    untried = {mistake.name for mistake in catalogue} - tried
    assert not untried, "each needs a function in WRONG_SSIMS or WRONG_GRADIENTS that makes it"


def test_a_mistake_in_a_step_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match=r"'a slip' changes combin, and the steps are images, taps"
    ):
        recipe.Mistake("a slip", "Spell it.", {"combin": None})


# What is not a number, or not the right kind of number ----------------------------------------


def returns_nothing(x, y, data_range):
    ssim_map(x, y, data_range).mean()


def roots(x, y, data_range):
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my, vx, vy, vxy = statistics(x, y)
    # Below zero by a rounding, as E[x²] - μ² of a constant image often is.
    sx, sy = (torch.sqrt(torch.where(v < 1e-14, -v.abs() - 1e-18, v)) for v in (vx, vy))
    lum = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return (lum * (2 * sx * sy + c2) / (vx + vy + c2) * (vxy + c2 / 2) / (sx * sy + c2 / 2)).mean()


@pytest.mark.parametrize(
    ("name", "explanation", "solution"),
    [
        ("returns nothing", "returned None", returns_nothing),
        ("returns something else", "a tuple of 2", lambda x, y, data_range: (x, y)),
        ("returns something else", "type str", lambda x, y, data_range: "0.9"),
        ("returns something else", "complex", lambda x, y, data_range: x.mean() * 1j),
        (
            "the map instead of its mean",
            "map itself is right",
            lambda x, y, data_range: ssim_map(x, y, data_range),
        ),
        (
            "the map instead of its mean",
            "not right either",
            lambda x, y, data_range: ssim_map(x, y, data_range, pad="constant"),
        ),
        ("wrong shape", "(1, 1, 12)", lambda x, y, data_range: x.mean(-1)),
        (
            "one value for each image instead of the mean",
            "(2, 3)",
            lambda x, y, data_range: ssim_map(x, y, data_range).mean((2, 3)),
        ),
        (
            "one value for each image instead of the mean",
            "(2,)",
            lambda x, y, data_range: ssim_map(x, y, data_range).mean((1, 2, 3)),
        ),
        ("not finite on constant images", "square root", roots),
        ("not finite", "NaN or infinity", lambda x, y, data_range: math.nan),
    ],
)
def test_a_result_that_cannot_be_right_is_told(name, explanation, solution):
    report = check.ssim(solution)
    assert not report.passed
    assert report.diagnosis == name, str(report)
    assert explanation in report.explanation


def fails_inside(x, y, data_range):
    taps = bell(11)
    return F.conv2d(x, taps[None]).mean()


def test_an_error_is_shown_with_the_readers_own_line():
    report = check.ssim(fails_inside)
    assert report.diagnosis == "raises an error"
    assert report.obtained is None
    assert "RuntimeError" in report.explanation
    assert "in fails_inside" in report.explanation
    assert "F.conv2d(x, taps[None]).mean()" in report.explanation


def test_an_error_inside_the_package_is_shown_with_the_line_that_called_it():
    def forgets_the_range(x, y, data_range):
        return reference.ssim(x, y)

    assert "return reference.ssim(x, y)" in check.ssim(forgets_the_range).explanation


def test_a_function_that_cannot_be_called_so_is_told_how_it_is_called():
    report = check.ssim(lambda x, y: ssim_map(x, y, 1.0).mean())
    assert "fn(x, y, data_range=...)" in report.explanation


def test_an_error_in_larger_cases_alone_is_the_smallest_failure():
    def one_image_only(x, y, data_range):
        if len(x) > 1:
            raise NotImplementedError("one image at a time")
        return ssim_map(x, y, data_range).mean()

    report = check.ssim(one_image_only)
    assert report.failed == ["two images of three channels"]
    assert "one image at a time" in str(report)


# Rounding ------------------------------------------------------------------------------------


def in_float32(x, y, data_range):
    return ssim_map(x.float(), y.float(), data_range).mean()


def in_float32_inside(x, y, data_range):
    return ssim_map(x.float(), y.float(), data_range).double().mean()


def in_float32_at_last(x, y, data_range):
    return ssim_map(x, y, data_range).mean().float().item()


FLOAT32_WINDOW = bell(11, dtype=torch.float32).double()


@pytest.mark.parametrize(
    ("name", "solution"),
    [
        ("computed in float32", in_float32),
        ("computed in float32", in_float32_inside),
        ("computed in float32", in_float32_at_last),
        ("weights or constants with too few digits", mean_of(taps=FLOAT32_WINDOW)),
        (
            "weights or constants with too few digits",
            with_constants(lambda r: 1e-4 * r**2, lambda r: 9.000001e-4 * r**2),
        ),
    ],
)
def test_float32_is_told_from_a_mistake(name, solution):
    report = check.ssim(solution)
    assert not report.passed
    assert report.diagnosis == name, str(report)


@pytest.mark.parametrize(
    ("name", "solution"),
    [
        ("computed in float32", by_autograd(in_float32_inside)),
        ("computed in float32", lambda *a, data_range: chain_rule(*a, data_range).float()),
        ("weights or constants with too few digits", by_autograd(mean_of(taps=FLOAT32_WINDOW))),
        (
            "weights or constants with too few digits",
            lambda x, y, data_range: chain_rule(x, y, data_range, taps=FLOAT32_WINDOW),
        ),
    ],
)
def test_float32_is_told_from_a_mistake_in_gradients(name, solution):
    report = check.gradient(solution)
    assert not report.passed
    assert report.diagnosis == name, str(report)


def test_a_mistake_is_named_in_spite_of_a_window_made_in_float32():
    report = check.ssim(
        lambda x, y, data_range: ssim_map(
            x, y, data_range, c=(0.01 * data_range, 0.03 * data_range), taps=FLOAT32_WINDOW
        ).mean()
    )
    assert report.diagnosis == "C not squared"
    assert "something smaller is off too" in report.explanation


# No false diagnosis --------------------------------------------------------------------------


def with_epsilon(eps):
    def solution(x, y, data_range):
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        mx, my, vx, vy, vxy = statistics(x, y)
        below = (mx**2 + my**2 + c1) * (vx + vy + c2) + eps
        return ((2 * mx * my + c1) * (2 * vxy + c2) / below).mean()

    return solution


def scaled(fn, factor):
    return lambda x, y, data_range: factor * fn(x, y, data_range)


MUTANTS = [
    ("as small as float32's rounding", with_epsilon(1e-8)),
    ("The largest error, ", with_epsilon(1e-6)),
    ("The largest error, ", with_epsilon(1e-2)),
    (
        "always too large",
        with_constants(lambda r: (0.01 * r) ** 2 + 1e-8, lambda r: (0.03 * r) ** 2),
    ),
    ("The largest error, ", with_constants(lambda r: (0.0101 * r) ** 2, lambda r: (0.03 * r) ** 2)),
    ("The largest error, ", mean_of(taps=bell(11, 1.6))),
    ("differs from the expected value by 1e-06", of_map(lambda s, x: s.mean() + 1e-6)),
    ("0.99 times the expected value wherever it fails", scaled(mean_of(), 0.99)),
    (
        "It fails where data_range is not 1, and only there. ",
        lambda x, y, data_range: mean_of()(x, y, data_range) * (1 if data_range == 1 else 0.9),
    ),
]


@pytest.mark.parametrize(("pattern", "solution"), MUTANTS)
def test_a_right_solution_changed_a_little_gets_a_pattern_and_no_false_diagnosis(pattern, solution):
    report = check.ssim(solution)
    assert not report.passed
    assert report.diagnosis is None, str(report)
    assert "The largest error, " in report.explanation
    assert pattern in report.explanation


@pytest.mark.parametrize(
    ("pattern", "solution"),
    [
        ("cosine of the angle", by_autograd(with_epsilon(1e-4))),
        ("1.0000001 times the expected value", scaled(chain_rule, 1 + 1e-7)),
        ("cosine of the angle", lambda x, y, data_range: x - y),
    ],
)
def test_a_gradient_changed_a_little_gets_a_pattern_and_no_false_diagnosis(pattern, solution):
    report = check.gradient(solution)
    assert not report.passed
    assert report.diagnosis is None, str(report)
    assert pattern in report.explanation


def test_an_unknown_gradient_is_described_by_where_it_is_wrong():
    def spoiled(inside):
        def solution(x, y, data_range):
            right = zero_padded()(x, y, data_range)
            middle = torch.zeros_like(right)
            middle[..., 2:-2, 2:-2] = 1
            return right + 0.1 * (right.abs().max() + 1) * (middle if inside else 1 - middle)

        return check.gradient(solution, window=FORUM).explanation

    assert "right near the border and wrong inside" in spoiled(True)
    assert "right inside and wrong within 2 pixels of the border" in spoiled(False)


# The report ----------------------------------------------------------------------------------


def test_the_smallest_failing_case_is_shown_and_can_be_had_again():
    report = check.gradient(first_attempt, window=FORUM)
    first = pairs.make_pairs(FORUM, 4)[0]
    assert report.case.x.shape == (1, 1, 4, 4)
    torch.testing.assert_close(report.case.x, first.x, rtol=0, atol=0)
    again = first_attempt(report.case.x, report.case.y, report.case.data_range)
    torch.testing.assert_close(again, report.obtained, rtol=0, atol=0)
    worst = (report.obtained - report.expected).abs()
    shown = re.search(r"worst pixel +\[(.*)\]", str(report)).group(1)
    assert worst[tuple(map(int, shown.split(", ")))] == worst.max()
    assert f"{float(report.obtained.flatten()[worst.argmax()]):.12g}" in str(report)


def test_cases_go_from_small_to_large_and_cover_what_they_should():
    made = pairs.make_pairs(Window(), 4)
    sizes = [case.x.numel() for case in made]
    assert sizes == sorted(sizes)
    assert made[0].shape == (1, 1, 12, 12)
    assert {case.data_range for case in made} == {1.0, 2.0, 255.0}
    assert any(case.flat for case in made)
    assert any(case.shape[:2] == (2, 3) for case in made)
    assert all(case.x.dtype == torch.float64 for case in made)
    scores = [reference.ssim(c.x, c.y, data_range=c.data_range) for c in made]
    assert min(scores) < 0
    assert max(scores) == 1


def test_the_reader_may_change_the_images():
    def careless(x, y, data_range):
        value = mean_of()(x, y, data_range)
        x.zero_()
        return value + 0.1

    report = check.ssim(careless)
    assert report.case.x.count_nonzero()
    assert "differs from the expected value by 0.1" in report.explanation


def test_a_passing_report_says_how_many_cases_and_how_close():
    text = str(check.ssim(reference.ssim))
    assert re.fullmatch(
        r"check\.ssim: passed on all 11 cases; largest error \S+, tolerance 1e-09\.", text
    )


def test_a_failing_report_reads_the_same_in_text_and_in_a_notebook():
    report = check.ssim(mean_of(pad="constant"))
    assert repr(report) == str(report)
    html = report._repr_html_()

    class Text(HTMLParser):
        words = ""

        def handle_data(self, data):
            if self.cdata_elem != "style":
                self.words += data + " "

    reader = Text()
    reader.feed(html)
    assert reader.words.split() == str(report).split()
    assert "<dt>diagnosis</dt>" in html
    assert "<script" not in html
    assert "style=" not in html
    assert "ssimlab-card-fault" in html.partition("<style>")[0]


def test_a_passing_report_is_a_card_without_the_mark_of_a_fault():
    html = check.ssim(reference.ssim)._repr_html_()
    assert "ssimlab-card-fault" not in html.partition("<style>")[0]
    assert "<dt>" not in html


def test_what_a_reader_raises_is_escaped_in_html():
    def raises(x, y, data_range):
        raise ValueError("<b>bold & wrong</b>")

    html = check.ssim(raises)._repr_html_()
    assert "&lt;b&gt;bold &amp; wrong&lt;/b&gt;" in html


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fn": 0.9}, TypeError, "fn must be a function.*not float.*pass the function itself"),
        ({"window": 11}, TypeError, "window must be a ssimlab.Window, not 11"),
        ({"ndim": 5}, ValueError, "ndim must be 4.*not 5"),
    ],
)
@pytest.mark.parametrize("checker", [check.ssim, check.gradient])
def test_a_wrong_argument_gets_one_sentence(checker, arguments, error, message):
    with pytest.raises(error, match=message):
        checker(**({"fn": reference.ssim} | arguments))
