"""Bad input gets one clear sentence, from every public function that computes SSIM."""

import dataclasses
import inspect
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ssimlab
from ssimlab import Scales, Window, attempts, gradient, jacobian, losses, naive, reference, stable
from ssimlab._inputs import shown

WITH_REDUCTION = [
    ssimlab.ssim,
    ssimlab.dissimilarity,
    reference.ssim,
    reference.ssim_loops,
    reference.ssim_convolution,
    reference.ssim_separable,
    gradient.ssim,
    *naive.FORMS.values(),
]
OF_MAPS_THAT_KEEP_THE_SIZE = [
    attempts.mean_luminance,
    attempts.pixelwise,
    attempts.by_local_mean,
    attempts.by_gradients_of_sums,
    attempts.luminance_gradient,
]
EVERY = [
    *WITH_REDUCTION,
    reference.components,
    gradient.partials,
    gradient.ssim_gradient,
    jacobian.ssim_map_jacobian,
    *OF_MAPS_THAT_KEEP_THE_SIZE,
]
GOOD = torch.full((12, 12), 0.5)
EMPTY = torch.zeros(0, 3, 12, 12)

by_function = pytest.mark.parametrize("fn", EVERY, ids=lambda f: f"{f.__module__}.{f.__name__}")


def only_messages(value):
    return value if isinstance(value, str) else type(value).__name__


def assert_refused(fn, error, message, x=GOOD, y=None, **settings):
    settings = {"data_range": 1.0, **settings}
    with pytest.raises(error, match=re.escape(message)) as caught:
        fn(x, x if y is None else y, **settings)
    assert "\n" not in str(caught.value)


@by_function
def test_good_input_is_accepted_by_all(fn):
    fn(GOOD, GOOD, data_range=1.0)
    fn(GOOD, GOOD, data_range=np.float32(1), k=[0.01, 0])


@by_function
def test_a_forgotten_data_range_is_asked_for(fn):
    message = f"{fn.__name__}() has no default for data_range: say how far apart the darkest and"
    with pytest.raises(TypeError, match=re.escape(message)):
        fn(GOOD, GOOD)
    with pytest.raises(TypeError, match=re.escape("255 for 8-bit values")):
        fn(GOOD, GOOD, k=(0.01, 0.03))


@by_function
def test_a_data_range_without_its_name_is_asked_to_be_named(fn):
    message = f"all else by name: write {fn.__name__}(x, y, data_range=1.0)"
    with pytest.raises(TypeError, match=re.escape(message)):
        fn(GOOD, GOOD, 1.0)


@by_function
@pytest.mark.parametrize(
    ("data_range", "error", "message"),
    [
        (None, TypeError, "data_range must be a plain number, not None: say how far apart"),
        ("1.0", TypeError, "data_range must be a plain number, not '1.0'"),
        (True, TypeError, "data_range must be a plain number, not True"),
        ((0, 1), TypeError, "data_range must be a plain number, not (0, 1)"),
        (1j, TypeError, "data_range must be a plain number, not 1j"),
        (torch.tensor(1.0), TypeError, "not a tensor: a range measured on the data makes one"),
        (0, ValueError, "data_range must be a positive, finite number, not 0: say how far"),
        (-1.0, ValueError, "data_range must be a positive, finite number, not -1.0"),
        (math.nan, ValueError, "data_range must be a positive, finite number, not nan"),
        (math.inf, ValueError, "data_range must be a positive, finite number, not inf"),
        (10**400, ValueError, "data_range must be a positive, finite number, not 1000"),
    ],
    ids=str,
)
def test_a_data_range_that_is_no_range_is_refused(fn, data_range, error, message):
    assert_refused(fn, error, message, data_range=data_range)


@by_function
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(12, 12, dtype=torch.uint8), "pass {}.float() with data_range=255"),
        (torch.zeros(12, 12, dtype=torch.bool), "pass {}.float() with data_range=1.0"),
        (torch.zeros(12, 12, dtype=torch.int64), "pass {}.float() with the data_range of your"),
        (torch.zeros(12, 12, dtype=torch.int16), "{} is torch.int16, but SSIM needs floating"),
        (torch.zeros(12, 12, dtype=torch.complex64), "compare {}.real, or magnitudes"),
        (GOOD.to_sparse(), "{} is stored as torch.sparse_coo, but SSIM needs every pixel"),
        (np.zeros((12, 12)), "{} must be a torch tensor, not numpy.ndarray: torch.as_tensor"),
        ([[0.0] * 12] * 12, "{} must be a torch tensor, not list: torch.as_tensor makes one"),
        (None, "{} must be a torch tensor, not NoneType"),
        ("image.png", "{} must be a torch tensor, not str"),
    ],
    ids=only_messages,
)
def test_an_image_of_another_type_is_refused(fn, image, message):
    with pytest.raises(TypeError, match=re.escape(message.format("x"))):
        fn(image, GOOD, data_range=1.0)
    with pytest.raises(TypeError, match=re.escape(message.format("y"))):
        fn(GOOD, image, data_range=1.0)


@by_function
@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (GOOD, torch.zeros(12, 13), ValueError, "same shape, not (12, 12) and (12, 13): crop"),
        (GOOD, GOOD[None], ValueError, "not (12, 12) and (1, 12, 12): crop, resize or expand"),
        (GOOD, GOOD.double(), TypeError, "same dtype, not torch.float32 and torch.float64"),
        (GOOD, GOOD.half(), TypeError, "same dtype, not torch.float32 and torch.float16: pass y"),
        (GOOD.bfloat16(), GOOD, TypeError, "pass x.float(), as one does with a network"),
        (GOOD, GOOD.to("meta"), ValueError, "on the same device, not cpu and meta: move one"),
        (GOOD[0], GOOD[0], ValueError, "x must have shape (…, H, W), not (12,): reshape it"),
        (GOOD[0, 0], GOOD[0, 0], ValueError, "x must have shape (…, H, W), not ()"),
        (GOOD[:0], GOOD[:0], ValueError, "x has shape (0, 12) and so no pixels: pass an image"),
        (EMPTY, EMPTY, ValueError, "x has shape (0, 3, 12, 12) and so no pixels"),
    ],
    ids=only_messages,
)
def test_images_that_cannot_be_compared_are_refused(fn, x, y, error, message):
    assert_refused(fn, error, message, x=x, y=y)


@by_function
@pytest.mark.parametrize("window", [11, None, "gaussian", torch.ones(11, 11), Window])
def test_what_is_not_a_window_is_refused(fn, window):
    kind = type(window).__name__
    message = f"window must be a Window, not {kind}: pass ssimlab.Window(size=11, sigma=1.5)"
    assert_refused(fn, TypeError, message, window=window)


@by_function
@pytest.mark.parametrize(
    ("padding", "size", "least"), [("valid", 10, 11), ("reflect", 5, 6), ("valid", 1, 11)]
)
def test_an_image_smaller_than_the_window_is_refused(fn, padding, size, least):
    if fn is naive.zero_padded_same or (fn in OF_MAPS_THAT_KEEP_THE_SIZE and padding == "valid"):
        padding, window = "zero", Window(13)
        assert_accepts_or_refuses_padding(fn, window)
        return
    small = torch.zeros(2, 12, size)
    message = (
        f"the image has 12 x {size} pixels, but a window of size 11 with "
        f'padding="{padding}" needs at least {least} x {least}: use a smaller window or a larger'
    )
    assert_refused(fn, ValueError, message, x=small, window=Window(padding=padding))


def assert_accepts_or_refuses_padding(fn, window):
    """Zeros fit any image; the attempts ask for a padding before they look at the size."""
    if fn is naive.zero_padded_same:
        assert fn(GOOD, GOOD, data_range=1.0, window=window).isfinite()
    else:
        assert_refused(fn, ValueError, 'they need padding="zero" or "reflect"', window=window)


@pytest.mark.parametrize("fn", WITH_REDUCTION, ids=lambda f: f"{f.__module__}.{f.__name__}")
@pytest.mark.parametrize("reduction", ["sum", None, 1, "Mean"])
def test_an_unknown_reduction_is_refused(fn, reduction):
    message = f'reduction must be "mean" or "none" (the map), not {reduction!r}'
    assert_refused(fn, ValueError, message, reduction=reduction)


@by_function
@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0.01, TypeError, "k must be a pair of numbers, not 0.01: the published values are"),
        (None, TypeError, "k must be a pair of numbers, not None"),
        ((0.01,), TypeError, "k must be a pair of numbers, not (0.01,)"),
        ((0.01, 0.03, 0.02), TypeError, "k must be a pair of numbers, not (0.01, 0.03, 0.02)"),
        (("0.01", 0.03), TypeError, "k[0] must be a plain number, not '0.01'"),
        ((0.01, torch.tensor(0.03)), TypeError, "k[1] must be a plain number, not tensor"),
        ((-0.01, 0.03), ValueError, "k[0] must be a finite number, zero or more, not -0.01"),
        ((0.01, math.nan), ValueError, "k[1] must be a finite number, zero or more, not nan"),
        ((0.01, math.inf), ValueError, "k[1] must be a finite number, zero or more, not inf"),
    ],
    ids=str,
)
def test_constants_that_cannot_be_are_refused(fn, k, error, message):
    assert_refused(fn, error, message, k=k)


@pytest.mark.parametrize("fn", EVERY, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_the_images_are_left_as_they_were(fn):
    x, y = torch.rand(2, 12, 12), torch.rand(2, 12, 12)
    before = x.clone(), y.clone()
    fn(x, y, data_range=1.0)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


def test_the_names_to_use_are_the_stable_ones():
    assert ssimlab.ssim is stable.ssim
    assert ssimlab.dissimilarity is stable.dissimilarity


@pytest.mark.parametrize("k", [(1e20, 0.03), (1e-25, 1e-25)])
def test_constants_that_float32_cannot_hold_are_refused(k):
    black = torch.zeros(16, 16)
    with pytest.raises(ValueError, match="outside the range of float32"):
        ssimlab.dissimilarity(black, black, data_range=1.0, k=k)
    assert ssimlab.ssim(black.double(), black.double(), data_range=1.0, k=k) == 1


def test_a_long_value_is_told_in_one_short_line():
    assert shown("x" * 58) == repr("x" * 58)
    assert shown("x" * 59) == "'" + "x" * 56 + "..."
    assert shown(torch.zeros(2, 1)) == "tensor([[0.], [0.]])"


OBJECTS = [
    (), (1.0,), (0.5, 0.5), (0.01, 0.03, 0.1), [0.01, None], {}, {1}, b"mean", object(), len,
    10**400, Window, Window(3), Window(13), Window(1, None, "zero"), torch.float32, np.float64(0.5),
    np.int8(3), np.zeros(0), np.zeros((12, 12)), np.array("mean"), GOOD.to("meta"),
    GOOD.to_sparse(), GOOD.expand(3, 12, 12).mH,
]  # fmt: skip
DTYPES = [torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.bool, torch.complex64]
WORDS = ["mean", "none", "sum", "valid", "zero", "drop", "relu", "x", "reverse"]
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-13, 13),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=3),
    st.sampled_from(WORDS),
    st.sampled_from(OBJECTS),
    st.builds(
        lambda shape, dtype: torch.zeros(shape, dtype=dtype),
        st.lists(st.sampled_from((0, 1, 2, 11, 12, 13)), max_size=4),
        st.sampled_from(DTYPES),
    ),
)
# What a function takes besides two images and their data range.
MORE = {
    gradient.ssim_gradient: {"wrt": "x"},
    jacobian.ssim_map_jacobian: {"mode": "reverse"},
    ssimlab.ms_ssim: {"scales": Scales((0.5,)), "reduction": "none"},
    losses.ssim_loss: {"window_size": 5, "padding": "valid", "reduction": "sum"},
    losses.splatting_ssim: {"window_size": 5},
}


def arguments_of(fn):
    if fn is Window or fn is Scales:
        return {field.name: field.default for field in dataclasses.fields(fn) if field.init}
    x, y = list(inspect.signature(fn).parameters)[:2]
    if fn.__module__ == losses.__name__:
        return {x: GOOD, y: GOOD, "max_val": 1.0, **MORE[fn]}
    reduction = {"reduction": "mean"} if fn in WITH_REDUCTION else {}
    common = {"data_range": 1.0, "window": Window(5), "k": (0.01, 0.03)}
    return {x: GOOD, y: GOOD, **common, **reduction, **MORE.get(fn, {})}


DOORS = [
    Window,
    Scales,
    reference.ssim,
    stable.ssim,
    gradient.ssim_gradient,
    jacobian.ssim_map_jacobian,
    ssimlab.ms_ssim,
    losses.ssim_loss,
    losses.splatting_ssim,
]


@pytest.mark.parametrize("fn", DOORS, ids=lambda fn: f"{fn.__module__}.{fn.__name__}")
@settings(max_examples=5 * settings.default.max_examples)
@given(data=st.data())
def test_whatever_is_given_is_taken_or_refused_and_nothing_else_happens(fn, data):
    arguments = arguments_of(fn)
    names = st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=2, unique=True)
    arguments |= {name: data.draw(anything) for name in data.draw(names)}
    said = ""
    try:
        fn(**arguments)
    except (TypeError, ValueError) as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 500
