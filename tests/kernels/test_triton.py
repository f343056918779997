"""The Triton kernels, in Triton's interpreter where there is no GPU: the same mathematics."""

import pytest
import torch
from oracle import random_pair, relative_error, truth, value_and_gradients

from ssimlab import Window, dissimilarity, kernels

pytest.importorskip("triton", reason="pip install triton, or a torch for CUDA, to run these")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WINDOWS = [
    Window(),
    Window(padding="reflect"),
    Window(padding="zero"),
    Window(7, None),
    Window(3, None, "reflect"),
    Window(1),
]


def by_triton(x, y, **settings):
    x, y = x.to(DEVICE), y.to(DEVICE)
    results = value_and_gradients(dissimilarity, x, y, backend="triton", **settings)
    return [result.cpu() for result in results]


# The interpreter is slow: every offset by one window, and every window at one offset.
@pytest.mark.parametrize(
    ("window", "offset"),
    [*((Window(7, None), offset) for offset in (0, 1e6)), *((window, 1e3) for window in WINDOWS)],
    ids=str,
)
def test_the_map_and_both_gradients_are_those_of_the_oracle(window, offset):
    x, y = random_pair(21, 18, offset=offset, contrast=max(1, offset / 1e4), dtype=torch.float32)
    settings = {"data_range": 1.0, "window": window}
    expected, *exact = truth(x, y, **settings)
    values, *gradients = by_triton(x, y, **settings)
    assert (1 - values.double() - expected).abs().max() <= 1e-6
    for gradient, by in zip(gradients, exact, strict=True):
        assert relative_error(-gradient, by) <= 3e-6


@pytest.mark.parametrize("window", [Window(5, 1.5, "reflect")], ids=str)
def test_the_mean_has_the_map_s_gradient_and_repeats_to_the_bit(window):
    x, y = random_pair(2, 19, 22, dtype=torch.float32)
    found = []
    for _ in range(2):
        image = x.to(DEVICE, copy=True).requires_grad_()
        settings = {"data_range": 1.0, "window": window, "backend": "triton"}
        value = dissimilarity(image, y.to(DEVICE), **settings)
        value.backward()
        found.append((value.detach().cpu(), image.grad.cpu()))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    expected, exact, _ = truth(x, y, data_range=1.0, window=window)
    assert (1 - found[0][0] - expected.mean()).abs() <= 1e-6
    assert relative_error(-found[0][1], exact) <= 3e-6


def test_identical_images_give_exactly_zero_and_no_gradient():
    x, _ = random_pair(20, 20, offset=100, dtype=torch.float32)
    for result in by_triton(x, x.clone(), data_range=1.0):
        assert torch.equal(result, torch.zeros_like(result))


def test_weights_of_the_map_and_images_that_lie_otherwise_in_memory():
    x, y = random_pair(2, 3, 16, 17, dtype=torch.float32)
    upstream = torch.linspace(-1, 1, 2 * 3 * 6 * 7).reshape(2, 3, 6, 7)
    layout = {"memory_format": torch.channels_last}
    x, y = x.to(**layout), y.mT.contiguous().mT
    expected, *exact = truth(x, y, upstream=upstream.double(), data_range=1.0)
    x, y = x.to(DEVICE).requires_grad_(), y.to(DEVICE).requires_grad_()
    values = dissimilarity(x, y, data_range=1.0, reduction="none", backend="triton")
    assert (1 - values.detach().cpu().double() - expected).abs().max() <= 1e-6
    gradients = torch.autograd.grad(values, (x, y), upstream.to(DEVICE))
    for gradient, by in zip(gradients, exact, strict=True):
        assert relative_error(-gradient.cpu(), by) <= 3e-6


def test_a_window_that_is_too_long_is_refused_with_the_reason():
    x, y = random_pair(40, 40)
    with pytest.raises(RuntimeError, match="35 taps"):
        dissimilarity(
            x.to(DEVICE), y.to(DEVICE), data_range=1.0, window=Window(35), backend="triton"
        )


def test_describe_names_the_kernel_and_never_takes_the_interpreter_by_itself():
    x, y = random_pair(20, 20)
    assert kernels.describe(x, y).splitlines()[0].startswith("-> cpu")
