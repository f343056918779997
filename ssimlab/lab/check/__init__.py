"""Try your own SSIM, or your own gradient, and learn which mistake it makes.

Two checks, one for each of the book's main exercises::

    from ssimlab.lab import check

    check.ssim(my_ssim)          # my_ssim(x, y, data_range=...) -> the mean SSIM
    check.gradient(my_gradient)  # my_gradient(x, y, data_range=...) -> ∂ mean(SSIM) / ∂x

Each runs the function on seeded float64 images, from images one pixel larger than the window up,
shows the smallest case that fails, and names the mistake if exactly that mistake gives exactly
those values.
"""

from .checks import gradient, ssim
from .result import Result

__all__ = ["Result", "gradient", "ssim"]
