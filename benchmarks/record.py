"""What a run leaves behind: JSON with these keys, and nothing else.

Times are in milliseconds unless a name says otherwise, ratios are a peer's time divided by that
of ``ssimlab`` (above 1: ssimlab is faster), and memory is in image buffers, the size of one of the
two images. None, JSON's null, stands for what was not measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict, cast

SCHEMA = 1
PARTS = ("accuracy", "memory", "sizes", "limits", "first_calls")  # of a record, beside timings
RECORDED = Path(__file__).resolve().parent / "recorded" / "cpu.json"


class Spread(TypedDict):
    """The median and the quartiles of some numbers."""

    low: float
    median: float
    high: float


class Machine(TypedDict):
    """Where the run was made."""

    cpu: str
    flags: list[str]
    cores: int
    system: str
    python: str
    threads: int  # that torch takes when all are asked for
    date: str
    gpu: str | None  # the card, where the run was made on it
    load: float | None  # of the minute before the run; a quiet machine is below 0.3


class Result(TypedDict):
    """One candidate in one task."""

    name: str
    window: str  # what it computes, in words
    ms: Spread | None  # over all rounds of all processes
    process_ms: list[float]  # the median of each process
    ratio: Spread | None  # to the first candidate, in the same round of the same process
    problem: str | None  # why it could not be measured


class Timing(TypedDict):
    """One task; its first candidate is what the others are compared with."""

    task: str
    kind: str  # which candidates take part: a key of benchmarks.peers.KINDS
    shape: list[int]
    backward: bool
    threads: int
    isa: str  # "native" or "avx2"
    rounds: int  # in each process
    results: list[Result]


class Accuracy(TypedDict):
    """The errors of one candidate over some photographs, in float32: the median, and the worst."""

    name: str
    offset: float  # added to all pixels, in data ranges
    score: float | None  # absolute
    gradient: float | None  # length of the difference over length of the gradient
    worst_score: float | None
    worst_gradient: float | None
    problem: str | None


class Memory(TypedDict):
    """The peak of forward and backward beyond what was there before, the images themselves."""

    name: str
    shape: list[int]
    buffers: float | None
    mib: float | None
    problem: str | None


class Size(TypedDict):
    """What a pixel costs in a square image, forward and backward."""

    side: int
    ns_per_pixel: Spread


class Limits(TypedDict):
    """What the machine can do, and what ssimlab reaches of it, with so many threads."""

    threads: int
    goperations_per_s: float  # multiply-adds, each number of a vector counted
    gb_per_s: float
    operations_per_pixel: float
    bytes_per_pixel: float
    ms: float  # forward and backward at ``shape``
    shape: list[int]
    share_of_operations: float
    share_of_bandwidth: float


class FirstCall(TypedDict):
    """Seconds that a new process spends before it has its first result."""

    cache: str  # "empty": everything is compiled; "filled": by a process before
    import_torch_s: float
    import_ssimlab_s: float
    import_numba_s: float
    first_call_s: float
    second_call_s: float


class Record(TypedDict):
    """One run."""

    schema: int
    quick: bool  # few rounds in one process: shows that all works, and no number to quote
    processes: int
    machine: Machine
    versions: dict[str, str | None]  # by distribution; None is not installed
    timings: list[Timing]
    accuracy: list[Accuracy]
    memory: list[Memory]
    sizes: list[Size]
    limits: list[Limits]
    first_calls: list[FirstCall]
    notes: list[str]


def load(path: Path = RECORDED) -> Record:
    """Read a record.

    Raises:
        ValueError: the file was written with another schema.
    """
    record = json.loads(path.read_text(encoding="utf8"))
    if record.get("schema") != SCHEMA or record.keys() != Record.__annotations__.keys():
        raise ValueError(f"{path.name} is not a record of schema {SCHEMA}: run `make bench`")
    return cast(Record, record)


def merged(record: Record, again: Record) -> Record:
    """The record with what another run on the same machine measured again.

    Raises:
        ValueError: the runs are of different machines, versions or numbers of processes.
    """
    for key in ("cpu", "flags", "cores", "system", "python"):
        if record["machine"][key] != again["machine"][key]:
            raise ValueError(f"the runs were made on different machines: {key} is not the same")
    if (record["versions"], record["processes"]) != (again["versions"], again["processes"]):
        raise ValueError("the runs have different versions or numbers of processes")
    new = {timing["task"]: timing for timing in again["timings"]}
    names = [*new, *(part for part in PARTS if again[part])]
    note = f"Measured again, {again['machine']['date']}, on the same machine: {', '.join(names)}."
    whole = {
        **record,
        **{part: again[part] for part in PARTS if again[part]},
        "timings": [new.get(timing["task"], timing) for timing in record["timings"]],
        "notes": [*record["notes"], note],
    }
    return cast(Record, whole)


def text(record: Record) -> str:
    """A record as JSON that a diff can show."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def save(record: Record, path: Path) -> None:
    """Write a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(record), encoding="utf8")
