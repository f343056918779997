"""What the machine can do at most, and how much of it the kernel reaches.

Two limits: how many multiply-adds the cores finish in a second, and how many bytes the memory
moves. Both are measured by loops that Numba compiles as it compiles the kernel, with vectors of
the width that its compiler chooses: they are what such code can reach, not what a data sheet says.

The work of the kernel is counted from its formulas, for one pixel and a window of n taps: an
addition, a multiplication, a division, a comparison and a multiply-add count one each, since each
is one instruction, which takes one turn of the same units. Pixels that neighbouring tiles compute
both are counted once, and so are bytes: the count is what has to be done, and the share reached
includes what is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit

from . import measure
from .peers import SSIM
from .record import Limits
from .tasks import BATCH, FULL_HD, Task
from .timing import call_of, images

#: Operations for each tap, in the four passes, with x, y and d = x - y in each.
OF_TAPS = {
    # two differences; two means, one multiply-add each; two squares and a product, two each
    "rows, pair": 2 + 2 + 6,
    # one difference, one product by the weight, a mean, a square
    "rows, difference": 4,
    # as along the rows, where a difference takes two: pixel - pivot + mean
    "columns, pair": 4 + 2 + 6,
    # the same of d, and three sums of the rows' own variances
    "columns, difference": 2 + 1 + 2 + 3,
    # backward: three factors by the weight, one sum, three differences, three products, three sums
    "gradient, columns": 3 + 1 + 3 + 3 + 3,
    # three differences, three products, one sum
    "gradient, rows": 3 + 3 + 1,
}
#: Operations for each pixel outside of the loops over taps: the moments' last steps, the map, the
#: four factors of the gradient.
OF_PIXEL = 60

#: x and y are read and the gradient is written; scaling it by what comes from above reads and
#: writes it once more. Four bytes each.
BYTES_PER_PIXEL = 4 * (2 + 1 + 2)


def operations_per_pixel(taps: int) -> int:
    """Operations of forward and backward for one pixel, float32."""
    return taps * sum(OF_TAPS.values()) + OF_PIXEL


_options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
CHAINS, STEPS = 8, 8


@njit(**_options)
def multiply_adds(pixels, factor, repeats):  # pyright: ignore[reportMissingParameterType]
    """Eight chains of eight multiply-adds for each pixel, none of which waits for another."""
    one = pixels.dtype.type(1)
    for _ in range(repeats):
        for j in range(len(pixels)):
            v = pixels[j]
            a, b, c, d = v, v + one, v * factor, v - one
            e, f, g, h = a - factor, b * factor, c - one, d * factor
            for _ in range(STEPS):
                a = a * factor + v
                b = b * factor + v
                c = c * factor + v
                d = d * factor + v
                e = e * factor + v
                f = f * factor + v
                g = g * factor + v
                h = h * factor + v
            pixels[j] = ((a + b) + (c + d)) + ((e + f) + (g + h))


@njit(**_options)
def triad(a, b, c, factor):  # pyright: ignore[reportMissingParameterType]
    """c = a + factor b: reads eight bytes and writes four."""
    for j in range(len(a)):
        c[j] = a[j] + factor * b[j]


def best_seconds(work: Callable[[int], object], threads: int, tries: int = 5) -> float:
    """The shortest time in which ``work(thread)`` is done by all threads at once."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
        times = []
        for _ in range(tries):
            began = time.perf_counter()
            list(pool.map(work, range(threads)))
            times.append(time.perf_counter() - began)
    return min(times)


def multiply_adds_per_second(threads: int, repeats: int = 20_000) -> float:
    """Measured on pixels that the first cache holds."""
    pixels = [np.full(1024, 1e-3, np.float32) for _ in range(threads)]
    factor = np.float32(1e-3)
    elapsed = best_seconds(lambda t: multiply_adds(pixels[t], factor, repeats), threads)
    return threads * repeats * len(pixels[0]) * CHAINS * STEPS / elapsed


def bytes_per_second(threads: int, mib: int = 256) -> float:
    """Measured on three arrays that no cache holds. That a write reads first is not counted."""
    count = mib * 2**20 // 4 // threads
    arrays = [[np.ones(count, np.float32) for _ in range(3)] for _ in range(threads)]
    factor = np.float32(0.5)
    elapsed = best_seconds(
        lambda t: triad(arrays[t][0], arrays[t][1], arrays[t][2], factor), threads
    )
    return threads * count * 12 / elapsed


def run(quick: bool) -> dict[str, Any]:
    """The limits with one thread and with all, and the kernel beside them."""
    shape = BATCH if quick else FULL_HD
    x, y = images(Task("ssim", shape))
    call = call_of(SSIM[0], x, y, backward=True)
    call()
    found: list[Limits] = []
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        gfma = multiply_adds_per_second(threads, 2_000 if quick else 20_000) / 1e9
        gb = bytes_per_second(threads, 32 if quick else 256) / 1e9
        times = measure.rounds({"ssimlab": call}, 3 if quick else 11)["ssimlab"]
        elapsed = measure.spread(times)["median"]
        operations = operations_per_pixel(11)
        found.append(
            Limits(
                threads=threads,
                gfma_per_s=gfma,
                gb_per_s=gb,
                operations_per_pixel=operations,
                bytes_per_pixel=BYTES_PER_PIXEL,
                ms=1e3 * elapsed,
                shape=list(shape),
                share_of_operations=operations * x.numel() / elapsed / 1e9 / gfma,
                share_of_bandwidth=BYTES_PER_PIXEL * x.numel() / elapsed / 1e9 / gb,
            )
        )
    return {"limits": found}
