"""The window: the linear operator W of every formula in the book, and its adjoint Wᵀ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import Tensor

from ._inputs import as_float, check_image, check_size, shown

PADDINGS = ("valid", "reflect", "zero")


@dataclass(frozen=True)
class Window:
    """A separable averaging window W, with weights that sum to one.

    Equation :eq:`eq-window` of the book. The taps are made in float64, where their sum is 1 to
    within 1e-15, and are rounded to the dtype of the image only when they are applied.

    Args:
        size: side of the square window in pixels; odd and positive.
        sigma: standard deviation of the Gaussian in pixels; None is the uniform window.
        padding: "valid" keeps the windows that lie inside the image, so the map has
            (H - size + 1, W - size + 1) pixels; "reflect" mirrors the image about its border
            pixels and "zero" surrounds it with zeros, and both keep (H, W).

    Attributes:
        taps: the ``size`` weights of one dimension, as Python floats.

    Raises:
        TypeError, ValueError: an argument is not as described above.

    Source: Wang et al. (2004), section III.B: size 11, sigma 1.5.
    """

    size: int = 11
    sigma: float | None = 1.5
    padding: str = "valid"
    taps: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, Integral):
            raise TypeError(f"window size must be an odd whole number, not {shown(self.size)}")
        # NumPy's numbers become Python's: equal windows then print and serialize alike.
        object.__setattr__(self, "size", int(self.size))
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(
                f"window size must be odd and positive, not {self.size}: "
                "an even window has no center pixel"
            )
        if self.sigma is not None:
            if isinstance(self.sigma, bool) or not isinstance(self.sigma, Real):
                raise TypeError(
                    f"sigma must be a number of pixels or None, not {shown(self.sigma)}"
                )
            sigma = as_float(self.sigma)
            if not (math.isfinite(sigma) and sigma > 0):
                raise ValueError(
                    f"sigma must be positive and finite, not {shown(self.sigma)}: "
                    "sigma=None is the uniform window"
                )
            object.__setattr__(self, "sigma", sigma)
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {PADDINGS}, not {shown(self.padding)}")
        object.__setattr__(self, "taps", _taps(self.size, self.sigma))

    @property
    def radius(self) -> int:
        """Pixels on either side of the center."""
        return self.size // 2

    @property
    def least_size(self) -> int:
        """Rows and columns that an image needs."""
        return {"valid": self.size, "reflect": self.radius + 1, "zero": 1}[self.padding]

    def output_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of the map for an image of ``size`` = (H, W), if it fits."""
        self.check_fits(size)
        height, width = size
        lost = self.size - 1 if self.padding == "valid" else 0
        return height - lost, width - lost

    def check_fits(self, size: Sequence[int]) -> None:
        """Raise ValueError if an image of ``size`` = (H, W) is too small for the window."""
        height, width = check_size(size)
        if min(height, width) < (least := self.least_size):
            raise ValueError(
                f"the image has {height} x {width} pixels, but a window of size {self.size} with "
                f'padding="{self.padding}" needs at least {least} x {least}: '
                "use a smaller window or a larger image"
            )

    def __call__(self, x: Tensor) -> Tensor:
        """Apply W over the last two dimensions: (…, H, W) -> (…, H', W').

        The result has the dtype of x. Raises if the image is too small for the window.
        """
        return self.gather(self.pad(x))

    def adjoint(self, g: Tensor, size: Sequence[int]) -> Tensor:
        """Apply Wᵀ: (…, H', W') -> (…, H, W), so that ⟨W x, g⟩ = ⟨x, Wᵀ g⟩.

        Equation :eq:`eq-adjoint` of the book.

        Args:
            g: weights on the map, (…, H', W').
            size: (H, W) of the image that W was applied to.

        Raises:
            ValueError: g is not of the shape that W gives for an image of that size.
        """
        check_image("g", g)
        if tuple(g.shape[-2:]) != self.output_size(size):
            raise ValueError(
                f"g has {g.shape[-2]} x {g.shape[-1]} pixels, but this window makes "
                f"{' x '.join(map(str, self.output_size(size)))} of an image of "
                f"{size[0]} x {size[1]}: pass the size of the image, not of the map"
            )
        return self.scatter(g, size)

    def pad(self, x: Tensor) -> Tensor:
        """Extend x, (…, H, W), so that every window of the map lies inside it."""
        check_image("x", x)
        self.check_fits(x.shape[-2:])
        return self.extend(x)

    # W is gather after extend, and Wᵀ is scatter. These three check nothing: they are for
    # functions that have checked their arguments, and need a padded image more than once.

    def extend(self, x: Tensor) -> Tensor:
        """:meth:`pad` without its checks."""
        if self.padding == "valid" or self.radius == 0:
            return x
        mode = {"reflect": "reflect", "zero": "constant"}[self.padding]
        image = x.reshape(-1, *x.shape[-2:])
        padded = F.pad(image, (self.radius,) * 4, mode=mode)
        return padded.reshape(*x.shape[:-2], *padded.shape[-2:])

    def gather(self, padded: Tensor) -> Tensor:
        """The averages over the windows that lie inside a padded image; unchecked."""
        return _correlate(_correlate(padded, self.taps, -1), self.taps, -2)

    def scatter(self, g: Tensor, size: Sequence[int]) -> Tensor:
        """:meth:`adjoint` without its checks."""
        image = F.pad(g, (self.size - 1,) * 4)
        flipped = self.taps[::-1]
        spread = _correlate(_correlate(image, flipped, -1), flipped, -2)
        if self.padding == "valid":
            return spread
        fold = _fold_reflection if self.padding == "reflect" else _crop
        return fold(fold(spread, self.radius, size[0], -2), self.radius, size[1], -1)

    def weights(self) -> Tensor:
        """The window as a (size, size) float64 tensor, the outer product of its taps."""
        taps = torch.tensor(self.taps, dtype=torch.float64)
        return torch.outer(taps, taps)


def _taps(size: int, sigma: float | None) -> tuple[float, ...]:
    radius = size // 2
    if sigma is None:
        bell = [1.0] * size
    else:
        steps = [i / float(sigma) for i in range(-radius, radius + 1)]
        # Not step**2, which raises where sigma is tiny and the product is rightly infinite.
        bell = [math.exp(-0.5 * step * step) for step in steps]
    total = math.fsum(bell)
    return tuple(b / total for b in bell)


def _correlate(x: Tensor, taps: tuple[float, ...], dim: int) -> Tensor:
    """Weighted sum of shifted copies along ``dim``; windows inside x only.

    Shifts and not a convolution: convolutions are rounded to ten bits by TF32 on GPUs and to
    eight by autocast, while this is float32 arithmetic wherever x is float32.
    """
    count = x.shape[dim] - len(taps) + 1
    total = x.narrow(dim, 0, count) * taps[0]
    for k, tap in enumerate(taps[1:], 1):
        total = torch.add(total, x.narrow(dim, k, count), alpha=tap)
    return total


def _crop(g: Tensor, radius: int, count: int, dim: int) -> Tensor:
    return g.narrow(dim, radius, count)


def _fold_reflection(g: Tensor, radius: int, count: int, dim: int) -> Tensor:
    """Add the mirrored borders, which lie ``radius`` beyond either end, to their originals."""
    if radius == 0:
        return g
    inside = g.narrow(dim, radius, count)
    before = g.narrow(dim, 0, radius).flip(dim)
    after = g.narrow(dim, radius + count, radius).flip(dim)
    return inside + _place(before, 1, count, dim) + _place(after, count - 1 - radius, count, dim)


def _place(part: Tensor, start: int, count: int, dim: int) -> Tensor:
    """``part`` in a frame of zeros, beginning at ``start`` of ``count``."""
    room = (start, count - start - part.shape[dim])
    return F.pad(part, room if dim == -1 else (0, 0, *room))
