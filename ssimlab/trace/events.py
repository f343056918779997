"""What is kept of a number that is not finite: the operation, what was seen, where it leads."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from .cause import Cause, Operands
from .lines import Frame
from .picture import Picture


@dataclass
class Operation:
    """One operation that ran.

    Args:
        name: what to call it: in the backward pass, the forward operation being differentiated.
        full: the dispatcher's name of what ran.
        plain: plain name of what ran.
        phase: ``"forward"`` or ``"backward"``.
        frames: Python frames of the code that asked for it, innermost first.
        node: sequence number of the autograd node that ran it, None in the forward pass.
        derivative: whether autograd's own formula for ``name`` ran it.
        forward: in the backward pass, the forward operation.
        event: the number that is not finite in its result, if there is one.
    """

    name: str
    full: str
    plain: str
    phase: str
    frames: tuple[Frame, ...]
    node: int | None = None
    derivative: bool = False
    forward: Operation | None = None
    event: Event | None = None


@dataclass
class Found:
    """What was seen at the place where a number is not finite."""

    cause: Cause
    shape: tuple[int, ...]
    dtype: torch.dtype
    index: tuple[int, ...]
    value: float
    count: int
    operands: Operands
    picture: Picture | None


@dataclass(eq=False)
class Event:
    """A tensor came to hold numbers that are not finite.

    Args:
        time: order of appearance, 0 for what existed before.
        kind: ``"made"``, ``"turned"``, ``"constant"``, ``"carried"``, ``"uninitialized"``,
            ``"input"``.
        rank: how far it explains a fault: 0 always, 1 an infinite input, 2 a constant.
        operation: the one that did it; of an input, the first that passed it on.
        found: where and why; where it was only carried, that of its root.
        root: the event that it comes from in the end, which may be itself.
        became: the event in which an infinity turned into NaN.
        hidden_by: the operation that read it and gave a finite result.
    """

    time: int
    kind: str
    rank: int
    operation: Operation | None
    found: Found
    root: Event = field(init=False)
    became: Event | None = None
    hidden_by: Operation | None = None

    def __post_init__(self) -> None:
        self.root = self


def first_root(events: list[Event]) -> Event:
    """Of the roots of one event or more, the one that explains most and, of those, came first."""
    return min((e.root for e in events), key=lambda e: (e.rank, e.time))
