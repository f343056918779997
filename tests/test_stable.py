"""The stable form: float32 held against the float64 oracle on the very same pixels."""

import itertools

import pytest
import torch
from oracle import (
    mean_in_50_digits,
    random_pair,
    relative_error,
    ssim_map_in_50_digits,
    truth,
    value_and_gradients,
)

from ssimlab import Window, dissimilarity, reference, ssim, stable
from ssimlab.formula import constants

pytestmark = pytest.mark.usefixtures("every_backend")

MAP_ERROR, GRADIENT_ERROR = 1e-6, 1e-5
OFFSETS = (0, 1, 1e2, 1e4, 1e6)
CONTRASTS = (1, 1e-2, 1e-4, 1e-6)
SWEPT = [Window(), Window(3), Window(7, None), Window(11, 1.5, "reflect")]
WINDOWS = [*SWEPT, Window(1), Window(11, 0.3), Window(11, 1.5, "zero")]


def assert_equals_the_oracle(x, y, oracle=truth, **settings):
    expected, by_x, by_y = oracle(x, y, **settings)
    values, *gradients = value_and_gradients(ssim, x, y, **settings)
    assert values.dtype == torch.float32
    assert (values.double() - expected).abs().max() <= MAP_ERROR
    for gradient, exact in zip(gradients, (by_x, by_y), strict=True):
        assert relative_error(gradient, exact) <= GRADIENT_ERROR


def assert_exactly_zero(x, y, **settings):
    values, *gradients = value_and_gradients(dissimilarity, x, y, **settings)
    for result in (values, *gradients):
        assert torch.equal(result, torch.zeros_like(result))


def step_image(low, high, *, noise, seed=0, size=30):
    generator = torch.Generator().manual_seed(seed)
    x = noise * torch.rand(size, size, generator=generator, dtype=torch.float64) + low
    x[:, size // 2 :] += high - low
    return x.float()


@pytest.mark.parametrize("window", SWEPT, ids=str)
@pytest.mark.parametrize("offset", OFFSETS)
def test_the_sweep_of_offsets_and_contrasts(window, offset):
    for seed, contrast in enumerate(CONTRASTS):
        x, y = random_pair(17, 16, seed=seed, offset=offset, contrast=contrast, dtype=torch.float32)
        if torch.equal(x, y):
            assert_exactly_zero(x, y, data_range=1.0, window=window)
        else:
            assert_equals_the_oracle(x, y, data_range=1.0, window=window)


@pytest.mark.parametrize("data_range", [1e-20, 1e-3, 0.7, 255.0, 65535.0, 1e20])
@pytest.mark.parametrize("offset", [0, 1, 1e3, 1e6])
def test_the_sweep_in_other_units(data_range, offset):
    for contrast in (1, 1e-3):
        x, y = random_pair(20, 20, offset=offset, contrast=contrast)
        x, y = (data_range * x).float(), (data_range * y).float()
        if not torch.equal(x, y):
            assert_equals_the_oracle(x, y, data_range=data_range)


@pytest.mark.parametrize(
    "window", [Window(31, None), Window(31, 5.0, "reflect"), Window(101, None)], ids=str
)
@pytest.mark.parametrize("offset", [0, 100])
def test_windows_of_many_pixels(window, offset):
    x, y = random_pair(
        window.size + 3, window.size + 12, offset=offset, contrast=0.3, dtype=torch.float32
    )

    def separable(x, y, **settings):  # the definition, tap by tap, takes seconds here
        return value_and_gradients(reference.ssim_separable, x.double(), y.double(), **settings)

    assert_equals_the_oracle(x, y, separable, data_range=1.0, window=window)


@pytest.mark.parametrize("window", [Window(), Window(3), Window(7, None)], ids=str)
@pytest.mark.parametrize("high", [1e3, 1e6])
@pytest.mark.parametrize("noise", [0, 1e-3, 0.1])
def test_steps(window, high, noise):
    x = step_image(0, high, noise=noise)
    others = {
        "noisier": step_image(0, high, noise=0.2, seed=1),
        "shifted": x.roll(1, 1),
        "upside down": x.flip(1),
        "blurred": (x + x.roll(1, 1)) / 2,
        "gray": torch.full_like(x, high / 2),
        "dark": torch.full_like(x, 0.3),
    }
    for y in others.values():
        assert_equals_the_oracle(x, y, data_range=1.0, window=window)


@pytest.mark.parametrize("window", [Window(), Window(7, None)], ids=str)
@pytest.mark.parametrize("offset", [0, 1, 1e3, 1e6])
@pytest.mark.parametrize("spike", [1, 1e3, 1e6])
def test_outliers_at_the_center_of_a_window(window, offset, spike):
    for where in ("x", "y", "both"):
        x, y = random_pair(32, 31, offset=offset, contrast=0.1)
        for image, name in ((x, "x"), (y, "y")):
            if where in (name, "both"):
                image[16, 16] += spike
        assert_equals_the_oracle(x.float(), y.float(), data_range=1.0, window=window)


@pytest.mark.parametrize("window", [Window(), Window(3), Window(7, None)], ids=str)
@pytest.mark.parametrize("offset", [1, 1e3, 1e6])
@pytest.mark.parametrize("amplitude", [0.5, 100])
def test_salt_and_pepper(window, offset, amplitude):
    x, y = random_pair(32, 32, offset=offset, contrast=0.1)
    generator = torch.Generator().manual_seed(5)
    for image in (x, y):
        chance = torch.rand(32, 32, generator=generator)
        image[chance < 0.02] += amplitude
        image[chance > 0.98] -= amplitude if offset > amplitude else 0
    assert_equals_the_oracle(x.float(), y.float(), data_range=1.0, window=window)


@pytest.mark.parametrize("contrast", [1e-3, 1, 1e3])
def test_images_that_have_nothing_in_common(contrast):
    x, y = (random_pair(22, 22, seed=seed, contrast=contrast)[0] for seed in (1, 2))
    for other in (y, y + 1, y + 1e3, y + 1e6, 1e6 * y, contrast - x, 0 * y):
        assert_equals_the_oracle(x.float(), other.float(), data_range=1.0)


def test_an_image_and_its_negative():
    x, _ = random_pair(22, 22, contrast=2, dtype=torch.float32)
    expected = reference.ssim(x, -x, data_range=1.0)
    assert expected > 0.9  # two factors near -1
    assert abs(ssim(x, -x, data_range=1.0) - expected) <= MAP_ERROR


@pytest.mark.parametrize("difference", [1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12])
@pytest.mark.parametrize("offset", [0, 1, 100])
def test_nearly_equal_pairs_keep_their_relative_accuracy(offset, difference):
    x, _ = random_pair(20, 20, offset=offset, dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20, 20, generator=generator)
    y = x + difference * noise if offset else x * (1 + difference * noise)
    y[10, 10] = torch.nextafter(x[10, 10], torch.tensor(2e3))  # a difference of one ulp at least
    exact = 1 - truth(x, y, data_range=1.0)[0]
    got = dissimilarity(x, y, data_range=1.0, reduction="none")
    # The oracle subtracts from 1 in float64, which leaves it 1e-15 of its own.
    assert ((got - exact).abs() <= 1e-6 * exact + 2e-15).all()
    assert got.max() > 0


def test_the_dissimilarity_of_one_ulp_is_right_in_fifty_digits():
    x, _ = random_pair(5, 5, dtype=torch.float32)
    y = x.clone()
    y[2, 2] = torch.nextafter(y[2, 2], torch.tensor(9.0))
    settings = {"data_range": 1, "window": Window(3)}
    exact = float(1 - mean_in_50_digits(ssim_map_in_50_digits(x, y, **settings)))
    assert 0 < exact < 1e-12
    assert dissimilarity(x, y, **settings).item() == pytest.approx(exact, rel=1e-6)
    assert dissimilarity(x.double(), y.double(), **settings).item() == pytest.approx(
        exact, rel=1e-13
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_identical_images_give_exactly_zero_and_no_gradient(dtype, window):
    flat = torch.ones(13, 14, dtype=dtype)
    images = [0.7 * flat, 213 / 255 * flat, 200.1 * flat, 0 * flat]
    images += [random_pair(13, 14, offset=offset, contrast=0.1)[0] for offset in (0, 100)]
    for x in images:
        assert_exactly_zero(x.to(dtype), x.to(dtype), data_range=1.0, window=window)
        assert ssim(x.to(dtype), x.to(dtype), data_range=1.0, window=window).item() == 1


@pytest.mark.parametrize("data_range", [1e-20, 1e-10, 1e-3, 1.0, 1.999, 255.0, 1e10, 1e20])
@pytest.mark.parametrize("size", [0, 1e8, 1e15])
def test_every_finite_input_gives_a_finite_value_and_gradient(data_range, size):
    largest = size * data_range
    rows = torch.linspace(-1, 1, 13, dtype=torch.float64)
    ramp = largest * rows[:, None] * torch.ones(13)
    generator = torch.Generator().manual_seed(0)
    sign = torch.randint(0, 2, (13, 13), generator=generator) * 2.0 - 1
    images = [ramp, largest * sign, torch.full_like(ramp, largest), 0 * ramp]
    for x, y in itertools.product(images, images):
        x, y = x.float(), y.float()
        for result in value_and_gradients(dissimilarity, x, y, data_range=data_range):
            assert result.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    for offset, data_range in ((0, 1.0), (0.5, 1.0), (100, 255)):
        x, y = random_pair(2, 16, 16, offset=offset, contrast=data_range / 10, dtype=dtype)
        values, *gradients = value_and_gradients(ssim, x, y, data_range=data_range)
        expected, *exact = truth(x, y, data_range=data_range)
        assert values.dtype == torch.float32
        torch.testing.assert_close(values.double(), expected, rtol=0, atol=MAP_ERROR)
        for gradient, true in zip(gradients, exact, strict=True):
            assert gradient.dtype == dtype
            assert relative_error(gradient, true) <= torch.finfo(dtype).eps
        as_float32 = ssim(x.float(), y.float(), data_range=data_range)
        assert torch.equal(ssim(x, y, data_range=data_range), as_float32)


@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_autocast_changes_nothing(lower, dtype):
    x, y = random_pair(2, 16, 16, offset=1, contrast=0.1, dtype=dtype)
    outside = value_and_gradients(dissimilarity, x, y, data_range=1.0)
    with torch.autocast("cpu", dtype=lower):
        inside = value_and_gradients(dissimilarity, x, y, data_range=1.0)
    for a, b in zip(inside, outside, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(
    ("offset", "data_range"), [(0, 1.0), (0, 255.0), (0, 1e-3), (100, 1.0), (1e4, 2.0)]
)
def test_float64_stays_float64_and_equals_the_oracle(window, offset, data_range):
    x, y = random_pair(
        2, 14, 13, offset=offset * data_range, contrast=data_range, dtype=torch.float64
    )
    settings = {"data_range": data_range, "window": window}
    values, *gradients = value_and_gradients(ssim, x, y, **settings)
    expected, *exact = truth(x, y, **settings)
    assert values.dtype == torch.float64
    assert (values - expected).abs().max() <= 1e-12
    # The oracle's own means are rounded to an ulp of the offset.
    for gradient, true in zip(gradients, exact, strict=True):
        assert relative_error(gradient, true) <= 1e-12 * max(1, offset)


def test_the_shadow_of_one_pixel_is_eleven_squared_in_the_map_and_21_squared_in_the_gradient():
    x, y = random_pair(40, 40, dtype=torch.float32)
    x[20, 20] = torch.nan
    values, by_x, _ = value_and_gradients(dissimilarity, x, y, data_range=1.0)
    assert values.isnan().sum() == 11**2
    assert by_x.isnan().sum() == 21**2


@pytest.mark.parametrize("window", [Window(3), Window(3, None, "reflect"), Window(5, 1, "zero")])
@pytest.mark.parametrize("other", ["noisy", "opposite"])
def test_gradcheck_and_gradgradcheck(window, other):
    x, y = random_pair(5, 5, offset=0.5)
    y = y if other == "noisy" else 1.5 - x + 0.1 * y
    inputs = (x.requires_grad_(), y.detach().requires_grad_())

    def loss(a, b):
        return dissimilarity(a, b, data_range=1.0, window=window, reduction="none")

    assert torch.autograd.gradcheck(loss, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)


def test_each_factor_belongs_to_its_distance_from_one():
    x, y = random_pair(13, 14, noise=0.5)
    stack = stable.difference_stack(x, y + 0.3, 1.0)
    f = stable.factors((stack,), Window(), constants(1.0))
    assert torch.allclose(f.a, 1 - f.luminance, atol=1e-14)
    assert torch.allclose(f.b, 1 - f.contrast_structure, atol=1e-14)
    assert not torch.allclose(f.a, f.b, atol=0.01)


def test_the_gradient_never_exceeds_its_bound():
    # |∂S|₁ of one window is at most 1.05 / √C2 from contrast and 1 / √C1 from luminance.
    for seed, contrast in enumerate((1e-3, 1e-2, 3e-2, 0.1, 1)):
        x, y = random_pair(11, 11, seed=seed, contrast=contrast, noise=1, dtype=torch.float32)
        _, by_x, _ = value_and_gradients(ssim, x, y, data_range=1.0)
        assert by_x.abs().sum() <= 1.05 / 0.03 + 1 / 0.01


@pytest.mark.parametrize("data_range", [1e-39, 1e39])
def test_a_data_range_that_the_dtype_cannot_hold_is_refused(data_range):
    x, y = random_pair(12, 12, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"data_range .* outside the range of torch.float32"):
        ssim(x, y, data_range=data_range)
    assert ssim(x.double(), y.double(), data_range=data_range).isfinite()


@pytest.mark.parametrize("data_range", [torch.finfo().tiny, torch.finfo().max])
def test_the_smallest_and_the_largest_data_range_of_the_dtype_can_be_used(data_range):
    x, y = random_pair(12, 12, dtype=torch.float32)
    expected = dissimilarity(x / 2, y / 2, data_range=1.0)
    found = dissimilarity(x / 2 * data_range, y / 2 * data_range, data_range=data_range)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_constant_of_zero_leaves_a_quotient_of_zeros_where_an_image_is_flat():
    flat = torch.full((12, 12), 0.5)
    assert dissimilarity(flat, flat, data_range=1.0, k=(0.01, 0)).isnan()
    assert dissimilarity(0 * flat, 0 * flat, data_range=1.0, k=(0, 0.03)).isnan()
    x, y = random_pair(12, 12, dtype=torch.float32)
    expected = reference.ssim(x, y, data_range=1.0, k=(0, 0)).item()
    assert ssim(x, y, data_range=1.0, k=(0, 0)).item() == pytest.approx(expected, abs=1e-6)
