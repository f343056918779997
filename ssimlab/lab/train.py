"""A denoiser small enough to train in a cell, so that only the loss is left to compare.

Two runs with one seed start from the same weights and see the same crops with the same noise,
whatever their losses. The crops and the noise are drawn on the CPU, on every device the same.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .._inputs import check_number
from . import images
from ._progress import progress


class Denoiser(nn.Module):
    """Three 3 x 3 convolutions that guess the noise, which is subtracted: (N, 1, H, W) to itself.

    The last convolution starts at zero, so that an untrained network returns its input.
    """

    def __init__(self, width: int = 16):
        super().__init__()
        first, middle, last = (
            nn.Conv2d(*channels, 3, padding=1, padding_mode="replicate")
            for channels in ((1, width), (width, width), (width, 1))
        )
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.noise = nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), last)

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """The denoised images, (N, 1, H, W) like ``noisy``."""
        return noisy - self.noise(noisy)


class Crops:
    """Batches of pairs (noisy, clean), one for each step, from photographs of scikit-image.

    Args:
        names: of the photographs, as in :data:`ssimlab.lab.images.PHOTOS`.
        side: of a crop, in pixels.
        batch: crops in a batch.
        noise: standard deviation of the Gaussian noise, where the data range is 1.
        lift: each crop is darkened by a random share up to this, and lifted by another, as a
            camera's exposure and black level vary: v becomes (1 - a) v + b a.
        seed: of everything that is random.
        size: to which the photographs are resized first.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        side: int = 40,
        batch: int = 4,
        noise: float = 0.1,
        lift: float = 0.3,
        seed: int = 0,
        size: int = 256,
    ):
        self.photos = [_photo(name, size) for name in names]
        self.side, self.batch, self.noise = side, batch, noise
        self.lift, self.seed = lift, seed

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step, (N, 1, side, side) each, float32, on the CPU."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        clean = torch.stack([self._crop(generator) for _ in range(self.batch)])
        noise = torch.randn(clean.shape, generator=generator)
        return clean + self.noise * noise, clean

    def _crop(self, generator):
        def whole(n):
            return int(torch.randint(n, (), generator=generator))

        photo = self.photos[whole(len(self.photos))]
        top, left = (whole(n - self.side + 1) for n in photo.shape)
        darker, up = torch.rand(2, generator=generator)
        crop = photo[None, top : top + self.side, left : left + self.side]
        return (1 - self.lift * darker) * crop + self.lift * darker * up


@functools.cache
def _photo(name, size):
    return images.photo(name, size=size, dtype=torch.float32)


@dataclass
class Run:
    """A training: the network, and what was written down while it ran.

    ``losses`` and ``norms`` (of the gradient over all parameters, before it is clipped) have a
    value for each step. ``died_at`` is the first step whose loss or gradient is not finite, after
    which nothing more was done; None for a run that went through. ``at(died_at)`` is the network
    that met the fatal batch, ``model`` what the step made of it.
    """

    model: nn.Module
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    died_at: int | None = None
    weights: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)

    def at(self, step: int) -> nn.Module:
        """The network as it was after so many steps, or at the last time before that was kept."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.weights[max(kept for kept in self.weights if kept <= step)])
        return model


def train(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    crops: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    *,
    steps: int = 120,
    rate: float = 0.01,
    clip: float | None = None,
    keep_every: int = 10,
    seed: int = 0,
    device: torch.device | str = "cpu",
    name: str = "",
) -> Run:
    """Train a :class:`Denoiser` with Adam; the rate falls to zero along a cosine.

    A step whose loss or gradient is not finite is the last one. It is taken, as a training script
    that does not look would take it, so that ``model`` shows what becomes of the weights.

    Args:
        loss: a function of (output, clean), each (N, 1, H, W), that returns a scalar.
        crops: a function of the step that returns a batch (noisy, clean), such as :class:`Crops`.
        steps: of the optimizer.
        rate: the learning rate at the start.
        clip: the largest norm of the gradient, or None.
        keep_every: steps between two copies of the weights for :meth:`Run.at`.
        seed: of the initial weights, and of anything random that ``loss`` draws.
        device: where the network is trained.
        name: shown beside the progress bar.

    Returns:
        Run: the network, its history and, if it died, when.

    Raises:
        ValueError: ``clip`` is not a positive number.
    """
    if clip is not None:
        clip = check_number("clip", clip, positive=True, advice="or None, for no clipping")
    threads = torch.get_num_threads()
    # Tensors as small as these lose more by waiting for a second thread than they gain.
    torch.set_num_threads(1)
    try:
        return _train(loss, crops, steps, rate, clip, keep_every, seed, device, name)
    finally:
        torch.set_num_threads(threads)


def _train(loss, crops, steps, rate, clip, keep_every, seed, device, name) -> Run:
    torch.manual_seed(seed)
    model = Denoiser().to(device)
    run = Run(model, weights={0: copy.deepcopy(model.state_dict())})
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in progress(range(steps), desc=name or "training", unit="step"):
        noisy, clean = (image.to(device) for image in crops(step))
        value = loss(model(noisy), clean)
        optimizer.zero_grad()
        value.backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        norm = torch.cat(gradients).norm()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        run.losses.append(value.item())
        run.norms.append(norm.item())
        if not (torch.isfinite(value) and torch.isfinite(norm)):
            run.died_at = step
            run.weights[step] = copy.deepcopy(model.state_dict())
            optimizer.step()
            break
        optimizer.step()
        schedule.step()
        if (step + 1) % keep_every == 0 or step + 1 == steps:
            run.weights[step + 1] = copy.deepcopy(model.state_dict())
    return run
