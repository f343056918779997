"""What every public function asks of its arguments: one clear sentence for each mistake."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

RANGE_ADVICE = (
    "say how far apart the darkest and the brightest possible pixel are: "
    "data_range=1.0 for images in [0, 1], 2.0 for [-1, 1], 255 for 8-bit values"
)


def shown(value: Any) -> str:
    """A value in one line of a message, however long it is."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def as_float(number: Real) -> float:
    """The number as a float; infinite where none is as large."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def needs_data_range(fn: Callable[P, R]) -> Callable[P, R]:
    """Turn a forgotten ``data_range``, or a window of another kind, into a clear sentence."""

    @functools.wraps(fn)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if "data_range" not in kwargs:
            if len(args) > 2:
                raise TypeError(
                    f"{fn.__name__}() takes two images, and all else by name: "
                    f"write {fn.__name__}(x, y, data_range=1.0)"
                )
            raise TypeError(f"{fn.__name__}() has no default for data_range: {RANGE_ADVICE}")
        if "window" in kwargs:
            check_window(kwargs["window"])
        return fn(*args, **kwargs)

    return checked


def check_kind(name: str, value: object, kind: type, advice: str) -> None:
    """Refuse what is not a ``kind``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {type(value).__name__}: {advice}")


class HasASize(Protocol):
    """What knows how large an image has to be: a Window, whose module imports this one."""

    def check_fits(self, size: Sequence[int]) -> None: ...


def check_window(window: object, name: str = "window") -> None:
    """Refuse what is not a Window, such as its size alone."""
    # Not isinstance: the module of Window imports this one.
    if not hasattr(window, "taps"):
        raise TypeError(
            f"{name} must be a Window, not {type(window).__name__}: "
            "pass ssimlab.Window(size=11, sigma=1.5), or leave it out for the published one"
        )


def check_number(name: str, value: object, *, positive: bool, advice: str) -> float:
    """Return ``value`` as a float, or raise with ``advice``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a plain number, not {shown(value)}: {advice}")
    number = as_float(value)
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        kind = "a positive, finite number" if positive else "a finite number, zero or more"
        raise ValueError(f"{name} must be {kind}, not {shown(value)}: {advice}")
    return number


def check_positive_numbers(name: str, values: object) -> tuple[float, ...]:
    """Return ``values``, a tuple or list with at least one positive number, as floats."""
    if not isinstance(values, (tuple, list)) or not values:
        raise TypeError(
            f"{name} must be a tuple with one number for each scale, not {shown(values)}"
        )
    return tuple(
        check_number(f"{name}[{i}]", value, positive=True, advice="give one for each scale")
        for i, value in enumerate(cast("Sequence[object]", values))
    )


def check_data_range(data_range: object) -> float:
    """Return the data range L as a float.

    A tensor is refused: a range taken from the batch depends on the other images in it and
    would be differentiated along with them.
    """
    if isinstance(data_range, torch.Tensor):
        raise TypeError(
            "data_range must be a plain number, not a tensor: a range measured on the data makes "
            f"one image's score depend on another's; {RANGE_ADVICE}"
        )
    return check_number("data_range", data_range, positive=True, advice=RANGE_ADVICE)


def check_k(k: object) -> tuple[float, float]:
    """Return (k1, k2) as floats; each may be zero, which removes its constant."""
    advice = "the published values are k=(0.01, 0.03)"
    pair = cast("Sequence[object]", k) if isinstance(k, (tuple, list)) else ()
    if len(pair) != 2:
        raise TypeError(f"k must be a pair of numbers, not {shown(k)}: {advice}")
    k1, k2 = pair
    return (
        check_number("k[0]", k1, positive=False, advice=advice),
        check_number("k[1]", k2, positive=False, advice=advice),
    )


def check_reduction(reduction: object) -> None:
    """Refuse a reduction that is not known."""
    if reduction not in ("mean", "none"):
        raise ValueError(f'reduction must be "mean" or "none" (the map), not {shown(reduction)}')


def check_image(name: str, image: object) -> None:
    """Refuse what is not a non-empty floating-point tensor of shape (…, H, W)."""
    if not isinstance(image, torch.Tensor):
        kind = f"{type(image).__module__}.{type(image).__name__}".removeprefix("builtins.")
        raise TypeError(f"{name} must be a torch tensor, not {kind}: torch.as_tensor makes one")
    if not image.is_floating_point():
        if image.is_complex():
            advice = f"compare {name}.real, or magnitudes"
        elif image.dtype == torch.uint8:
            advice = f"pass {name}.float() with data_range=255"
        elif image.dtype == torch.bool:
            advice = f"pass {name}.float() with data_range=1.0"
        else:
            advice = f"pass {name}.float() with the data_range of your integers"
        raise TypeError(f"{name} is {image.dtype}, but SSIM needs floating-point pixels: {advice}")
    if image.layout is not torch.strided:
        raise TypeError(
            f"{name} is stored as {image.layout}, but SSIM needs every pixel: "
            f"pass {name}.to_dense()"
        )
    if image.ndim < 2:
        raise ValueError(
            f"{name} must have shape (…, H, W), not {tuple(image.shape)}: "
            "reshape it so that the last two dimensions are the image's rows and columns"
        )
    if image.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(image.shape)} and so no pixels: pass an image")


def check_size(size: object) -> tuple[int, int]:
    """Return ``size`` if it is a pair (H, W)."""
    # A torch.Size is shown as the plain tuple that it is.
    given = tuple(cast("Sequence[int]", size)) if isinstance(size, (tuple, list)) else None
    if given is None or len(given) != 2:
        raise ValueError(f"size must be (H, W), not {shown(given or size)}: pass x.shape[-2:]")
    return given


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is not one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, not {shown(value)}")


def check_pair(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> None:
    """Refuse two images that cannot be compared pixel by pixel."""
    for name, image in zip(names, (x, y), strict=True):
        check_image(name, image)
    both = " and ".join(names)
    if x.shape != y.shape:
        raise ValueError(
            f"{both} must have the same shape, not {tuple(x.shape)} and {tuple(y.shape)}: "
            "crop, resize or expand one of them; nothing is broadcast"
        )
    if x.dtype != y.dtype:
        narrow = [name for name, v in zip(names, (x, y), strict=True) if v.dtype.itemsize < 4]
        raise TypeError(
            f"{both} must have the same dtype, not {x.dtype} and {y.dtype}: "
            + (
                f"pass {narrow[0]}.float(), as one does with a network's output under autocast"
                if narrow
                else "convert one of them"
            )
        )
    if x.device != y.device:
        raise ValueError(
            f"{both} must be on the same device, not {x.device} and {y.device}: move one of them"
        )


def check_arguments(
    x: Tensor,
    y: Tensor,
    data_range: object,
    window: HasASize,
    k: object,
    reduction: object = "mean",
) -> tuple[float, tuple[float, float]]:
    """Check what all SSIM functions share and return L and (k1, k2)."""
    check_pair(x, y)
    check_reduction(reduction)
    checked = check_data_range(data_range), check_k(k)
    window.check_fits(x.shape[-2:])
    return checked


def apply_reduction(values: Tensor, reduction: str) -> Tensor:
    """The mean over everything, or the map itself."""
    return values.mean() if reduction == "mean" else values
