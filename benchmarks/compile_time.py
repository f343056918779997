"""What a new process waits for before its first result."""

from __future__ import annotations

import time
from typing import Any


def run() -> dict[str, Any]:
    """Seconds of each import and of two calls. Nothing may have been imported before."""
    began = time.perf_counter()
    import torch

    torch_is_there = time.perf_counter()
    import ssimlab

    ssimlab_is_there = time.perf_counter()
    import numba  # noqa: F401

    numba_is_there = time.perf_counter()
    x = torch.rand(1, 1, 64, 64, requires_grad=True)
    y = torch.rand(1, 1, 64, 64)
    ends: list[float] = []
    for _ in range(2):
        ssimlab.ssim(x, y, data_range=1.0, backend="cpu").backward()
        ends.append(time.perf_counter())
    return {
        "import_torch_s": torch_is_there - began,
        "import_ssimlab_s": ssimlab_is_there - torch_is_there,
        "import_numba_s": numba_is_there - ssimlab_is_there,
        "first_call_s": ends[0] - numba_is_there,
        "second_call_s": ends[1] - ends[0],
    }
