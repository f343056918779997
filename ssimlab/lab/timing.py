"""What a computation costs: time, taken in turn with its rivals, and what autograd keeps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ._progress import progress


class Spread(NamedTuple):
    """The median of some measurements and the quartiles on either side of it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of at least two values."""
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


def race(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int = 15, warm: int = 2
) -> dict[str, list[float]]:
    """Milliseconds that each candidate took, round after round.

    In every round each candidate runs once, and each round begins with another one: a machine
    that slows down for a while slows all of them, and who stands behind whom changes.

    Args:
        candidates: name -> a function without arguments.
        rounds: how often each is timed.
        warm: how often each runs before that, unmeasured: what is compiled or cached is made then.

    Returns:
        name -> ``rounds`` times in the order of the rounds, so that two candidates can be compared
        round by round.
    """
    names = list(candidates)
    if not names or rounds < 2:
        raise ValueError("a race needs at least one candidate and two rounds")
    for name in names * warm:
        candidates[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in progress(range(rounds), desc="timing", unit="round"):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            begin = time.perf_counter()
            candidates[name]()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def ratios(times: Mapping[str, list[float]], to: str) -> dict[str, Spread]:
    """How many times as long as ``to`` each of the others took, compared round by round."""
    return {
        name: Spread.of([a / b for a, b in zip(values, times[to], strict=True)])
        for name, values in times.items()
        if name != to
    }


def kept(compute: Callable[[], Tensor]) -> int:
    """Bytes that autograd keeps for the backward pass of what ``compute`` returns.

    Memory that several operations keep is counted once, as is that of the arguments.
    """
    blocks: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        blocks[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)  # or its memory could be handed out again under the same address
        return tensor

    held: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        compute()
    return sum(blocks.values())
