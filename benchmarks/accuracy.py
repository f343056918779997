"""Errors of value and gradient in float32 on photographs, against the definition in float64.

The oracle is :mod:`ssimlab.reference` with torch's own derivatives: it shares no code with the
kernels. It sees the pixels as float32 holds them, so that a picture that was rounded when an
offset was added is no candidate's fault. It has the padding of the candidate.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ssimlab import reference
from ssimlab.lab import images
from ssimlab.window import Window

from .peers import KINDS, Peer, Score
from .record import Accuracy

OFFSETS = (0.0, 10.0, 1e3)
PHOTOS = ("camera", "astronaut", "coffee", "moon", "rocket")
DISTORTIONS: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    images.add_noise,
    images.blur,
    images.brighten,
)


def pairs(
    size: int, offset: float, device: str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Distorted photographs and the photographs, float32, (1, 1, H, W)."""
    for name in PHOTOS:
        photo = images.photo(name, size=size)[None, None]
        for distort in DISTORTIONS:
            x, y = ((image + offset).float().to(device) for image in (distort(photo), photo))
            yield x, y


def errors(
    score: Score, x: torch.Tensor, y: torch.Tensor, padding: str, gradient: bool = True
) -> tuple[float, float | None]:
    """The absolute error of the score, and the gradient's: |g - oracle| over |oracle|."""
    exact, exact_gradient = with_gradient(
        lambda x, y: reference.ssim(x, y, data_range=1.0, window=Window(padding=padding)),
        x.double().cpu(),
        y.double().cpu(),
    )
    if not gradient:
        return abs(float(score(x, y)) - exact), None
    value, own_gradient = with_gradient(score, x, y)
    distance = (own_gradient.double().cpu() - exact_gradient).norm() / exact_gradient.norm()
    return abs(value - exact), distance.item()


def with_gradient(score: Score, x: torch.Tensor, y: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The score and its gradient by x."""
    x = x.detach().clone().requires_grad_()
    value = score(x, y)
    (gradient,) = torch.autograd.grad(value, x)
    return value.item(), gradient


def judge(peer: Peer, offset: float, size: int = 256, device: str = "cpu") -> Accuracy:
    """The errors of a candidate over all photographs and distortions, their median and the worst.

    A brightened photograph is nearly the original to SSIM: its gradient is small, and the worst
    relative errors are found there.
    """
    found: dict[str, Any] = {"name": peer.name, "offset": offset}
    nothing = dict.fromkeys(("score", "gradient", "worst_score", "worst_gradient"))
    if peer.version is None:
        return Accuracy(**found, **nothing, problem="not installed")
    try:
        score = peer.load()
        all_errors = [
            errors(score, *pair, peer.padding, peer.gradient)
            for pair in pairs(size, offset, device)
        ]
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return Accuracy(**found, **nothing, problem=problem)
    of_scores, of_gradients = zip(*all_errors, strict=True)
    score, worst_score = summary(of_scores)
    gradient, worst_gradient = summary(of_gradients) if peer.gradient else (None, None)
    lost = score is None or (peer.gradient and gradient is None)
    return Accuracy(
        **found,
        score=score,
        gradient=gradient,
        worst_score=worst_score,
        worst_gradient=worst_gradient,
        problem="NaN" if lost else None,
    )


def summary(numbers: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """The median and the largest, or None where one is NaN or infinite."""
    if not all(map(math.isfinite, numbers)):
        return None, None
    return statistics.median(numbers), max(numbers)


def run(kind: str = "ssim", size: int = 256) -> dict[str, Any]:
    """Every candidate of a kind at every offset."""
    device = "cuda" if kind == "gpu" else "cpu"
    return {"accuracy": [judge(p, at, size, device) for p in KINDS[kind] for at in OFFSETS]}
