"""Random pairs through every backend: `python -m tests.kernels.fuzz` tries as many as one likes."""

import numpy as np
import pytest
import torch
from oracle import (
    as_tensor,
    gradient_in_50_digits,
    random_pair,
    relative_error,
    ssim_map_in_50_digits,
    value_and_gradients,
)

from ssimlab import Window, dissimilarity, reference, ssim
from tests.kernels import fuzz
from tests.kernels.extended import IS_EXTENDED, exact

SIZES = (1, 3, 7, 11)  # the kernel is compiled for each
CHUNKS, CHUNK = 12, 25

needs_long_doubles = pytest.mark.skipif(
    not IS_EXTENDED, reason="a long double of this machine has the digits of a float64"
)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_pairs_are_within_the_bounds_on_every_backend(chunk):
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        pair = fuzz.make(0, number, SIZES, most=12_000)
        if pair.dtype == torch.float64 and not IS_EXTENDED:
            continue
        true = fuzz.truth(pair)
        for backend in fuzz.BACKENDS:
            errors, faults = fuzz.judge(pair, backend, true)
            assert not faults, (backend, pair.words)
            for error in errors:
                assert error.share <= 1, (backend, error, pair.words)


def test_the_pairs_are_of_every_kind():
    pairs = [fuzz.make(0, number) for number in range(300)]
    assert {pair.x.dtype for pair in pairs} == {*fuzz.DTYPES}
    assert {pair.window.padding for pair in pairs} == {"valid", "reflect", "zero"}
    assert {pair.window.size for pair in pairs} == {*fuzz.SIZES}
    assert {pair.x.ndim for pair in pairs} == {2, 3, 4, 5}
    assert {(pair.by_x, pair.by_y) for pair in pairs} == {(1, 1), (1, 0), (0, 1)}
    assert any(pair.weights.numel() == 1 for pair in pairs)
    assert max(pair.x.shape[-1] for pair in pairs) > 256  # more than a tile
    assert max(pair.x.shape[-2] for pair in pairs) > 64
    for kind in (*fuzz.CONTENTS, *fuzz.OTHERS, *fuzz.LAYOUTS, "mean", "scaled", "weights"):
        assert any(kind in pair.words for pair in pairs), kind
    assert all(pair.x.isfinite().all() and pair.y.isfinite().all() for pair in pairs)


def test_a_pair_is_the_same_each_time():
    first, second = fuzz.make(3, 14), fuzz.make(3, 14)
    assert first.words == second.words
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.weights, second.weights)


@pytest.mark.parametrize("backend", fuzz.BACKENDS)
def test_a_batch_without_images_is_refused_by_every_backend(backend):
    none = torch.zeros(0, 3, 20, 20)
    with pytest.raises(ValueError, match=r"x has shape .* and so no pixels: pass an image"):
        dissimilarity(none, none, data_range=1.0, backend=backend)


def test_an_error_beyond_its_bound_is_told_and_ends_with_one(monkeypatch, capsys):
    arguments = ["--pairs", "4", "--sizes", "3", "--backends", "eager"]
    assert fuzz.main(arguments) == 0
    assert "0 other faults" in capsys.readouterr().out
    right = fuzz.dissimilarity
    monkeypatch.setattr(fuzz, "dissimilarity", lambda *a, **k: right(*a, **k) * (1 + 1e-4))
    assert fuzz.main(arguments) == 1
    assert " 0 beyond the bound" not in capsys.readouterr().out.split("eager float32 map")[1][:40]


@pytest.mark.parametrize("other", ["noisy", "alike", "opposite"])
@pytest.mark.parametrize(
    "window", [Window(1), Window(5), Window(7, None, "reflect"), Window(5, 1.0, "zero")], ids=str
)
def test_the_extended_form_is_the_definition(window, other):
    x, y = random_pair(2, 9, 11, offset=0.2)
    y = {"noisy": y, "alike": x + 1e-2 * y, "opposite": 1 - x + 0.1 * y}[other]
    weights = random_pair(2, *window.output_size(x.shape[-2:]))[1] - 0.5
    values, *gradients = value_and_gradients(
        reference.ssim, x, y, upstream=weights, data_range=0.7, window=window
    )
    true = exact(
        x.numpy(), y.numpy(), weights.numpy(),
        data_range=0.7, taps=window.taps, padding=window.padding,
    )  # fmt: skip
    assert abs(true.unlike - (1 - values.numpy())).max() <= 4e-15
    for found, expected in zip((true.by_x, true.by_y), gradients, strict=True):
        assert abs(found + expected.numpy()).max() <= 5e-14 * expected.abs().max().item()


HARD = {
    "texture far from zero": lambda: random_pair(5, 6, offset=1e6, contrast=1),
    "little contrast": lambda: random_pair(5, 6, offset=1, contrast=1e-3),
    "a step": lambda: step_pair(1e3),
    "a spike": lambda: spike_pair(1e4),
    "nearly alike": lambda: nearly_alike(1e-6),
    "unequal": lambda: (random_pair(5, 6, seed=1)[0], 1e3 * random_pair(5, 6, seed=2)[0]),
    "opposite": lambda: opposite(),
}  # fmt: skip


def step_pair(height):
    x, y = random_pair(5, 6, contrast=0.1)
    rise = height * (torch.arange(6) >= 3)
    return x + rise, y + rise


def spike_pair(height):
    x, y = random_pair(5, 6, contrast=0.1)
    x[2, 3] += height
    return x, y


def nearly_alike(difference):
    x, y = random_pair(5, 6)
    return x, x * (1 + difference * y)


def opposite():
    x, y = random_pair(5, 6)
    return x, 1 - x + 0.1 * y


@pytest.mark.parametrize("backend", fuzz.BACKENDS)
@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("window", [Window(3), Window(3, None, "reflect")], ids=str)
def test_hard_images_agree_with_fifty_digits_on_every_backend(window, hard, backend):
    settings = {"data_range": 1, "window": window}
    for dtype, map_error, error in (
        (torch.float32, 1e-6, 3e-6),
        (torch.float64, 2e-15, 6e-15),
    ):
        x, y = (image.to(dtype) for image in HARD[hard]())
        true_map = as_tensor(ssim_map_in_50_digits(x, y, **settings))
        true_gradient = gradient_in_50_digits(x, y, **settings)
        values, by_x, _ = value_and_gradients(
            lambda *pair, **how: ssim(*pair, backend=backend, **how), x, y, **settings
        )
        assert (values.double() - true_map).abs().max() <= map_error
        assert relative_error(by_x, true_gradient) <= error


@needs_long_doubles
@pytest.mark.parametrize("hard", HARD)
def test_the_extended_form_agrees_with_fifty_digits(hard):
    x, y = HARD[hard]()
    window = Window(3)
    weights = np.full(window.output_size(x.shape), 1 / 12)
    true = exact(
        x.numpy(), y.numpy(), weights, data_range=1, taps=window.taps, padding=window.padding
    )
    expected = gradient_in_50_digits(x, y, data_range=1, window=window).numpy()
    assert abs(true.by_x + expected).max() <= 2e-16 * abs(expected).max()
