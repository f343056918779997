"""``python -m ssimlab warm``: compile the CPU kernel before it is needed."""

from __future__ import annotations

import argparse
import time

import torch

from . import halving, threads
from .choice import HAS_NUMBA, NO_NUMBA

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def main(arguments: list[str] | None = None) -> int:
    """Compile, or find compiled, the kernel for each window and dtype asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m ssimlab warm",
        description="Compile the CPU kernel and keep it on disk, so that no first call waits.",
    )
    parser.add_argument(
        "--size", type=int, nargs="+", default=[11], help="sides of the windows, 11 if left out"
    )
    parser.add_argument("--dtype", choices=DTYPES, nargs="+", default=list(DTYPES))
    options = parser.parse_args(arguments)
    if not HAS_NUMBA:
        print(NO_NUMBA)
        return 1
    for size in options.size:
        if size < 1 or size % 2 == 0 or size > threads.LARGEST_WINDOW:
            parser.error(f"--size must be odd and from 1 to {threads.LARGEST_WINDOW}, not {size}")
    for size in options.size:
        for dtype in options.dtype:
            began = time.perf_counter()
            threads.warm(size, DTYPES[dtype])
            seconds = time.perf_counter() - began
            print(f"{size} x {size}, {dtype}: ready in {seconds:.1f} s")
    for dtype in options.dtype:
        halving.warm(DTYPES[dtype])  # for MS-SSIM; no time to speak of
    return 0
