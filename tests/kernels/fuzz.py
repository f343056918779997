"""Random pairs of images, hard ones among them, and each backend held against the exact result.

    python -m tests.kernels.fuzz --pairs 10000 --seed 0
    python -m tests.kernels.fuzz --only 1234 --seed 0      # one pair again, by its number

The end tells the worst errors for each backend and dtype, and the pairs that they were found on.
The exit code is 1 if an error exceeds its bound, which follows from the pair: see `errors`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssimlab import Window, dissimilarity
from tests.kernels.extended import IS_EXTENDED, Exact, exact

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
BACKENDS = ("cpu", "eager")
SIZES = tuple(range(1, 34, 2))

#: What the map and the gradient, in units of its largest entry, may be off by for ordinary pairs;
#: those are for float32, and float64 has so many times its digits.
MAP_ERROR, GRADIENT_ERROR = 1e-6, 3e-6
FINER = {torch.float32: 1.0, torch.float64: 2.0**-29}


class Ordinary(NamedTuple):
    """Up to where a pair is ordinary; beyond, the bounds grow with the taps and what cancels."""

    taps: int
    means: float  # see `Exact`, as for the next
    variances: float
    terms: float  # of the gradient: how many times larger than it they are


ORDINARY = Ordinary(taps=15, means=2.0, variances=5.0, terms=10.0)


@dataclass(frozen=True)
class Pair:
    """Two images and what is asked of them."""

    x: Tensor
    y: Tensor
    window: Window
    data_range: float
    upstream: str  # "mean", "scaled" or "weights"
    weights: Tensor  # what each pixel of the map weighs in the loss
    by_x: bool  # whether a gradient by x is wanted
    by_y: bool
    words: str

    @property
    def dtype(self) -> torch.dtype:
        """That of the computation."""
        return self.x.dtype if self.x.dtype == torch.float64 else torch.float32


CONTENTS = {
    "noise": lambda rng, size: rng.random(size),
    "normal": lambda rng, size: rng.standard_normal(size),
    "step": lambda rng, size: _columns(rng, size) + 0.01 * rng.random(size),
    "clean step": lambda rng, size: _columns(rng, size) + np.zeros(size),
    "spikes": lambda rng, size: 0.01 * rng.random(size) + (rng.random(size) < 0.02),
    "one spike": lambda rng, size: _one_pixel(rng, size),
    "ramp": lambda rng, size: _ramp(rng, size),
    "checks": lambda rng, size: (np.indices(size)[-2:].sum(0) % 2) + 0.01 * rng.random(size),
    "clean checks": lambda rng, size: np.indices(size)[-2:].sum(0) % 2 + np.zeros(size),
    "salt and pepper": lambda rng, size: 0.1 * rng.random(size) + rng.choice(
        [-1, 0, 1], size, p=[0.02, 0.96, 0.02]
    ),
    "flat": lambda rng, size: np.full(size, rng.random()),
    "black": lambda rng, size: np.zeros(size),
}  # fmt: skip

#: The second image, from the first, another one and a small number.
OTHERS = {
    "unrelated": lambda x, other, small, rng: other,
    "noisy": lambda x, other, small, rng: x + 0.3 * other,
    "nearly identical": lambda x, other, small, rng: x + small * other,
    "nearly proportional": lambda x, other, small, rng: x * (1 + small * other),
    "identical": lambda x, other, small, rng: x,
    "one pixel apart": lambda x, other, small, rng: x + small * _one_pixel(rng, x.shape),
    "brighter": lambda x, other, small, rng: x + rng.random(),
    "of more contrast": lambda x, other, small, rng: x * (1 + rng.random()),
    "c - x": lambda x, other, small, rng: 1 - x,
    "nearly c - x": lambda x, other, small, rng: 1 - x + small * other,
    "nearly -x": lambda x, other, small, rng: -x + small * other,
    "much larger": lambda x, other, small, rng: other / small,
    "much smaller": lambda x, other, small, rng: other * small,
    "blurred": lambda x, other, small, rng: (x + np.roll(x, 1, -1)) / 2,
    "shifted": lambda x, other, small, rng: np.roll(x, 1, -2),
}

#: The same numbers, or some of them, elsewhere in memory: (…, H, W) -> (…, H, W).
LAYOUTS = {
    "contiguous": lambda image: image.contiguous(),
    "transposed": lambda image: image.mT.contiguous().mT,
    "channels last": lambda image: (
        image.contiguous(memory_format=torch.channels_last)
        if image.ndim == 4
        else image.movedim(0, -1).contiguous().movedim(-1, 0)
    ),
    "planes expanded": lambda image: image[(slice(1),) * (image.ndim - 2)].expand(image.shape),
    "rows expanded": lambda image: image[..., :1, :].expand(image.shape),
    "columns expanded": lambda image: image[..., :1].expand(image.shape),
    "every second column": lambda image: image.repeat_interleave(2, -1)[..., ::2],
    "every third row": lambda image: image.repeat_interleave(3, -2)[..., 1::3, :],
    "inside a larger image": lambda image: torch.nn.functional.pad(image, (3, 2, 1, 4))[
        ..., 1:-4, 3:-2
    ],
}  # fmt: skip


def _columns(rng, size):
    rise = np.zeros(size[-1])
    rise[rng.integers(size[-1]) :] = 1
    return rise


def _one_pixel(rng, size):
    image = np.zeros(size)
    image[..., rng.integers(size[-2]), rng.integers(size[-1])] = 1
    return image


def _ramp(rng, size):
    rows, columns = (np.linspace(0, rng.standard_normal(), n) for n in size[-2:])
    return rows[:, None] + columns + np.zeros(size)


def _often(rng, usual, rare):
    """Numbers that are one of ``usual``, and now and then 10 to a power between the two others."""
    return float(rng.choice(usual) if rng.random() < 0.7 else 10 ** rng.uniform(*rare))


def make(seed: int, number: int, sizes=SIZES, most: int = 40_000) -> Pair:
    """Pair ``number`` of the series ``seed``: the same one every time.

    Args:
        seed, number: which one.
        sizes: of windows, to choose from.
        most: pixels of an image times taps, so that none takes long.
    """
    rng = np.random.default_rng((seed, number))
    window = Window(
        int(rng.choice(sizes)),
        None if rng.random() < 0.3 else float(rng.choice([0.5, 1.5, 1.5, 1.5, 5.0])),
        str(rng.choice(["valid", "valid", "reflect", "zero"])),
    )
    size = _size(rng, window, most)
    dtype = DTYPES[rng.choice(4, p=[0.5, 0.2, 0.15, 0.15])]
    data_range = _often(rng, [1.0, 1.0, 255.0], (-3, 6))
    offset = _often(rng, [0, 0, 0.5, 1, -0.5, -1e3], (-2, 6))
    contrast = _often(rng, [1, 1, 0.1], (-6, 3))
    small = _often(rng, [1e-3, 0.1], (-7, -1))
    content, second = (str(rng.choice(list(CONTENTS))) for _ in range(2))
    kin = str(rng.choice(list(OTHERS)))
    layout, layout_of_y = (str(rng.choice(list(LAYOUTS))) for _ in range(2))
    x = CONTENTS[content](rng, size)
    y = OTHERS[kin](x, CONTENTS[second](rng, size), small, rng)
    x, y = (_in_dtype(data_range * (offset + contrast * image), dtype) for image in (x, y))
    if kin == "identical":
        layout_of_y = "contiguous"
        x = LAYOUTS[layout](x)
        y = x.contiguous()
    x, y = LAYOUTS[layout](x), LAYOUTS[layout_of_y](y)
    if rng.random() < 0.3:
        x, y, layout, layout_of_y = y, x, layout_of_y, layout
    upstream = str(rng.choice(["mean", "scaled", "weights"]))
    of_map = (*size[:-2], *window.output_size(size[-2:]))
    weights = torch.full(of_map, 1 / np.prod(of_map), dtype=torch.float64)
    if upstream == "scaled":
        weights *= rng.standard_normal() * data_range
    if upstream == "weights":
        weights = torch.from_numpy(rng.standard_normal(of_map) * (rng.random(of_map) < 0.7))
        weights = weights.float().double()
    by_x, by_y = ((True, True), (True, False), (False, True))[rng.integers(3)]
    words = (
        f"pair {number} of seed {seed}: {content} of contrast {contrast:.3g} at {offset:.3g}, "
        f"against {second}, {kin} ({small:.1g}); {tuple(size)} in {dtype}, {layout} and "
        f"{layout_of_y}; {window}, data_range={data_range:.4g}, upstream {upstream}"
    )
    return Pair(x, y, window, data_range, upstream, weights, by_x, by_y, words)


def _size(rng, window, most):
    """Leading dimensions, rows and columns; one plane in four is larger than a tile of a kernel."""
    least, kind = window.least_size, rng.random()
    if kind < 0.15:
        sides = [least, least + rng.integers(0, 3)]
        rng.shuffle(sides)
    elif kind < 0.75:
        sides = least + rng.integers(0, 30, 2)
    else:
        sides = least + rng.integers(0, 110), least + rng.integers(0, 400)
        sides = sides if rng.random() < 0.7 else sides[::-1]
    height, width = (int(side) for side in sides)
    height = max(least, min(height, most // window.size // width))
    batch = [int(n) for n in rng.integers(1, 4, rng.integers(0, 4))]
    while batch and np.prod(batch) * height * width * window.size > most:
        batch.pop()
    return (*batch, height, width)


def _in_dtype(image, dtype):
    image = torch.from_numpy(np.ascontiguousarray(image))
    if dtype == torch.float16:  # it ends at 65504
        image = image.clamp(-6e4, 6e4)
    return image.to(dtype)


class Result(NamedTuple):
    unlike: Tensor  # the map
    value: Tensor  # the loss, before it is scaled
    gradients: tuple[Tensor | None, Tensor | None]


def compute(pair: Pair, backend: str, device: str = "cpu") -> Result:
    """What the package makes of a pair, through its public function."""
    x = pair.x.detach().to(device).requires_grad_(pair.by_x)
    y = pair.y.detach().to(device).requires_grad_(pair.by_y)
    settings = {"data_range": pair.data_range, "window": pair.window, "backend": backend}
    with torch.no_grad():
        unlike = dissimilarity(x, y, reduction="none", **settings)
    if pair.upstream == "weights":
        value = dissimilarity(x, y, reduction="none", **settings)
        upstream = pair.weights.to(value)
    else:
        value = dissimilarity(x, y, **settings)
        upstream = pair.weights.sum().to(value)
    wanted = [image for image in (x, y) if image.requires_grad]
    made = iter(torch.autograd.grad(value, wanted, upstream))
    by_x, by_y = (next(made).cpu() if image.requires_grad else None for image in (x, y))
    return Result(unlike.cpu(), value.detach().cpu(), (by_x, by_y))


def truth(pair: Pair) -> Exact:
    """The exact result for the pixels as they are in their dtype."""
    images = (image.double().numpy() for image in (pair.x, pair.y))
    return exact(
        *images,
        pair.weights.numpy(),
        data_range=pair.data_range,
        taps=pair.window.taps,
        padding=pair.window.padding,
    )


class Error(NamedTuple):
    """One comparison."""

    what: str  # "map", "mean" or "gradient"
    size: float  # absolute; of a gradient, in units of its largest entry
    share: float  # of what the bound allows


def errors(pair: Pair, result: Result, true: Exact) -> list[Error]:
    """How far a result is from the truth, and which share that is of what its bound allows.

    The bounds are those of the docstring of `ssimlab.dissimilarity`. The map's is taken pixel by
    pixel, and near zero it is relative, some roundings for each tap; the gradient's is relative to
    its largest entry, so that a small gradient, of images nearly alike, is held to as many digits.
    """
    finer, rounding = FINER[pair.dtype], torch.finfo(pair.dtype).eps / 2
    taps = pair.window.size
    bound = (taps + 8) * rounding * true.scale
    ordinary = (
        (taps <= ORDINARY.taps)
        & (true.means <= ORDINARY.means)
        & (true.variances <= ORDINARY.variances)
    )
    bound = np.where(ordinary, np.minimum(bound, MAP_ERROR * finer), bound)
    # Taps below the least normal number have lost digits.
    span = max(pair.x.max(), pair.y.max()).double() - min(pair.x.min(), pair.y.min()).double()
    limits = torch.finfo(pair.dtype)
    bound = bound + taps * limits.tiny * limits.eps * (span.item() / (0.03 * pair.data_range)) ** 2
    found = [_error("map", result.unlike, true.unlike, bound, pair)]
    if pair.upstream != "weights":
        mean, bound = (
            true.unlike.mean(keepdims=True),
            bound.mean() + 2 * rounding + 2.0**-47,
        )  # the sum is in float64
        found.append(_error("mean", result.value.reshape(mean.shape), mean, bound, pair))
    for got, expected, scale in zip(
        result.gradients, (true.by_x, true.by_y), (true.scale_by_x, true.scale_by_y), strict=True
    ):
        if got is not None:
            largest, terms = abs(expected).max(), scale.max()
            bound = GRADIENT_ERROR * finer * largest
            if taps > ORDINARY.taps or terms > ORDINARY.terms * largest:
                bound = max(bound, 2 * (taps + 8) * rounding * terms)
            found.append(_error("gradient", got, expected, bound, pair))
    return found


def _error(what: str, got: Tensor, expected: np.ndarray, bound, pair: Pair) -> Error:
    assert got.shape == expected.shape
    values = got.double().numpy()
    error = abs(values - expected)
    if got.dtype in (torch.float16, torch.bfloat16):  # the result has been rounded to it
        limits = torch.finfo(got.dtype)
        allowed = limits.eps / 2 * abs(expected) + limits.tiny * limits.eps
        error = np.maximum(error - allowed, 0)
        error[(abs(expected) > limits.max * (1 - limits.eps)) & (abs(values) >= limits.max)] = 0
    # Numbers below the least normal one are lost, and no fault.
    error = np.maximum(error - 4 * torch.finfo(pair.dtype).tiny, 0)
    error[np.isnan(error)] = np.inf
    share = np.divide(error, bound, where=error > 0, out=np.zeros_like(error))
    unit = abs(expected).max() if what == "gradient" else 1
    return Error(what, float(error.max() / (unit or 1)), float(share.max()))


def faults(pair: Pair, result: Result, again: Result) -> list[str]:
    """What is wrong whatever the numbers are."""
    found: list[str] = []
    for a, b in zip((*result[:2], *result.gradients), (*again[:2], *again.gradients), strict=True):
        if a is not None and not torch.equal(a, b):
            found.append("the second run gives other bits")
    if not (result.unlike.dtype == result.value.dtype == pair.dtype):
        found.append(f"the result is {result.value.dtype}")
    if any(g is not None and g.dtype != pair.x.dtype for g in result.gradients):
        found.append("a gradient is not of the dtype of the images")
    if torch.equal(pair.x, pair.y) and any(
        t is not None and t.any() for t in (*result[:2], *result.gradients)
    ):
        found.append("identical images do not give exactly zero")
    return found


def judge(pair: Pair, backend: str, true: Exact, device: str = "cpu"):
    """The errors of a backend on a pair, and the faults that are not a matter of degree."""
    before = pair.x.clone(), pair.y.clone()
    result, again = compute(pair, backend, device), compute(pair, backend, device)
    found = faults(pair, result, again)
    if not (torch.equal(pair.x, before[0]) and torch.equal(pair.y, before[1])):
        found.append("the images are changed")
    return errors(pair, result, true), found


class Worst(NamedTuple):
    error: Error
    words: str


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernels.fuzz", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    parser.add_argument("--only", type=int, help="number of the only pair")
    parser.add_argument("--backends", nargs="+", default=BACKENDS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the windows")
    options = parser.parse_args(arguments)
    first, count = options.first, options.pairs
    if options.only is not None:
        first, count = options.only, 1
    torch.set_num_threads(1)  # most images are small
    largest: dict[tuple[str, ...], Worst] = {}
    closest: dict[tuple[str, ...], Worst] = {}
    compared, over, complaints = Counter(), Counter(), []
    began = told = time.monotonic()
    for number in range(first, first + count):
        pair = make(options.seed, number, options.sizes)
        if pair.dtype == torch.float64 and not IS_EXTENDED:
            continue
        true = truth(pair)
        for backend in options.backends:
            found, wrong = judge(pair, backend, true, options.device)
            complaints += [f"{backend}: {fault}: {pair.words}" for fault in wrong]
            for error in found:
                key = (backend, str(pair.x.dtype).removeprefix("torch."), error.what)
                compared[key] += 1
                over[key] += error.share > 1
                here = Worst(error, pair.words)
                if error.size >= largest.get(key, here).error.size:
                    largest[key] = here
                if error.share >= closest.get(key, here).error.share:
                    closest[key] = here
        if time.monotonic() - told > 10:
            told = time.monotonic()
            done = number + 1 - first
            print(f"{done} of {count} pairs, {told - began:.0f} s", file=sys.stderr, flush=True)
    for key in sorted(compared):
        print(f"\n{' '.join(key)}: {compared[key]} compared, {over[key]} beyond the bound")
        for title, worst in (("largest", largest[key]), ("nearest to its bound", closest[key])):
            error, words = worst
            print(f"  {title}: {error.size:.2e}, {error.share:.2f} of the bound\n    {words}")
    print(f"\n{len(complaints)} other faults", *complaints[:20], sep="\n  ")
    return int(bool(over.total() or complaints))


if __name__ == "__main__":
    sys.exit(main())
