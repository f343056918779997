"""What is true of SSIM for any images: of each form of it, and of the losses built on it."""

import hypothesis
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import relative_error, truth, value_and_gradients
from strategies import (
    LAYOUTS,
    layouts,
    pairs,
    pairs_in_windows,
    powers_of_ten,
    shapes,
    windows,
)

import ssimlab
from ssimlab import Scales, Window, gradient, reference, stable
from ssimlab.formula import constants
from ssimlab.losses import MixedLoss, ssim_loss
from ssimlab.multiscale import ms_dissimilarity, reference_ms_ssim, scale_space_dissimilarity

# Functions of (x, y, data_range=…, window=…, reduction=…), whose map has a value for each window.
FORMS = {
    "reference.ssim": reference.ssim,
    "stable.ssim": stable.ssim,
    "stable.dissimilarity": stable.dissimilarity,
    "gradient.ssim": gradient.ssim,
}
each_form = pytest.mark.parametrize("fn", FORMS.values(), ids=FORMS)

SMALL = {"window": Window(3), "scales": Scales((0.4, 0.6))}


def of_similarity(ssim, **settings):
    return lambda x, y, data_range: 1 - ssim(x, y, data_range=data_range, **settings)


def of_dissimilarity(fn, **settings):
    return lambda x, y, data_range: fn(x, y, data_range=data_range, **settings)


# Functions of (x, y, data_range) that are zero for equal images, with windows small enough for
# images of 7 x 7 pixels. The first three subtract from 1 and are zero to rounding.
SUBTRACTED = {
    "1 - reference": of_similarity(reference.ssim, window=Window(5)),
    "1 - closed form": of_similarity(gradient.ssim, window=Window(5)),
    "1 - reference MS-SSIM": of_similarity(reference_ms_ssim, **SMALL),
}
LOSSES = {
    "dissimilarity": of_dissimilarity(ssimlab.dissimilarity, window=Window(5)),
    "ms_dissimilarity": of_dissimilarity(ms_dissimilarity, **SMALL),
    "joint channels": lambda x, y, data_range: ms_dissimilarity(
        x[None],
        y[None],
        data_range=data_range,
        window=Window(3),
        scales=Scales((0.4, 0.6), joint_channels=True),
    ),
    "scale space": of_dissimilarity(scale_space_dissimilarity, sigmas=(0.5, 1.5), size=5),
    "ssim_loss same": lambda x, y, data_range: ssim_loss(x, y, 5, data_range),
    "ssim_loss valid": lambda x, y, data_range: ssim_loss(x, y, 5, data_range, padding="valid"),
    "zhao2017": lambda x, y, data_range: MixedLoss.zhao2017(
        data_range=data_range, size=5, sigmas=(0.5, 1.5)
    )(x, y),
    "kerbl2023": lambda x, y, data_range: MixedLoss.kerbl2023(data_range=data_range)(x, y),
}
EVERY = {**SUBTRACTED, **LOSSES}
each = pytest.mark.parametrize("fn", EVERY.values(), ids=EVERY)
each_loss = pytest.mark.parametrize("fn", LOSSES.values(), ids=LOSSES)


def value_and_slopes(fn, x, y, data_range):
    x, y = (image.detach().clone().requires_grad_() for image in (x, y))
    value = fn(x, y, data_range)
    return value.detach(), *torch.autograd.grad(value, (x, y))


def assert_close(got, expected, tolerance=1e-9):
    """Equal to within the tolerance, in units of the largest number, or of one if that is less."""
    for one, other in zip(got, expected, strict=True):
        scale = max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * scale)


# The score of a pair -------------------------------------------------------------------------


@each
@given(pair=shapes(7, even=True).flatmap(pairs))
def test_the_two_images_may_change_places(fn, pair):
    x, y = pair
    value, by_x, by_y = value_and_slopes(fn, x, y, 1.0)
    assert_close(value_and_slopes(fn, y, x, 1.0), (value, by_y, by_x))


@each_loss
@given(pair=shapes(7).flatmap(pairs))
def test_the_places_change_no_bit_of_the_value(fn, pair):
    x, y = (image.float() for image in pair)
    assert torch.equal(fn(x, y, 1.0), fn(y, x, 1.0))


@each
@given(
    pair=shapes(7).flatmap(pairs),
    dtype=st.sampled_from((torch.float32, torch.float64)),
    data_range=st.floats(1e-3, 1e3),
    exponent=st.integers(-40, 40),
)
def test_a_unit_that_is_a_power_of_two_changes_no_bit_of_the_value(
    fn, pair, dtype, data_range, exponent
):
    x, y = ((data_range * image).to(dtype) for image in pair)
    unit = 2.0**exponent
    value, *slopes = value_and_slopes(fn, x, y, data_range)
    scaled, *scaled_slopes = value_and_slopes(fn, unit * x, unit * y, unit * data_range)
    assert torch.equal(scaled, value)
    # The terms of a gradient may be added in another order.
    for one, other in zip(scaled_slopes, slopes, strict=True):
        assert relative_error(unit * one, other) <= 16 * torch.finfo(dtype).eps


@each
@given(pair=shapes(7).flatmap(pairs), unit=powers_of_ten(-30, 30))
def test_no_unit_matters(fn, pair, unit):
    x, y = pair
    value, *slopes = value_and_slopes(fn, x, y, 1.0)
    scaled, *scaled_slopes = value_and_slopes(fn, unit * x, unit * y, unit)
    assert_close((scaled, *(unit * slope for slope in scaled_slopes)), (value, *slopes))


@each
@given(pair=shapes(8, even=True).flatmap(pairs))
def test_mirrors_and_transposition_change_nothing_but_the_place(fn, pair):
    x, y = pair
    value, by_x, by_y = value_and_slopes(fn, x, y, 1.0)
    for move in (lambda z: z.flip(-1), lambda z: z.flip(-2), lambda z: z.mT):
        assert_close(value_and_slopes(fn, move(x), move(y), 1.0), (value, move(by_x), move(by_y)))


@each
@given(pair=shapes(7, batches=((3,), (2, 3))).flatmap(pairs), data=st.data())
def test_planes_may_stand_in_any_order(fn, pair, data):
    order = data.draw(st.permutations(range(3)))
    x, y = pair
    value, by_x, by_y = value_and_slopes(fn, x, y, 1.0)
    moved = [image[..., order, :, :] for image in (x, y, by_x, by_y)]
    assert_close(value_and_slopes(fn, *moved[:2], 1.0), (value, *moved[2:]))


@each
@given(pair=shapes(7).flatmap(pairs), layout=layouts)
def test_the_layout_in_memory_does_not_matter(fn, pair, layout):
    x, y = (LAYOUTS[layout](image) for image in pair)
    expected = value_and_slopes(fn, x.contiguous(), y.contiguous(), 1.0)
    a, b = (LAYOUTS[layout](image.clone()).requires_grad_() for image in pair)
    value = fn(a, b, 1.0)
    assert_close((value.detach(), *torch.autograd.grad(value, (a, b))), expected)


@each
@given(pair=shapes(7).flatmap(pairs))
def test_the_score_lies_between_one_and_minus_one(fn, pair):
    x, y = (image.clamp(0, 1) for image in pair)
    assert -1e-12 <= fn(x, y, 1.0) <= 2 + 1e-12


@each_loss
@given(
    shape=shapes(7),
    offset=st.sampled_from((0.0, 0.3, 1e3, 1e4)),
    dtype=st.sampled_from((torch.float16, torch.bfloat16, torch.float32, torch.float64)),
    data=st.data(),
)
def test_identical_images_have_no_loss_and_no_gradient_to_the_last_bit(
    fn, shape, offset, dtype, data
):
    x = (data.draw(pairs(shape))[0] + offset).to(dtype)
    for result in value_and_slopes(fn, x, x, 1.0):
        assert not result.any()


@pytest.mark.parametrize("fn", SUBTRACTED.values(), ids=SUBTRACTED)
@given(pair=shapes(7).flatmap(pairs))
def test_what_subtracts_from_one_is_zero_to_rounding_for_identical_images(fn, pair):
    value, by_x, by_y = value_and_slopes(fn, pair[0], pair[0].clone(), 1.0)
    assert abs(value) <= 1e-14
    assert max(by_x.abs().max(), by_y.abs().max()) <= 1e-12


# The map -------------------------------------------------------------------------------------


@each_form
@given(drawn=pairs_in_windows(batches=((1,), (3,), (2, 3))))
def test_each_image_of_a_batch_is_what_it_is_alone(fn, drawn):
    window, x, y = drawn
    settings = {"data_range": 1.0, "window": window}
    together = value_and_gradients(fn, x, y, torch.ones(1), **settings)
    alone = [
        value_and_gradients(fn, *one, torch.ones(1), **settings) for one in zip(x, y, strict=True)
    ]
    assert_close(together, map(torch.stack, zip(*alone, strict=True)))


@each_form
@given(drawn=pairs_in_windows())
def test_the_mean_is_the_mean_of_the_map(fn, drawn):
    window, x, y = drawn
    values = fn(x, y, data_range=1.0, window=window, reduction="none")
    assert values.shape == (*x.shape[:-2], *window.output_size(x.shape[-2:]))
    assert_close([fn(x, y, data_range=1.0, window=window)], [values.mean()])


@each_form
@given(
    drawn=pairs_in_windows(),
    poison=st.sampled_from((torch.nan, torch.inf, -torch.inf)),
    data=st.data(),
)
def test_a_bad_pixel_poisons_the_windows_that_touch_it_and_no_other(fn, drawn, poison, data):
    window, x, y = drawn
    place = tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)
    touched = torch.zeros_like(x)
    touched[place] = 1
    # Uniform weights: none of them is rounded to zero.
    reach = Window(window.size, None, window.padding)
    in_map = reach(touched) > 0
    in_image = reach.adjoint(in_map.double(), x.shape[-2:]) > 0
    data.draw(st.sampled_from((x, y)))[place] = poison
    values, by_x, by_y = value_and_gradients(fn, x, y, data_range=1.0, window=window)
    assert torch.equal(values.isnan(), in_map)
    assert values[~in_map].isfinite().all()
    for slope in (by_x, by_y):
        assert torch.equal(slope.isnan(), in_image)
        assert slope[~in_image].isfinite().all()


# Accuracy ------------------------------------------------------------------------------------


@hypothesis.settings(max_examples=3 * hypothesis.settings.default.max_examples)
@given(
    drawn=pairs_in_windows(
        batches=((),), offsets=powers_of_ten(-2, 6), contrasts=powers_of_ten(-6, 1)
    ),
    data_range=powers_of_ten(-15, 15),
)
def test_float32_is_as_good_as_the_oracle_at_any_offset_contrast_and_unit(drawn, data_range):
    window, x, y = drawn
    x, y = ((data_range * image).float() for image in (x, y))
    assume(not torch.equal(x, y))
    settings = {"data_range": data_range, "window": window}
    expected, *slopes = truth(x, y, **settings)
    values, *got = value_and_gradients(ssimlab.ssim, x, y, **settings)
    assert (values - expected).abs().max() <= 1e-6
    for slope, exact in zip(got, slopes, strict=True):
        assert relative_error(slope, exact) <= 1e-5


@given(
    window=windows(),
    offsets=st.tuples(*[st.integers(-(2**12), 2**12)] * 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_offset_changes_no_bit_of_contrast_and_structure(window, offsets, seed):
    # Pixels of ten bits, so that float32 holds them with the offset.
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randint(0, 1024, (2, 9, 10), generator=generator) / 1024
    window = Window(window.size, window.sigma)

    def contrast_structure(x, y):
        stack = stable.difference_stack(x, y, 1.0)
        return stable.factors((stack,), window, constants(1.0)).contrast_structure

    moved = contrast_structure(x + offsets[0], y + offsets[1])
    assert torch.equal(moved, contrast_structure(x, y))
