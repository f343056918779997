"""What the claims share: seeded images, gradients, counts, and the libraries that they measure."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch

from ssimlab import naive, stable
from ssimlab._extras import extra


def peer(module: str):
    """Import a module of one of the libraries, or say how to install it."""
    with extra("peers"):
        return importlib.import_module(module)


def flat(value: float, *, side=32, dtype=torch.float32) -> torch.Tensor:
    """A constant image, (1, 1, side, side)."""
    return torch.full((1, 1, side, side), value, dtype=dtype)


def normal(*shape: int, seed=0, dtype=torch.float64) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uniform(*shape: int, seed=0, dtype=torch.float64) -> torch.Tensor:
    """Uniform numbers in [0, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def value_and_gradient(fn: Callable, x: torch.Tensor) -> tuple[float, torch.Tensor]:
    """fn(x), summed if it is not a scalar, and its gradient at x."""
    x = x.detach().clone().requires_grad_()
    value = fn(x).sum()
    (gradient,) = torch.autograd.grad(value, x)
    return value.item(), gradient


def nonfinite(tensor: torch.Tensor) -> int:
    """How many entries are NaN or infinite."""
    return int((~torch.isfinite(tensor)).sum())


def nans(tensor: torch.Tensor) -> int:
    """How many entries are NaN."""
    return int(tensor.isnan().sum())


def largest(tensor: torch.Tensor) -> float:
    """The largest absolute entry."""
    return tensor.abs().max().item()


def relative_error(obtained: torch.Tensor, true: torch.Tensor) -> float:
    """‖obtained - true‖ / ‖true‖."""
    true = true.double()
    return ((obtained.double() - true).norm() / true.norm()).item()


def torchmetrics_ssim(x, y, *, data_range):
    """torchmetrics' SSIM as its users call it, by the module; ``data_range`` may be None."""
    image = peer("torchmetrics.image")
    return image.StructuralSimilarityIndexMeasure(data_range=data_range)(x, y)


def kornia_ssim(x, y, *, data_range, eps=1e-12):
    """The mean of kornia's SSIM map."""
    metrics = peer("kornia.metrics")
    return metrics.ssim(x, y, 11, max_val=float(data_range), eps=eps).mean()


def pytorch_msssim_ssim(x, y, *, data_range):
    """pytorch-msssim's SSIM."""
    return peer("pytorch_msssim").ssim(x, y, data_range=data_range)


#: The two whose formula or call allows a NaN on images that are flat.
ROOTS, NO_RANGE = "l · c · s form", "torchmetrics without a range"


def torchmetrics_without_range(x, y, *, data_range):
    """torchmetrics' SSIM with the range left out, as its default is; what is given is not used.

    The library then measures the range of the images, of the whole batch together.
    """
    return torchmetrics_ssim(x, y, data_range=None)


def implementations() -> dict[str, Callable]:
    """Everything that is called SSIM here and gives the gradient of a mean, by name.

    A claim about implementations in general is tried with all of them.
    """
    return {
        "torchmetrics": torchmetrics_ssim,
        NO_RANGE: torchmetrics_without_range,
        "kornia": kornia_ssim,
        "pytorch-msssim": pytorch_msssim_ssim,
        "textbook form": naive.one_pass,
        "product form": naive.product_form,
        ROOTS: naive.luminance_contrast_structure,
        "stable form": stable.ssim,
    }


def loss_and_gradient(
    ssim: Callable, x: torch.Tensor, y: torch.Tensor, *, data_range=1.0
) -> tuple[float, torch.Tensor]:
    """1 - SSIM of two images, and its gradient at x."""
    return value_and_gradient(lambda z: 1 - ssim(z, y, data_range=data_range), x)


def broken_pairs(name: str, x: torch.Tensor, y: torch.Tensor, *, data_range=1.0) -> int:
    """For how many pairs of a batch this implementation's gradient is not finite.

    Each pair counts as if it were alone: a range that is measured would be that of the batch.
    """
    ssim = implementations()[name]
    one = 1 if name == NO_RANGE else len(x)
    gradients = [
        loss_and_gradient(ssim, a, b, data_range=data_range)[1]
        for a, b in zip(x.split(one), y.split(one), strict=True)
    ]
    return int((~torch.cat(gradients).isfinite().flatten(1).all(1)).sum())
