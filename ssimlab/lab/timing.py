"""What a computation costs: time, taken in turn with its rivals, and what autograd keeps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._progress import progress

SHORTEST = 20  # ms: what takes less is repeated until it takes as long
LONG = 100  # ms: what takes longer needs no call before the timed one
VERY_LONG = 5000  # ms: what takes longer runs twice
SETTLE = 0.005  # seconds, in which the threads of the candidate before stop waiting for more to do


class Spread(NamedTuple):
    """The median of some measurements and the quartiles on either side of it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of some values, the quartiles by linear interpolation."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


def race(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int = 15
) -> dict[str, list[float]]:
    """Milliseconds that each candidate took, round after round.

    In every round each candidate has its turn, and each round begins with another one: a machine
    that slows down for a while slows all of them, and the ratio of two times of one round does not
    see it. Each is called once before the first round: what is compiled or cached is made then.

    Args:
        candidates: name -> a function without arguments.
        rounds: how often each is timed; one that takes very long, only in the first two.

    Returns:
        name -> times of one call, in the order of the rounds.
    """
    names = list(candidates)
    for call in candidates.values():
        call()
    expected = {name: _milliseconds(call) for name, call in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in progress(range(rounds), desc="timing", unit="round"):
        first = number % max(len(names), 1)
        for name in names[first:] + names[:first]:
            call = candidates[name]
            if expected[name] > VERY_LONG and number >= 2:
                continue
            time.sleep(SETTLE)
            if expected[name] < LONG:
                call()
            times[name].append(_milliseconds(call, max(1, round(SHORTEST / expected[name]))))
    return times


def _milliseconds(call: Callable[[], object], repeats: int = 1) -> float:
    """Of one call, the mean of some in a row; what runs on a GPU is timed there."""
    if torch.cuda.is_initialized():
        return _milliseconds_on_gpu(call, repeats)
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return 1e3 * (time.perf_counter() - begin) / repeats


def _milliseconds_on_gpu(call: Callable[[], object], repeats: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / repeats


def ratios(times: Mapping[str, list[float]], to: str) -> dict[str, Spread]:
    """How many times as long as ``to`` each of the others took, compared round by round."""
    return {
        name: Spread.of([a / b for a, b in zip(values, times[to], strict=False)])
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
