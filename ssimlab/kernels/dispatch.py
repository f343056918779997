"""A pair of images to the kernel that has been chosen for it."""

from __future__ import annotations

from torch import Tensor

from . import eager
from .settings import Settings


def means(x: Tensor, y: Tensor, settings: Settings, backend: str) -> tuple[Tensor, Tensor]:
    """Means of 1 - SSIM and of SSIM over the map of each plane, each accurate where it is small.

    Args:
        x, y: images, (…, H, W), float32 or float64.
        settings: the window, the constants, the units.
        backend: "eager", "cpu" or "triton", as :func:`~ssimlab.kernels.choose` has chosen.

    Returns:
        Two tensors of shape (…).
    """
    if backend == "eager":
        return eager.means(x, y, settings)
    from . import operators  # only where a kernel is used

    return operators.means(x, y, backend, settings)


def unlike_map(x: Tensor, y: Tensor, settings: Settings, backend: str) -> Tensor:
    """The map of 1 - SSIM, (…, H', W'). Arguments as :func:`means`."""
    if backend == "eager":
        return eager.maps(x, y, settings)[0]
    from . import operators

    return operators.unlike_map(x, y, backend, settings)
