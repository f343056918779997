"""The forum's three attempts: each is wrong by what the commutator says, and right without it."""

import pytest
import torch
from oracle import random_pair, relative_error

from ssimlab import Window, attempts, gradient
from ssimlab.formula import constants, rearranged_moments

X, Y = attempts.forum_images()
OF_LUMINANCE = [attempts.by_local_mean, attempts.by_gradients_of_sums]


def of_luminance(x, y, **settings):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(attempts.mean_luminance(x, y, **settings), x)[0]


def error(got, expected):
    return (got - expected).abs().max().item()


def test_the_images_are_the_forums():
    assert X.shape == Y.shape == (1, 4, 4)
    assert X.dtype == torch.float64
    assert X.sum().item() == pytest.approx(5.5)
    assert Y.sum().item() == pytest.approx(4.2585)


def test_the_third_attempt_misses_by_the_figure_of_the_forum():
    got = attempts.by_gradients_of_sums(X, Y, data_range=1.0)
    assert round(error(got, of_luminance(X, Y, data_range=1.0)), 7) == 0.0392148


def test_the_other_attempts_miss_too():
    truth = of_luminance(X, Y, data_range=1.0)
    assert error(attempts.by_local_mean(X, Y, data_range=1.0), truth) > 0.5 * truth.abs().max()
    truth = gradient.ssim_gradient(X, Y, data_range=1.0, window=attempts.FORUM_WINDOW)
    assert error(attempts.pixelwise(X, Y, data_range=1.0), truth) > 0.05 * truth.abs().max()


def test_the_second_attempt_is_the_gradient_by_the_local_mean():
    m, c = rearranged_moments(X, Y, attempts.FORUM_WINDOW), constants(1.0)
    mu_x = m.mu_x.clone().requires_grad_()
    luminance = (2 * mu_x * m.mu_y + c.c1) / (mu_x**2 + m.mu_y**2 + c.c1)
    (expected,) = torch.autograd.grad(luminance.mean(), mu_x)
    got = attempts.by_local_mean(X, Y, data_range=1.0)
    assert error(got, expected) <= 1e-15
    finished = attempts.FORUM_WINDOW.adjoint(got, (4, 4))
    assert error(finished, of_luminance(X, Y, data_range=1.0)) <= 1e-15


@pytest.mark.parametrize(
    "window", [attempts.FORUM_WINDOW, Window(padding="zero"), Window(5, None, "reflect")], ids=str
)
def test_with_the_adjoint_outside_it_is_autograds(window):
    for x, y in ((X, Y), random_pair(2, 3, 12, 11)):
        if min(x.shape[-2:]) >= window.least_size:
            got = attempts.luminance_gradient(x, y, data_range=1.0, window=window)
            expected = of_luminance(x, y, data_range=1.0, window=window)
            assert error(got, expected) <= 1e-15


def test_every_attempt_is_right_for_a_window_of_one_pixel():
    x, y = random_pair(2, 6, 7)
    settings = {"data_range": 1.0, "window": Window(1)}
    truth = gradient.ssim_gradient(x, y, **settings)
    assert relative_error(attempts.pixelwise(x, y, **settings), truth) <= 1e-12
    for attempt in OF_LUMINANCE:
        assert relative_error(attempt(x, y, **settings), of_luminance(x, y, **settings)) <= 1e-12


def test_the_third_attempt_is_right_where_the_maps_are_constant():
    x, y = (torch.full((14, 14), v, dtype=torch.float64) for v in (0.4, 0.7))
    got = attempts.by_gradients_of_sums(x, y, data_range=1.0)
    off = (got - of_luminance(x, y, data_range=1.0)).abs()
    assert off[2:-2, 2:-2].max() <= 1e-16
    assert off.max() > 1e-4  # at the border zeros are seen, and the maps are not constant
    settings = {"data_range": 1.0, "window": Window(3, padding="reflect")}
    assert attempts.by_gradients_of_sums(x, y, **settings).std() == pytest.approx(
        of_luminance(x, y, **settings).std().item(), abs=1e-15
    )


def test_the_error_grows_with_the_texture():
    errors = []
    for contrast in (1e-3, 1e-2, 1e-1):
        x, y = random_pair(20, 20, offset=0.5, contrast=contrast)
        settings = {"data_range": 1.0, "window": Window(3, padding="reflect")}
        off = attempts.by_gradients_of_sums(x, y, **settings) - of_luminance(x, y, **settings)
        errors.append(off[3:-3, 3:-3].abs().max() / of_luminance(x, y, **settings).abs().max())
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("images", [(X, Y), random_pair(2, 3, 9, 8)], ids=["forum", "random"])
@pytest.mark.parametrize("window", [attempts.FORUM_WINDOW, Window(5, 1, "reflect")], ids=str)
def test_the_error_of_the_third_attempt_is_the_commutator(images, window):
    x, y = images
    settings = {"data_range": 1.0, "window": window}
    m, c = rearranged_moments(x, y, window), constants(1.0)
    above, below = 2 * m.mu_x * m.mu_y + c.c1, m.mu_x**2 + m.mu_y**2 + c.c1
    predicted = (
        attempts.commutator(2 / below, m.mu_y, window)
        - attempts.commutator(2 * above / below**2, m.mu_x, window)
    ) / above.numel()
    missed = of_luminance(x, y, **settings) - attempts.by_gradients_of_sums(x, y, **settings)
    assert error(missed, predicted) <= 1e-15
    assert missed.abs().max() > 1e-3


def test_the_commutator_vanishes_for_a_constant_factor():
    u = random_pair(1, 6, 6)[0]
    assert attempts.commutator(torch.full_like(u, 3.0), u).abs().max() <= 1e-15
    assert attempts.commutator(u, torch.ones_like(u)).abs().max() > 0.01


def test_more_digits_do_not_help_a_wrong_formula():
    # K. Frank's test: an error of rounding drops when float32 becomes float64.
    single = tuple(image.float() for image in (X, Y))

    def off(attempt, images, expected):
        return error(attempt(*images, data_range=1.0).double(), expected)

    of_l = of_luminance(X, Y, data_range=1.0)
    of_ssim = gradient.ssim_gradient(X, Y, data_range=1.0, window=attempts.FORUM_WINDOW)
    for attempt, expected in (
        (attempts.pixelwise, of_ssim),
        (attempts.by_local_mean, of_l),
        (attempts.by_gradients_of_sums, of_l),
    ):
        assert off(attempt, single, expected) == pytest.approx(
            off(attempt, (X, Y), expected), rel=1e-4
        )
    right = attempts.luminance_gradient
    assert off(right, single, of_l) > 1e6 * off(right, (X, Y), of_l)


def test_the_pieces_as_posted_are_not_the_gradients_that_they_are_called():
    window = attempts.FORUM_WINDOW
    x = X.clone().requires_grad_()
    (of_products,) = torch.autograd.grad(window(x * Y).sum(), x)
    (of_variances,) = torch.autograd.grad((window(x * x) - window(x) ** 2).sum(), x)
    ones = window.adjoint(torch.ones_like(X), (4, 4))
    assert error(Y * ones, of_products) <= 1e-15
    assert error(2 * X * ones - 2 * window.adjoint(window(X), (4, 4)), of_variances) <= 1e-15
    assert error(attempts.sum_of_products_as_posted(X, Y), of_products) > 0.1
    assert error(attempts.sum_of_variances_as_posted(X), of_variances) > 0.1


@pytest.mark.parametrize(
    "attempt", [attempts.pixelwise, *OF_LUMINANCE, attempts.luminance_gradient]
)
def test_a_window_that_shrinks_the_map_is_refused(attempt):
    with pytest.raises(ValueError, match='they need padding="zero" or "reflect"'):
        attempt(X, Y, data_range=1.0, window=Window(3))
