"""The window: weights that sum to one, and an adjoint that is exact for every padding."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, layouts, powers_of_ten, shapes, windows

from ssimlab import Window

WINDOWS = [
    Window(size, sigma, padding)
    for padding in ("valid", "reflect", "zero")
    for size, sigma in ((11, 1.5), (7, None), (3, 0.8), (1, 1.5))
]


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def inner(a, b):
    return (a * b).sum().item()


def assert_adjoint(window, x, layout=None):
    g = images(*window(x).shape, seed=1)
    g = LAYOUTS[layout](g) if layout else g
    left, right = inner(window(x), g), inner(x, window.adjoint(g, x.shape[-2:]))
    assert abs(left - right) <= 1e-13 * inner(window(x.abs()), g.abs())


@st.composite
def windows_and_images(draw):
    window = draw(windows(sizes=(1, 3, 5, 7, 11)))
    return window, images(*draw(shapes(window.least_size)), seed=draw(st.integers(0, 99)))


@given(
    size=st.integers(0, 50).map(lambda radius: 2 * radius + 1),
    sigma=st.none() | powers_of_ten(-300, 6),
)
def test_the_taps_are_symmetric_and_sum_to_one(size, sigma):
    taps = Window(size, sigma).taps
    assert len(taps) == size
    assert taps == taps[::-1]
    assert abs(math.fsum(taps) - 1) <= 1e-15
    assert abs(torch.tensor(taps, dtype=torch.float64).sum().item() - 1) <= 1e-15
    assert abs(Window(size, sigma).weights().sum().item() - 1) <= 2e-15


def test_the_published_window_has_the_published_taps():
    # The 11 x 11 Gaussian of sigma 1.5, from its definition.
    bell = [math.exp(-(i**2) / 4.5) for i in range(-5, 6)]
    assert Window().taps == pytest.approx([b / sum(bell) for b in bell], rel=1e-15)
    assert Window().weights()[5, 5].item() == pytest.approx(0.0707622377639470, rel=1e-14)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_constant_image_keeps_its_value_away_from_zero_padding(window):
    r = window.radius
    inside = window(torch.full((23, 25), 7.0, dtype=torch.float64))
    if window.padding == "zero":
        inside = inside[r : 23 - r, r : 25 - r]
    torch.testing.assert_close(inside, torch.full_like(inside, 7.0), rtol=1e-15, atol=0)


@given(windows_and_images())
def test_the_window_is_the_convolution_with_its_weights(drawn):
    window, x = drawn
    padding = {"reflect": "reflect", "zero": "constant", "valid": "constant"}[window.padding]
    margin = 0 if window.padding == "valid" else window.radius
    planes = torch.nn.functional.pad(x.reshape(-1, 1, *x.shape[-2:]), (margin,) * 4, mode=padding)
    expected = torch.nn.functional.conv2d(planes, window.weights()[None, None])
    got = window(x)
    assert got.shape == (*x.shape[:-2], *window.output_size(x.shape[-2:]))
    torch.testing.assert_close(got.reshape(expected.shape), expected, rtol=0, atol=1e-14)


@given(windows_and_images(), layouts, layouts)
def test_the_adjoint_satisfies_its_identity_in_any_memory_layout(drawn, of_image, of_map):
    window, image = drawn
    x = LAYOUTS[of_image](image)
    assert_adjoint(window, x, of_map)
    torch.testing.assert_close(window(x), window(x.contiguous()), rtol=0, atol=4e-15)


@pytest.mark.parametrize(
    ("window", "shape"),
    [
        (Window(), (11, 11)),
        (Window(11, padding="reflect"), (6, 6)),
        (Window(11, padding="reflect"), (6, 40)),
        (Window(11, padding="zero"), (1, 1)),
        (Window(11, padding="zero"), (2, 9)),
        (Window(1), (1, 1)),
        (Window(1, padding="reflect"), (1, 1)),
        (Window(31, None), (31, 33)),
    ],
    ids=str,
)
def test_the_adjoint_is_exact_on_the_smallest_images(window, shape):
    assert_adjoint(window, images(*shape))


@given(windows_and_images())
def test_the_adjoint_is_what_autograd_calls_the_vector_jacobian_product(drawn):
    window, x = drawn
    values = window(x.requires_grad_())
    g = images(*values.shape, seed=2)
    (expected,) = torch.autograd.grad(values, x, g)
    torch.testing.assert_close(window.adjoint(g, x.shape[-2:]), expected, rtol=0, atol=2e-14)


@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
def test_the_adjoint_of_the_adjoint_is_the_window(padding):
    window = Window(5, padding=padding)
    x, g = images(9, 8), images(*window.output_size((9, 8)), seed=1).requires_grad_()
    (again,) = torch.autograd.grad(window.adjoint(g, (9, 8)), g, x)
    torch.testing.assert_close(again, window(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_result_has_the_dtype_of_the_image(dtype):
    x = images(12, 12).to(dtype)
    for window in (Window(), Window(padding="reflect")):
        values = window(x)
        assert values.dtype == dtype
        assert window.adjoint(values, (12, 12)).dtype == dtype


def test_a_window_is_frozen_and_can_be_compared_and_hashed():
    assert Window() == Window(11, 1.5, "valid")
    assert Window() != Window(padding="zero")
    assert len({Window(), Window(11), Window(7)}) == 2
    assert repr(Window()) == "Window(size=11, sigma=1.5, padding='valid')"
    with pytest.raises(FrozenInstanceError):
        Window().size = 7


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 10}, ValueError, "odd and positive, not 10: an even window has no center pixel"),
        ({"size": 0}, ValueError, "odd and positive, not 0"),
        ({"size": -3}, ValueError, "odd and positive, not -3"),
        ({"size": 11.0}, TypeError, "odd whole number, not 11.0"),
        ({"size": True}, TypeError, "odd whole number, not True"),
        ({"size": None}, TypeError, "odd whole number, not None"),
        ({"sigma": 0}, ValueError, "sigma must be positive and finite, not 0: sigma=None is the"),
        ({"sigma": -1.5}, ValueError, "sigma must be positive and finite, not -1.5"),
        ({"sigma": math.nan}, ValueError, "sigma must be positive and finite, not nan"),
        ({"sigma": math.inf}, ValueError, "sigma must be positive and finite, not inf"),
        (
            {"sigma": 10**400},
            ValueError,
            "sigma must be positive and finite, not 1000.*00\\.\\.\\.: ",
        ),
        ({"sigma": "1.5"}, TypeError, "sigma must be a number of pixels or None, not '1.5'"),
        ({"sigma": True}, TypeError, "sigma must be a number of pixels or None, not True"),
        ({"padding": "same"}, ValueError, "padding must be one of .*'zero'.*, not 'same'"),
        ({"padding": None}, ValueError, "padding must be one of .*, not None"),
    ],
    ids=str,
)
def test_a_window_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Window(**arguments)


@pytest.mark.parametrize(
    ("window", "shape", "least"),
    [
        (Window(), (10, 40), 11),
        (Window(), (40, 10), 11),
        (Window(padding="reflect"), (5, 5), 6),
    ],
    ids=str,
)
def test_an_image_smaller_than_the_window_is_refused(window, shape, least):
    with pytest.raises(ValueError, match=f"{shape[0]} x {shape[1]} pixels.* at least {least} x"):
        window(torch.zeros(shape))


def test_the_adjoint_refuses_what_the_window_did_not_make():
    x = torch.zeros(3, 16, 16)
    g = Window()(x)
    with pytest.raises(ValueError, match="g has 6 x 6 pixels, but this window makes 5 x 5"):
        Window().adjoint(g, (15, 15))
    with pytest.raises(ValueError, match=r"size must be \(H, W\), not \(3, 16, 16\)"):
        Window().adjoint(g, x.shape)
    with pytest.raises(ValueError, match="the image has 4 x 4 pixels"):
        Window().adjoint(g, (4, 4))
    with pytest.raises(TypeError, match="g must be a torch tensor, not numpy"):
        Window().adjoint(np.zeros((6, 6)), (16, 16))


def test_the_window_refuses_integers_and_vectors():
    with pytest.raises(TypeError, match=r"x is torch.uint8, but SSIM needs floating-point pixels"):
        Window()(torch.zeros(16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"x must have shape \(…, H, W\), not \(16,\)"):
        Window()(torch.zeros(16))


def test_numbers_of_numpy_become_numbers_of_python():
    window = Window(np.int64(5), np.float32(1.5))
    assert window == Window(5)
    assert (type(window.size), type(window.sigma)) == (int, float)
    assert window.taps == Window(5).taps


@pytest.mark.parametrize("size", [16, None, (16,)])
def test_a_size_that_is_no_pair_is_refused(size):
    with pytest.raises(ValueError, match=r"size must be \(H, W\), not"):
        Window(3).adjoint(torch.ones(14, 14), size)
