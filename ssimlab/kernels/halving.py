"""Means of 2 x 2 blocks and their adjoint, on the CPU, by the kernel's own threads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .threads import Array, deal


def block_means(image: Tensor) -> Tensor:
    """Means of the 2 x 2 blocks of an image, (…, 2 H, 2 W), as float64, (…, H, W)."""
    pixels = _planes(image)
    planes, height, width = pixels.shape
    means = np.empty((planes, height // 2, width // 2))

    def work(first: int, end: int) -> None:
        for source, mean in zip(pixels[first:end], means[first:end], strict=True):
            rows = np.add(source[::2], source[1::2], dtype=np.float64)
            np.add(rows[:, ::2], rows[:, 1::2], out=mean)
            mean *= 0.25

    deal(work, planes)
    return torch.from_numpy(means).reshape(*image.shape[:-2], *means.shape[-2:])


def spread(gradient: Tensor, dtype: torch.dtype) -> Tensor:
    """The adjoint: a quarter of each pixel, (…, H, W), to the four of its block."""
    pixels = _planes(gradient)
    planes, height, width = pixels.shape
    by_pixel = torch.empty((*gradient.shape[:-2], 2 * height, 2 * width), dtype=dtype)
    blocks = _planes(by_pixel)

    def work(first: int, end: int) -> None:
        for source, out in zip(pixels[first:end], blocks[first:end], strict=True):
            quarter = (source * 0.25).astype(out.dtype)
            out[::2, ::2] = quarter
            out[::2, 1::2] = quarter
            out[1::2] = out[::2]

    deal(work, planes)
    return by_pixel


def _planes(image: Tensor) -> Array:
    pixels = image.detach().resolve_neg().numpy()
    return pixels.reshape(-1, *pixels.shape[-2:])
