"""The closed-form gradient: autograd, finite differences and gradcheck all agree with it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import gradient_in_50_digits, random_pair, relative_error, value_and_gradients
from strategies import pairs_in_windows

from ssimlab import Window, formula, gradient, reference

WINDOWS = [
    Window(),
    Window(7, None),
    Window(3, 0.8),
    Window(1),
    Window(11, 1.5, "reflect"),
    Window(7, None, "reflect"),
    Window(11, 1.5, "zero"),
    Window(5, None, "zero"),
]


def by_autograd(x, y, upstream=None, **settings):
    return value_and_gradients(reference.ssim, x, y, upstream, **settings)[1:]


def assert_equals_autograd(x, y, upstream=None, tolerance=1e-12, **settings):
    for wrt, expected in zip("xy", by_autograd(x, y, upstream, **settings), strict=True):
        got = gradient.ssim_gradient(x, y, wrt=wrt, upstream=upstream, **settings)
        assert got.shape == x.shape
        assert got.dtype == torch.float64
        assert relative_error(got, expected) <= tolerance


@st.composite
def upstreams(draw, window, shape):
    """None, a number, or weights of the map's shape or of one that broadcasts to it."""
    if draw(st.booleans()):
        return draw(st.none() | st.floats(0.1, 9) | st.floats(-9, -0.1))
    size = (*shape[:-2], *window.output_size(shape[-2:]))
    size = [draw(st.sampled_from((1, n))) for n in size][draw(st.integers(0, len(size))) :]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    return torch.randn(size, generator=generator, dtype=torch.float64)


@given(drawn=pairs_in_windows(contrasts=st.floats(0.1, 2)), data=st.data())
def test_it_equals_autograd_for_every_window_batch_and_upstream_weight(drawn, data):
    window, x, y = drawn
    upstream = data.draw(upstreams(window, x.shape))
    assert_equals_autograd(x, y, upstream, tolerance=1e-10, data_range=1.0, window=window)


def test_weights_of_one_pixel_give_one_row_of_the_jacobian():
    x, y = random_pair(13, 13)
    weights = torch.zeros(3, 3, dtype=torch.float64)
    weights[1, 1] = 1
    got = gradient.ssim_gradient(x, y, data_range=1.0, upstream=weights)
    outside = torch.ones_like(got)
    outside[1:12, 1:12] = 0
    assert (got * outside).abs().max() == 0
    assert got.abs().max() > 0


@pytest.mark.parametrize(
    ("offset", "contrast", "data_range", "k"),
    [
        (0, 255, 255, (0.01, 0.03)),
        (0, 1e-3, 1e-3, (0.01, 0.03)),
        (-1, 2, 2, (0.01, 0.03)),
        (0.2, 1, 1, (0.1, 0.2)),
        (0.2, 1, 1, (0, 0)),
    ],
)
def test_it_equals_autograd_in_other_units_and_with_other_constants(
    offset, contrast, data_range, k
):
    x, y = random_pair(16, 15, offset=offset, contrast=contrast)
    assert_equals_autograd(x, y, data_range=data_range, k=k)


def test_it_equals_autograd_on_a_photograph():
    photographs = pytest.importorskip("skimage.data")
    x = torch.from_numpy(photographs.camera()[100:180, 200:280]).double()
    assert_equals_autograd(x, x.roll(1, 0), data_range=255)


@pytest.mark.parametrize(
    "window", [Window(3), Window(3, None, "reflect"), Window(5, 1.0, "zero")], ids=str
)
def test_it_equals_finite_differences_in_fifty_digits(window):
    x, y = random_pair(4 if window.padding != "valid" else 5, 4)
    settings = {"data_range": 1, "window": window}
    for wrt, images in (("x", (x, y)), ("y", (y, x))):
        got = gradient.ssim_gradient(x, y, wrt=wrt, **settings)
        assert relative_error(got, gradient_in_50_digits(*images, **settings)) <= 1e-13


def test_identical_images_have_a_gradient_of_rounding_alone():
    x, _ = random_pair(2, 14, 14)
    assert gradient.ssim_gradient(x, x, data_range=1.0).abs().max() < 1e-15


def test_the_partials_are_the_derivatives_by_the_local_averages():
    x, y = random_pair(12, 14)
    w = Window()
    averages = [a.requires_grad_() for a in (w(x), w(x * x), w(x * y))]
    mu_x, mean_square, mean_product = averages
    mu_y, mean_y2 = w(y), w(y * y)
    m = formula.Moments(
        mu_x,
        mu_y,
        mean_square - mu_x**2,
        mean_y2 - mu_y**2,
        mean_product - mu_x * mu_y,
    )
    luminance, contrast_structure = formula.quotients(m, formula.constants(1.0))
    expected = torch.autograd.grad((luminance * contrast_structure).sum(), averages)
    for got, true in zip(gradient.partials(x, y, data_range=1.0), expected, strict=True):
        assert relative_error(got, true) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_it_computes_in_float64_and_returns_float32(dtype):
    x, y = random_pair(12, 12, dtype=dtype)
    got = gradient.ssim_gradient(x, y, data_range=1.0)
    assert got.dtype == torch.float32
    exact = gradient.ssim_gradient(x.double(), y.double(), data_range=1.0)
    assert torch.equal(got, exact.float())


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_its_backward_pass_is_that_of_the_reference(window):
    x, y = random_pair(2, 12, 13)
    settings = {"data_range": 1.0, "window": window}
    values, *gradients = value_and_gradients(gradient.ssim, x, y, **settings)
    expected, *exact = value_and_gradients(reference.ssim, x, y, **settings)
    assert torch.equal(values, expected)
    for got, true in zip(gradients, exact, strict=True):
        assert relative_error(got, true) <= 1e-12


@pytest.mark.parametrize(
    "window", [Window(3), Window(3, None, "reflect"), Window(5, 1.0, "zero")], ids=str
)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck_and_gradgradcheck(window, reduction):
    x, y = (image.requires_grad_() for image in random_pair(2, 4, 5))

    def closed_form(a, b):
        return gradient.ssim(a, b, data_range=1.0, window=window, reduction=reduction)

    assert torch.autograd.gradcheck(closed_form, (x, y))
    assert torch.autograd.gradgradcheck(closed_form, (x, y), fast_mode=True)
    assert torch.autograd.gradcheck(lambda a: closed_form(a, y.detach()), x)
    assert torch.autograd.gradcheck(lambda b: closed_form(x.detach(), b), y)


def test_the_closed_form_can_be_differentiated_itself():
    x, y = random_pair(5, 5)
    window = Window(3)

    def closed_form(a):
        return gradient.ssim_gradient(a, y, data_range=1.0, window=window)

    def mean(a):
        return reference.ssim(a, y, data_range=1.0, window=window)

    assert torch.autograd.gradcheck(closed_form, x.clone().requires_grad_())
    got = torch.func.jacrev(closed_form)(x)
    torch.testing.assert_close(got, torch.func.hessian(mean)(x), rtol=1e-10, atol=1e-12)


def test_vmap_jacrev_and_hessian_of_the_closed_form():
    x, y = random_pair(3, 5, 6)
    settings = {"data_range": 1.0, "window": Window(3)}

    def closed(a, b):
        return gradient.ssim(a, b, **settings)

    def plain(a, b):
        return reference.ssim(a, b, **settings)

    for transform in (
        lambda fn: torch.func.vmap(fn)(x, y),
        lambda fn: torch.func.vmap(fn, in_dims=(0, None))(x, y[0]),
        lambda fn: torch.func.vmap(torch.func.grad(fn))(x, y),
        lambda fn: torch.func.jacrev(fn, argnums=1)(x, y),
        lambda fn: torch.func.jacrev(torch.func.jacrev(fn))(x[0], y[0]),
    ):
        torch.testing.assert_close(transform(closed), transform(plain), rtol=1e-9, atol=1e-12)


def test_forward_mode_through_the_closed_form_backward_is_refused_by_torch():
    x, y = random_pair(5, 5)
    with pytest.raises((NotImplementedError, RuntimeError), match="forward mode AD"):
        torch.func.jvp(lambda a: gradient.ssim(a, y, data_range=1.0, window=Window(3)), (x,), (x,))


@pytest.mark.parametrize("upstream", [None, 2.0])
def test_the_upstream_weight_is_made_on_the_device_of_the_images(upstream):
    x = torch.empty(2, 12, 13, device="meta")
    by_x = gradient.ssim_gradient(x, x, data_range=1.0, upstream=upstream)
    assert by_x.device.type == "meta"
    assert by_x.shape == x.shape


def test_what_it_cannot_use_is_refused():
    x, y = random_pair(12, 12)
    with pytest.raises(ValueError, match='wrt must be "x" or "y", not \'both\''):
        gradient.ssim_gradient(x, y, data_range=1.0, wrt="both")
    with pytest.raises(
        ValueError, match=r"upstream has shape \(12, 12\), which does not broadcast"
    ):
        gradient.ssim_gradient(x, y, data_range=1.0, upstream=torch.ones(12, 12))
    with pytest.raises(ValueError, match=r"map's \(2, 2\): give one weight for each pixel"):
        gradient.ssim_gradient(x, y, data_range=1.0, upstream=torch.ones(1, 1, 2, 2))
