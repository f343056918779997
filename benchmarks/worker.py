"""One fresh process: reads what to measure as JSON from standard input, writes JSON at the end.

The answer is the last line of standard output; libraries may print what they like before it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from .tasks import ISA, Task


def ask(
    part: str,
    *,
    threads: int = 0,
    isa: str = "native",
    env: dict[str, str] | None = None,
    **what: Any,
) -> dict[str, Any]:
    """The answer of a new process.

    Args:
        part: which of :data:`PARTS`.
        threads: how many the process may use, on as many cores; 0 stands for all.
        isa: the instructions that it may use.
        env: more variables of its environment.
        what: arguments of the part.

    Raises:
        RuntimeError: the process failed; the message has the end of what it printed.
    """
    environment = {**os.environ, **ISA[isa], **(env or {})}
    if threads:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    order = json.dumps({"part": part, "threads": threads, "what": what})
    command = [sys.executable, "-m", "benchmarks.worker"]
    done = subprocess.run(command, input=order, text=True, capture_output=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{part} failed: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def hold_to(threads: int) -> None:
    """Keep this process, and every library in it, on so many cores."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:threads])
    import torch

    torch.set_num_threads(threads)


def _timing(task: dict[str, Any], rounds: int) -> dict[str, Any]:
    from . import timing

    task["shape"] = tuple(task["shape"])
    return timing.run(Task(**task), rounds)


def _memory(kind: str, name: str, shape: list[int]) -> dict[str, Any]:
    from . import memory

    n, c, height, width = shape
    return memory.run(kind, name, (n, c, height, width))


def _accuracy(kind: str, size: int) -> dict[str, Any]:
    from . import accuracy

    return accuracy.run(kind, size)


def _sizes(sides: list[int], rounds: int) -> dict[str, Any]:
    from . import sizes

    return sizes.run(sides, rounds)


def _limits(quick: bool) -> dict[str, Any]:
    from . import roofline

    return roofline.run(quick)


def _first_call() -> dict[str, Any]:
    from . import compile_time

    return compile_time.run()


def _threads() -> dict[str, Any]:
    import torch

    return {"threads": torch.get_num_threads()}


#: What a process can be asked for. Each imports what it needs and no more.
PARTS = {
    "timing": _timing,
    "memory": _memory,
    "accuracy": _accuracy,
    "sizes": _sizes,
    "limits": _limits,
    "first_call": _first_call,
    "threads": _threads,
}


def main() -> None:
    order = json.load(sys.stdin)
    if order["threads"]:
        hold_to(order["threads"])
    with contextlib.redirect_stdout(sys.stderr):
        answer = PARTS[order["part"]](**order["what"])
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
