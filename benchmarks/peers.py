"""The candidates: what each is called, which distribution brings it, and how it is asked for SSIM.

Every candidate of ``SSIM`` is asked for the mean over the windows that lie within the image, of
11 x 11 pixels with Gaussian weights, sigma 1.5, and a data range of 1. What one of them does
otherwise stands in its ``window``. Libraries are imported when a candidate is loaded.
"""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

#: A score from two images: tensors (N, C, H, W), or arrays of bytes (H, W, C) for 8-bit kinds.
Score = Callable[[Any, Any], Any]

PUBLISHED = "Gaussian 11 × 11, σ 1.5, valid"
REFLECTED = "Gaussian 11 × 11, σ 1.5, over a reflected border too"


@dataclass(frozen=True)
class Peer:
    """One candidate.

    Attributes:
        name: as tables show it.
        distribution: whose version counts.
        load: imports it and returns its function.
        window: what it computes, where it is not the published window over valid pixels.
        gradient: whether the score can be differentiated.
        padding: what it does at the border, as :class:`ssimlab.Window` has it.
        prepare: makes of an image what the function takes; its time does not count.
    """

    name: str
    distribution: str
    load: Callable[[], Score]
    window: str = PUBLISHED
    gradient: bool = True
    padding: str = "valid"
    prepare: Callable[[Any], Any] = lambda image: image

    @property
    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


def _ssimlab(backend: str) -> Callable[[], Score]:
    def load() -> Score:
        from ssimlab import stable

        return lambda x, y: stable.ssim(x, y, data_range=1.0, backend=backend)

    return load


def _one_pass() -> Score:
    from ssimlab import naive

    return lambda x, y: naive.one_pass(x, y, data_range=1.0)


def _pytorch_msssim() -> Score:
    from pytorch_msssim import ssim

    return lambda x, y: ssim(x, y, data_range=1.0)


def _kornia() -> Score:
    from kornia.metrics import ssim

    return lambda x, y: ssim(x, y, 11, max_val=1.0, padding="valid").mean()


def _torchmetrics() -> Score:
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    return lambda x, y: ssim(x, y, data_range=1.0)


def _frame_analytics() -> Score:
    import frame_analytics  # pyright: ignore

    return lambda x, y: frame_analytics.ssim(x, y, data_range=1.0)


def _frame_analytics_twice() -> Score:
    """As its own error message says how to get second derivatives."""
    import frame_analytics  # pyright: ignore

    frame_analytics.set_compile_enabled(False)
    return lambda x, y: frame_analytics.ssim(x, y, data_range=1.0, backend_hint="torch")


def _fused_ssim() -> Score:
    from fused_ssim import fused_ssim  # pyright: ignore

    return lambda x, y: fused_ssim(x, y, padding="valid")


def _piq() -> Score:
    from piq import ssim  # pyright: ignore

    return lambda x, y: ssim(x, y, data_range=1.0, downsample=False)


def _skimage() -> Score:
    from skimage.metrics import structural_similarity

    options: dict[str, Any] = {
        "data_range": 1.0,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }

    def mean_of_planes(x: Any, y: Any) -> float:
        planes = zip(x.flatten(0, -3).numpy(), y.flatten(0, -3).numpy(), strict=True)
        return statistics.fmean(float(structural_similarity(*p, **options)) for p in planes)  # pyright: ignore[reportArgumentType]

    return mean_of_planes


ON_ANY_DEVICE = (
    Peer("pytorch-msssim", "pytorch-msssim", _pytorch_msssim),
    Peer("kornia", "kornia", _kornia),
    Peer("torchmetrics", "torchmetrics", _torchmetrics, REFLECTED, padding="reflect"),
    Peer("frame-analytics", "frame-analytics", _frame_analytics),
    Peer("piq", "piq", _piq),
)

#: SSIM of float images. The first is what the others are compared with.
SSIM = (
    Peer("ssimlab", "ssimlab", _ssimlab("cpu")),
    Peer("ssimlab, eager", "ssimlab", _ssimlab("eager")),
    Peer("one-pass form", "ssimlab", _one_pass),
    *ON_ANY_DEVICE,
    Peer("scikit-image", "scikit-image", _skimage, gradient=False),
)


def _tuned(
    load: Callable[[], Score], *, last: bool = False, compiled: bool = False
) -> Callable[[], Score]:
    """A candidate as somebody calls it who has looked for its speed.

    Args:
        load: makes its function.
        last: of images laid out as NHWC, of which torch's convolutions make no copy.
        compiled: by torch.compile.
    """

    def load_tuned() -> Score:
        import torch

        score = load()
        if compiled:
            score = torch.compile(score)

        def of_last(x: Any, y: Any) -> Any:
            x, y = (image.contiguous(memory_format=torch.channels_last) for image in (x, y))
            return score(x, y)

        return of_last if last else score

    return load_tuned


#: What makes others faster without another result. What is compiled has been before it is timed.
TUNED = (
    Peer("ssimlab", "ssimlab", _ssimlab("cpu")),
    Peer("pytorch-msssim, channels last", "pytorch-msssim", _tuned(_pytorch_msssim, last=True)),
    Peer("pytorch-msssim, compiled", "pytorch-msssim", _tuned(_pytorch_msssim, compiled=True)),
    Peer(
        "pytorch-msssim, both",
        "pytorch-msssim",
        _tuned(_pytorch_msssim, last=True, compiled=True),
    ),
    Peer("kornia, channels last", "kornia", _tuned(_kornia, last=True)),
    Peer("kornia, compiled", "kornia", _tuned(_kornia, compiled=True)),
    Peer("kornia, both", "kornia", _tuned(_kornia, last=True, compiled=True)),
    Peer(
        "torchmetrics, channels last", "torchmetrics", _tuned(_torchmetrics, last=True), REFLECTED
    ),
    Peer("torchmetrics, compiled", "torchmetrics", _tuned(_torchmetrics, compiled=True), REFLECTED),
    # It compiles what it takes by itself.
    Peer("frame-analytics, channels last", "frame-analytics", _tuned(_frame_analytics, last=True)),
)

#: SSIM that can be differentiated twice.
SECOND = tuple(
    replace(peer, load=_frame_analytics_twice) if peer.name == "frame-analytics" else peer
    for peer in SSIM
    if peer.gradient
)


#: SSIM of float images on a GPU.
GPU = (
    Peer("ssimlab", "ssimlab", _ssimlab("triton")),
    Peer("ssimlab, eager", "ssimlab", _ssimlab("eager")),
    Peer("one-pass form", "ssimlab", _one_pass),
    Peer("fused-ssim", "fused-ssim", _fused_ssim),
    *ON_ANY_DEVICE,
)
#: The same, compiled by torch.compile.
GPU_COMPILED = (
    GPU[0],
    Peer("ssimlab, eager, compiled", "ssimlab", _tuned(_ssimlab("eager"), compiled=True)),
    Peer("one-pass form, compiled", "ssimlab", _tuned(_one_pass, compiled=True)),
    Peer("pytorch-msssim, compiled", "pytorch-msssim", _tuned(_pytorch_msssim, compiled=True)),
)


def _ms_ssimlab() -> Score:
    from ssimlab import multiscale

    return lambda x, y: multiscale.ms_ssim(x, y, data_range=1.0, backend="cpu")


def _ms_pytorch_msssim() -> Score:
    from pytorch_msssim import MS_SSIM

    return MS_SSIM(data_range=1.0, channel=3)


def _ms_torchmetrics() -> Score:
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )

    return lambda x, y: ms_ssim(x, y, data_range=1.0)


def _ms_frame_analytics() -> Score:
    import frame_analytics  # pyright: ignore

    return lambda x, y: frame_analytics.ms_ssim(x, y, data_range=1.0)


#: MS-SSIM of float images, in the published five scales. What kornia calls so is another measure:
#: five Gaussians at full resolution, with L1.
FIVE_SCALES = "five scales, published weights"
MS_SSIM = (
    Peer("ssimlab", "ssimlab", _ms_ssimlab, FIVE_SCALES),
    Peer("pytorch-msssim", "pytorch-msssim", _ms_pytorch_msssim, FIVE_SCALES),
    Peer("torchmetrics", "torchmetrics", _ms_torchmetrics, FIVE_SCALES),
    Peer("frame-analytics", "frame-analytics", _ms_frame_analytics, FIVE_SCALES),
)


def _of_bytes(**window: Any) -> Callable[[], Score]:
    """ssimlab for arrays of bytes; that they become floats first is part of the time."""

    def load() -> Score:
        import torch

        from ssimlab import stable
        from ssimlab.window import Window

        def score(x: Any, y: Any) -> Any:
            x, y = (torch.from_numpy(image).movedim(-1, 0).float() for image in (x, y))
            return stable.ssim(x, y, data_range=255.0, window=Window(**window), backend="cpu")

        return score

    return load


def _fast_ssim() -> Score:
    from fast_ssim import ssim  # pyright: ignore

    return lambda x, y: ssim(x, y, data_range=255)


def _of_byte_tensors() -> Score:
    from ssimlab import stable

    return lambda x, y: stable.ssim(x.float(), y.float(), data_range=255.0, backend="cpu")


def _frame_analytics_of_bytes() -> Score:
    import frame_analytics  # pyright: ignore

    return lambda x, y: frame_analytics.ssim(x, y, data_range=255.0)


#: SSIM of tensors of bytes, in the published window.
BYTES = (
    Peer("ssimlab", "ssimlab", _of_byte_tensors, gradient=False),
    Peer("frame-analytics", "frame-analytics", _frame_analytics_of_bytes, gradient=False),
)

#: SSIM of bytes in a uniform window.
BOX_7 = "uniform 7 × 7"
BOX = (
    Peer("ssimlab", "ssimlab", _of_bytes(size=7, sigma=None), BOX_7, gradient=False),
    Peer("fast-ssim", "fast-ssim", _fast_ssim, BOX_7 + ", variances over n - 1", gradient=False),
)


def _rgba(image: Any) -> tuple[bytes, int, int]:
    """The bytes, width and height of an image that blazediff-ssim takes."""
    import numpy as np

    height, width, _ = image.shape
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., :3] = image
    return pixels.tobytes(), width, height


def _blazediff() -> Score:
    from blazediff_ssim import compare_rgba  # pyright: ignore

    return lambda x, y: compare_rgba(x[0], *y, metric="ssim").score


#: SSIM of bytes as MATLAB's script has it.
LUMA = "Gaussian 11 × 11, valid, of the luma, shrunk to about 256 rows first"
MATLAB = (
    Peer("ssimlab", "ssimlab", _of_bytes(), PUBLISHED + ", every channel", gradient=False),
    Peer("blazediff-ssim", "blazediff-ssim", _blazediff, LUMA, gradient=False, prepare=_rgba),
)

#: By the names that tasks have; in "second" the gradient's own gradient is asked for too.
KINDS = {
    "ssim": SSIM,
    "tuned": TUNED,
    "second": SECOND,
    "ms_ssim": MS_SSIM,
    "gpu": GPU,
    "gpu-compiled": GPU_COMPILED,
    "bytes": BYTES,
    "box": BOX,
    "matlab": MATLAB,
}


def versions(kinds: Collection[str], below: Sequence[str]) -> dict[str, str | None]:
    """The version of every distribution that takes part in some kinds, and of those below them."""
    names = {peer.distribution: peer.version for kind in kinds for peer in KINDS[kind]}
    for name in below:
        names[name] = importlib.metadata.version(name)
    return names
