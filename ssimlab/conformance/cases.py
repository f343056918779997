"""The catalogue: image pairs, calls and circumstances on which SSIM functions go wrong."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from . import conditions

Images = tuple[torch.Tensor, torch.Tensor]

#: Stands for a ``data_range`` that the call leaves out.
MISSING = object()

CONTROLS = "Ordinary images"
RANGES = "The data range"
NUMBERS = "Offset, contrast, likeness"
PRECISION = "Less precision, and more"
LAYOUT = "How the pixels lie in memory"
POISON = "NaN and inf among the pixels"
UNUSABLE = "What cannot be compared as it is"
ADVICE = "What you do with the result"


@dataclass(frozen=True)
class Case:
    """One thing that is done to an SSIM function.

    Args:
        slug: the stable key.
        group: the heading of the catalogue under which it stands.
        title: what the function is given.
        why: one sentence on what goes wrong here, and how.
        images: makes the pair (x, y) in float64, (N, C, H, W), the same on every call.
        data_range: what is passed as ``data_range``, right or wrong, in the units of the pixels.
        dtype: the images are rounded to it, for the function and for the oracle alike.
        layout: applied to both images before the call; gradients are taken behind it.
        forward, backward: take a device type and give the context of the two passes.
        then: applied to the result, as a user might; None hands it on as it is.
        differentiable: whether a gradient is asked for.
        may_refuse: an exception is as good as the right number.
        poisoned: NaN is the right value wherever the oracle says so.
    """

    slug: str
    group: str
    title: str
    why: str
    images: Callable[[], Images]
    data_range: Any = 1.0
    dtype: torch.dtype = torch.float32
    layout: Callable[[torch.Tensor], torch.Tensor] = lambda image: image
    forward: Callable[[str], AbstractContextManager[object]] = nullcontext
    backward: Callable[[str], AbstractContextManager[object]] = nullcontext
    then: Callable[[torch.Tensor], torch.Tensor] | None = None
    differentiable: bool = True
    may_refuse: bool = False
    poisoned: bool = False

    @property
    def counts(self) -> bool:
        """Whether a fault here is the function's, and not that of what is done with its result."""
        return self.group != ADVICE

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the call."""
        return {} if self.data_range is MISSING else {"data_range": self.data_range}

    def inputs(self) -> Images:
        """The pair (x, y), rounded to ``dtype``."""
        x, y = self.images()
        return x.to(self.dtype), y.to(self.dtype)


def uniform(seed: int, *shape: int) -> torch.Tensor:
    """Numbers drawn evenly from [0, 1), float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def scene(seed: int, *shape: int) -> torch.Tensor:
    """Waves and a grain in [0, 1], different for each image and channel, (N, C, H, W)."""
    n, c, height, width = shape
    rows = torch.linspace(0, 1, height, dtype=torch.float64)[:, None]
    columns = torch.linspace(0, 1, width, dtype=torch.float64)
    phase = 2 * math.pi * uniform(seed, 2, n, c, 1, 1)
    slow = torch.sin(2 * math.pi * (1.5 * rows + columns) + phase[0])
    quick = torch.sin(2 * math.pi * (2 * rows - 5 * columns) + phase[1])
    grain = 2 * uniform(seed + 1, *shape) - 1
    return 0.5 + 0.25 * slow + 0.1 * quick + 0.15 * grain


def pair(seed: int, *shape: int, blend: float = 0.3) -> Images:
    """A scene, second, and before it the same scene blended with noise; both in [0, 1]."""
    clean = scene(seed, *shape)
    return (1 - blend) * clean + blend * uniform(seed + 2, *shape), clean


SIZE = (1, 1, 32, 32)


def flat(value: float) -> torch.Tensor:
    return torch.full(SIZE, value, dtype=torch.float64)


def scaled(images: Images, scale: float = 1.0, offset: float = 0.0) -> Images:
    """Both images times ``scale``, plus ``offset``."""
    x, y = images
    return scale * x + offset, scale * y + offset


def grains(seed: int, mean: float, contrast: float) -> Images:
    """Two independent noises of standard deviation ``contrast`` about one mean."""
    x, y = (uniform(seed + i, *SIZE) - 0.5 for i in range(2))
    return scaled((x, y), contrast * math.sqrt(12), mean)


def itself(image: torch.Tensor) -> Images:
    return image, image.clone()


def two_contrasts() -> Images:
    """Two images, the first of them with 0.3 of its contrast."""
    x, y = pair(12, 2, *SIZE[1:])
    contrast = torch.tensor([0.3, 1.0], dtype=torch.float64)[:, None, None, None]
    return contrast * x, contrast * y


def step() -> Images:
    """A textured image, its left half about 0 and its right half about 1000."""
    x, y = pair(31, *SIZE)
    rise = torch.zeros(SIZE[-1], dtype=torch.float64)
    rise[SIZE[-1] // 2 :] = 1e3
    return x + rise, y + rise


def poisoned_pixel(value: float) -> Images:
    x, y = pair(51, *SIZE)
    x[..., 16, 12] = value
    return x, y


def poisoned_neighbor() -> Images:
    x, y = pair(52, 2, *SIZE[1:])
    x[1] = math.nan
    return x, y


def two_shapes() -> Images:
    return pair(61, 1, 3, 32, 32)[0], pair(61, *SIZE)[1]


CASES: tuple[Case, ...] = (
    Case(
        "ordinary-pair",
        CONTROLS,
        "a textured pair in [0, 1]",
        "the control: a miss here is another definition of SSIM (window, border or constants)",
        lambda: pair(1, *SIZE),
    ),
    Case(
        "ordinary-8bit",
        CONTROLS,
        "a textured pair in [0, 255]",
        "the constants have to be (k L)², so that L = 255 gives what L = 1 gives on x / 255",
        lambda: scaled(pair(2, *SIZE), 255),
        data_range=255.0,
    ),
    Case(
        "color-batch",
        CONTROLS,
        "two different images of three different channels",
        "each channel has to be filtered alone, and the mean taken over all",
        lambda: pair(3, 2, 3, 24, 24),
    ),
    Case(
        "odd-rectangle",
        CONTROLS,
        "an image of 13 x 37 pixels",
        "rows and columns exchanged, or a map cropped on one side, show on a rectangle",
        lambda: pair(4, 1, 1, 13, 37),
    ),
    Case(
        "one-window",
        CONTROLS,
        "an image of 11 x 11 pixels, as large as the published window",
        "the smallest image that holds the window has one value and a gradient",
        lambda: pair(5, 1, 1, 11, 11),
    ),
    Case(
        "negative-similarity",
        CONTROLS,
        "an image and its negative 1 - x",
        "SSIM reaches down to -1: clamping or relu at 0 leaves no gradient where it is needed most",
        lambda: (1 - uniform(6, *SIZE), uniform(6, *SIZE)),
    ),
    Case(
        "no-grad",
        CONTROLS,
        "a textured pair while no gradient is recorded",
        "some libraries take another path when they need not differentiate",
        lambda: pair(7, *SIZE),
        forward=conditions.no_grad,
        differentiable=False,
    ),
    Case(
        "range-missing",
        RANGES,
        "data_range left out",
        "a default or a range measured on the data is a guess, and moves the score without a word",
        lambda: scaled(pair(11, *SIZE), 1.3, -0.6),
        data_range=MISSING,
    ),
    Case(
        "range-none-flat",
        RANGES,
        "data_range=None and a flat pair",
        "a range measured on flat images is 0, and so are both constants: 0/0",
        lambda: itself(flat(0.5)),
        data_range=None,
    ),
    Case(
        "range-none-batch",
        RANGES,
        "data_range=None and two images of different contrast",
        "a range measured on the batch makes one image's score depend on its neighbor",
        two_contrasts,
        data_range=None,
    ),
    Case(
        "range-zero",
        RANGES,
        "data_range=0",
        "both constants are 0, and flat windows are 0/0",
        lambda: itself(flat(0.5)),
        data_range=0.0,
    ),
    Case(
        "range-negative",
        RANGES,
        "data_range=-1",
        "the sign vanishes in the square, and with it the sign of a mistake such as min - max",
        lambda: pair(13, *SIZE),
        data_range=-1.0,
    ),
    Case(
        "range-tiny",
        RANGES,
        "pixels and data_range of 1e-3",
        "an eps in the denominator is no longer small beside C1 C2, which goes with the fourth "
        "power of the range",
        lambda: scaled(pair(14, *SIZE), 1e-3),
        data_range=1e-3,
    ),
    Case(
        "range-minute",
        RANGES,
        "pixels and data_range of 1e-10",
        "C1 C2 = 9e-48 does not exist in float32: divide by the range first",
        lambda: scaled(pair(15, *SIZE), 1e-10),
        data_range=1e-10,
    ),
    Case(
        "range-huge",
        RANGES,
        "pixels and data_range of 1e10",
        "a product of two denominators goes with the fourth power of the range and overflows",
        lambda: scaled(pair(16, *SIZE), 1e10),
        data_range=1e10,
    ),
    Case(
        "forgotten-255",
        RANGES,
        "a smooth patch of 8-bit values, 200.1, with data_range=1",
        "the rounding of 200², 4e-3, is larger than C2 = 9e-4: denominators go negative",
        lambda: grains(18, mean=200.1, contrast=0.01),
        data_range=1.0,
    ),
    Case(
        "range-too-large",
        RANGES,
        "pixels in [0, 1] with data_range=255",
        "no function can see this: the constants drown the image and the gradient all but vanishes",
        lambda: pair(17, *SIZE),
        data_range=255.0,
    ),
    Case(
        "black",
        NUMBERS,
        "two black images",
        "only the constants are left: an eps beside them shows",
        lambda: itself(flat(0.0)),
    ),
    Case(
        "flat-equal",
        NUMBERS,
        "flat images of 64 bright grays, each against itself",
        "a flat window has variance 0, and E[x²] - μ² has the rounding of μ² instead; clamping the "
        "variances and not the covariance keeps half of it, and square roots make it NaN",
        lambda: itself(
            torch.linspace(0.9, 1, 64, dtype=torch.float64)[:, None, None, None].expand(
                64, 1, 16, 16
            )
        ),
    ),
    Case(
        "flat-near",
        NUMBERS,
        "flat images of 0.501 and 0.5",
        "the true 1 - SSIM is 2e-6, less than the rounding of E[x²] - μ² beside C2",
        lambda: (flat(0.501), flat(0.5)),
    ),
    Case(
        "flat-apart",
        NUMBERS,
        "flat images of 0.1 and 0.9",
        "luminance alone decides, and has a gradient; square roots of a zero variance have none",
        lambda: (flat(0.1), flat(0.9)),
    ),
    Case(
        "equal",
        NUMBERS,
        "a textured image and itself",
        "the maximum: exactly 1, with a gradient of zero",
        lambda: itself(scene(21, *SIZE)),
    ),
    Case(
        "nearly-equal",
        NUMBERS,
        "a textured pair that differs by 1e-4",
        "the end of training: the gradient is small, and has to be right all the same",
        lambda: pair(22, *SIZE, blend=1e-4),
    ),
    Case(
        "low-contrast",
        NUMBERS,
        "noise of 1e-4 about 0.7",
        "the variance, 1e-8, lies below the rounding of μ²: its computed sign is a toss",
        lambda: grains(23, mean=0.7, contrast=1e-4),
    ),
    Case(
        "offset-1e3",
        NUMBERS,
        "a textured pair with a range of 1, about 1000",
        "E[x²] - μ² subtracts two numbers near 1e6, which float32 rounds to 0.06",
        lambda: scaled(pair(24, *SIZE), offset=1e3),
    ),
    Case(
        "offset-1e5",
        NUMBERS,
        "a textured pair with a range of 1, about 100 000",
        "E[x²] - μ² subtracts two numbers near 1e10, which float32 rounds to 1000",
        lambda: scaled(pair(25, *SIZE), offset=1e5),
    ),
    Case(
        "step",
        NUMBERS,
        "a textured pair, half of it about 0, half about 1000",
        "subtracting the mean of the whole image is no cure: the offset is local",
        step,
    ),
    Case(
        "far-out",
        NUMBERS,
        "pixels of 1e15 with data_range=1",
        "an unscaled output early in training: products of squares overflow to inf/inf",
        lambda: scaled(pair(26, *SIZE), 1e15),
    ),
    Case(
        "signed",
        NUMBERS,
        "x against -x in [-1, 1], data_range=2",
        "two negative factors make a high score: that is the definition, and a reason to shift "
        "signed data",
        lambda: scaled((uniform(27, *SIZE), 1 - uniform(27, *SIZE)), 2, -1),
        data_range=2.0,
    ),
    Case(
        "half-8bit",
        PRECISION,
        "float16 images in [0, 255]",
        "squares of 8-bit values pass 65504, the end of float16: compute in float32",
        lambda: scaled(pair(41, *SIZE), 255),
        data_range=255.0,
        dtype=torch.float16,
    ),
    Case(
        "half-black",
        PRECISION,
        "black float16 images",
        "C1 C2 = 9e-8 is next to nothing in float16, and its reciprocal overflows in the backward "
        "pass",
        lambda: itself(flat(0.0)),
        dtype=torch.float16,
    ),
    Case(
        "half-pair",
        PRECISION,
        "a textured float16 pair in [0, 1]",
        "ten bits hold the image, and not its squares: compute in float32",
        lambda: scaled(pair(42, *SIZE), 0.2, 0.7),
        dtype=torch.float16,
    ),
    Case(
        "bfloat16-pair",
        PRECISION,
        "bfloat16 images, 0.5 with noise of 0.01",
        "seven bits hold the image, and not its squares: compute in float32",
        lambda: grains(43, mean=0.5, contrast=0.01),
        dtype=torch.bfloat16,
    ),
    Case(
        "autocast-bfloat16",
        PRECISION,
        "float32 images, 0.5 with noise of 0.01, under bfloat16 autocast",
        "autocast rounds the operands of convolutions to seven bits: switch it off inside",
        lambda: grains(44, mean=0.5, contrast=0.01),
        forward=conditions.bfloat16_autocast,
    ),
    Case(
        "tf32",
        PRECISION,
        "float32 images, 0.93 with noise of 1e-3, under emulated TF32",
        "TF32 rounds the operands of convolutions to ten bits, and the weights no longer sum to 1",
        lambda: grains(45, mean=0.93, contrast=1e-3),
        forward=conditions.emulated_tf32,
        backward=conditions.emulated_tf32,
    ),
    Case(
        "double-offset",
        PRECISION,
        "a textured float64 pair with a range of 1, about 1000",
        "float64 does not help where the window's taps were made in float32: they miss 1 by 6e-8",
        lambda: scaled(pair(46, *SIZE), offset=1e3),
        dtype=torch.float64,
    ),
    Case(
        "non-contiguous",
        LAYOUT,
        "transposed images, every second pixel of a larger one",
        "code that reads memory in order compares other pixels than those it was given",
        lambda: pair(47, 1, 1, 64, 48),
        layout=lambda image: image.transpose(-2, -1)[..., ::2, ::2],
    ),
    Case(
        "channels-last",
        LAYOUT,
        "a batch of color images in channels-last order",
        "the same pixels in another order of memory have the same score",
        lambda: pair(48, 2, 3, 24, 24),
        layout=lambda image: image.contiguous(memory_format=torch.channels_last),
    ),
    Case(
        "expanded",
        LAYOUT,
        "one gray image expanded to two of three channels",
        "expanded pixels share memory: gradients have to add up, and nothing may write in place",
        lambda: pair(49, *SIZE),
        layout=lambda image: image.expand(2, 3, -1, -1),
    ),
    Case(
        "nan-pixel",
        POISON,
        "one pixel is NaN",
        "NaN belongs in the windows that touch it, and in no other; a finite score hides it",
        lambda: poisoned_pixel(math.nan),
        poisoned=True,
    ),
    Case(
        "inf-pixel",
        POISON,
        "one pixel is inf",
        "inf - inf is NaN in the windows that touch it, and in no other",
        lambda: poisoned_pixel(math.inf),
        poisoned=True,
    ),
    Case(
        "nan-neighbor",
        POISON,
        "the other image of the batch is NaN",
        "a sound image keeps its map and its gradient whatever lies beside it",
        poisoned_neighbor,
        poisoned=True,
    ),
    Case(
        "integer-images",
        UNUSABLE,
        "uint8 images, data_range=255",
        "200² is 64 in eight bits and taps below 1 are 0: an error, or the right number, and no "
        "third",
        lambda: ((255 * uniform(62, *SIZE)).floor(), (255 * uniform(63, *SIZE)).floor()),
        data_range=255.0,
        dtype=torch.uint8,
        may_refuse=True,
    ),
    Case(
        "small-image",
        UNUSABLE,
        "an image of 8 x 8 pixels",
        "no published window lies inside: an error, or the border as it is documented, and never "
        "another window in silence",
        lambda: pair(64, 1, 1, 8, 8),
        may_refuse=True,
    ),
    Case(
        "smaller-image",
        UNUSABLE,
        "an image of 5 x 5 pixels",
        "a border of five pixels cannot even be mirrored; without a window SSIM is no longer SSIM",
        lambda: pair(65, 1, 1, 5, 5),
        may_refuse=True,
    ),
    Case(
        "two-shapes",
        UNUSABLE,
        "three channels against one",
        "broadcasting compares a gray image with each channel, which nobody asked for",
        two_shapes,
    ),
    Case(
        "sqrt-of-loss",
        ADVICE,
        "sqrt((1 - s) / 2) of two equal images",
        "a square root has no derivative at 0, and where s rounds above 1 no value: minimize 1 - s",
        lambda: itself(scene(71, *SIZE)),
        then=lambda s: ((1 - s) / 2).sqrt(),
    ),
    Case(
        "power-of-loss",
        ADVICE,
        "(1 - s) ** 0.8 of two equal images",
        "a fractional power has an infinite derivative at 0: minimize 1 - s",
        lambda: itself(scene(72, *SIZE)),
        then=lambda s: (1 - s) ** 0.8,
    ),
    Case(
        "power-of-score",
        ADVICE,
        "s ** 0.3 where s is negative",
        "a negative number has no real fractional power: raise (1 + s) / 2",
        lambda: (1 - uniform(73, *SIZE), uniform(73, *SIZE)),
        then=lambda s: s**0.3,
    ),
    Case(
        "log-of-score",
        ADVICE,
        "-log(s) where s is negative",
        "a negative number has no logarithm: take -log((1 + s) / 2)",
        lambda: (1 - uniform(74, *SIZE), uniform(74, *SIZE)),
        then=lambda s: -s.log(),
    ),
    Case(
        "log-of-loss",
        ADVICE,
        "log(1 - s) of two equal images",
        "a perfect result is worth -inf, and close to it rounding decides: minimize 1 - s",
        lambda: itself(scene(76, *SIZE)),
        then=lambda s: (1 - s).log(),
    ),
    Case(
        "where-after-sqrt",
        ADVICE,
        "where(s < 1, sqrt(1 - s), 0) of two equal images",
        "where chooses among values; the branch it drops still sends back 0 · inf = NaN: guard the "
        "argument of sqrt with a where of its own",
        lambda: itself(scene(75, *SIZE)),
        then=lambda s: torch.where(s < 1, (1 - s).sqrt(), torch.zeros_like(s)),
    ),
    Case(
        "where-after-nan",
        ADVICE,
        "where(isfinite(s), s, 0) with a NaN pixel",
        "the score is finite and the gradient is 0 · NaN: repair the pixel before the call",
        lambda: poisoned_pixel(math.nan),
        then=lambda s: torch.where(s.isfinite(), s, torch.zeros_like(s)),
    ),
)


def chosen(cases: Iterable[Case | str] | None) -> tuple[Case, ...]:
    """The cases themselves, by slug or as they are; None is the whole catalogue.

    Raises:
        ValueError: no case has that slug, or there is none to try.
    """
    if cases is None:
        return CASES
    if isinstance(cases, str | Case):
        cases = (cases,)
    by_slug = {case.slug: case for case in CASES}
    found = []
    for case in cases:
        if not isinstance(case, Case) and case not in by_slug:
            near = difflib.get_close_matches(str(case), by_slug, cutoff=0)[:3]
            raise ValueError(f"there is no case {case!r}; the nearest are {', '.join(near)}")
        found.append(case if isinstance(case, Case) else by_slug[case])
    if not found:
        raise ValueError("cases is empty, and nothing tried is nothing passed: name one, or None")
    return tuple(found)
