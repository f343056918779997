"""One run of a reader's function on one case: its value, or why there is none to compare."""

from __future__ import annotations

import math
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ... import reference
from .pairs import ImagePair
from .recipe import Mistake, Recipe

#: Largest error, relative to the scale of the quantity, of a function that is right in float64.
TOLERANCE = 1e-9


class Diagnosis(NamedTuple):
    """A name, None where no known mistake fits, and what to know about it."""

    name: str | None
    explanation: str


@dataclass(frozen=True)
class Trial:
    """What a function did with one case; ``fault`` says why ``obtained`` cannot be compared."""

    case: ImagePair
    expected: torch.Tensor
    obtained: torch.Tensor | None
    error: float
    fault: Diagnosis | None = None
    dtype: torch.dtype | None = None

    @property
    def passed(self) -> bool:
        return self.error <= TOLERANCE


class Quantity(NamedTuple):
    """What is checked: its right value, its natural scale, and how it goes wrong.

    ``combinations`` are the mistakes to try two at a time; ``degree`` is the power of a common
    factor of x, y and data_range that the value takes; ``preface`` introduces a mistake in SSIM
    itself.
    """

    name: str
    expected: Callable[[ImagePair], torch.Tensor]
    predicted: Callable[[Recipe, ImagePair], torch.Tensor]
    mistakes: tuple[Mistake, ...]
    combinations: Callable[[], Iterable[tuple[Mistake, Mistake]]]
    scale: Callable[[ImagePair], float]
    degree: int
    preface: str

    def distance(self, case: ImagePair, a: torch.Tensor, b: torch.Tensor) -> float:
        """Largest difference, relative to the larger of ``b``'s greatest value and the scale."""
        return float((a - b).abs().max()) / max(self.scale(case), float(b.abs().max()))


def run_case(quantity: Quantity, fn: Callable[..., object], case: ImagePair) -> Trial:
    """Run the function on copies of the images, and look at what it returns."""
    expected = quantity.expected(case)

    def not_comparable(name, explanation):
        return Trial(case, expected, None, math.inf, Diagnosis(name, explanation))

    try:
        with torch.enable_grad():
            result = fn(case.x.clone(), case.y.clone(), data_range=case.data_range)
    except Exception as error:
        return not_comparable("raises an error", _told(error, case))
    if result is None:
        return not_comparable(
            "returns nothing", "The function returned None: does it end in a return statement?"
        )
    value = _as_real_tensor(result)
    if value is None:
        wanted = "one number" if expected.ndim == 0 else "a tensor of the shape of x"
        return not_comparable(
            "returns something else",
            f"The function returned {_kind(result)}; the check wants {wanted}.",
        )
    obtained = value.double()
    if expected.ndim == 0 and obtained.numel() == 1:
        obtained = obtained.reshape(())
    if obtained.shape != expected.shape:
        return not_comparable(*_shape_fault(case, obtained, expected))
    error = quantity.distance(case, obtained, expected)
    return Trial(case, expected, obtained, error, dtype=value.dtype)


def _as_real_tensor(result):
    try:
        # A plain float is float64, but torch would make it float32.
        value = torch.as_tensor(result, dtype=None if hasattr(result, "dtype") else torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if value.is_complex() else value.detach().cpu()


def _kind(result):
    if isinstance(result, tuple):
        return f"a tuple of {len(result)}"
    if isinstance(result, torch.Tensor):
        return f"a tensor of {result.dtype}"
    return f"an object of type {type(result).__name__}"


def _shape_fault(case, obtained, expected):
    """A name and an explanation for a result of the wrong shape."""
    given = tuple(obtained.shape)
    map_size = case.window.output_size(case.shape[-2:])
    returned = f"The function returned the shape {given}"
    if expected.ndim:
        wanted = f"{returned}; the gradient by x has the shape of x, {case.shape}."
        if given == (*case.shape[:-2], *map_size):
            return "gradient of the size of the map", (
                f"{wanted} Each partial derivative is a map, and the adjoint Wᵀ takes it back to "
                "the size of the image."
            )
        if obtained.numel() == 1:
            return "one number instead of a gradient", wanted
        return "wrong shape", wanted
    wanted = f"{returned}; SSIM is one number, the mean over everything."
    if given in ((*case.shape[:-2], *map_size), case.shape):
        values = reference.ssim(
            case.x, case.y, data_range=case.data_range, window=case.window, reduction="none"
        )
        right = values.shape == obtained.shape and torch.allclose(
            values, obtained, rtol=0, atol=TOLERANCE
        )
        verdict = "The map itself is right." if right else "The map itself is not right either."
        return "the map instead of its mean", f"{wanted} {verdict} Return its mean."
    if given in (case.shape[:-2], case.shape[:-3]):
        return "one value for each image instead of the mean", wanted
    return "wrong shape", wanted


def _told(error, case):
    """What was raised, and on which line of the reader's own code."""
    told = f"{type(error).__name__}: {error}".strip().removesuffix(":")
    # The first frame is the call in this module.
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if not _is_installed(frame.filename)] or frames
    if own:
        last = own[-1]
        told += f"\nraised in {last.name}, line {last.lineno}: {last.line}"
    else:
        told += "\nThe function is called as fn(x, y, data_range=...)."
    if own and case.x.ndim > 2:
        told += (
            f"\nThe images have the shape {case.shape}; if your function takes one image (H, W), "
            "say ndim=2."
        )
    return told


def _is_installed(filename):
    """Whether a file belongs to Python, to an installed package or to this one."""
    path = Path(filename)
    libraries = (Path(sysconfig.get_path("stdlib")), Path(__file__).parents[2])
    return (
        not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
        or any(path.is_relative_to(library) for library in libraries)
        or filename.startswith("<frozen")
    )
