"""SSIM as a thing to differentiate: accurate values, proved gradients, explained failures."""

from . import (
    attempts,
    formula,
    gradient,
    jacobian,
    kernels,
    losses,
    multiscale,
    naive,
    reference,
    stable,
)
from .losses import MixedLoss, SSIMLoss, ssim_loss
from .multiscale import Scales, ms_dissimilarity, ms_ssim
from .stable import dissimilarity, ssim
from .window import Window

__version__ = "0.1.0"

__all__ = [
    "MixedLoss",
    "SSIMLoss",
    "Scales",
    "Window",
    "__version__",
    "attempts",
    "dissimilarity",
    "formula",
    "gradient",
    "jacobian",
    "kernels",
    "losses",
    "ms_dissimilarity",
    "ms_ssim",
    "multiscale",
    "naive",
    "reference",
    "ssim",
    "ssim_loss",
    "stable",
]
