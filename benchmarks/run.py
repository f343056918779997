"""A whole run: every part in fresh processes, put together to a record."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from . import machine, measure, memory, peers, sizes, tasks
from .record import (
    SCHEMA,
    Accuracy,
    FirstCall,
    Limits,
    Memory,
    Record,
    Result,
    Size,
    Timing,
)
from .tasks import Task
from .worker import ask

#: The parts of a run beside the tasks, by the names that ``--only`` takes.
PARTS = ("accuracy", "memory", "sizes", "limits", "first-calls")
CPU_KINDS = [kind for kind in peers.KINDS if not kind.startswith("gpu")]
NO_AVX512 = "This processor has no AVX-512: it was not held to AVX2, because it has nothing else."
AVX2_NOTE = (
    "With AVX2 alone: what Numba and torch compile or choose. frame-analytics, scikit-image "
    "and others that bring machine code of their own choose their instructions themselves."
)


class Progress:
    """One line on standard error for each process, with the time that is left."""

    def __init__(self, steps: int):
        self.steps, self.done, self.began = steps, 0, time.monotonic()

    def __call__(self, name: str) -> None:
        """Say that ``name`` begins."""
        left = "?"
        if self.done:
            each = (time.monotonic() - self.began) / self.done
            left = f"{each * (self.steps - self.done) / 60:.0f}"
        print(
            f"[{self.done + 1}/{self.steps}] {name}, about {left} min left",
            file=sys.stderr,
            flush=True,
        )
        self.done += 1


def chosen_tasks(
    only: list[str], has_avx512: bool, among: Sequence[Task] = tasks.TASKS
) -> list[Task]:
    """The tasks whose names begin with one of ``only``, or all; without AVX2 where it is all."""
    return [
        task
        for task in among
        if (not only or any(task.name.startswith(name) for name in only))
        and (has_avx512 or task.isa == "native")
    ]


def run(quick: bool, only: list[str], processes: int) -> Record:
    """Measure on the CPU and return the record.

    Args:
        quick: few rounds, one process, small images for memory and limits.
        only: names of parts, or beginnings of names of tasks; all, if empty.
        processes: fresh processes for each setting.
    """
    where = machine.describe(ask("threads")["threads"])
    if where["load"] is not None and where["load"] > machine.QUIET:
        print(f"The machine is busy: its load is {where['load']}.", file=sys.stderr)
    has_avx512 = "avx512f" in where["flags"]
    parts = [part for part in PARTS if not only or part in only]
    chosen = chosen_tasks(only, has_avx512)
    with tempfile.TemporaryDirectory() as folder:
        env = {"NUMBA_CACHE_DIR": folder}
        steps = processes * (len(chosen) + ("sizes" in parts)) + len(set(parts) - {"sizes"})
        progress = Progress(steps + ("memory" in parts) * (len(peers.SSIM) - 1))
        return Record(
            schema=SCHEMA,
            quick=quick,
            processes=processes,
            machine=where,
            versions=peers.versions(CPU_KINDS, ("torch", "numba", "numpy")),
            timings=[timing(task, quick, processes, env, progress) for task in chosen],
            accuracy=accuracy("ssim", quick, env, progress) if "accuracy" in parts else [],
            memory=memories("ssim", quick, env, progress) if "memory" in parts else [],
            sizes=costs(quick, processes, env, progress) if "sizes" in parts else [],
            limits=limits(quick, env, progress) if "limits" in parts else [],
            first_calls=first_calls(progress) if "first-calls" in parts else [],
            notes=[AVX2_NOTE if has_avx512 else NO_AVX512],
        )


def run_on_gpu(quick: bool, only: list[str], processes: int) -> Record:
    """Measure on the GPU and return the record. Arguments as :func:`run`."""
    chosen = chosen_tasks(only, False, tasks.GPU_TASKS)
    parts = [part for part in ("accuracy", "memory") if not only or part in only]
    steps = processes * len(chosen) + ("accuracy" in parts)
    progress = Progress(steps + ("memory" in parts) * len(peers.GPU))
    return Record(
        schema=SCHEMA,
        quick=quick,
        processes=processes,
        machine=machine.describe(ask("threads")["threads"], gpu=True),
        versions=peers.versions(("gpu", "gpu-compiled"), ("torch", "triton")),
        timings=[timing(task, quick, processes, {}, progress) for task in chosen],
        accuracy=accuracy("gpu", quick, {}, progress) if "accuracy" in parts else [],
        memory=memories("gpu", quick, {}, progress) if "memory" in parts else [],
        sizes=[],
        limits=[],
        first_calls=[],
        notes=[],
    )


def timing(
    task: Task, quick: bool, processes: int, env: dict[str, str], progress: Progress
) -> Timing:
    """One task in some fresh processes."""
    rounds = 2 if quick else task.rounds
    answers: list[dict[str, Any]] = []
    for _ in range(processes):
        progress(task.name)
        what = {"task": vars(task), "rounds": rounds}
        answers.append(ask("timing", threads=task.threads, isa=task.isa, env=env, **what))
    return Timing(
        task=task.name,
        kind=task.kind,
        shape=list(task.shape),
        backward=task.backward,
        threads=answers[0]["threads"],
        isa=task.isa,
        rounds=rounds,
        results=list(results(task, answers)),
    )


def results(task: Task, answers: list[dict[str, Any]]) -> Iterator[Result]:
    """What is said of each candidate, from the answers of the processes."""
    base, *_ = peers.KINDS[task.kind]
    for peer in peers.KINDS[task.kind]:
        pair = (peer.name, base.name)
        found = [a["problems"][name] for a in answers for name in pair if name in a["problems"]]
        if found:
            yield measure.without_result(peer.name, peer.window, found[0])
        else:
            own, others = ([a["ms"][name] for a in answers] for name in pair)
            yield measure.result(peer.name, peer.window, own, others)


def accuracy(kind: str, quick: bool, env: dict[str, str], progress: Progress) -> list[Accuracy]:
    """The errors of all candidates of a kind."""
    progress("accuracy")
    return ask("accuracy", env=env, kind=kind, size=64 if quick else 256)["accuracy"]


def memories(kind: str, quick: bool, env: dict[str, str], progress: Progress) -> list[Memory]:
    """The peak of each candidate of a kind, each in a process of its own."""
    shape: list[int] = [*(tasks.BATCH if quick else tasks.FULL_HD)]
    found: list[Memory] = []
    for peer in peers.KINDS[kind]:
        progress(f"memory of {peer.name}")
        what = {"kind": kind, "name": peer.name, "shape": shape}
        answer = ask("memory", env=env | memory.ENVIRONMENT, **what)
        size = answer.get("bytes")
        found.append(
            Memory(
                name=peer.name,
                shape=shape,
                buffers=answer.get("buffers"),
                mib=None if size is None else size / 2**20,
                problem=answer.get("problem"),
            )
        )
    return found


def costs(quick: bool, processes: int, env: dict[str, str], progress: Progress) -> list[Size]:
    """What a pixel costs at each size."""
    sides = list(sizes.SIDES[:4] if quick else sizes.SIDES)
    times: dict[str, list[float]] = {str(side): [] for side in sides}
    for _ in range(processes):
        progress("sizes")
        answer = ask("sizes", env=env, sides=sides, rounds=2 if quick else 11)["ms"]
        for side, ms in answer.items():
            times[side] += ms
    return [
        Size(
            side=side, ns_per_pixel=measure.spread([1e6 * ms / side**2 for ms in times[str(side)]])
        )
        for side in sides
    ]


def limits(quick: bool, env: dict[str, str], progress: Progress) -> list[Limits]:
    """What the machine can do."""
    progress("limits")
    return ask("limits", env=env, quick=quick)["limits"]


def first_calls(progress: Progress) -> list[FirstCall]:
    """A process that compiles everything, and one that finds it compiled."""
    progress("first calls")
    with tempfile.TemporaryDirectory() as folder:
        return [
            FirstCall(cache=cache, **ask("first_call", env={"NUMBA_CACHE_DIR": folder}))
            for cache in ("empty", "filled")
        ]


def names() -> list[str]:
    """What ``--only`` takes."""
    return [*PARTS, *(task.name for task in (*tasks.TASKS, *tasks.GPU_TASKS))]
