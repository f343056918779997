"""One case, one function: what the oracle says, what the function does, and the outcome."""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import NamedTuple

import torch

from .. import reference
from ..window import Window
from .cases import Case
from .subjects import Subject


class Outcome(str, Enum):
    """What a function did on a case; in order of rank, where several are true."""

    ERROR = "error"
    NONFINITE = "NaN/inf"
    WRONG_VALUE = "wrong value"
    DEAD_GRADIENT = "dead gradient"
    WRONG_GRADIENT = "wrong gradient"
    FINE = "fine"

    def __str__(self) -> str:
        return self.value


class Tolerance(NamedTuple):
    """How far a sound function may be from the oracle on the same, already rounded inputs."""

    value: float
    gradient: float


#: In half precision, room for a result that is itself rounded to half precision, and no more.
TOLERANCES = {
    torch.float16: Tolerance(2e-3, 1e-2),
    torch.bfloat16: Tolerance(1.6e-2, 6e-2),
}
#: A careful float32 computation needs a hundredth of it: only real faults count.
TOLERANCE = Tolerance(5e-5, 1e-2)

#: Added to the norm that a gradient's error is divided by, in units of 1 / data_range. It is 1/300
#: of the largest norm that occurs, 1/√C2 = 33 / data_range, and decides only where the true
#: gradient is next to zero.
GRADIENT_FLOOR = 0.1


@dataclass(frozen=True)
class Row:
    """What came of one case.

    Args:
        case: the case.
        outcome: what the function did.
        truth: the mean SSIM by the oracle; None where it refuses, and to refuse is right.
        obtained: the function's; None where it raised an error.
        gradient_error: Σ|g - g*| / (Σ|g*| + 0.1 / data_range) over the pixels where the oracle's
            gradient g* is finite, and NaN where g is not; None where no gradient was asked for,
            offered or reached.
        gradient_offered: False for functions that return numbers alone.
        why: one line: what was found, and what is behind it.
    """

    case: Case
    outcome: Outcome
    truth: float | None
    obtained: float | None
    gradient_error: float | None
    gradient_offered: bool
    why: str

    @property
    def missed(self) -> bool:
        """Whether this is a fault of the function."""
        return self.case.counts and self.outcome is not Outcome.FINE

    @property
    def refused(self) -> bool:
        """Whether the function raised an error."""
        return self.obtained is None


class _Truth(NamedTuple):
    value: float | None
    gradient: torch.Tensor | None = None
    nan_map: torch.Tensor | None = None


class _Answer(NamedTuple):
    value: float | None = None  # None where the function raised an error, which is the trouble
    gradient: torch.Tensor | None = None
    nan_map: torch.Tensor | None = None
    trouble: str = ""
    warned: str | None = None


class _Finding(NamedTuple):
    outcome: Outcome
    what: str
    gradient_error: float | None = None


def judge(case: Case, subject: Subject, device: str = "cpu") -> Row:
    """Do to the function what the case says, and compare with the oracle.

    Raises:
        TypeError: the function returns something else than one number.
    """
    truth = _oracle(case, subject.window)
    answer = _attempt(case, subject, device)
    finding = _find(case, truth, answer)
    what = finding.what + (f" (it warned: {answer.warned})" if answer.warned else "")
    why = f"{what}; {case.why}" if what else case.why
    return Row(
        case,
        finding.outcome,
        truth.value,
        answer.value,
        finding.gradient_error,
        subject.gradient,
        why,
    )


@functools.lru_cache(maxsize=512)
def _oracle(case: Case, window: Window) -> _Truth:
    """The reference in float64 on the inputs as rounded; no value where the reference refuses."""
    x, y = (image.double() for image in case.inputs())
    x.requires_grad_()
    try:
        values = reference.ssim(
            case.layout(x), case.layout(y), window=window, reduction="none", **case.arguments
        )
    except (TypeError, ValueError):
        return _Truth(None)
    result = values.mean() if case.then is None else case.then(values.mean())
    (gradient,) = torch.autograd.grad(result, x)
    return _Truth(result.item(), gradient, values.isnan())


def _attempt(case: Case, subject: Subject, device: str) -> _Answer:
    """Call the function as the case says, and differentiate its result by x."""
    x, y = (image.to(device) for image in case.inputs())
    wanted = case.differentiable and subject.gradient and x.is_floating_point()
    x.requires_grad_(wanted)
    kind = torch.device(device).type
    result = gradient = nan_map = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with case.forward(kind):
                result = subject.fn(case.layout(x), case.layout(y), **case.arguments)
        except Exception as error:
            return _Answer(trouble=_named(error))
    result = _as_scalar(subject, result)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if case.then is not None:
                result = case.then(result)
            if wanted:
                with case.backward(kind):
                    gradient = _gradient(result, x)
            if case.poisoned and subject.map is not None:
                with torch.no_grad():
                    nan_map = subject.map(case.layout(x), case.layout(y), **case.arguments).isnan()
        except Exception as error:
            return _Answer(trouble=f"after the forward pass, {_named(error)}")
    warned = str(caught[0].message).splitlines()[0] if caught else None
    return _Answer(
        result.item(),
        gradient if gradient is None else gradient.double().cpu(),
        nan_map if nan_map is None else nan_map.cpu(),
        warned=warned,
    )


def _as_scalar(subject: Subject, result: object) -> torch.Tensor:
    if isinstance(result, Real):
        return torch.tensor(float(result), dtype=torch.float64)
    if isinstance(result, torch.Tensor) and result.numel() == 1 and not result.is_complex():
        return result.reshape(())
    is_tensor = isinstance(result, torch.Tensor)
    what = f"a tensor of shape {tuple(result.shape)}" if is_tensor else repr(result)
    raise TypeError(
        f"{subject.name} returned {what}, and the mean SSIM, one number, is judged: wrap it, as "
        "in lambda x, y, **call: fn(x, y, **call).mean()"
    )


def _gradient(result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The gradient by x; zeros where the result does not depend on x.

    The result is scaled up for the backward pass, as training in half precision does, because the
    gradient of a mean over many pixels is too small for float16. A power of two, hence exact.
    """
    if not result.requires_grad:
        return torch.zeros_like(x)
    scale = 2.0 ** int(math.log2(x.numel()))
    upstream = torch.full_like(result, scale)
    (gradient,) = torch.autograd.grad(result, x, upstream, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient.double() / scale


def _find(case: Case, truth: _Truth, answer: _Answer) -> _Finding:
    """Compare; the first of the outcomes that applies."""
    if answer.value is None:
        if truth.value is None or case.may_refuse:
            return _Finding(Outcome.FINE, "")
        return _Finding(Outcome.ERROR, answer.trouble)
    if truth.value is None:
        kind = Outcome.WRONG_VALUE if math.isfinite(answer.value) else Outcome.NONFINITE
        return _Finding(kind, "a result where an error is right")
    tolerance = TOLERANCES.get(case.dtype, TOLERANCE)
    value = _find_in_value(case, truth, answer, tolerance.value)
    if answer.gradient is None:
        return value
    gradient = _find_in_gradient(case, truth, answer, tolerance.gradient)
    outcome = min((value.outcome, gradient.outcome), key=list(Outcome).index)
    what = ", and ".join(filter(None, (value.what, gradient.what)))
    return _Finding(outcome, what, gradient.gradient_error)


def _find_in_value(case, truth, answer, tolerance) -> _Finding:
    if case.poisoned and math.isnan(truth.value):
        if math.isfinite(answer.value):
            return _Finding(Outcome.WRONG_VALUE, "a finite score that hides the NaN")
        if answer.nan_map is not None and not torch.equal(answer.nan_map, truth.nan_map):
            counts = int(answer.nan_map.sum()), int(truth.nan_map.sum())
            what = "NaN in {} windows, where {} touch it".format(*counts)
            return _Finding(Outcome.WRONG_VALUE, what)
    elif not math.isfinite(answer.value):
        return _Finding(Outcome.NONFINITE, "the value is NaN or inf")
    elif not abs(answer.value - truth.value) <= tolerance:
        error = abs(answer.value - truth.value)
        return _Finding(Outcome.WRONG_VALUE, f"the value is off by {error:.2g}")
    return _Finding(Outcome.FINE, "")


def _find_in_gradient(case, truth, answer, tolerance) -> _Finding:
    # Poisoned pixels may poison the gradient, where they do so for the oracle; all else may not.
    comparable = truth.gradient.isfinite()
    broken = ~answer.gradient.isfinite()
    if broken_count := int((broken & comparable if case.poisoned else broken).sum()):
        what = f"the gradient is NaN or inf at {broken_count} of {broken.numel()} pixels"
        return _Finding(Outcome.NONFINITE, what, math.nan)
    obtained, expected = answer.gradient[comparable], truth.gradient[comparable]
    norm, floor = expected.abs().sum().item(), GRADIENT_FLOOR / case.data_range
    error = (obtained - expected).abs().sum().item() / (norm + floor)
    if error <= tolerance:
        return _Finding(Outcome.FINE, "", error)
    if not obtained.any():
        return _Finding(Outcome.DEAD_GRADIENT, "the gradient is zero at every pixel", error)
    dead = int(((obtained == 0) & (expected != 0)).sum())
    also = f" and is zero at {dead} of {obtained.numel()} pixels" if dead else ""
    return _Finding(
        Outcome.WRONG_GRADIENT, f"the gradient has a relative error of {error:.2g}{also}", error
    )


def _named(error: Exception) -> str:
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}, {first}"
