"""SSIM and its gradient taken apart into the steps in which they go wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from ...formula import Constants, Moments, constants, rearranged_moments, similarity
from ...window import Window
from .pairs import ImagePair

Images = tuple[torch.Tensor, torch.Tensor]


class Parts(NamedTuple):
    """What the chain rule puts together: the images, three partial derivatives, and Wᵀ."""

    case: ImagePair
    x: torch.Tensor
    y: torch.Tensor
    by_mean: torch.Tensor
    by_mean_square: torch.Tensor
    by_mean_product: torch.Tensor
    adjoint: Callable[[torch.Tensor], torch.Tensor]
    moments: Moments
    constants: Constants


def chain_rule(p: Parts) -> torch.Tensor:
    """Wᵀ g_m + 2 x ⊙ Wᵀ g_xx + y ⊙ Wᵀ g_xy. Equation :eq:`eq-ssim-gradient`."""
    return (
        p.adjoint(p.by_mean)
        + 2 * p.x * p.adjoint(p.by_mean_square)
        + p.y * p.adjoint(p.by_mean_product)
    )


@dataclass(frozen=True)
class Recipe:
    """SSIM and its gradient as a sequence of steps; as it stands, the right ones.

    Attributes:
        images: (x, y) -> the pair that is used.
        taps: window -> its weights in one dimension.
        padding: a name in :data:`PADDINGS`; None is the window's own.
        filter: (padded images, two-dimensional weights) -> local averages.
        data_range: case -> L.
        constants: L -> C1, C2.
        moments: (moments, window, x, y) -> the moments that are used.
        combine: (moments, constants) -> the map.
        reduce: (map, image x) -> a number.
        assemble: :class:`Parts` -> the gradient.
    """

    images: Callable[[torch.Tensor, torch.Tensor], Images] = lambda x, y: (x, y)
    taps: Callable[[Window], Sequence[float]] = lambda window: window.taps
    padding: str | None = None
    filter: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.conv2d
    data_range: Callable[[ImagePair], float] = lambda case: case.data_range
    constants: Callable[[float], Constants] = constants
    moments: Callable[[Moments, Window, torch.Tensor, torch.Tensor], Moments] = lambda m, *_: m
    combine: Callable[[Moments, Constants], torch.Tensor] = similarity
    reduce: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda s, x: s.mean()
    assemble: Callable[[Parts], torch.Tensor] = chain_rule

    def ssim(self, case: ImagePair) -> torch.Tensor:
        """The number that this recipe makes of a case, float64."""
        return self._run(case, self._average(case.window))[0]

    def gradient(self, case: ImagePair) -> torch.Tensor:
        """What this recipe gives for the derivative of :meth:`ssim` by x, of the shape of x."""
        average = self._average(case.window)
        averages = []

        def recorded(image):
            averages.append(average(image).requires_grad_())
            return averages[-1]

        def adjoint(g):
            image = torch.zeros_like(case.x, requires_grad=True)
            return torch.autograd.grad(average(image), image, g)[0]

        with torch.enable_grad():
            value, m, c = self._run(case, recorded)
            of_x, _, of_xx, _, of_xy = averages
            partials = torch.autograd.grad(value, (of_x, of_xx, of_xy), materialize_grads=True)
            m = Moments(*(moment.detach() for moment in m))
            x, y = self.images(case.x, case.y)
            parts = Parts(case, x, y, *partials, adjoint=adjoint, moments=m, constants=c)
            return self.assemble(parts).detach()

    def _run(self, case, average):
        x, y = self.images(case.x, case.y)
        m = self.moments(rearranged_moments(x, y, average), case.window, x, y)
        c = self.constants(self.data_range(case))
        return self.reduce(self.combine(m, c), x), m, c

    def _average(self, window):
        taps = torch.tensor(self.taps(window), dtype=torch.float64)
        kernel = torch.outer(taps, taps)[None, None]
        pad = PADDINGS[self.padding or window.padding]

        def average(image):
            maps = self.filter(pad(image.reshape(-1, 1, *image.shape[-2:]), len(taps) // 2), kernel)
            return maps.reshape(*image.shape[:-2], *maps.shape[-2:])

        return average


def _symmetric(x, radius):
    """Mirror about the outer edges of the border pixels, which SciPy calls "reflect"."""
    for dim in (-2, -1):
        before = x.narrow(dim, 0, radius).flip(dim)
        after = x.narrow(dim, x.shape[dim] - radius, radius).flip(dim)
        x = torch.cat((before, x, after), dim)
    return x


def _padded(mode):
    return lambda x, radius: F.pad(x, (radius,) * 4, mode=mode)


PADDINGS = {
    "valid": lambda x, radius: x,
    "zero": _padded("constant"),
    "reflect": _padded("reflect"),
    "replicate": _padded("replicate"),
    "circular": _padded("circular"),
    "symmetric": _symmetric,
}


@dataclass(frozen=True)
class Mistake:
    """A step gone wrong.

    Attributes:
        name: what it is called in a report.
        advice: what the step does, and what it should do.
        changes: the fields of :class:`Recipe` that it replaces.
        undefined_when_flat: it divides by zero on constant images, where rounding decides.
    """

    name: str
    advice: str
    changes: dict[str, Any]
    undefined_when_flat: bool = False

    def __post_init__(self) -> None:
        steps = [step.name for step in fields(Recipe)]
        if unknown := self.changes.keys() - {*steps}:
            raise ValueError(
                f"the mistake {self.name!r} changes {', '.join(unknown)}, "
                f"and the steps are {', '.join(steps)}"
            )

    @property
    def recipe(self) -> Recipe:
        return replace(Recipe(), **self.changes)

    def together_with(self, other: Mistake) -> Mistake | None:
        """Both mistakes at once, or None if they are made in the same step."""
        if self.changes.keys() & other.changes.keys():
            return None
        return Mistake(
            f"{self.name}; {other.name}",
            f"Two things at once. {self.advice} {other.advice}",
            self.changes | other.changes,
            self.undefined_when_flat or other.undefined_when_flat,
        )
