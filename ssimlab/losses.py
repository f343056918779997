"""Losses to train with: DSSIM, its mixtures with L1, and two drop-in replacements.

All are built on the centered difference form of :mod:`ssimlab.stable`. None clamps, none adds an
eps, and each is exactly zero, with a gradient of exactly zero, for identical images.

Two training scripts need one other import line each::

    from kornia.losses import SSIMLoss, ssim_loss      # was
    from ssimlab import SSIMLoss, ssim_loss            # is

    from utils.loss_utils import l1_loss, ssim                         # was, Gaussian splatting
    from ssimlab.losses import l1_loss, splatting_ssim as ssim         # is
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ._inputs import (
    check_choice,
    check_data_range,
    check_number,
    check_pair,
    check_positive_numbers,
    check_window,
    shown,
)
from .formula import PUBLISHED_K
from .kernels import BACKENDS
from .multiscale import PUBLISHED_SIGMAS, scale_space_dissimilarity
from .stable import dissimilarity, plane_means
from .window import Window

KORNIA_EPS = 1e-12
KORNIA_PADDINGS = {"same": "reflect", "valid": "valid"}
KORNIA_REDUCTIONS = ("mean", "sum", "none")


def ssim_loss(
    img1: Tensor,
    img2: Tensor,
    window_size: int,
    max_val: float = 1.0,
    eps: float = KORNIA_EPS,
    reduction: str = "mean",
    padding: str = "same",
    *,
    backend: str = "auto",
) -> Tensor:
    """Structural dissimilarity, DSSIM = (1 - SSIM) / 2, with kornia's signature and meaning.

    Equation :eq:`eq-dssim`. Equal to kornia wherever kornia's float32 is right, and right where
    it is not: for large offsets, where kornia's per-pixel clamp hides the garbage and stops its
    gradient, and for small ``max_val``, where kornia's eps outweighs the constants of SSIM.

    Args:
        img1, img2: images, (…, H, W), floating point, of one shape, dtype and device.
        window_size: side of the Gaussian window in pixels, odd; its sigma is 1.5, as in kornia.
        max_val: L, the span of possible pixel values, in the units of the images.
        eps: accepted so that calls written for kornia go on, and not used. The denominators here
            are at least (0.01 L)² and (0.03 L)² for any pair, so there is nothing for an eps to
            prevent; added to them it makes two black images score less than 1. A value above
            kornia's default, which would have changed kornia's result, is warned about.
        reduction: "mean" over everything, "sum", or "none" for the map.
        padding: "same" mirrors the images about their border pixels and keeps (H, W); "valid"
            keeps the windows that lie inside the image.
        backend: as :func:`ssimlab.dissimilarity`.

    Returns:
        A scalar, or the map, (…, H', W'): float64 for float64 images, float32 for all others.

    Raises:
        TypeError, ValueError: an argument cannot be used, or the image is too small for the
            window.

    Source: the signature is that of kornia 0.9, ``kornia.losses.ssim_loss``.
    """
    max_val, window = _check_kornia_arguments(window_size, max_val, eps, reduction, padding)
    check_pair(img1, img2, names=("img1", "img2"))
    values = dissimilarity(
        img1,
        img2,
        data_range=max_val,
        window=window,
        reduction="none" if reduction == "none" else "mean",
        backend=backend,
    )
    if reduction == "sum":
        rows, columns = window.output_size(img1.shape[-2:])
        values = values * (img1.shape[:-2].numel() * rows * columns)
    return values / 2


class SSIMLoss(nn.Module):
    """:func:`ssim_loss` as a module, with the signature of ``kornia.losses.SSIMLoss``.

    Arguments as :func:`ssim_loss`, checked when the module is made. It has no parameters and no
    buffers, and works on the device of its inputs.
    """

    def __init__(
        self,
        window_size: int,
        max_val: float = 1.0,
        eps: float = KORNIA_EPS,
        reduction: str = "mean",
        padding: str = "same",
        *,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        check_choice("backend", backend, BACKENDS)
        _check_kornia_arguments(window_size, max_val, eps, reduction, padding)
        self.window_size = window_size
        self.max_val = max_val
        self.reduction = reduction
        self.padding = padding
        self.backend = backend

    def forward(self, img1: Tensor, img2: Tensor) -> Tensor:
        """The loss of two images, (…, H, W)."""
        return ssim_loss(
            img1,
            img2,
            self.window_size,
            self.max_val,
            reduction=self.reduction,
            padding=self.padding,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        return (
            f"window_size={self.window_size}, max_val={self.max_val}, "
            f"reduction={self.reduction!r}, padding={self.padding!r}"
        )


def _check_kornia_arguments(
    window_size: int, max_val: float, eps: float, reduction: str, padding: object
) -> tuple[float, Window]:
    """Check the arguments of :func:`ssim_loss` and return the data range and the window."""
    advice = "it is the data range, 1.0 for images in [0, 1]"
    max_val = check_number("max_val", max_val, positive=True, advice=advice)
    eps = check_number("eps", eps, positive=False, advice="it is not used and can be left out")
    if eps > KORNIA_EPS:
        warnings.warn(
            f"eps={eps} is not used: the denominators of SSIM cannot vanish, and adding to them "
            "would make identical images score less than 1",
            stacklevel=3,
        )
    check_choice("reduction", reduction, KORNIA_REDUCTIONS)
    name = padding.lower() if isinstance(padding, str) else ""
    check_choice("padding", name or padding, tuple(KORNIA_PADDINGS))
    return max_val, Window(window_size, padding=KORNIA_PADDINGS[name])


class MixedLoss(nn.Module):
    """α · (1 - similarity) + (1 - α) · L1 / L, a scalar.

    Equation :eq:`eq-mixed-loss`. L1 is the mean absolute difference; divided by the data range L
    it has no unit, as SSIM has none, and the mixture is the same for [0, 1] and [0, 255].

    Args:
        dissimilarity: 1 - similarity, a function of (x, y, data_range=…) that returns a scalar:
            :func:`ssimlab.dissimilarity`, :func:`ssimlab.ms_dissimilarity` or one of your own.
        alpha: α, from 0 (L1 alone) to 1 (similarity alone).
        data_range: L, the span of possible pixel values, in the units of the images.
        l1_window: a window that averages ``|x - y|`` before the mean, or None. Where its padding is
            not "valid" or "reflect" the border weighs less.
        options: passed to ``dissimilarity`` by name, for instance ``window``.

    Raises:
        TypeError, ValueError: an argument cannot be used; on calling it, as ``dissimilarity``.
    """

    def __init__(
        self,
        dissimilarity: Callable[..., Tensor],
        alpha: float,
        *,
        data_range: float,
        l1_window: Window | None = None,
        **options: object,
    ) -> None:
        super().__init__()
        if not callable(dissimilarity):
            raise TypeError(
                "dissimilarity must be a function such as ssimlab.dissimilarity or "
                f"ssimlab.ms_dissimilarity, not {shown(dissimilarity)}"
            )
        self.alpha = check_number("alpha", alpha, positive=False, advice="it is a share, 0 to 1")
        if self.alpha > 1:
            raise ValueError(f"alpha must be at most 1, not {alpha!r}: it is a share, 0 to 1")
        if l1_window is not None:
            check_window(l1_window, "l1_window")
        if options.get("reduction", "mean") != "mean":
            raise ValueError("a mixture is a scalar: leave out reduction")
        self.dissimilarity = dissimilarity
        self.data_range = check_data_range(data_range)
        self.l1_window = l1_window
        self.options = options

    @classmethod
    def zhao2017(
        cls,
        *,
        data_range: float = 1.0,
        alpha: float = 0.84,
        sigmas: tuple[float, ...] = PUBLISHED_SIGMAS,
        size: int = 33,
        padding: str = "valid",
    ) -> MixedLoss:
        """MS-SSIM and Gaussian-weighted L1: 0.84 · (1 - MS-SSIM) + 0.16 · G_M · L1.

        MS-SSIM is that of :func:`ssimlab.multiscale.scale_space_dissimilarity`, whose arguments
        ``sigmas``, ``size`` and ``padding`` are; G_M is its coarsest window. Published for a patch
        at a time, evaluated at its center; this is the mean over all patches of the image.

        The paper gives α = 0.84. The code that the authors released has 0.025 as its default.

        Source: Zhao et al. (2017), section III.D; NVlabs/PL4NN, loss.py, ``MSSSIML1``.
        """
        sigmas = check_positive_numbers("sigmas", sigmas)
        return cls(
            scale_space_dissimilarity,
            alpha,
            data_range=data_range,
            l1_window=Window(size, sigmas[-1], padding),
            sigmas=sigmas,
            size=size,
            padding=padding,
        )

    @classmethod
    def kerbl2023(cls, *, data_range: float = 1.0, alpha: float = 0.2) -> MixedLoss:
        """L1 and SSIM as in 3D Gaussian splatting: 0.8 · L1 + 0.2 · (1 - SSIM).

        The window is 11 x 11 with sigma 1.5 on images surrounded by zeros. The paper calls the
        second term D-SSIM; it is 1 - SSIM, without the half of DSSIM.

        Source: Kerbl et al. (2023), equation 7; graphdeco-inria/gaussian-splatting, train.py.
        """
        return cls(dissimilarity, alpha, data_range=data_range, window=Window(padding="zero"))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of two images, (…, H, W)."""
        unlike = self.dissimilarity(x, y, data_range=self.data_range, **self.options)
        distance = _absolute_difference(x, y)
        if self.l1_window is not None:
            distance = self.l1_window(distance)
        # Scaled before the mean, and mixed by add(): forward mode makes the derivative of a scalar
        # tensor times a Python number float64.
        distance = (distance * ((1 - self.alpha) / self.data_range)).mean()
        return torch.add(distance, unlike, alpha=self.alpha)

    def extra_repr(self) -> str:
        name = getattr(self.dissimilarity, "__name__", repr(self.dissimilarity))
        return f"{name}, alpha={self.alpha}, data_range={self.data_range}"


def splatting_ssim(
    img1: Tensor,
    img2: Tensor,
    window_size: int = 11,
    size_average: bool = True,
    max_val: float = 1.0,
    *,
    backend: str = "auto",
) -> Tensor:
    """SSIM with the signature and the zero padding of Gaussian-splatting code.

    A replacement for ``ssim`` of its ``utils.loss_utils``; by the stable form, so that a bright
    or nearly finished rendering keeps its gradient.

    Args:
        img1, img2: images, (C, H, W) or (N, C, H, W), of one shape, dtype and device.
        window_size: side of the Gaussian window of sigma 1.5 in pixels, odd.
        size_average: True for one scalar, False for one value for each image.
        max_val: L, the span of possible pixel values; the original knows 1 only.
        backend: as :func:`ssimlab.dissimilarity`.

    Returns:
        A scalar, or values of shape (N,): float64 for float64 images, float32 for all others.

    Raises:
        TypeError, ValueError: an argument cannot be used.
    """
    check_pair(img1, img2, names=("img1", "img2"))
    if img1.ndim not in (3, 4):
        raise ValueError(
            f"img1 and img2 must have shape (C, H, W) or (N, C, H, W), not {tuple(img1.shape)}"
        )
    max_val = check_number("max_val", max_val, positive=True, advice="1.0 for images in [0, 1]")
    window = Window(window_size, padding="zero")
    check_choice("backend", backend, BACKENDS)
    window.check_fits(img1.shape[-2:])
    values = 1 - plane_means(img1, img2, max_val, window, PUBLISHED_K, backend)
    return values.mean() if size_average else values.mean(-1)


def l1_loss(network_output: Tensor, gt: Tensor) -> Tensor:
    """Mean absolute difference, with the signature of Gaussian-splatting code.

    Args:
        network_output, gt: images, (…, H, W), of one shape, dtype and device.

    Returns:
        A scalar in the units of the images: float64 for float64, float32 for all others.

    Raises:
        TypeError, ValueError: an argument cannot be used.
    """
    check_pair(network_output, gt, names=("network_output", "gt"))
    return _absolute_difference(network_output, gt).mean()


def _absolute_difference(x: Tensor, y: Tensor) -> Tensor:
    if x.dtype != torch.float64:
        x, y = x.float(), y.float()
    return (x - y).abs()
