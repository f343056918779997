"""Loops over 2 x 2 blocks, for images that are halved: their means, and the adjoint.

Planes are dealt out to threads, ``taken`` by ``taken``, as the tiles of the sweep are.
"""

from __future__ import annotations

import numpy as np

from .loops import compiled, take


def means(image, taken, result):
    """The means of the blocks of each plane of ``image``, which is :class:`Planes`.

    The sums are made in float64, as ``result``, (planes, H, W), is.
    """
    planes, height, width = result.shape
    while True:
        n = take(taken)
        if n >= planes:
            break
        for i in range(height):
            above = image.data[image.start[n] + 2 * i * image.row :]
            below = image.data[image.start[n] + (2 * i + 1) * image.row :]
            out = result[n, i]
            if image.column == 1:
                for j in range(width):
                    left = np.float64(above[2 * j]) + np.float64(below[2 * j])
                    right = np.float64(above[2 * j + 1]) + np.float64(below[2 * j + 1])
                    out[j] = (left + right) * 0.25
            else:
                for j in range(width):
                    at, beside = 2 * j * image.column, (2 * j + 1) * image.column
                    left = np.float64(above[at]) + np.float64(below[at])
                    right = np.float64(above[beside]) + np.float64(below[beside])
                    out[j] = (left + right) * 0.25


def spread(gradient, taken, result):
    """Add a quarter of each pixel, (planes, H, W) in float64, to the four of its block."""
    planes, height, width = gradient.shape
    while True:
        n = take(taken)
        if n >= planes:
            break
        for i in range(height):
            line, above, below = gradient[n, i], result[n, 2 * i], result[n, 2 * i + 1]
            for j in range(width):
                quarter = result.dtype.type(line[j] * 0.25)
                above[2 * j] += quarter
                above[2 * j + 1] += quarter
                below[2 * j] += quarter
                below[2 * j + 1] += quarter


means = compiled(means)
spread = compiled(spread)
