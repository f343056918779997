"""Where a run is made."""

from __future__ import annotations

import datetime
import os
import platform
import re
from pathlib import Path

import torch

from .record import Machine

FLAGS = ("sse4_2", "avx2", "fma", "avx512f", "avx512vl", "asimd", "sve")
CPUINFO = Path("/proc/cpuinfo")
QUIET = 0.3


def describe(threads: int, gpu: bool = False) -> Machine:
    """The machine as it is now."""
    return Machine(
        cpu=_line("model name") or platform.processor() or platform.machine(),
        flags=flags(),
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        threads=threads,
        date=datetime.date.today().isoformat(),
        gpu=torch.cuda.get_device_name() if gpu else None,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def flags() -> list[str]:
    """Which of :data:`FLAGS` the processor has; none where the system does not tell."""
    present = (_line("flags") or _line("Features") or "").split()
    return [flag for flag in FLAGS if flag in present]


def _line(key: str) -> str | None:
    if not CPUINFO.exists():
        return None
    found = re.search(rf"^{key}\s*:\s*(.+)$", CPUINFO.read_text(), re.MULTILINE)
    return found[1].strip() if found else None
