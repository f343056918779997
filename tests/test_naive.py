"""The forms found in the wild: each is SSIM in exact arithmetic, or fails as its name says."""

import pytest
import torch
import torch.nn.functional as F
from oracle import random_pair, relative_error, value_and_gradients

from ssimlab import Window, formula, naive, reference, ssim

REARRANGED = [
    naive.one_pass,
    naive.clamped_variance,
    naive.product_form,
    naive.luminance_contrast_structure,
]


@pytest.mark.parametrize("form", REARRANGED, ids=lambda form: form.__name__)
@pytest.mark.parametrize(
    "window", [Window(), Window(7, None, "reflect"), Window(5, padding="zero")]
)
def test_the_rearranged_forms_are_ssim_in_float64(form, window):
    x, y = random_pair(2, 14, 15)
    settings = {"data_range": 1.0, "window": window}
    values, *gradients = value_and_gradients(form, x, y, **settings)
    expected, *exact = value_and_gradients(reference.ssim, x, y, **settings)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)
    for gradient, true in zip(gradients, exact, strict=True):
        assert relative_error(gradient, true) <= 1e-12
    assert form(x, y, **settings) == values.mean()


@pytest.mark.parametrize("form", REARRANGED, ids=lambda form: form.__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_forms_compute_in_the_dtype_that_they_are_given(form, dtype):
    x, y = random_pair(12, 12, dtype=dtype)
    assert form(x, y, data_range=1.0).dtype == dtype


@pytest.mark.parametrize("form", REARRANGED, ids=lambda form: form.__name__)
def test_the_rearranged_forms_lose_a_contrast_that_is_small_beside_the_mean(form):
    x, y = random_pair(24, 24, offset=1e3, contrast=0.1, dtype=torch.float32)
    expected = reference.ssim(x, y, data_range=1.0, reduction="none")
    error = (form(x, y, data_range=1.0, reduction="none") - expected).abs()
    assert not error.max() < 0.1  # NaN, from a square root, counts too
    assert (ssim(x, y, data_range=1.0, reduction="none") - expected).abs().max() < 1e-6


def test_the_one_pass_variance_of_a_flat_image_is_negative_somewhere():
    flat = torch.rand(400, 1, 1, generator=torch.Generator().manual_seed(0)).expand(400, 11, 11)
    m = formula.rearranged_moments(255 * flat, 255 * flat, Window())
    assert (m.sigma_x2 < 0).any()
    assert (formula.moments(flat, flat, Window()).sigma_x2 >= 0).all()


def test_a_clamped_variance_scores_identical_images_below_or_above_one():
    flat = torch.linspace(0, 255, 200)[:, None, None].expand(200, 11, 11)
    scores = naive.clamped_variance(flat, flat, data_range=1.0, reduction="none")
    assert (scores - 1).abs().max() > 0.1
    assert torch.equal(ssim(flat, flat, data_range=1.0, reduction="none"), torch.ones(200, 1, 1))


def test_the_product_form_leaves_the_range_of_half_precision():
    bright = torch.full((11, 11), 200.0, dtype=torch.float16)
    assert naive.product_form(bright, bright, data_range=255).isnan()
    dark = torch.zeros(11, 11, dtype=torch.float16)
    assert naive.product_form(dark, dark, data_range=0.5).isnan()
    for image in (bright, dark):
        assert ssim(image, image, data_range=255) == 1


def test_the_square_roots_have_no_gradient_on_a_flat_image():
    flat = torch.zeros(11, 11, dtype=torch.float64)
    x, _ = random_pair(11, 11)
    _, by_flat, _ = value_and_gradients(naive.luminance_contrast_structure, flat, x, data_range=1.0)
    assert by_flat.isnan().all()
    _, by_flat, _ = value_and_gradients(naive.one_pass, flat, x, data_range=1.0)
    assert by_flat.isfinite().all()


def test_the_square_roots_are_nan_where_rounding_makes_a_variance_negative():
    flat = torch.linspace(0, 1, 200)[:, None, None].expand(200, 11, 11)
    values = naive.luminance_contrast_structure(flat, flat, data_range=1.0, reduction="none")
    assert values.isnan().any()
    assert not values.isnan().all()


def test_zero_padding_is_the_convention_of_splatting_code():
    # conv2d with padding 5 of images (N, C, H, W), with C1 = 0.01² and C2 = 0.03².
    x, y = random_pair(1, 3, 20, 22)
    kernel = Window().weights().expand(3, 1, 11, 11)

    def blur(image):
        return F.conv2d(image, kernel, padding=5, groups=3)

    mu_x, mu_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mu_x**2, blur(y * y) - mu_y**2
    cov = blur(x * y) - mu_x * mu_y
    expected = ((2 * mu_x * mu_y + 1e-4) * (2 * cov + 9e-4)) / (
        (mu_x**2 + mu_y**2 + 1e-4) * (var_x + var_y + 9e-4)
    )
    got = naive.zero_padded_same(x, y, data_range=1.0, reduction="none")
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    inside = reference.ssim(x, y, data_range=1.0, reduction="none")
    torch.testing.assert_close(got[..., 5:-5, 5:-5], inside, rtol=0, atol=1e-12)
    assert naive.zero_padded_same(x, y, data_range=1.0) != inside.mean()


def test_unsquared_constants_are_the_custom_loss_of_the_article():
    # avg_pool2d of 11 x 11 with padding 5, C1 = 0.01, C2 = 0.03, epsilon 1e-8.
    x, y = random_pair(1, 1, 16, 17)

    def pool(image):
        return F.avg_pool2d(image, 11, stride=1, padding=5)

    mu_x, mu_y = pool(x), pool(y)
    var_x, var_y = pool(x * x) - mu_x**2, pool(y * y) - mu_y**2
    cov = pool(x * y) - mu_x * mu_y
    expected = ((2 * mu_x * mu_y + 0.01) * (2 * cov + 0.03)) / (
        (mu_x**2 + mu_y**2 + 0.01) * (var_x + var_y + 0.03) + 1e-8
    )
    got = naive.unsquared_constants(x, y, data_range=1.0, reduction="none")
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)


def test_an_epsilon_in_the_denominator_keeps_equal_images_from_scoring_one():
    black = torch.zeros(11, 11, dtype=torch.float64)
    n = 0.01 * 0.03
    scores = {
        eps: naive.unsquared_constants(black, black, data_range=1.0, eps=eps).item()
        for eps in (0, 1e-8, 1e-2)
    }
    assert scores == pytest.approx({eps: n / (n + eps) for eps in scores}, rel=1e-14)


def test_every_form_is_listed_by_its_name():
    assert list(naive.FORMS) == [
        "one_pass",
        "clamped_variance",
        "product_form",
        "luminance_contrast_structure",
        "zero_padded_same",
        "unsquared_constants",
    ]
    assert all(getattr(naive, name) is form for name, form in naive.FORMS.items())
    assert naive.ssim is naive.one_pass
