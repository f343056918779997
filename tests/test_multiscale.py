"""MS-SSIM against its definition, against two libraries, and where a scale turns negative."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from ssimlab import Window, reference
from ssimlab.multiscale import (
    NORMALIZATIONS,
    PUBLISHED_WEIGHTS,
    PYTORCH_MSSSIM,
    TORCHMETRICS,
    WANG2003,
    Scales,
    continued,
    halve,
    ms_dissimilarity,
    ms_ssim,
    reference_ms_ssim,
    scale_space_dissimilarity,
)

pytestmark = pytest.mark.usefixtures("every_backend")


def small(**choices):
    """Three scales: of a small image they exercise the same code as five of a large one."""
    return {"window": Window(3), "scales": Scales(PUBLISHED_WEIGHTS[:3], **choices)}


SMALL = small()


@pytest.fixture
def pytorch_msssim():
    """The library of this name, where it is installed."""
    return pytest.importorskip("pytorch_msssim")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def photograph(height, width=None, dtype=torch.float32):
    """(1, 3, height, width) of scikit-image's astronaut, in [0, 1]."""
    data = pytest.importorskip("skimage.data")
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].to(dtype) / 255
    return image[..., 20 : 20 + height, 150 : 150 + (width or height)].contiguous()


DISTORTIONS = {
    "noise": lambda x: (x + 0.1 * noise(x.shape)).clamp(0, 1),
    "darker": lambda x: 0.6 * x,
    "blurred": lambda x: torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2),
}


def small_pair(*batch, size=(14, 13), dtype=torch.float32, seed=1):
    x = torch.rand((*batch, *size), generator=generator(seed), dtype=torch.float64)
    y = (x + 0.3 * noise(x.shape, seed + 1, torch.float64)).to(dtype)
    return x.to(dtype), y


def gradient(fn, x, *others):
    x = x.detach().clone().requires_grad_()
    value = fn(x, *others)
    (slope,) = torch.autograd.grad(value, x)
    return value.detach(), slope


# Against the libraries ---------------------------------------------------------------------


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("size", [(176, 192), (187, 181)])
def test_photographs_score_as_in_pytorch_msssim(size, name, pytorch_msssim):
    x = photograph(*size)
    y = DISTORTIONS[name](x)
    ours = ms_ssim(x, y, data_range=1.0, scales=PYTORCH_MSSSIM)
    assert ours.item() == pytest.approx(
        pytorch_msssim.ms_ssim(x, y, data_range=1.0).item(), abs=1e-5
    )


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("size", [(176, 192), (187, 181)])
def test_photographs_score_as_in_torchmetrics(size, name):
    x = photograph(*size)
    y = DISTORTIONS[name](x)
    ours = ms_ssim(x, y, data_range=1.0, scales=TORCHMETRICS)
    torchmetrics = pytest.importorskip("torchmetrics.functional.image")
    theirs = torchmetrics.multiscale_structural_similarity_index_measure(x, y, data_range=1.0)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)


def test_photographs_have_the_gradient_of_pytorch_msssim(pytorch_msssim):
    x = photograph(176, dtype=torch.float64)
    y = DISTORTIONS["noise"](x)
    # Its own taps are float32; given float64 taps it is right to the last digits here.
    taps = torch.tensor(Window().taps, dtype=torch.float64).reshape(1, 1, 1, -1).repeat(3, 1, 1, 1)
    theirs = gradient(lambda x: pytorch_msssim.ms_ssim(x, y, data_range=1.0, win=taps), x)
    ours = gradient(lambda x: ms_ssim(x, y, data_range=1.0), x)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(ours[1], theirs[1], rtol=0, atol=1e-11 * ours[1].abs().max().item())


def test_the_conventions_part_at_odd_sizes_and_agree_at_even_ones():
    scores = {}
    for size in (176, 181):
        x = photograph(size)[:, :1]
        y = DISTORTIONS["noise"](x)
        scores[size] = [
            ms_ssim(x, y, data_range=1.0, scales=Scales(odd=odd)).item() for odd in _odd()
        ]
    assert max(scores[176]) == min(scores[176])
    replicate, drop, zero = scores[181]
    assert min(abs(replicate - drop), abs(drop - zero), abs(zero - replicate)) > 1e-4


def _odd():
    return ("replicate", "drop", "zero")


def test_joint_channels_take_one_mean_over_the_channels():
    x = photograph(176)
    y = x + torch.tensor([0.01, 0.1, 0.3]).reshape(3, 1, 1) * noise(x.shape)
    apart = ms_ssim(x, y, data_range=1.0, reduction="none")
    joint = ms_ssim(x, y, data_range=1.0, scales=Scales(joint_channels=True), reduction="none")
    assert apart.shape == (1, 3)
    assert joint.shape == (1,)
    assert abs(apart.mean() - joint).item() > 1e-2


# Against the definition --------------------------------------------------------------------


@pytest.mark.parametrize("odd", _odd())
@pytest.mark.parametrize("joint_channels", [False, True])
@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
def test_the_stable_form_is_the_definition_in_float64(odd, joint_channels, padding):
    x, y = small_pair(2, 3, size=(19, 22), dtype=torch.float64)
    how = {"data_range": 1.0} | small(
        last_window=Window(3, padding=padding), odd=odd, joint_channels=joint_channels
    )
    stable = gradient(lambda x: ms_ssim(x, y, **how), x)
    by_definition = gradient(lambda x: reference_ms_ssim(x, y, **how), x)
    torch.testing.assert_close(stable, by_definition, rtol=1e-12, atol=1e-14)


def test_the_score_is_one_minus_the_dissimilarity_of_the_same_arguments():
    x, y = small_pair(2)
    how = {"data_range": 2.0, "k": (0.02, 0.5), "reduction": "none", **small(odd="drop")}
    assert torch.equal(ms_ssim(x, y, **how), 1 - ms_dissimilarity(x, y, **how))
    assert not torch.allclose(ms_ssim(x, y, **how), ms_ssim(x, y, data_range=2.0, **SMALL))


def test_one_scale_of_weight_one_is_ssim():
    x, y = small_pair(2, 3, dtype=torch.float64)
    for rule in ("continued", "none"):
        scales = Scales(weights=(1.0,), normalize=rule)
        one = ms_ssim(x, -y, data_range=1.0, window=Window(3), scales=scales)
        ssim = reference.ssim(x, -y, data_range=1.0, window=Window(3), reduction="none")
        torch.testing.assert_close(one, ssim.mean(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("contrast", [1.0, 1e-2])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_float32_keeps_value_and_gradient_at_any_offset(offset, contrast):
    x, y = (offset + contrast * image for image in small_pair(2, size=(33, 30)))
    if torch.equal(x, y):
        pytest.fail("the pair was meant to differ")
    value, slope = gradient(lambda x: ms_dissimilarity(x, y, data_range=1.0, **SMALL), x)
    truth, true_slope = gradient(
        lambda x: 1 - reference_ms_ssim(x, y.double(), data_range=1.0, **small(normalize="none")),
        x.double(),
    )
    assert value.item() == pytest.approx(truth.item(), abs=1e-7)
    assert (slope - true_slope).norm() <= 1e-5 * true_slope.norm()


def test_a_step_hides_no_texture_on_its_low_side():
    x = torch.zeros(32, 32)
    x[:, 16:] = 1e3
    x = x + 1e-3 * noise(x.shape)
    y = x + 1e-3 * noise(x.shape, seed=5)
    value, slope = gradient(lambda x: ms_dissimilarity(x, y, data_range=1e-2, **SMALL), x)
    truth, true_slope = gradient(
        lambda x: 1 - reference_ms_ssim(x, y.double(), data_range=1e-2, **small(normalize="none")),
        x.double(),
    )
    assert value.item() == pytest.approx(truth.item(), abs=1e-6)
    assert (slope - true_slope).norm() <= 1e-5 * true_slope.norm()


CHECKERS = 2.0 * ((torch.arange(32)[:, None] + torch.arange(32)) % 2) - 1

UNLIKE_PAIRS = {
    "checkers of a thousand ranges against black": (1e3 * CHECKERS, 0 * CHECKERS),
    "checkers of ten thousand ranges against noise": (1e4 * CHECKERS, 0.3 * noise((32, 32))),
    "black against white": (torch.zeros(32, 32), torch.ones(32, 32)),
    "noise about opposite means": (1e3 + noise((32, 32)), noise((32, 32), seed=1) - 1e3),
}


@pytest.mark.parametrize("pair", UNLIKE_PAIRS.values(), ids=UNLIKE_PAIRS)
def test_scores_next_to_zero_keep_their_digits(pair):
    x, y = pair
    value, slope = gradient(lambda x: ms_dissimilarity(x, y, data_range=1.0, **SMALL), x)
    how = {"data_range": 1.0, **SMALL}
    truth, true_slope = gradient(lambda x: 1 - reference_ms_ssim(x, y.double(), **how), x.double())
    assert value.item() == pytest.approx(truth.item(), abs=1e-6)
    assert (slope - true_slope).norm() <= 1e-5 * true_slope.norm()


def test_halving_loses_no_contrast_to_brightness():
    signal = (1e6 + noise((8, 8))).float()
    first, second = halve(halve((signal,), "drop"), "drop")
    exact = torch.nn.functional.avg_pool2d(signal.double()[None], 4)[0]
    assert (first.double() + second.double() - exact).abs().max() < 1e-6
    assert (torch.nn.functional.avg_pool2d(signal[None], 4)[0] - exact).abs().max() > 1e-3


def test_identical_images_have_exactly_no_loss_and_no_gradient():
    x = photograph(161)
    value, slope = gradient(lambda x, y: ms_dissimilarity(x, y, data_range=1.0), x, x.clone())
    assert value.item() == 0
    assert not slope.any()


def test_nearly_identical_images_keep_their_relative_accuracy(pytorch_msssim):
    x = photograph(161)[:, :1]
    y = x + 1e-4 * noise(x.shape)
    value = ms_dissimilarity(x, y, data_range=1.0).item()
    truth = ms_dissimilarity(x.double(), y.double(), data_range=1.0).item()
    assert value == pytest.approx(truth, rel=1e-6)
    assert 1 - pytorch_msssim.ms_ssim(x, y, data_range=1.0).item() != pytest.approx(truth, rel=1e-2)


@pytest.mark.parametrize("fn", [ms_dissimilarity, scale_space_dissimilarity])
@pytest.mark.parametrize("data_range", [1e-20, 1.0, 1e20])
def test_every_magnitude_up_to_1e15_ranges_is_finite(fn, data_range):
    how = SMALL if fn is ms_dissimilarity else {"size": 5}
    for scale in (1e15, 1e-15):
        x, y = (data_range * scale * noise((1, 1, 20, 20), seed) for seed in (0, 1))
        value, slope = gradient(lambda x, y=y: fn(x, y, data_range=data_range, **how), x)
        assert value.isfinite()
        assert slope.isfinite().all()


# Negative scores ---------------------------------------------------------------------------

# What each rule makes of an image and its negative: between which bounds the value lies, and
# whether the gradient is finite and alive.
AT_A_NEGATIVE = {
    "continued": ((-1.0, -0.1), True, True),
    "none": (None, False, True),
    "relu": ((0.0, 0.0), True, False),
    "clamp": ((0.0, 0.0), True, False),
    "simple": ((0.1, 1.0), True, True),
}


@pytest.mark.parametrize("rule", NORMALIZATIONS)
def test_each_rule_does_to_a_negative_what_its_description_says(rule):
    x = photograph(192)[:, :1]
    y = 1 - x
    value, slope = gradient(
        lambda x: ms_ssim(x, y, data_range=1.0, scales=Scales(normalize=rule)), x
    )
    bounds, finite, alive = AT_A_NEGATIVE[rule]
    assert bounds[0] <= value <= bounds[1] if bounds else value.isnan()
    assert bool(slope.isfinite().all()) is finite
    assert bool(slope.any()) is alive


@pytest.mark.parametrize("rule", NORMALIZATIONS)
def test_each_rule_in_the_stable_form_is_that_rule_of_the_definition(rule):
    x, y = small_pair(2, dtype=torch.float64)
    for other in (y, -y):
        stable = ms_ssim(x, other, data_range=1.0, **small(normalize=rule))
        exact = reference_ms_ssim(x, other, data_range=1.0, **small(normalize=rule))
        torch.testing.assert_close(stable, exact, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_the_published_conventions_do_to_a_negative_what_their_codes_do():
    x = photograph(192)[:, :1]
    y = 1 - x
    assert ms_ssim(x, y, data_range=1.0, scales=PYTORCH_MSSSIM) == 0
    assert ms_ssim(x, y, data_range=1.0, scales=TORCHMETRICS) == 0
    assert ms_ssim(x, y, data_range=1.0, scales=WANG2003).isnan()
    assert reference_ms_ssim(x, y, data_range=1.0).isnan()


def test_a_shifted_score_is_the_product_of_powers_of_its_halfway_to_one():
    shifted = NORMALIZATIONS["simple"](torch.tensor([-0.5, 0.5]), (1.0, 2.0))
    assert shifted.item() == pytest.approx(0.25 * 0.75**2)


def test_scores_of_exactly_zero_have_a_finite_slope_in_the_stable_form():
    # Without the constant of contrast a flat image has a covariance, and a score, of zero.
    x, y = small_pair(2)
    flat = torch.full_like(y, 0.5)
    how = {"data_range": 1.0, "k": (0.01, 0.0), **SMALL}
    value, slope = gradient(lambda y: ms_dissimilarity(x, y, **how), flat)
    assert value == 1
    assert slope.isfinite().all()
    assert slope.any()


def scores_and_weights(*first):
    scores = torch.tensor([*first, 0.9, 0.8, 0.7, 0.95][:5], dtype=torch.float64)
    return scores.requires_grad_(), PUBLISHED_WEIGHTS


@pytest.mark.parametrize(
    ("rule", "slope_at_zero"),
    [("none", float("inf")), ("relu", 0.0), ("clamp", float("inf")), ("continued", 0.0448)],
)
def test_the_slope_at_a_score_of_zero(rule, slope_at_zero):
    scores, weights = scores_and_weights(0.0)
    value = NORMALIZATIONS[rule](scores, weights)
    (slope,) = torch.autograd.grad(value, scores)
    assert value.item() == 0
    assert slope[0].item() == pytest.approx(slope_at_zero)


def test_two_scores_of_zero_make_the_slope_of_clamp_nan():
    scores, weights = scores_and_weights(0.0, 0.0)
    (slope,) = torch.autograd.grad(NORMALIZATIONS["clamp"](scores, weights), scores)
    assert slope[:2].isnan().all()


@pytest.mark.parametrize("score", [1e-300, 1e-12, 1e-3, 0.5, 1.0])
def test_the_default_is_the_published_product_down_to_the_smallest_positive_score(score):
    scores, weights = scores_and_weights(score)
    published = torch.tensor(1.0, dtype=torch.float64)
    for value, weight in zip(scores, weights, strict=True):
        published = published * value**weight
    ours = continued(scores, weights)
    torch.testing.assert_close(ours, published, rtol=1e-14, atol=0)
    slopes = [torch.autograd.grad(value, scores)[0] for value in (ours, published)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=0)


def test_the_default_is_finite_alive_and_rising_in_every_score():
    grid = torch.tensor([-1.0, -0.5, -1e-9, 0.0, 6e-8, 1e-3, 0.5, 1.0], dtype=torch.float32)
    scores = torch.cartesian_prod(*[grid] * 5).T.contiguous().requires_grad_()
    values = continued(scores, PUBLISHED_WEIGHTS)
    (slopes,) = torch.autograd.grad(values.sum(), scores)
    assert slopes.isfinite().all()
    assert (slopes >= 0).all()
    assert (slopes.amax(0) > 1e-3).all()
    assert slopes.max() < 4e5
    assert values.min().item() == pytest.approx(-sum(PUBLISHED_WEIGHTS))
    assert values.max().item() == pytest.approx(1.0)


def test_the_default_is_continuous_where_scores_change_sign():
    scores, weights = scores_and_weights(1e-200)
    below, _ = scores_and_weights(-1e-12)
    assert 0 < continued(scores, weights).item() < 1e-8
    assert -1e-12 < continued(below, weights).item() < 0


def test_gradient_ascent_leaves_a_negative_with_the_default_and_not_with_relu():
    y = photograph(64)[:, :1]
    how = {"data_range": 1.0, "window": Window(7)}
    scales = Scales(PUBLISHED_WEIGHTS[:3])

    def climbed(rule):
        x = (1 - y).clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=0.05)
        for _ in range(40):
            optimizer.zero_grad()
            ms_dissimilarity(x, y, scales=replace(scales, normalize=rule), **how).backward()
            optimizer.step()
        return ms_ssim(x, y, scales=scales, **how).item(), torch.equal(x, 1 - y)

    score, unmoved = climbed("continued")
    assert score > 0.9
    assert not unmoved
    score, unmoved = climbed("relu")
    assert score < 0
    assert unmoved


def test_nan_is_not_hidden_by_a_scale_that_is_lost_already():
    x, _ = small_pair(size=(17, 17))
    y = 1 - x
    x[-1, -1] = float("nan")  # "drop" keeps it out of the coarser scales
    assert ms_ssim(x, y, data_range=1.0, **small(odd="drop")).isnan()
    assert ms_ssim(torch.rand(17, 17), y, data_range=1.0, **small(odd="drop")).isfinite()


def test_one_image_of_a_batch_does_not_touch_another():
    x, y = small_pair(3, 2)
    alone = ms_ssim(x, y, data_range=1.0, reduction="none", **SMALL)
    x = x.clone()
    x[1, 0, 4, 4] = float("nan")
    scores = ms_ssim(x, y, data_range=1.0, reduction="none", **SMALL)
    assert scores.isnan().nonzero().tolist() == [[1, 0]]
    kept = torch.ones(3, 2, dtype=torch.bool)
    kept[1, 0] = False
    assert torch.equal(scores[kept], alone[kept])


# Scale space -------------------------------------------------------------------------------


def test_scale_space_is_the_published_loss_of_each_patch():
    sigmas, size = (0.5, 1.0, 2.0), 9
    x, y = small_pair(size=(11, 10), dtype=torch.float64)
    y = 1 - y  # negative factors belong to the test
    maps = scale_space_dissimilarity(
        x, y, data_range=1.0, sigmas=sigmas, size=size, reduction="none"
    )
    assert maps.shape == (3, 2)
    for row, column in ((0, 0), (2, 1)):
        at = (slice(row, row + size), slice(column, column + size))
        px, py, product = x[at], y[at], 1.0
        for sigma in sigmas:
            w = Window(size, sigma).weights()
            mx, my = (w * px).sum(), (w * py).sum()
            vx, vy = (w * (px - mx) ** 2).sum(), (w * (py - my) ** 2).sum()
            cxy = (w * (px - mx) * (py - my)).sum()
            product = product * (2 * cxy + 9e-4) / (vx + vy + 9e-4)
        product = product * (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        assert maps[row, column].item() == pytest.approx(1 - product.item(), abs=1e-13)


def test_scale_space_of_identical_images_is_exactly_zero():
    x, _ = small_pair(2)
    value, slope = gradient(
        lambda x, y: scale_space_dissimilarity(x, y, data_range=1.0, size=9), x, x.clone()
    )
    assert value.item() == 0
    assert not slope.any()


# Errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("odd", "least"), [("replicate", 161), ("zero", 161), ("drop", 176)])
def test_the_smallest_image_of_five_scales(odd, least):
    x = torch.rand(1, least, least + 30, generator=generator())
    how = {"data_range": 1.0, "scales": Scales(odd=odd)}
    assert ms_ssim(x, x, **how) == 1
    with pytest.raises(ValueError, match=f"5 scales .* at least {least} x {least}: pass fewer"):
        ms_ssim(x[..., 1:, :], x[..., 1:, :], **how)


def test_a_small_last_window_does_not_excuse_a_large_one_before_it():
    x = torch.rand(20, 20)
    how = {"data_range": 1.0, "scales": Scales((0.5, 0.5), last_window=Window(1))}
    assert ms_ssim(x, x, window=Window(19), **how) == 1
    with pytest.raises(ValueError, match="at least 21 x 21"):
        ms_ssim(x, x, window=Window(21), **how)


ALL = [ms_ssim, ms_dissimilarity, reference_ms_ssim]


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("weights", (), TypeError, "weights must be a tuple with one number for each scale"),
        ("weights", 0.5, TypeError, "weights must be a tuple"),
        ("weights", (0.5, -0.5), ValueError, r"weights\[1\] must be a positive, finite number"),
        ("normalize", "sqrt", ValueError, "normalize must be one of .*'continued'.*not 'sqrt'"),
        ("normalize", None, ValueError, "normalize must be one of .*not None"),
        ("odd", "ceil", ValueError, "odd must be one of .*'replicate'.*not 'ceil'"),
        ("joint_channels", "no", TypeError, "joint_channels must be a bool, not str: True takes"),
        ("last_window", 0, TypeError, "last_window must be a Window, not int"),
        ("last_window", {}, TypeError, "last_window must be a Window, not dict"),
    ],
)
def test_scales_that_cannot_be_are_refused(argument, value, error, message):
    with pytest.raises(error, match=message):
        Scales(**{argument: value})


def test_scales_are_frozen_and_can_be_compared_and_hashed():
    assert Scales([1, 2]) == Scales((1.0, 2.0))
    assert len({Scales(), Scales(odd="replicate"), WANG2003, PYTORCH_MSSSIM, TORCHMETRICS}) == 4
    with pytest.raises(FrozenInstanceError):
        WANG2003.odd = "drop"


@pytest.mark.parametrize("fn", ALL)
@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("scales", (0.5, 0.5), TypeError, "scales must be a Scales, not tuple: leave it out for"),
        ("scales", Scales((1,), joint_channels=True), ValueError, r"needs .* not \(32, 32\)"),
        ("reduction", "sum", ValueError, "reduction must be"),
        ("data_range", 0, ValueError, "data_range must be a positive"),
        ("data_range", None, TypeError, "data_range must be a plain number"),
    ],
)
def test_bad_arguments_get_a_sentence_that_names_them(fn, argument, value, error, message):
    x = torch.rand(32, 32)
    how = {"data_range": 1.0, **SMALL, argument: value}
    with pytest.raises(error, match=message):
        fn(x, x, **how)


@pytest.mark.parametrize("fn", [*ALL, scale_space_dissimilarity])
def test_the_image_that_is_none_is_named(fn):
    image = torch.rand(40, 40)
    for name, pair in (("x", (None, image)), ("y", (image, None))):
        with pytest.raises(TypeError, match=f"^{name} must be a torch tensor"):
            fn(*pair, data_range=1.0)


@pytest.mark.parametrize("fn", [*ALL, scale_space_dissimilarity])
def test_data_range_has_no_default(fn):
    with pytest.raises(TypeError, match="no default for data_range"):
        fn(torch.rand(32, 32), torch.rand(32, 32))


@pytest.mark.parametrize("sigmas", [(), 3.0, (1.0, 0.0)])
def test_scale_space_refuses_impossible_sigmas(sigmas):
    with pytest.raises((TypeError, ValueError), match=r"sigmas(\[1\])? must"):
        scale_space_dissimilarity(
            torch.rand(40, 40), torch.rand(40, 40), data_range=1, sigmas=sigmas
        )


# Types, layouts and transforms -------------------------------------------------------------


def small_ms(x, y):
    return ms_dissimilarity(x, y, data_range=1.0, **SMALL)


def small_scale_space(x, y):
    return scale_space_dissimilarity(x, y, data_range=1.0, sigmas=(0.5, 1.0), size=5)


SMALL_FUNCTIONS = [small_ms, small_scale_space]
both_functions = pytest.mark.parametrize("fn", SMALL_FUNCTIONS)


@both_functions
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(fn, dtype):
    x, y = small_pair(2, dtype=dtype)
    assert fn(x, y).dtype == torch.float32
    assert torch.equal(fn(x, y), fn(x.float(), y.float()))


@both_functions
def test_the_weights_go_to_the_device_of_the_images(fn):
    x = torch.empty(2, 14, 13, device="meta")
    assert fn(x, x).device.type == "meta"


@both_functions
def test_autocast_changes_nothing(fn):
    x, y = small_pair(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = fn(x, y)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, fn(x, y))


@both_functions
def test_first_and_second_derivatives_pass_gradcheck(fn):
    x, y = (image.requires_grad_() for image in small_pair(size=(9, 10), dtype=torch.float64))
    assert torch.autograd.gradcheck(fn, (x, y), fast_mode=True)
    assert torch.autograd.gradgradcheck(fn, (x, y), fast_mode=True)


def test_derivatives_of_the_default_pass_gradcheck_among_negative_scores():
    x, y = small_pair(size=(9, 10), dtype=torch.float64)
    x, y = x.requires_grad_(), (1 - y).requires_grad_()
    assert small_ms(x, y) > 1
    assert torch.autograd.gradcheck(small_ms, (x, y), fast_mode=True)
    assert torch.autograd.gradgradcheck(small_ms, (x, y), fast_mode=True)


@both_functions
def test_transforms_of_torch_func_agree_with_plain_loops(fn):
    x, y = small_pair(3)
    each = torch.stack([fn(a, b) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(torch.vmap(fn)(x, y), each)
    slope = torch.func.grad(fn)(x, y)
    _, along = torch.func.jvp(lambda x: fn(x, y), (x,), (y,))
    torch.testing.assert_close(along, (slope * y).sum())


def test_torch_compile_captures_ms_ssim_whole():
    def two_scales(x, y):
        return ms_dissimilarity(x, y, data_range=1.0, window=Window(3), scales=Scales((0.3, 0.7)))

    torch.compiler.reset()
    x, y = small_pair(1)
    compiled = torch.compile(two_scales, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(gradient(compiled, x, y), gradient(two_scales, x, y))
