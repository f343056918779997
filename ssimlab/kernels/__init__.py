"""The same mathematics fused: kernels for the CPU and the GPU, and the form that needs neither.

They see tensors, taps and constants, and nothing of what is above them in the package.
:func:`describe` says which of them a pair of images gets, and why not the others.
"""

from .choice import BACKENDS, choose, describe
from .dispatch import means, unlike_map
from .settings import Settings

__all__ = ["BACKENDS", "Settings", "choose", "describe", "means", "unlike_map"]
