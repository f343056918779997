"""The kernels as operators of torch, with shapes for the compiler and derivatives for autograd.

`torch.compile` takes an operator whole. The derivative of each is another operator; where that has
to be differentiated again (``create_graph=True``) the eager form takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from . import eager
from .settings import Settings


def _kernels(backend: str) -> ModuleType:
    if backend == "triton":
        from . import triton

        return triton
    from . import threads

    return threads


_SETTINGS = (
    "str backend, float[] taps, str padding, float c1, float c2, float scale, bool luminance"
)


def _operator(
    name: str, signature: str, kernel: Callable[..., Any], shapes: Callable[..., Any]
) -> Any:
    """Register a kernel with torch, and for the compiler a function that makes its results' shapes.

    Not by `torch.library.custom_op`, for which torch imports its compiler, a second or two.
    """
    torch.library.define(f"ssimlab::{name}", signature)
    torch.library.impl(f"ssimlab::{name}", "default", kernel)
    torch.library.register_fake(f"ssimlab::{name}", shapes)
    return getattr(torch.ops.ssimlab, name).default


def _shapes_of_means(x: Tensor, y: Tensor, *settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    of_planes = x.new_empty(x.shape[:-2])
    *_, gradient = settings
    return of_planes, torch.empty_like(of_planes), x.new_empty(x.shape if gradient else (0,))


def _shape_of_map(x: Tensor, y: Tensor, backend: str, *plain: Any) -> Tensor:
    return x.new_empty((*x.shape[:-2], *_settings(plain).map_size(*x.shape[-2:])))


_means = _operator(
    "means",
    f"(Tensor x, Tensor y, {_SETTINGS}, bool gradient) -> (Tensor, Tensor, Tensor)",
    lambda x, y, backend, *plain: _kernels(backend).means(x, y, _settings(plain[:-1]), plain[-1]),
    _shapes_of_means,
)
_unlike_map = _operator(
    "unlike_map",
    f"(Tensor x, Tensor y, {_SETTINGS}) -> Tensor",
    lambda x, y, backend, *plain: _kernels(backend).unlike_map(x, y, _settings(plain)),
    _shape_of_map,
)
_gradient = _operator(
    "gradient",
    f"(Tensor x, Tensor y, Tensor weights, {_SETTINGS}) -> Tensor",
    lambda x, y, u, backend, *plain: _kernels(backend).gradient(x, y, u, _settings(plain)),
    lambda x, *_: x.new_empty(x.shape),
)


def _plain(settings: Settings) -> tuple[Any, ...]:
    """The settings as the arguments of an operator."""
    return list(settings.taps), *settings[1:]


def _settings(plain: Sequence[Any]) -> Settings:
    """The settings from the arguments of an operator."""
    return Settings(tuple(plain[0]), *plain[1:])


def _gradients(
    ctx: Any, x: Tensor, y: Tensor, weights: Tensor, by_x: Tensor | None = None
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of Σ weights · map that are asked for; ``by_x`` is there already, or None."""
    needs_x, needs_y = ctx.needs_input_grad[:2]
    if torch.is_grad_enabled():
        return eager.gradients(x, y, weights, _settings(ctx.settings[1:]), (needs_x, needs_y))
    if needs_x and by_x is None:
        by_x = _gradient(x, y, weights, *ctx.settings)
    by_y = _gradient(y, x, weights, *ctx.settings) if needs_y else None
    return by_x, by_y


def _save_for_means(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, y, *ctx.settings, ctx.has_gradient = inputs
    ctx.set_materialize_grads(False)  # zeros for the third output would be an image
    ctx.save_for_backward(x, y, output[2])


def _backward_of_means(
    ctx: Any, unlike: Tensor | None, like: Tensor | None, _: Tensor | None
) -> tuple[Any, ...]:
    x, y, by_x = ctx.saved_tensors
    weight = _weight_of_planes(x, unlike, like)
    by_x = by_x * weight if ctx.has_gradient else None
    return *_gradients_of_means(ctx, x, y, weight, by_x), *[None] * 8


def _weight_of_planes(x: Tensor, unlike: Tensor | None, like: Tensor | None) -> Tensor:
    weight = x.new_zeros(()) if unlike is None else unlike
    return (weight if like is None else weight - like)[..., None, None]


def _gradients_of_means(
    ctx: Any, x: Tensor, y: Tensor, weight: Tensor, by_x: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    needs_x, needs_y = ctx.needs_input_grad[:2]
    if not needs_y and by_x is not None:
        return by_x if needs_x else None, None
    height, width = _settings(ctx.settings[1:]).map_size(*x.shape[-2:])
    weights = (weight / (height * width)).expand(*x.shape[:-2], height, width)
    return _gradients(ctx, x, y, weights, by_x)


class _Means(torch.autograd.Function):
    """The operator of the means for everything but the compiler.

    The gradient that comes with the means is nobody else's here: it is scaled where it is and
    handed over, once, and a second backward pass makes it again. That saves an image of memory.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, settings: tuple[Any, ...], gradient: bool
    ) -> tuple[Tensor, Tensor]:
        unlike, like, ctx.by_x = _means(x, y, *settings, gradient)
        ctx.settings, ctx.has_gradient = settings, gradient
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, y)
        return unlike, like

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        weight, by_x = _weight_of_planes(x, *grad_outputs), None
        if ctx.has_gradient and not torch.is_grad_enabled():
            by_x, ctx.by_x = ctx.by_x, None
            if by_x is None:
                by_x = _means(x, y, *ctx.settings, True)[2]
            by_x = _scaled(by_x, weight)
        return *_gradients_of_means(ctx, x, y, weight, by_x), None, None


def _scaled(gradient: Tensor, weight: Tensor) -> Tensor:
    """gradient * weight, in place. On the CPU by NumPy, which has no threads that go on waiting.

    Those of torch do, for some milliseconds, and the next sweep would share the cores with them.
    """
    # Where a NaN is about to be made it is made by torch, so that who looks for it finds it.
    if gradient.device.type != "cpu" or not np.isfinite(factor := weight.numpy()).all():
        return gradient.mul_(weight)
    pixels = gradient.numpy()
    with np.errstate(all="ignore"):
        pixels *= factor
    return gradient


def _save_for_map(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, y, *ctx.settings = inputs
    ctx.save_for_backward(x, y)


def _backward_of_map(ctx: Any, weights: Tensor) -> tuple[Any, ...]:
    x, y = ctx.saved_tensors
    return *_gradients(ctx, x, y, weights), *[None] * 7


torch.library.register_autograd("ssimlab::means", _backward_of_means, setup_context=_save_for_means)
torch.library.register_autograd(
    "ssimlab::unlike_map", _backward_of_map, setup_context=_save_for_map
)


def means(x: Tensor, y: Tensor, backend: str, settings: Settings) -> tuple[Tensor, Tensor]:
    """Means of 1 - SSIM and of SSIM over the map of each plane, by a kernel."""
    graded = torch.is_grad_enabled()
    # SSIM is symmetric, and the gradient that comes with the means is that by the first image.
    if graded and y.requires_grad and not x.requires_grad:
        x, y = y, x
    gradient = graded and x.requires_grad
    plain = backend, *_plain(settings)
    if torch.compiler.is_compiling() or not (gradient or (graded and y.requires_grad)):
        return _means(x, y, *plain, gradient)[:2]
    return cast("tuple[Tensor, Tensor]", _Means.apply(x, y, plain, gradient))  # pyright: ignore[reportUnknownMemberType]


def unlike_map(x: Tensor, y: Tensor, backend: str, settings: Settings) -> Tensor:
    """The map of 1 - SSIM by a kernel."""
    return _unlike_map(x, y, backend, *_plain(settings))
