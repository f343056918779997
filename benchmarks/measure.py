"""Rounds in which every candidate has its turn, and what is said of many rounds.

Neighbours in time are compared: what slows the machine for a while slows all candidates of a
round, and the ratio of two times of one round does not see it. Who comes first changes from round
to round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from .record import Result, Spread

SHORTEST = 0.02  # seconds: what takes less is repeated until it takes as long
SETTLE = 0.005  # seconds: threads of the candidate before stop waiting for more to do
LONG = 0.1  # seconds: what takes longer needs no call before the timed one
VERY_LONG = 5  # seconds


def spread(numbers: Sequence[float]) -> Spread:
    """Median and quartiles, these by linear interpolation."""
    if len(numbers) == 1:
        return Spread(low=numbers[0], median=numbers[0], high=numbers[0])
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(low=low, median=median, high=high)


def rotated(names: Sequence[str], by: int) -> list[str]:
    """The names, starting with another one each round."""
    by %= len(names)
    return [*names[by:], *names[:by]]


def rounds(candidates: Mapping[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Seconds of one call of each candidate in each round. Each has been called before.

    What takes very long has its turn in the first two rounds alone.
    """
    first = {name: seconds(call) for name, call in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(count):
        for name in rotated(list(candidates), number):
            call, expected = candidates[name], first[name]
            if expected > VERY_LONG and number >= 2:
                continue
            time.sleep(SETTLE)
            if expected < LONG:
                call()
            times[name].append(seconds(call, max(1, round(SHORTEST / expected))))
    return times


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of one call, the mean of some in a row."""
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


def result(
    name: str, window: str, own: Sequence[Sequence[float]], base: Sequence[Sequence[float]]
) -> Result:
    """What is said of one candidate.

    Args:
        name, window: who it is and what it computes.
        own, base: its seconds and those of the candidate to compare with, for each process and
            in it for each round. One that ended early is compared in the rounds that it has.
    """
    ratios = [
        mine / other
        for of_mine, of_base in zip(own, base, strict=True)
        for mine, other in zip(of_mine, of_base, strict=False)
    ]
    return Result(
        name=name,
        window=window,
        ms=spread([1e3 * s for process in own for s in process]),
        process_ms=[1e3 * statistics.median(process) for process in own],
        ratio=spread(ratios),
        problem=None,
    )


def without_result(name: str, window: str, problem: str) -> Result:
    """What stands in the place of a candidate that could not be measured."""
    return Result(name=name, window=window, ms=None, process_ms=[], ratio=None, problem=problem)
