"""Everyday losses that give NaN, each beside its sound twin.

The losses are those of two articles on NaN in PyTorch losses. A naive form is computed in the
dtype that it is given, as such code is, so that it shows that dtype's faults. A sound twin
computes half precision in float32 and is right, value and gradient, at every edge where the loss
itself is defined. NaN in is NaN out in both.

What the popular remedies do to such losses is measured in :mod:`ssimlab.lab.remedies`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# ------------------------------------------------------------------------------------------------
# The logarithm of a probability


def naive_log_prob_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """-mean(t log p + (1 - t) log(1 - p)), as it is written on paper.

    At p = 0 with t = 0, and at p = 1 with t = 1, where the loss is zero, it computes 0 · (-inf).

    Args:
        probabilities: p, any shape, in [0, 1].
        targets: t, the shape and dtype of p, in [0, 1].

    Returns:
        A scalar of the dtype of p.

    Raises:
        TypeError, ValueError: the two are not floating-point tensors of one shape and dtype.
    """
    _check_alike(probabilities=probabilities, targets=targets)
    p, t = probabilities, targets
    return -torch.mean(t * torch.log(p) + (1 - t) * torch.log(1 - p))


def clamped_log_prob_loss(
    probabilities: Tensor, targets: Tensor, *, epsilon: float = 1e-8
) -> Tensor:
    """:func:`naive_log_prob_loss` of probabilities clamped to [ε, 1 - ε].

    Where 1 - ε rounds to 1 the upper clamp does nothing, and where the clamp does something the
    gradient is exactly zero: at the probabilities that are most wrong.

    Arguments, returns and errors as :func:`naive_log_prob_loss`; ``epsilon`` is a probability.
    """
    _check_alike(probabilities=probabilities, targets=targets)
    return naive_log_prob_loss(probabilities.clamp(epsilon, 1 - epsilon), targets)


def log_prob_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The sound twin: the same loss as a function of the logit z, with p = 1 / (1 + exp(-z)).

    log p and log(1 - p) are computed from z, where neither is ever log 0. The gradient by z is
    (p - t) / n: bounded, and alive however wrong the prediction is.

    Args:
        logits: z, any shape, infinities included.
        targets: t, the shape and dtype of z, in [0, 1].

    Returns:
        A scalar; float64 for float64 input, float32 for all others.

    Raises:
        TypeError, ValueError: the two are not floating-point tensors of one shape and dtype.
    """
    _check_alike(logits=logits, targets=targets)
    z, t = _widen(logits), _widen(targets)
    return _mean(_expected(t, -F.logsigmoid(z)) + _expected(1 - t, -F.logsigmoid(-z)))


# ------------------------------------------------------------------------------------------------
# The logarithm of a softmax


def softmax_then_log(logits: Tensor, targets: Tensor, *, epsilon: float = 0.0) -> Tensor:
    """The terms -t log(softmax(z) + ε) of a cross-entropy, in two steps.

    A class whose logit lies far below the largest has a softmax of exactly zero. Its logarithm
    is -inf, and times a target of zero NaN. A positive ε makes the value finite and the gradient
    of such a class zero, or worse: see :func:`ssimlab.lab.remedies.epsilon_in_log`.

    Args:
        logits: z, (…, classes).
        targets: t, probabilities of the classes, the shape and dtype of z.
        epsilon: ε, added to each probability.

    Returns:
        The terms, of the shape and dtype of z; their sum over the classes is the loss.

    Raises:
        TypeError, ValueError: the two are not floating-point tensors of one shape and dtype.
    """
    _check_alike(logits=logits, targets=targets)
    return -torch.log(F.softmax(logits, dim=-1) + epsilon) * targets


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The sound twin: the same terms with log-softmax, z - log Σ exp z, computed as one function.

    Arguments and errors as :func:`softmax_then_log`. A logit of -inf, a class that is ruled out,
    is welcome; +inf has no softmax and gives NaN. Returns the terms, (…, classes); float64 for
    float64 input, float32 for all others.
    """
    _check_alike(logits=logits, targets=targets)
    return _expected(_widen(targets), -F.log_softmax(_widen(logits), dim=-1))


# ------------------------------------------------------------------------------------------------
# The hinge


def hinge_by_max(predicted: Tensor, target: Tensor) -> Tensor:
    """mean(max(0, 1 - t p)), by ``torch.max``, which shares the gradient at a tie in halves.

    Args:
        predicted: p, any shape.
        target: t, -1 or 1, the shape and dtype of p.

    Returns:
        A scalar of the dtype of p.

    Raises:
        TypeError, ValueError: the two are not floating-point tensors of one shape and dtype.
    """
    _check_alike(predicted=predicted, target=target)
    return torch.mean(torch.max(torch.zeros_like(target), 1 - target * predicted))


def hinge(predicted: Tensor, target: Tensor, *, margin: float = 1.0) -> Tensor:
    """mean(relu(margin - t p)): the same function; at a tie relu's derivative is zero.

    Its gradient is 0 or ∓1/n whatever the prediction, so it needs no remedy. Arguments and errors
    as :func:`hinge_by_max`; returns float64 for float64 input, float32 for all others.
    """
    _check_alike(predicted=predicted, target=target)
    return _mean(F.relu(margin - _widen(target) * _widen(predicted)))


def smooth_hinge(predicted: Tensor, target: Tensor) -> Tensor:
    """The hinge with its corner rounded: quadratic for 0 < t p < 1, linear below.

    This is what has the smooth gradient that relu is sometimes said to have: it falls from 1/n
    to 0 over the margin instead of jumping. Arguments, returns and errors as :func:`hinge`.

    Source: Rennie and Srebro, "Loss functions for preference levels" (2005).
    """
    _check_alike(predicted=predicted, target=target)
    short = F.relu(1 - _widen(target) * _widen(predicted))
    # Huber's function of `short` as one product: squaring it inside a `where` would overflow in
    # the branch that is not taken, and an infinity there becomes NaN in the backward pass.
    bent = short.clamp(max=1)
    return _mean(bent * (short - bent / 2))


# ------------------------------------------------------------------------------------------------
# Ratios, products, branches


def naive_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """n / d: ±inf where d is zero, NaN where both are.

    Args:
        numerator, denominator: n and d, of one shape and dtype.

    Returns:
        A tensor of their shape and dtype.

    Raises:
        TypeError, ValueError: the two are not floating-point tensors of one shape and dtype.
    """
    _check_alike(numerator=numerator, denominator=denominator)
    return numerator / denominator


def guarded_ratio(numerator: Tensor, denominator: Tensor, *, fill: float) -> Tensor:
    """The sound twin: n / d where d is not zero, and ``fill`` with a gradient of zero elsewhere.

    There is no value that is right for every ratio, so ``fill`` has no default. Arguments and
    errors as :func:`naive_ratio`; returns float64 for float64 input, float32 for all others.
    """
    _check_alike(numerator=numerator, denominator=denominator)
    n, d = _widen(numerator), _widen(denominator)
    return double_where(d != 0, lambda below: n / below, d, harmless=1.0, otherwise=fill)


def repeated_squaring(x: Tensor, times: int = 50) -> Tensor:
    """x squared ``times`` times over, x^(2^times): overflows or vanishes unless \\|x\\| is 1.

    Args:
        x: any shape.
        times: a whole number.

    Returns:
        A tensor of the shape and dtype of x.

    Raises:
        TypeError: x is not a floating-point tensor.
    """
    _check_alike(x=x)
    for _ in range(times):
        x = x * x
    return x


def log_repeated_squaring(x: Tensor, times: int = 50) -> Tensor:
    """The sound twin: the logarithm of the product, 2^times · log\\|x\\|, which stays in range.

    Arguments as :func:`repeated_squaring`. Returns float64 for float64 input, float32 for all
    others; -inf at x = 0, as it should be.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: times is below 1, or 2^times is above the largest number of the dtype.
    """
    _check_alike(x=x)
    x = _widen(x)
    most = math.frexp(torch.finfo(x.dtype).max)[1] - 1
    if not 1 <= times <= most:
        raise ValueError(f"times must be from 1 to {most} for {x.dtype}, not {times}")
    return 2.0**times * torch.log(x.abs())


def single_where(
    condition: Tensor, fn: Callable[[Tensor], Tensor], x: Tensor, *, otherwise: float
) -> Tensor:
    """fn(x) where ``condition`` holds, ``otherwise`` elsewhere, by one ``torch.where``.

    The value is right. In the backward pass ``where`` hands the other elements a gradient of
    zero, fn multiplies it by its derivative there, and 0 · inf is NaN.

    Args:
        condition: boolean, the shape of x.
        fn: an elementwise function.
        x: any shape.
        otherwise: the value elsewhere.

    Returns:
        A tensor of the shape of x.
    """
    return torch.where(condition, fn(x), otherwise)


def double_where(
    condition: Tensor,
    fn: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    harmless: float,
    otherwise: float,
) -> Tensor:
    """The sound twin: fn never sees the other elements; it is given ``harmless`` for them.

    The first ``where`` chooses what goes in, the second what comes out. The gradient is fn's own
    where ``condition`` holds and exactly zero elsewhere.

    Args:
        condition, fn, x, otherwise: as :func:`single_where`.
        harmless: a number at which fn and its derivative are finite.

    Returns:
        A tensor of the shape of x.
    """
    return torch.where(condition, fn(torch.where(condition, x, harmless)), otherwise)


def _expected(weight: Tensor, value: Tensor) -> Tensor:
    """weight · value, and zero where a weight of zero meets an infinity.

    Exact-arithmetic fact: p log p → 0 as p → 0, so what never happens contributes nothing.
    """
    absent = (weight == 0) & value.isinf()
    return double_where(~absent, lambda v: weight * v, value, harmless=0.0, otherwise=0.0)


def _mean(values: Tensor) -> Tensor:
    # Divided before they are summed: the sum of large finite losses may overflow where their
    # mean does not.
    return (values / values.numel()).sum()


def _widen(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _check_alike(**tensors: Tensor) -> None:
    """Refuse what is not a set of floating-point tensors of one shape and dtype."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"{name} must be a torch tensor, not {kind}: torch.as_tensor makes one")
        if not tensor.is_floating_point():
            raise TypeError(
                f"{name} is {tensor.dtype}, but this loss needs floating-point numbers: "
                f"pass {name}.float()"
            )
    (first, one), *others = tensors.items()
    for name, other in others:
        if other.shape != one.shape:
            raise ValueError(
                f"{first} and {name} must have the same shape, not {tuple(one.shape)} and "
                f"{tuple(other.shape)}: nothing is broadcast, so reshape or expand one of them"
            )
        if other.dtype != one.dtype:
            raise TypeError(
                f"{first} and {name} must have the same dtype, not {one.dtype} and {other.dtype}: "
                "convert one of them"
            )


#: Each naive form's name and its sound twin's.
TWINS = {
    "naive_log_prob_loss": "log_prob_loss",
    "clamped_log_prob_loss": "log_prob_loss",
    "softmax_then_log": "cross_entropy",
    "hinge_by_max": "hinge",
    "naive_ratio": "guarded_ratio",
    "repeated_squaring": "log_repeated_squaring",
    "single_where": "double_where",
}
