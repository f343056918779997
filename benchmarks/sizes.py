"""What a pixel costs, from small images to large ones: a flat line if the time is linear."""

from __future__ import annotations

from typing import Any

from ssimlab.lab.timing import race

from .peers import SSIM
from .tasks import Task
from .timing import call_of, images

SIDES = (64, 128, 256, 512, 1024, 2048, 4096)


def run(sides: list[int], rounds: int) -> dict[str, Any]:
    """Milliseconds of ssimlab, forward and backward, in each round for squares of each side."""
    calls = {}
    for side in sides:
        pair = images(Task("ssim", (1, 1, side, side)))
        calls[str(side)] = call_of(SSIM[0], *pair, backward=True)
    return {"ms": race(calls, rounds=rounds)}
