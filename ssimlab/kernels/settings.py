"""What a kernel is told besides the images."""

from __future__ import annotations

from typing import NamedTuple


class Settings(NamedTuple):
    """The window, the constants and the units of one SSIM.

    Attributes:
        taps: the weights of the window along one dimension, an odd number of them, of sum one.
        padding: "valid", "reflect" or "zero", as for :class:`ssimlab.Window`.
        c1, c2: the constants, in squared units of the scaled pixels.
        scale: a power of two that the pixels are multiplied by when they are read.
        luminance: False leaves l out and compares contrast and structure alone, as the finer
            scales of MS-SSIM do.
    """

    taps: tuple[float, ...]
    padding: str
    c1: float
    c2: float
    scale: float = 1.0
    luminance: bool = True

    @property
    def radius(self) -> int:
        """Pixels on either side of the center."""
        return len(self.taps) // 2

    @property
    def border(self) -> int:
        """Pixels that the padding adds at each side of an image."""
        return 0 if self.padding == "valid" else self.radius

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the map of an image."""
        lost = 2 * (self.radius - self.border)
        return height - lost, width - lost
