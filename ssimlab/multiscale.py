"""MS-SSIM: contrast and structure at five scales, luminance at the coarsest.

Each scale contributes the mean of its cs map, the last the mean of its SSIM map, and the score is
the product of these means, each raised to its weight. A mean can be negative, and a negative
number has no real 0.0448th power: :data:`NORMALIZATIONS` holds what code in the wild does about
it, and :func:`continued`, the default here.

Libraries also differ in three conventions, which photographs show in the third decimal place:
what becomes of an odd row or column when an image is halved, whether the channels of an image
share one mean or have one each, and how the border is treated at the coarsest scale. A
:class:`Scales` holds one choice of all of them; :data:`WANG2003`, :data:`PYTORCH_MSSSIM` and
:data:`TORCHMETRICS` are those of the published codes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from . import kernels
from ._inputs import (
    apply_reduction,
    check_arguments,
    check_choice,
    check_data_range,
    check_k,
    check_kind,
    check_pair,
    check_positive_numbers,
    check_reduction,
    check_window,
    needs_data_range,
)
from .formula import PUBLISHED_K, Constants, constants, moments, quotients, similarity
from .kernels import halving
from .stable import difference_stack, factors, prepare
from .window import Window

PUBLISHED_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
PUBLISHED_SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0)

ODD = ("replicate", "drop", "zero")


def as_published(scores: Tensor, weights: Sequence[float]) -> Tensor:
    """The product of the powers, as published.

    NaN, in value and gradient, where a scale's score is negative; an infinite gradient where it
    is zero.

    Args:
        scores: the means of the scales, (scales, …), the finest first.
        weights: as many exponents.

    Returns:
        The combined score, (…).
    """
    return (scores ** _column(weights, scores)).prod(0)


def through_relu(scores: Tensor, weights: Sequence[float]) -> Tensor:
    """Negative scores become zero through relu, as in pytorch-msssim and torchmetrics.

    One negative score makes the product zero, and every gradient exactly zero: training stops
    there without a sign. Arguments and returns as :func:`as_published`.
    """
    return as_published(torch.relu(scores), weights)


def through_clamp(scores: Tensor, weights: Sequence[float]) -> Tensor:
    """Negative scores become zero through clamp.

    As :func:`through_relu`, except that at a score of exactly zero the gradient is infinite, or NaN
    where two scores are: clamp lets the gradient pass at its bound. Arguments and returns as
    :func:`as_published`.
    """
    return as_published(scores.clamp(min=0), weights)


def shifted(scores: Tensor, weights: Sequence[float]) -> Tensor:
    """Each score v becomes (1 + v) / 2 before the power.

    The gradient is alive for scores above -1. The value is another one everywhere: with the
    published weights a black image against a white one scores 0.91 instead of 0.29. Arguments
    and returns as :func:`as_published`.
    """
    return as_published((1 + scores) / 2, weights)


def continued(scores: Tensor, weights: Sequence[float]) -> Tensor:
    """The published product where it is defined, and a falling slope where it is not.

    With v⁺ = max(v, 0) and v⁻ = min(v, 0) the score is Π (v⁺)^w + Σ w v⁻: the published product
    whenever no v is negative, and otherwise, where the product is zero, a weighted sum of the
    negative scores alone. It is continuous, it never falls when a score rises, and it ranges
    from minus the sum of the weights to 1.

    A negative score, and one of exactly zero, has slope w, so some score always has a slope that
    is finite and positive. Just above zero the slope is that of the published definition,
    w v^(w - 1), which has no bound: a definition kept to the letter keeps this too. At a mean cs
    of 1e-6 the steepest of the published five is 2.4e4.
    For whole-number weights, whose powers are defined for negative scores, take
    :func:`as_published`.

    Arguments and returns as :func:`as_published`.
    """
    w = _column(weights, scores)
    # The power of a stand-in where v <= 0: where() alone would multiply an infinite slope by 0.
    positive = scores > 0
    powers = torch.where(positive, torch.where(positive, scores, 1.0) ** w, 0.0)
    return powers.prod(0) + (w * scores.clamp(max=0)).sum(0)


#: What to do with negative scores, by name: functions of the scores and the weights.
NORMALIZATIONS: dict[str, Callable[[Tensor, Sequence[float]], Tensor]] = {
    "continued": continued,
    "none": as_published,
    "relu": through_relu,
    "clamp": through_clamp,
    "simple": shifted,
}


@dataclass(frozen=True)
class Scales:
    """What MS-SSIM does with its scales.

    Args:
        weights: the exponents, finest scale first; their number is the number of scales. The
            published five sum to 1.0001; a shorter tuple is used as it is.
        normalize: what to do where a scale's mean is negative, by name: "continued", "none",
            "relu", "clamp" or "simple"; see :data:`NORMALIZATIONS`.
        odd: how an odd number of rows or columns is halved: "replicate" repeats the last one
            (Wang's own code, TensorFlow), "drop" ignores it (torchmetrics), "zero" puts a black
            one before the first (pytorch-msssim). Sizes that are even at every scale do not care.
        joint_channels: False gives every plane of H x W pixels a score of its own; True takes
            each scale's mean over dimension -3 too, before the power.
        last_window: the window of the coarsest scale, where it differs from the others.

    Raises:
        TypeError, ValueError: an argument is not as described above.

    Source: Wang, Simoncelli and Bovik (2003), for the weights.
    """

    weights: tuple[float, ...] = PUBLISHED_WEIGHTS
    normalize: str = "continued"
    odd: str = "replicate"
    joint_channels: bool = False
    last_window: Window | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", check_positive_numbers("weights", self.weights))
        check_choice("normalize", self.normalize, tuple(NORMALIZATIONS))
        check_choice("odd", self.odd, ODD)
        advice = "True takes one mean over all channels of an image"
        check_kind("joint_channels", self.joint_channels, bool, advice)
        if self.last_window is not None:
            check_window(self.last_window, "last_window")

    def windows(self, window: Window) -> list[Window]:
        """The window of each scale, finest first, where ``window`` is that of most."""
        return [window] * (len(self.weights) - 1) + [self.last_window or window]

    def check_fits(self, shape: Sequence[int], window: Window) -> None:
        """Raise ValueError if images of ``shape``, (…, H, W), are too small, or lack channels."""
        if self.joint_channels and len(shape) < 3:
            raise ValueError(
                f"joint_channels=True needs images of shape (…, C, H, W), not {tuple(shape)}"
            )
        windows = self.windows(window)
        least = max(
            _least_side(each.least_size, halvings, self.odd)
            for halvings, each in enumerate(windows)
        )
        if min(shape[-2:]) < least:
            raise ValueError(
                f"the image has {shape[-2]} x {shape[-1]} pixels, but {len(windows)} scales with "
                f"a window of size {windows[-1].size} need at least {least} x {least}: pass fewer "
                "weights, a smaller window or a larger image"
            )


#: Wang, Simoncelli and Bovik's own code: NaN where a scale's mean is negative.
WANG2003 = Scales(normalize="none")
#: As ``pytorch_msssim.ms_ssim``.
PYTORCH_MSSSIM = Scales(odd="zero", normalize="relu")
#: As torchmetrics' ``multiscale_structural_similarity_index_measure``.
TORCHMETRICS = Scales(
    odd="drop", normalize="relu", joint_channels=True, last_window=Window(padding="reflect")
)


@needs_data_range
def ms_dissimilarity(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    scales: Scales = Scales(),
    reduction: str = "mean",
    backend: str = "auto",
) -> Tensor:
    """1 - MS-SSIM, accurate in float32 where other forms cancel: the loss.

    Equation :eq:`eq-ms-ssim`. Exactly zero, with a gradient of exactly zero, for identical
    images. With "continued" scales, the default, nothing is subtracted from 1.

    Args:
        x, y: images, (…, H, W), floating point, of one shape, dtype and device.
        data_range: L, the span of possible pixel values, in the units of x.
        window: the averaging window of every scale.
        k: (k1, k2), dimensionless.
        scales: the weights and the conventions.
        reduction: "mean" over all scores, or "none" for one score for each plane (or, with
            ``joint_channels``, for each image).
        backend: as :func:`ssimlab.dissimilarity`.

    Returns:
        A scalar, or scores of shape (…): float64 for float64 images, float32 for all others.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be used, or the image is too small
            for so many scales: with the published window and weights, below 161 x 161 pixels.

    Source: Wang, Simoncelli and Bovik (2003).
    """
    data_range, k = _check_arguments(x, y, data_range, window, k, scales, reduction)
    check_choice("backend", backend, kernels.BACKENDS)
    x, y, settings = prepare(x, y, data_range, window, k)
    backend = kernels.choose(backend, x, y, settings)
    if backend == "traced":
        means = _traced_means(x, y, settings, window, scales)
    else:
        means = _kernel_means(x, y, settings, window, scales, backend)
    unlike, like = torch.stack(means, dim=1)
    if scales.normalize == "continued":
        return apply_reduction(_continued_complement(unlike, like, scales.weights), reduction)
    score = NORMALIZATIONS[scales.normalize](like, scales.weights)
    return apply_reduction(1 - score, reduction)


@needs_data_range
def ms_ssim(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    scales: Scales = Scales(),
    reduction: str = "mean",
    backend: str = "auto",
) -> Tensor:
    """Multi-scale structural similarity, 1 - :func:`ms_dissimilarity`.

    Equation :eq:`eq-ms-ssim`. Arguments, returns and errors as :func:`ms_dissimilarity`. As a
    loss use that function: it keeps its relative accuracy where the images are nearly equal.
    """
    unlike = ms_dissimilarity(
        x,
        y,
        data_range=data_range,
        window=window,
        k=k,
        scales=scales,
        reduction=reduction,
        backend=backend,
    )
    return 1 - unlike


@needs_data_range
def reference_ms_ssim(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    window: Window = Window(),
    k: tuple[float, float] = PUBLISHED_K,
    scales: Scales = Scales(normalize="none"),
    reduction: str = "mean",
) -> Tensor:
    """MS-SSIM by the definition, in float64: the oracle.

    Equation :eq:`eq-ms-ssim`. Arguments and errors as :func:`ms_dissimilarity`, except that the
    default is the published score: NaN where a scale's mean is negative. Returns float64.

    Source: Wang, Simoncelli and Bovik (2003), equation 7; the halving follows their msssim.m.
    """
    data_range, k = _check_arguments(x, y, data_range, window, k, scales, reduction)
    x, y, c = x.double(), y.double(), constants(data_range, k)
    *finer, coarsest = scales.windows(window)
    means: list[Tensor] = []
    for each in finer:
        _, cs = quotients(moments(x, y, each), c)
        means.append(_mean(cs, scales.joint_channels))
        x, y = _block_means(x, scales.odd), _block_means(y, scales.odd)
    means.append(_mean(similarity(moments(x, y, coarsest), c), scales.joint_channels))
    score = NORMALIZATIONS[scales.normalize](torch.stack(means), scales.weights)
    return apply_reduction(score, reduction)


@needs_data_range
def scale_space_dissimilarity(
    x: Tensor,
    y: Tensor,
    *,
    data_range: float,
    sigmas: tuple[float, ...] = PUBLISHED_SIGMAS,
    size: int = 33,
    padding: str = "valid",
    k: tuple[float, float] = PUBLISHED_K,
    reduction: str = "mean",
) -> Tensor:
    """1 - l_M · Π cs_j with windows of growing sigma at full resolution: no halving, no powers.

    The multi-scale term of :eq:`eq-mixed-loss`. The product is taken pixel by pixel, and with
    whole exponents: negative factors are in order, and two of them make a positive score.

    Args:
        x, y, data_range, k, reduction: as :func:`ssimlab.dissimilarity`.
        sigmas: standard deviation of each scale's Gaussian in pixels, coarsest last.
        size: side of all the windows in pixels. The authors' code makes them as wide as the
            patches that it trains on; 33 is two of the coarsest sigmas on either side.
        padding: as for :class:`ssimlab.Window`. With "valid" the mean is the mean of the
            published loss over all patches of ``size`` x ``size`` pixels in the image.

    Returns:
        A scalar, or the map, (…, H', W'): float64 for float64 images, float32 for all others.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be used.

    Source: Zhao et al. (2017), the MS-SSIM of their section III.C, and NVlabs/PL4NN, loss.py.
    """
    windows = [Window(size, sigma, padding) for sigma in check_positive_numbers("sigmas", sigmas)]
    data_range, k = check_arguments(x, y, data_range, windows[0], k, reduction)
    x, y, settings = prepare(x, y, data_range, windows[0], k)
    stack, c = difference_stack(x, y, settings.scale), Constants(settings.c1, settings.c2)
    unlike, like = stack.new_zeros(()), stack.new_ones(())
    *finer, coarsest = (factors((stack,), window, c) for window in windows)
    for f in (*finer, coarsest):
        like = like * f.contrast_structure
        unlike = torch.where(f.alike, unlike + f.b - unlike * f.b, 1 - like)
    f = coarsest
    unlike = torch.where(f.alike, unlike + f.a - unlike * f.a, 1 - like * f.luminance)
    return apply_reduction(unlike, reduction)


def _kernel_means(
    x: Tensor,
    y: Tensor,
    settings: kernels.Settings,
    window: Window,
    scales: Scales,
    backend: str,
) -> list[Tensor]:
    """What each scale gives, (2, …): the means of 1 - s and of s.

    From the second scale on in float64: a mean of four pixels, rounded to float32, would lose the
    contrast of a bright image. The scales that are left have a third of the pixels.
    """
    dtype = x.dtype
    means: list[Tensor] = []
    windows = scales.windows(window)
    for scale, each in enumerate(windows):
        last = scale == len(windows) - 1
        of_scale = settings._replace(taps=each.taps, padding=each.padding, luminance=last)
        halved = x, y
        if not last:
            (x, of_x), (y, of_y) = (_halve_exactly(image, scales.odd) for image in halved)
            halved = of_x, of_y
        pair = torch.stack(kernels.means(x, y, of_scale, backend)).to(dtype)
        means.append(pair.mean(-1) if scales.joint_channels else pair)
        x, y = halved
    return means


def _traced_means(
    x: Tensor, y: Tensor, settings: kernels.Settings, window: Window, scales: Scales
) -> list[Tensor]:
    """The same with a derivative for each operation, as torch.func needs it."""
    c = Constants(settings.c1, settings.c2)
    *finer, coarsest = scales.windows(window)
    parts: tuple[Tensor, ...] = (difference_stack(x, y, settings.scale),)
    means: list[Tensor] = []
    for each in finer:
        f = factors(parts, each, c)
        means.append(_mean_pair(f.alike, f.b, f.contrast_structure, scales.joint_channels))
        parts = halve(parts, scales.odd)
    f = factors(parts, coarsest, c)
    unlike, like = f.a + f.b - f.a * f.b, f.luminance * f.contrast_structure
    means.append(_mean_pair(f.alike, unlike, like, scales.joint_channels))
    return means


class _Halve(torch.autograd.Function):
    """An image as it is, and the means of its 2 x 2 blocks in float64; backward keeps nothing.

    The image comes out again so that its gradient comes in: what the blocks have to say is added
    to it where it is. On the CPU not by torch, whose threads go on waiting for some milliseconds
    after an operation and would share the cores with the kernel's.
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        if halving.fits(x):
            return x.view_as(x), halving.block_means(x)
        blocks = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
        total = next(blocks).double()
        for block in blocks:
            total = total + block
        return x.view_as(x), total / 4

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.dtype = inputs[0].dtype
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> Tensor | None:
        by_image, by_means = grad_outputs
        if by_means is None:
            return by_image
        # What is to be differentiated again has to be torch's own. Otherwise the image's gradient
        # comes from the kernel that alone has taken the image, and may be added to where it is.
        if halving.fits(by_means) and not torch.is_grad_enabled():
            return halving.spread(by_means, by_image, ctx.dtype)
        quarter = (by_means / 4).to(ctx.dtype)
        *planes, height, width = quarter.shape
        spread = quarter[..., :, None, :, None].expand(*planes, height, 2, width, 2)
        spread = spread.reshape(*planes, 2 * height, 2 * width)
        return spread if by_image is None else by_image + spread


def _halve_exactly(x: Tensor, odd: str) -> tuple[Tensor, Tensor]:
    """An image, to be used from here on in the place of ``x``, and the means of its blocks."""
    even = _make_even(x, odd)
    image, means = cast("tuple[Tensor, Tensor]", _Halve.apply(even))  # pyright: ignore[reportUnknownMemberType]
    return image if even is x else x, means


def _continued_complement(unlike: Tensor, like: Tensor, weights: Sequence[float]) -> Tensor:
    """1 - :func:`continued` of the scores, by log1p and expm1: nothing cancels.

    The scores come as ``like`` and as 1 - ``unlike``; whichever is the smaller is the accurate one.
    """
    w = _column(weights, like)
    near_one = unlike < 0.5
    # Written as "not above" so that NaN takes the branch that hands it on.
    lost = ~(like > 0)
    any_lost = lost.any(0)
    # Stand-ins in the branches not taken: where() alone would multiply infinity by 0.
    logs = torch.where(
        near_one,
        torch.log1p(-torch.where(near_one, unlike, 0.0)),
        torch.log(torch.where(near_one | lost, 1.0, like)),
    )
    log_score = (w * torch.where(any_lost, 0.0, logs)).sum(0)
    below = (w * torch.where(lost, like, 0.0)).sum(0)
    return torch.where(any_lost, 1 - below, -torch.expm1(log_score))


def halve(parts: Sequence[Tensor], odd: str) -> tuple[Tensor, Tensor]:
    """Means of 2 x 2 blocks of a signal given as a sum of ``parts``, as a sum of two parts.

    The first part is one pixel of each block, exactly; the second is the mean difference from it.
    A rounded mean would lose the contrast of a bright image to the rounding of its brightness.

    Args:
        parts: tensors (…, H, W).
        odd: what to do with an odd row or column; see :class:`Scales`.

    Returns:
        Two tensors (…, H / 2, W / 2).
    """
    parts = [_make_even(part, odd) for part in parts]
    blocks = [[part[..., i::2, j::2] for part in parts] for i in (0, 1) for j in (0, 1)]
    (first, *rest), *others = blocks
    difference, *differences = (
        pixel - origin
        for block in others
        for pixel, origin in zip(block, (first, *rest), strict=True)
    )
    return first, sum(rest, sum(differences, difference) / 4)


def _block_means(x: Tensor, odd: str) -> Tensor:
    x = _make_even(x, odd)
    first, *others = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    return sum(others, first) / 4


def _make_even(x: Tensor, odd: str) -> Tensor:
    rows, columns = (n % 2 for n in x.shape[-2:])
    if not rows and not columns:
        return x
    if odd == "drop":
        return x[..., : x.shape[-2] - rows, : x.shape[-1] - columns]
    if odd == "zero":
        return F.pad(x, (columns, 0, rows, 0))
    if rows:
        x = torch.cat((x, x[..., -1:, :]), -2)
    return torch.cat((x, x[..., -1:]), -1) if columns else x


def _mean(maps: Tensor, joint_channels: bool) -> Tensor:
    return maps.mean((-3, -2, -1) if joint_channels else (-2, -1))


def _mean_pair(alike: Tensor, unlike: Tensor, like: Tensor, joint_channels: bool) -> Tensor:
    """Means of 1 - s and of s over the map, each pixel by whichever of the two is accurate."""
    unlike, like = torch.where(alike, unlike, 1 - like), torch.where(alike, 1 - unlike, like)
    return torch.stack([_mean(maps, joint_channels) for maps in (unlike, like)])


def _column(weights: Sequence[float], like: Tensor) -> Tensor:
    """The weights as a tensor that broadcasts over scores of shape (scales, …)."""
    values = torch.tensor(tuple(weights), dtype=like.dtype, device=like.device)
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _check_arguments(
    x: Tensor,
    y: Tensor,
    data_range: float,
    window: Window,
    k: tuple[float, float],
    scales: Scales,
    reduction: str,
) -> tuple[float, tuple[float, float]]:
    check_kind("scales", scales, Scales, "leave it out for the published five")
    check_pair(x, y)
    check_reduction(reduction)
    checked = check_data_range(data_range), check_k(k)
    scales.check_fits(x.shape, window)
    return checked


def _least_side(side: int, halvings: int, odd: str) -> int:
    """The shortest side that is no shorter than ``side`` after so many halvings."""
    factor = 2**halvings
    return side * factor if odd == "drop" else (side - 1) * factor + 1
