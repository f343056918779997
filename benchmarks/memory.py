"""The peak of the memory that a forward and a backward pass take, as Linux counts it.

The highest mark of this process's resident memory is reset before the call and read after it. A
first call of the same size has compiled and loaded everything by then, and what it freed has been
given back to the system.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from pathlib import Path
from typing import Any

import torch

from .peers import KINDS
from .tasks import Task
from .timing import call_of, images

#: What keeps the allocator from holding on to freed images.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144"}


def run(kind: str, name: str, shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """Peak bytes of one candidate beyond what was there, and how many image buffers these are."""
    peer = next(peer for peer in KINDS[kind] if peer.name == name)
    task = Task(kind, shape)
    if sys.platform != "linux" and task.device == "cpu":
        return {"problem": "not measured: Linux only"}
    if not peer.gradient:
        return {"problem": "no gradient"}
    if peer.version is None:
        return {"problem": "not installed"}
    x, y = images(task)
    try:
        call = call_of(peer, x, y, backward=True)
        call()
        peak = peak_of(call) if task.device == "cpu" else peak_on_gpu(call)
    except OSError:
        return {"problem": "not measured: this system does not reset the peak"}
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    return {"bytes": peak, "buffers": peak / (x.numel() * x.element_size())}


def peak_of(call: Any) -> int:
    """By how many bytes the resident memory rose at most during a call."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    result = call()
    peak = status("VmHWM") - before
    del result
    return max(peak, 0)


def peak_on_gpu(call: Any) -> int:
    """By how many bytes torch's memory on the GPU rose at most during a call."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return torch.cuda.max_memory_allocated() - before


def status(key: str) -> int:
    """A line of /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise OSError(f"the system does not tell {key}")
    return 1024 * int(found[1])
