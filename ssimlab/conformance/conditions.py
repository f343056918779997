"""The circumstances under which a case calls a function: autocast, and TF32 emulated anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten

# Which arguments of a product are multiplied; the others, biases, are only added.
_FACTORS = {
    _aten.convolution: (0, 1),
    _aten.convolution_backward: (0, 1, 2),
    _aten.mm: (0, 1),
    _aten.bmm: (0, 1),
    _aten.addmm: (1, 2),
    _aten.baddbmm: (1, 2),
}


def bfloat16_autocast(device: str) -> torch.autocast:
    """Autocast to bfloat16, which turns float32 convolutions into bfloat16 ones."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def no_grad(device: str) -> torch.no_grad:
    """No gradient is recorded, as when a score is only looked at."""
    return torch.no_grad()


def emulated_tf32(device: str) -> EmulatedTF32:
    """TF32 on any device, the CPU included. See :class:`EmulatedTF32`."""
    return EmulatedTF32()


class EmulatedTF32(TorchDispatchMode):
    """Round the float32 factors of convolutions and matrix products to the 10 bits of TF32.

    What GPUs with TF32 do to exactly these operations: operands with a 10-bit mantissa, sums in
    float32. Elementwise arithmetic is left alone, there as here.
    """

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        factors = _FACTORS.get(func.overloadpacket, ())
        if factors:
            args = tuple(
                round_to_tf32(arg) if i in factors and arg.dtype == torch.float32 else arg
                for i, arg in enumerate(args)
            )
        return func(*args, **(kwargs or {}))


def round_to_tf32(x: torch.Tensor) -> torch.Tensor:
    """The float32 tensor ``x`` with its mantissas rounded to 10 bits, ties to even."""
    bits = x.view(torch.int32)
    dropped = 13  # of float32's 23 mantissa bits
    last_kept = (bits >> dropped) & 1
    rounded = (bits + (1 << (dropped - 1)) - 1 + last_kept) & -(1 << dropped)
    # NaN and inf have no mantissa to round: the carry would change what they are.
    return torch.where(x.isfinite(), rounded.view(torch.float32), x)
