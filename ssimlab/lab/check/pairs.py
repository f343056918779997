"""The seeded pairs of images on which a reader's function is tried, smallest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from ...formula import constants
from ...window import Window


@dataclass(frozen=True, eq=False)
class ImagePair:
    """One pair of images.

    Attributes:
        name: what the images are.
        x, y: float64 images, (N, C, H, W), (C, H, W) or (H, W).
        data_range: L, in the units of x.
        window: the window that the function is expected to use.
    """

    name: str
    x: torch.Tensor
    y: torch.Tensor
    data_range: float
    window: Window

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape)

    @property
    def flat(self) -> bool:
        """Whether an image is the same everywhere, so that its variance is zero."""
        return any(bool(image.min() == image.max()) for image in (self.x, self.y))

    @cached_property
    def float32_noise(self) -> float:
        """What weights rounded to float32 do to SSIM, relative, to within a small factor.

        They sum to 1 ± 2⁻²⁴ and so change E[x²] - μ² by 2⁻²⁴ μ², which counts beside σ² + C2.
        """
        square = float(torch.maximum(self.x.abs().max(), self.y.abs().max())) ** 2
        spread = float(self.x.var() + self.y.var()) + constants(self.data_range).c2
        return 2.0**-24 * (1 + square / spread)


def make_pairs(window: Window, ndim: int) -> list[ImagePair]:
    """All pairs for one window, by number of pixels.

    Args:
        window: sets the sizes; the smallest images are one pixel larger than the window.
        ndim: 4 for (N, C, H, W), 3 for (C, H, W), 2 for (H, W).
    """
    made = []

    def add(name, rows, columns, data_range=1.0, low=0.0, high=1.0, lead=(1, 1), make=_mixed):
        lead = lead[4 - ndim :]
        size = (*lead, window.size + rows, window.size + columns)
        generator = torch.Generator().manual_seed(len(made))
        x, y = make(size, generator)
        x, y = (low + (high - low) * image for image in (x, y))
        made.append(ImagePair(name, x, y, data_range, window))

    add("noise in [0, 1]", 1, 1)
    add("two constant images", 1, 2, make=_constants)
    add("an image and itself", 2, 1, make=_twice)
    add("an image that is not square", 1, 6, make=_reversed)
    add("an image and its negative", 3, 3, make=_negative)
    add("signed values in [-1, 1]", 3, 4, data_range=2.0, low=-1.0)
    add("8-bit values", 4, 3, data_range=255.0, high=255.0)
    add("low contrast", 4, 4, low=0.49, high=0.51)
    add("an offset of 10", 5, 4, low=10.0, high=11.0)
    if ndim > 2:
        lead = "two images of three channels" if ndim == 4 else "three channels"
        add(lead, 2, 3, lead=(2, 3), make=_uneven)
    # Large enough for an interior that no border reaches, and for a thousand pixels to average.
    add("a larger image", 2 * window.size + 2, 2 * window.size + 1)
    return sorted(made, key=lambda pair: pair.x.numel())


def _uniform(size, generator):
    return torch.rand(size, generator=generator, dtype=torch.float64)


def _mixed(size, generator):
    x = _uniform(size, generator)
    return x, 0.6 * x + 0.4 * _uniform(size, generator)


def _reversed(size, generator):
    """The distorted image first, so that the wider range is not always that of x."""
    return _mixed(size, generator)[::-1]


def _constants(size, generator):
    return tuple(torch.full(size, value, dtype=torch.float64) for value in (0.3, 0.7))


def _twice(size, generator):
    x = _uniform(size, generator)
    return x, x.clone()


def _negative(size, generator):
    x = _uniform(size, generator)
    return x, 1 - 0.9 * x - 0.1 * _uniform(size, generator)


def _uneven(size, generator):
    """Another contrast in each image and channel, so that it matters how they are averaged."""
    x, y = _mixed(size, generator)
    count = x[..., 0, 0].numel()
    contrast = torch.linspace(0.1, 1, count, dtype=x.dtype).reshape(*size[:-2], 1, 1)
    return contrast * x, contrast * y + 0.2 * (1 - contrast) * _uniform(size, generator)
