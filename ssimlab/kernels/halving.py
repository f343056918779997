"""Means of 2 x 2 blocks and their adjoint, on the CPU, by the kernel's own threads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import choice
from .threads import deal, planes_of


def fits(image: Tensor) -> bool:
    """Whether the two functions below can be used."""
    on_cpu = image.device.type == "cpu" and choice.HAS_NUMBA
    return on_cpu and not torch.compiler.is_compiling()


def warm(dtype: torch.dtype) -> None:
    """Compile, or load from disk, the two functions below."""
    image = torch.zeros(2, 2, dtype=dtype)
    spread(block_means(image), image, dtype)


def block_means(image: Tensor) -> Tensor:
    """Means of the 2 x 2 blocks of an image, (…, 2 H, 2 W), as float64, (…, H, W)."""
    from . import blocks

    height, width = image.shape[-2:]
    means = np.empty((image.shape[:-2].numel(), height // 2, width // 2))
    planes = planes_of(image)
    deal(lambda taken: blocks.means(planes, taken, means), len(means))
    return torch.from_numpy(means).reshape(*image.shape[:-2], *means.shape[-2:])


def spread(gradient: Tensor, onto: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The adjoint: a quarter of each pixel, (…, H, W), to the four of its block.

    Added to ``onto``, (…, 2 H, 2 W), where it is, if that is given; of the dtype otherwise.
    """
    from . import blocks

    height, width = gradient.shape[-2:]
    if onto is None:
        onto = torch.zeros((*gradient.shape[:-2], 2 * height, 2 * width), dtype=dtype)
    onto = onto.contiguous()
    result = onto.numpy().reshape(-1, 2 * height, 2 * width)
    pixels = gradient.detach().resolve_neg().reshape(-1, height, width).contiguous().numpy()
    deal(lambda taken: blocks.spread(pixels, taken, result), len(result))
    return onto
