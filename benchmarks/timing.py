"""The rounds of one task in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ssimlab.lab.timing import race

from .peers import KINDS, Peer
from .tasks import Task


def images(task: Task, seed: int = 0) -> tuple[Any, Any]:
    """Two similar images: tensors, of bytes where asked, or for two kinds arrays (H, W, C)."""
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(task.shape, generator=random)
    y = (x + 0.1 * torch.randn(task.shape, generator=random)).clamp(0, 1)
    x, y = x.to(task.device), y.to(task.device)
    if task.kind == "bytes":
        x, y = ((255 * i).round().byte() for i in (x, y))
    if task.kind in ("box", "matlab"):
        x, y = ((255 * i[0]).round().byte().movedim(0, -1).contiguous().numpy() for i in (x, y))
    return x, y


def call_of(peer: Peer, x: Any, y: Any, backward: bool, second: bool = False) -> Callable[[], Any]:
    """A call of a candidate on these images; with ``backward`` it returns the gradient by x.

    With ``second``, the gradient of the sum of the gradient's squares.
    """
    score = peer.load()
    x, y = peer.prepare(x), peer.prepare(y)
    if not backward:
        return lambda: score(x, y)
    x = x.detach().clone().requires_grad_()

    def both() -> torch.Tensor:
        (gradient,) = torch.autograd.grad(score(x, y), x, create_graph=second)
        if second:
            (gradient,) = torch.autograd.grad(gradient.square().sum(), x)
        return gradient

    return both


def run(task: Task, rounds: int) -> dict[str, Any]:
    """Milliseconds of each candidate in each round; beside them why some have none."""
    x, y = images(task)
    calls: dict[str, Callable[[], Any]] = {}
    problems: dict[str, str] = {}
    for peer in KINDS[task.kind]:
        if task.backward and not peer.gradient:
            problems[peer.name] = "no gradient"
        elif peer.version is None:
            problems[peer.name] = "not installed"
        else:
            try:
                second = task.kind == "second"
                calls[peer.name] = call_of(peer, x, y, task.backward, second)
                calls[peer.name]()
            except Exception as error:
                calls.pop(peer.name, None)
                problems[peer.name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    times = race(calls, rounds=rounds)
    return {"ms": times, "problems": problems, "threads": torch.get_num_threads()}
