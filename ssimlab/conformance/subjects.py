"""What is judged: an SSIM function and the conventions that it follows."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import torch

from .. import naive, stable
from .._extras import extra
from ..window import Window

REFLECT = Window(padding="reflect")


@dataclass(frozen=True)
class Subject:
    """A function, and what has to be known about it to judge it fairly.

    Args:
        name: how it is called in reports.
        fn: ``fn(x, y, data_range=…)`` takes images, (N, C, H, W), and returns their mean SSIM.
        window: the window and padding that it computes with; the oracle uses the same, so that a
            convention is not counted as a fault.
        gradient: False for functions that return numbers alone.
        map: like ``fn``, returning the map, (N, C, H', W'); None where there is none.
        distribution: the installed distribution whose version belongs to it.
    """

    name: str
    fn: Callable[..., object]
    window: Window = Window()
    gradient: bool = True
    map: Callable[..., torch.Tensor] | None = None
    distribution: str | None = None

    @property
    def version(self) -> str | None:
        """The version of the distribution, or None."""
        return self.distribution and metadata.version(self.distribution)


def from_dssim(loss: Callable[..., Any]) -> Callable[..., Any]:
    """SSIM of a loss that returns (1 - SSIM) / 2, as kornia's does."""
    return functools.wraps(loss)(lambda x, y, **call: 1 - 2 * loss(x, y, **call))


def from_complement(loss: Callable[..., Any]) -> Callable[..., Any]:
    """SSIM of a loss that returns 1 - SSIM, as Gaussian splatting's does."""
    return functools.wraps(loss)(lambda x, y, **call: 1 - loss(x, y, **call))


def subject(fn: Callable[..., object] | Subject | str, *, window: Window | None = None) -> Subject:
    """The subject for a function, for a name of ``SUBJECTS`` or for "package.module:function".

    Args:
        fn: the function, or its name.
        window: what a function computes with; None is the published window.

    Raises:
        TypeError, ValueError: fn is neither callable nor a known name, it does not take
            data_range, or it declares a window and another is given.
        ImportError: the package is not installed.
    """
    declared = isinstance(fn, Subject) or (isinstance(fn, str) and fn in SUBJECTS)
    if isinstance(fn, Subject):
        found = fn
    elif isinstance(fn, str):
        found = _named(fn)
    elif callable(fn):
        found = Subject(getattr(fn, "__name__", type(fn).__name__), fn)
    else:
        raise TypeError(f"fn must be a function or the name of one, not {fn!r}")
    _check_signature(found)
    if window is None:
        return found
    if declared:
        raise ValueError(f"{found.name} declares its own window: give one with a function only")
    return replace(found, window=window)


def _named(name: str) -> Subject:
    if name in SUBJECTS:
        return SUBJECTS[name]()
    module, _, path = name.partition(":")
    if not (module and path):
        raise ValueError(
            f"{name!r} is not known: choose from {', '.join(SUBJECTS)}, or write "
            "package.module:function"
        )
    found = importlib.import_module(module)
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            raise ValueError(f"{module} has no {path}: write package.module:function")
        found = getattr(found, attribute)
    if not isinstance(found, Subject) and not callable(found):
        raise ValueError(f"{name} is not a function: write package.module:function")
    return replace(subject(found), name=name)


def _check_signature(found: Subject) -> None:
    """Refuse what cannot be called as every case calls it, before all of them fail."""
    fn = inspect.unwrap(found.fn)
    try:
        signature = inspect.signature(fn.forward if isinstance(fn, torch.nn.Module) else fn)
    except (TypeError, ValueError):  # built-in functions have none
        return
    try:
        signature.bind("x", "y", data_range=1.0)
    except TypeError as error:
        raise TypeError(
            f"{found.name} cannot be called as fn(x, y, data_range=1.0) ({error}): wrap it, as "
            "in lambda x, y, data_range: fn(x, y, max_val=data_range)"
        ) from None


def _own(name: str, fn: Callable[..., torch.Tensor], window: Window = Window()) -> Subject:
    """A function of this package, whose signature is that of the oracle."""
    return Subject(
        name,
        lambda x, y, **call: fn(x, y, window=window, **call),
        window,
        map=lambda x, y, **call: fn(x, y, window=window, reduction="none", **call),
    )


#: The windows of the forms in ``naive`` that do not take the one they are given, or default to
#: another than the published one.
_NAIVE_WINDOWS = {
    "zero_padded_same": Window(padding="zero"),
    "unsquared_constants": Window(sigma=None, padding="zero"),
}


def _naive(form: str) -> Subject:
    window = _NAIVE_WINDOWS.get(form, Window())
    return _own(f"naive.{form}", naive.FORMS[form], window)


def _kornia_call(call: dict[str, Any]) -> dict[str, Any]:
    return {"max_val": call["data_range"]} if "data_range" in call else {}


def _kornia() -> Subject:
    with extra("peers"):
        from kornia.metrics import ssim

    def ssim_map(x, y, **call):
        return ssim(x, y, 11, **_kornia_call(call))

    def mean(x, y, **call):
        return ssim_map(x, y, **call).mean()

    return Subject("kornia", mean, REFLECT, map=ssim_map, distribution="kornia")


def _kornia_loss() -> Subject:
    with extra("peers"):
        from kornia.losses import ssim_loss

    def dssim(x, y, **call):
        return ssim_loss(x, y, 11, **_kornia_call(call))

    return Subject("kornia_loss", from_dssim(dssim), REFLECT, distribution="kornia")


def _torchmetrics() -> Subject:
    with extra("peers"):
        from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    def ssim_map(x, y, **call):
        return ssim(x, y, return_full_image=True, **call)[1]

    return Subject("torchmetrics", ssim, REFLECT, map=ssim_map, distribution="torchmetrics")


def _pytorch_msssim() -> Subject:
    with extra("peers"):
        from pytorch_msssim import ssim

    return Subject("pytorch_msssim", ssim, distribution="pytorch-msssim")


def _skimage() -> Subject:
    with extra("lab"):
        from skimage.metrics import structural_similarity

    def maps(x, y, **call) -> list[Any]:  # (score, map) of each plane
        planes = itertools.product(*map(range, x.shape[:-2]))
        return [
            structural_similarity(
                _array(x[at]),
                _array(y[at]),
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                full=True,
                **call,
            )
            for at in planes
        ]

    def mean(x, y, **call):
        if x.shape != y.shape:
            raise ValueError(f"the shapes differ: {tuple(x.shape)} and {tuple(y.shape)}")
        scores = [score for score, _ in maps(x, y, **call)]
        return float(sum(scores) / len(scores))

    def ssim_map(x, y, **call):
        crop = slice(Window().radius, -Window().radius)
        planes = [torch.from_numpy(full[crop, crop].copy()) for _, full in maps(x, y, **call)]
        return torch.stack(planes).reshape(*x.shape[:-2], *planes[0].shape)

    return Subject("skimage", mean, gradient=False, map=ssim_map, distribution="scikit-image")


def _array(image: torch.Tensor):
    """A NumPy array of the pixels; NumPy has no bfloat16."""
    image = image.detach().cpu()
    return (image.float() if image.dtype == torch.bfloat16 else image).numpy()


#: What can be named on the command line and in :func:`ssimlab.conformance.run`.
SUBJECTS: dict[str, Callable[[], Subject]] = {
    "kornia": _kornia,
    "kornia_loss": _kornia_loss,
    "torchmetrics": _torchmetrics,
    "pytorch_msssim": _pytorch_msssim,
    "skimage": _skimage,
    "ssimlab": lambda: _own("ssimlab", stable.ssim),
    **{f"naive.{form}": lambda form=form: _naive(form) for form in naive.FORMS},
}

#: The libraries of the page "Library × failure".
LIBRARIES = ("ssimlab", "kornia", "kornia_loss", "torchmetrics", "pytorch_msssim", "skimage")
