"""The small denoiser: what a run sees, what it writes down, and how it ends."""

import math

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("skimage", reason="the extra lab is not installed")

from ssimlab.lab import _progress, train
from ssimlab.lab.train import Crops, Denoiser


@pytest.fixture(scope="module")
def crops():
    return Crops(("brick",), side=16, batch=2, seed=1)


def nan_at(step):
    """A loss that is NaN at the given call."""
    calls = []

    def loss(x, y):
        calls.append(None)
        return F.mse_loss(x, y) * (math.nan if len(calls) == step + 1 else 1.0)

    return loss


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_an_untrained_denoiser_returns_its_input():
    noisy = torch.rand(2, 1, 9, 7)
    assert torch.equal(Denoiser()(noisy), noisy)


def test_a_step_has_one_batch_and_another_step_or_seed_another(crops):
    noisy, clean = crops(3)
    assert noisy.shape == clean.shape == (2, 1, 16, 16)
    assert clean.min() >= 0
    assert clean.max() <= 1
    again = Crops(("brick",), side=16, batch=2, seed=1)(3)
    assert all(torch.equal(a, b) for a, b in zip((noisy, clean), again, strict=True))
    for other in (crops(4), Crops(("brick",), side=16, batch=2, seed=2)(3)):
        assert not torch.equal(other[1], clean)


def test_the_noise_has_the_standard_deviation_asked_for():
    noisy, clean = Crops(("brick",), side=64, batch=4, noise=0.2)(0)
    assert (noisy - clean).std().item() == pytest.approx(0.2, rel=0.02)


def test_without_lift_a_crop_is_a_part_of_the_photograph():
    crops = Crops(("brick",), side=16, batch=1, lift=0.0)
    clean = crops(0)[1][0, 0]
    places = crops.photos[0].unfold(0, 16, 1).unfold(1, 16, 1)
    assert (places == clean).all(-1).all(-1).any()


def test_training_removes_noise_and_is_the_same_twice(crops):
    first, second = (train.train(F.mse_loss, crops, steps=30) for _ in range(2))
    assert first.losses == second.losses
    assert len(first.losses) == len(first.norms) == 30
    assert first.died_at is None
    noisy, clean = crops(99)
    assert F.mse_loss(first.model(noisy), clean) < 0.6 * F.mse_loss(noisy, clean)


def test_the_network_can_be_had_as_it_was(crops):
    run = train.train(F.mse_loss, crops, steps=5, keep_every=2)
    assert sorted(run.weights) == [0, 2, 4, 5]
    assert torch.equal(weights_of(run.at(5)), weights_of(run.model))
    assert torch.equal(weights_of(run.at(3)), weights_of(run.at(2)))
    noisy, _ = crops(0)
    assert torch.equal(run.at(0)(noisy), noisy)


def test_a_run_that_dies_keeps_the_weights_that_met_the_fatal_batch(crops):
    run = train.train(nan_at(3), crops, steps=9, keep_every=5)
    assert run.died_at == 3
    assert len(run.losses) == 4
    assert math.isnan(run.losses[-1])
    assert weights_of(run.at(3)).isfinite().all()
    assert not weights_of(run.model).isfinite().all()
    shorter = train.train(F.mse_loss, crops, steps=9, keep_every=1)
    assert torch.equal(weights_of(run.at(3)), weights_of(shorter.at(3)))


def test_an_infinite_gradient_of_a_finite_loss_is_a_death_too(crops):
    run = train.train(lambda x, y: (x - x.detach()).abs().sum().sqrt(), crops, steps=4)
    assert run.died_at == 0
    assert run.losses == [0.0]
    assert not math.isfinite(run.norms[0])


def test_clipping_bounds_the_step_and_not_the_norm_that_is_written_down(crops):
    free = train.train(F.mse_loss, crops, steps=4)
    clipped = train.train(F.mse_loss, crops, steps=4, clip=1e-9)
    assert clipped.norms[0] == free.norms[0] > 1e-9
    # Adam divides by the gradient's size plus 1e-8, so that only a tiny clip shortens its steps.
    moved = [(weights_of(r.model) - weights_of(r.at(0))).norm() for r in (free, clipped)]
    assert moved[1] < 0.2 * moved[0]


@pytest.mark.parametrize("clip", [0.0, -1.0, math.inf])
def test_a_clip_that_is_no_limit_is_refused(crops, clip):
    with pytest.raises(ValueError, match="clip must be a positive, finite number"):
        train.train(F.mse_loss, crops, steps=1, clip=clip)


def test_the_number_of_threads_is_afterwards_as_it_was(crops):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train.train(F.mse_loss, crops, steps=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_progress_is_shown_to_who_waits_and_never_in_a_book_build(crops, monkeypatch, capsys):
    monkeypatch.setattr(_progress, "in_kernel", lambda: True)
    train.train(F.mse_loss, crops, steps=2, name="a denoiser")
    assert "a denoiser" in capsys.readouterr().err
    monkeypatch.setenv("SSIMLAB_STATIC", "1")
    train.train(F.mse_loss, crops, steps=2, name="a denoiser")
    assert capsys.readouterr().err == ""
