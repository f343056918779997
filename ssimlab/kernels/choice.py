"""Which kernel a pair of images gets."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .settings import Settings
from .threads import LARGEST_WINDOW

BACKENDS = ("auto", "eager", "cpu", "triton")
NO_NUMBA = 'Numba is not installed: pip install "ssimlab[kernels]"'
HAS_NUMBA = importlib.util.find_spec("numba") is not None


def choose(backend: str, x: Tensor, y: Tensor, settings: Settings) -> str:
    """The backend that is to work on a pair: "traced", "eager", "cpu" or "triton".

    "traced" is the eager form without a backward pass of its own, for the transforms that
    differentiate or batch every operation: ``torch.func`` and forward mode.

    Raises:
        RuntimeError: a kernel is asked for by name and cannot be used; the message says why.
    """
    if backend == "auto":
        if reason_against_kernels(x, y):
            return "traced"
        kernel = "triton" if x.device.type == "cuda" else "cpu"
        return kernel if reason_against(kernel, x, y, settings) is None else "eager"
    if backend == "eager":
        return "traced" if reason_against_kernels(x, y) else "eager"
    if reason := reason_against(backend, x, y, settings):
        raise RuntimeError(
            f'backend="{backend}" cannot be used here: {reason}; backend="auto" takes what can'
        )
    return backend


def reason_against(backend: str, x: Tensor, y: Tensor, settings: Settings) -> str | None:
    """Why a kernel cannot be used for a pair, or None."""
    if reason := reason_against_kernels(x, y):
        return reason
    if len(settings.taps) > LARGEST_WINDOW:
        return (
            f"the window has {len(settings.taps)} taps, and the kernels take up to {LARGEST_WINDOW}"
        )
    if backend == "triton":
        from . import triton

        return triton.reason_against(x, y, settings)
    if x.device.type != "cpu":
        return f"the images are on {x.device}, and this kernel is for the CPU"
    if settings.taps != settings.taps[::-1]:
        return "the window is not the same from both ends, and this kernel takes its taps in pairs"
    if not HAS_NUMBA:
        return NO_NUMBA
    return None


def reason_against_kernels(x: Tensor, y: Tensor) -> str | None:
    """Why no kernel can see these tensors' memory, or None."""
    if torch.compiler.is_compiling():
        return None  # the compiler takes an operator's derivative as it is registered
    for image in (x, y):
        if torch._C._functorch.is_functorch_wrapped_tensor(image):  # pyright: ignore
            return "torch.func transforms every operation, and a kernel is one operation"
        if forward_ad._current_level >= 0 and forward_ad.unpack_dual(image).tangent is not None:  # pyright: ignore
            return "forward mode needs the derivative of every operation"
    return None


def describe(x: Tensor, y: Tensor, *, taps: int = 11) -> str:
    """What is used for a pair of images, and why not the others, a line for each backend.

    Args:
        x, y: the images.
        taps: the size of the window.

    Returns:
        Lines to print; the one that ``backend="auto"`` takes is marked.
    """
    settings = Settings((1 / taps,) * taps, "valid", 1.0, 1.0)
    if x.dtype not in (torch.float32, torch.float64):
        x, y = x.float(), y.float()
    chosen = choose("auto", x, y, settings)
    threads = f"{torch.get_num_threads()} threads" if x.device.type == "cpu" else str(x.device)
    notes = {
        "cpu": f"fused loops compiled by Numba, {threads}",
        "triton": f"fused kernels compiled by Triton, {x.device}",
        "eager": f"torch operations, with a backward pass in closed form, {threads}",
        "traced": "torch operations, each differentiated by torch",
    }
    lines: list[str] = []
    for name in ("cpu", "triton", "eager", "traced"):
        reason = reason_against(name, x, y, settings) if name in ("cpu", "triton") else None
        if name == "traced" and chosen != "traced":
            continue
        mark = "->" if name == chosen else "  "
        lines.append(f"{mark} {name:<7} {'not used: ' + reason if reason else notes[name]}")
    return "\n".join(lines)
