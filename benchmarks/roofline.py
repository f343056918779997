"""How much of what the machine can do at most the kernel reaches: :mod:`ssimlab.lab.roofline`."""

from __future__ import annotations

from typing import Any

import torch

from ssimlab import Window
from ssimlab.lab import roofline
from ssimlab.lab.timing import Spread, race

from .peers import SSIM
from .record import Limits
from .tasks import BATCH, FULL_HD, Task
from .timing import call_of, images

BYTES_PER_PIXEL = 20  # x and y are read, the gradient is written, and again when it is scaled


def run(quick: bool) -> dict[str, Any]:
    """The limits with one thread and with all, and the kernel beside them."""
    shape = BATCH if quick else FULL_HD
    x, y = images(Task("ssim", shape))
    call = call_of(SSIM[0], x, y, backward=True)
    operations = roofline.operations(Window().taps)
    found: list[Limits] = []
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        peaks = roofline.peaks()
        ms = Spread.of(race({"": call}, rounds=3 if quick else 11)[""]).median
        each_second = x.numel() / ms * 1e3
        found.append(
            Limits(
                threads=threads,
                goperations_per_s=peaks.operations / 1e9,
                gb_per_s=peaks.bytes / 1e9,
                operations_per_pixel=operations,
                bytes_per_pixel=BYTES_PER_PIXEL,
                ms=ms,
                shape=list(shape),
                share_of_operations=operations * each_second / peaks.operations,
                share_of_bandwidth=BYTES_PER_PIXEL * each_second / peaks.bytes,
            )
        )
    return {"limits": found}
