"""What is said of many rounds in several processes. See :func:`ssimlab.lab.timing.race`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ssimlab.lab import timing

from .record import Result, Spread


def spread(numbers: Sequence[float]) -> Spread:
    """Median and quartiles, as the record has them."""
    return Spread(**timing.Spread.of(numbers)._asdict())


def result(
    name: str, window: str, own: Sequence[Sequence[float]], base: Sequence[Sequence[float]]
) -> Result:
    """What is said of one candidate.

    Args:
        name, window: who it is and what it computes.
        own, base: its milliseconds and those of the candidate to compare with, for each process and
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
        ms=spread([ms for process in own for ms in process]),
        process_ms=[statistics.median(process) for process in own],
        ratio=spread(ratios),
        problem=None,
    )


def without_result(name: str, window: str, problem: str) -> Result:
    """What stands in the place of a candidate that could not be measured."""
    return Result(name=name, window=window, ms=None, process_ms=[], ratio=None, problem=problem)
