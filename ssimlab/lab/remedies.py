"""What the popular remedies for NaN do and do not do, measured.

Each function tries one remedy where it is recommended and returns the figures, by name, as plain
numbers. Nothing here is needed to compute a loss: the sound twins of :mod:`ssimlab.lab.pitfalls`
need no remedy.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from . import pitfalls

NAN, INF = math.nan, math.inf


def clamped_probabilities(
    dtype: torch.dtype = torch.float32, epsilon: float = 1e-8
) -> dict[str, float]:
    """Probabilities clamped to [ε, 1 - ε] before the logarithm.

    The clamp prevents log 0 where ε and 1 - ε are numbers of the dtype, and wherever it acts the
    gradient is zero.

    Returns:
        ``low``, ``high``: what 0 and 1 are clamped to. ``loss_when_right``: the loss of the
        certain and right prediction. ``loss_when_wrong``, ``gradient_when_wrong``: of the
        certain and wrong one. ``gradient_at_logit_minus_20``, ``gradient_at_logit_20``: by the
        logit of a sigmoid that is confident and wrong, where the sound twin has
        ``sound_at_logit_minus_20`` and ``sound_at_logit_20``.
    """
    edges = torch.tensor([0.0, 1.0], dtype=dtype)
    low, high = edges.clamp(epsilon, 1 - epsilon).tolist()

    def loss(probability, target):
        p = torch.tensor([probability], dtype=dtype, requires_grad=True)
        t = torch.tensor([target], dtype=dtype)
        value = pitfalls.clamped_log_prob_loss(p, t, epsilon=epsilon)
        return value.item(), _gradient(value, p)

    def by_logit(loss_of, logit, target):
        z = torch.tensor([logit], dtype=dtype, requires_grad=True)
        t = torch.tensor([target], dtype=dtype)
        return _gradient(loss_of(z, t), z)

    def sigmoid_then_clamp(z, t):
        return pitfalls.clamped_log_prob_loss(torch.sigmoid(z), t, epsilon=epsilon)

    wrong_value, wrong_gradient = loss(0.0, 1.0)
    return {
        "low": low,
        "high": high,
        "loss_when_right": loss(1.0, 1.0)[0],
        "loss_when_wrong": wrong_value,
        "gradient_when_wrong": wrong_gradient,
        "gradient_at_logit_minus_20": by_logit(sigmoid_then_clamp, -20.0, 1.0),
        "gradient_at_logit_20": by_logit(sigmoid_then_clamp, 20.0, 0.0),
        "sound_at_logit_minus_20": by_logit(pitfalls.log_prob_loss, -20.0, 1.0),
        "sound_at_logit_20": by_logit(pitfalls.log_prob_loss, 20.0, 0.0),
    }


def smallest_clamp(dtype: torch.dtype = torch.float32) -> float:
    """The smallest power of two ε for which 1 - ε is not rounded to 1: the ulp below 1."""
    epsilon = 1.0
    while torch.tensor(1 - epsilon / 2, dtype=dtype) < 1:
        epsilon /= 2
    return epsilon


def epsilon_in_log(
    epsilon: float = 1e-8,
    dtype: torch.dtype = torch.float32,
    logits: tuple[float, float] = (1.0, 1000.0),
) -> dict[str, float]:
    """A small ε added inside log(softmax(z) + ε), with the right class the one ruled out.

    Returns:
        ``value``: the loss, to be held against ``true_value``. ``gradient_right_class``,
        ``gradient_wrong_class``: by the two logits, to be held against -1 and +1 (``true_…``).
        ``epsilon_plus_zero``, ``epsilon_plus_one_minus_one``: what is left of ε beside 0 and 1.
    """
    z = torch.tensor([logits], dtype=dtype, requires_grad=True)
    right = torch.tensor([[1.0, 0.0]], dtype=dtype)
    value = pitfalls.softmax_then_log(z, right, epsilon=epsilon).sum()
    gradient = _gradients(value, z)
    true_value = pitfalls.cross_entropy(z, right).sum()
    true_gradient = _gradients(true_value, z)
    zero, one = torch.tensor([0.0, 1.0], dtype=dtype)
    return {
        "value": value.item(),
        "true_value": true_value.item(),
        "gradient_right_class": gradient[0],
        "gradient_wrong_class": gradient[1],
        "true_gradient_right_class": true_gradient[0],
        "true_gradient_wrong_class": true_gradient[1],
        "epsilon_plus_zero": (zero + epsilon).item(),
        "epsilon_plus_one_minus_one": ((one + epsilon) - one).item(),
    }


def where_around_a_root(dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """``torch.where`` around a square root at 0, once and twice.

    Returns:
        ``value_once``, ``gradient_once``, ``value_twice``, ``gradient_twice``, all at x = 0, and
        ``gradient_elsewhere``, the double one's at x = 4, which is 1/4.
    """
    x = torch.tensor([0.0, 4.0], dtype=dtype, requires_grad=True)
    once = pitfalls.single_where(x > 0, torch.sqrt, x, otherwise=0.0)
    twice = pitfalls.double_where(x > 0, torch.sqrt, x, harmless=1.0, otherwise=0.0)
    return {
        "value_once": once[0].item(),
        "gradient_once": _gradients(once.sum(), x)[0],
        "value_twice": twice[0].item(),
        "gradient_twice": _gradients(twice.sum(), x)[0],
        "gradient_elsewhere": _gradients(twice.sum(), x)[1],
    }


def nan_replaced(dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """``torch.nan_to_num`` on the loss, and on the gradient.

    On the loss 0 · log 0 it makes the value right and leaves the gradient NaN. On a gradient it
    makes a number that no derivative has: zero for NaN, the largest finite number for inf.

    Returns:
        ``value``, ``gradient``: of nan_to_num(p log p) at p = 0. ``nan_becomes``,
        ``inf_becomes``: what it makes of such gradients.
    """
    p = torch.zeros(1, dtype=dtype, requires_grad=True)
    value = torch.nan_to_num(p * torch.log(p)).sum()
    nan_becomes, inf_becomes = torch.nan_to_num(torch.tensor([NAN, INF], dtype=dtype)).tolist()
    return {
        "value": value.item(),
        "gradient": _gradient(value, p),
        "nan_becomes": nan_becomes,
        "inf_becomes": inf_becomes,
    }


def clip_by_norm(gradients: Sequence[float], max_norm: float = 1.0) -> list[float]:
    """The gradients, a sequence of numbers, after ``clip_grad_norm_`` in float32.

    Each is the gradient of a parameter of its own. All are multiplied by max_norm / norm: by NaN
    if one of them is NaN; by 0 if one is inf, or if the norm overflows, and 0 · inf is NaN.
    """
    return _clipped(gradients, clip_grad_norm_, max_norm)


def clip_by_value(gradients: Sequence[float], clip_value: float = 1.0) -> list[float]:
    """The gradients, a sequence of numbers, after ``clip_grad_value_`` in float32.

    inf becomes the clip value, NaN stays, and the direction of the gradient changes.
    """
    return _clipped(gradients, clip_grad_value_, clip_value)


def anomaly_mode() -> dict[str, str]:
    """What ``torch.autograd.set_detect_anomaly`` says of five faults.

    It looks for NaN, not inf, in what each backward function returns. So an infinite gradient
    passes; a NaN is blamed on the function that made it of an infinity, not on the one that made
    the infinity; and a NaN that never reaches the gradient is an error too.

    Returns:
        For each fault the name of the backward function that it blames, or "silent".
    """

    def at_zero(fn):
        def run():
            x = torch.zeros(1, requires_grad=True)
            fn(x).sum().backward()

        return run

    def forward_only():
        torch.log(torch.tensor([-1.0], requires_grad=True))

    faults = {
        "NaN gradient of 0 · sqrt(x)": at_zero(lambda x: 0 * torch.sqrt(x)),
        "infinite gradient of sqrt(x)": at_zero(torch.sqrt),
        "division by zero, 1 / x²": at_zero(lambda x: 1 / x**2),
        "NaN value, backward not run": forward_only,
        "NaN that relu replaces by 0": at_zero(lambda x: 0 * torch.relu(x - 1) ** 0.5),
    }
    return {name: _blamed(run) for name, run in faults.items()}


def isnan_against_isfinite() -> dict[str, list[bool]]:
    """``torch.isnan`` and ``torch.isfinite`` of the three non-finite numbers and of 1.

    Returns:
        ``isnan`` and ``not_isfinite``, each for NaN, inf, -inf and 1 in turn.
    """
    values = torch.tensor([NAN, INF, -INF, 1.0])
    return {
        "isnan": torch.isnan(values).tolist(),
        "not_isfinite": (~torch.isfinite(values)).tolist(),
    }


#: Every remedy, by the name that it is recommended under.
REMEDIES = {
    "clamp": clamped_probabilities,
    "eps": epsilon_in_log,
    "where": where_around_a_root,
    "nan_to_num": nan_replaced,
    "clip by norm": clip_by_norm,
    "clip by value": clip_by_value,
    "anomaly mode": anomaly_mode,
    "isnan": isnan_against_isfinite,
}


def _gradients(value, at) -> list[float]:
    gradient = torch.autograd.grad(value, at, retain_graph=True)[0]
    return (gradient + 0.0).flatten().tolist()  # -0.0 reads as if it meant something


def _gradient(value, at) -> float:
    return _gradients(value, at)[0]


def _clipped(
    gradients: Sequence[float],
    clip: Callable[[Iterable[torch.Tensor], float], object],
    limit: float,
) -> list[float]:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in gradients]
    clipped = [torch.tensor([float(gradient)]) for gradient in gradients]
    for parameter, gradient in zip(parameters, clipped, strict=True):
        parameter.grad = gradient
    clip(parameters, limit)  # in place
    return [gradient.item() for gradient in clipped]


def _blamed(run) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anomaly mode announces itself, and prints its findings
        try:
            with torch.autograd.set_detect_anomaly(True):
                run()
        except RuntimeError as error:
            return str(error).split("'")[1]
    return "silent"
