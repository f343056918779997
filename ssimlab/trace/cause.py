"""Why an operation gave a number that is not finite, and what is usually done about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch


class Spread(NamedTuple):
    """The values that an operation read, where they are too many to be written out.

    Args:
        shape: of the values that fed the first non-finite result.
        low, high: smallest and largest of them, NaN left aside.
        infinities, nans: how many of them are infinite, and NaN.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    infinities: int
    nans: int

    def __str__(self) -> str:
        size = " × ".join(map(str, self.shape))
        count = math.prod(self.shape)
        if count == 0:
            return f"no values (shape {size})"
        text = "no numbers" if self.nans == count else f"{number(self.low)} to {number(self.high)}"
        found = [f"{self.infinities} infinite"] * bool(self.infinities)
        found += [f"{self.nans} NaN"] * bool(self.nans)
        return f"{size} values, {text}" + (f" ({', '.join(found)})" if found else "")


@dataclass(frozen=True)
class Cause:
    """A cause in a few words, and one line on the usual cure."""

    text: str
    cure: str


Operands = dict[str, "float | Spread"]

_DIVISOR = (
    "Keep the divisor away from 0 before dividing: add a constant that is large enough to survive "
    "in this dtype, or replace the divisor where it is 0 and select the result afterwards."
)
_CURES = {
    "0/0": _DIVISOR,
    "division by zero": _DIVISOR,
    "0 to a negative power": _DIVISOR,
    "inf/inf": "Find what made the infinities, or divide before the numbers grow (scale, or logs).",
    "inf − inf": "Do not let infinities meet: subtract the maximum first, or use logsumexp.",
    "a row that is all −inf": "Leave one entry of each row unmasked, or mask with the smallest "
    "finite number of the dtype and drop such rows afterwards.",
    "0·inf": "A zero weight does not remove an infinity: select with torch.where, and make the "
    "operand finite before it is used.",
    "log of 0": "Stay in logarithms (log_softmax, logsigmoid, cross_entropy, xlogy), or bound the "
    "argument from below by a number that this dtype can hold.",
    "log of a negative number": "The argument should be a probability, a ratio or a variance: find "
    "where it became negative (rounding, a subtraction) and compute it in another way.",
    "square root of a negative number": "What should be a sum of squares became negative by "
    "rounding or by mistake: compute it from centered values instead of E[x²] − μ².",
    "power of a negative number": "A fractional power needs a base that is not negative: map the "
    "base to [0, 1] first (for MS-SSIM, (1 + cs)/2), or keep its sign apart.",
    "overflow of exp": "Subtract the maximum before the exponential, or stay in logarithms "
    "(softmax, logsumexp, expm1, softplus).",
    "overflow": "Compute this step in float32 or float64 (under autocast, switch it off for this "
    "step), or scale the data first.",
    "outside the domain": "Bring the argument into the function's domain before calling it.",
    "degenerate": "A spread needs more numbers than its correction: use correction=0, or more.",
    "uninitialized": "torch.empty holds whatever was there: use torch.zeros, or fill all of it "
    "before it is read; where a kernel of its own fills it, that kernel wrote the number.",
    "constant": "The code itself puts it there: if it is a mask, use a large finite number or keep "
    "the masked entries out of the result.",
    "input": "Repair the data before this function: replace the pixel in the input, not the NaN "
    "in the output, and drop what it touches.",
    "singular": "The matrix has no inverse: add a multiple of the identity, or use linalg.lstsq.",
    "unknown": "Check the operands against what the operation allows.",
}
_DERIVATIVE_CURES = {
    "sqrt": "Add a small constant under the root, or replace the argument where it is 0 before "
    "the root (the double where): a where after the root does not stop its derivative.",
    "pow": "Bound the base away from 0 before a power below 1 (a constant that the dtype can "
    "hold), or replace it where it is 0 before the power; a where after it is too late.",
    "norm": "Add a small constant to the squares, or skip the pairs at distance 0.",
    "where": "Replace the argument where the function is singular before calling it (the double "
    "where): the branch that is not taken is differentiated too, and 0·inf is NaN.",
}
_LOGS = ("log", "log2", "log10", "log1p", "xlogy", "logit")
_EXPS = ("exp", "exp2", "expm1", "sinh", "cosh")
_SPREADS = ("var", "std", "var_mean", "std_mean")
_PRODUCTS = ("mul", "addcmul", "prod", "cumprod", "dot", "lerp")
_SUMS_OF_PRODUCTS = ("matmul", "addmm", "baddbmm", "addbmm", "convolution", "einsum", "addmv", "mv")


def number(value: float) -> str:
    """A value as a reader writes it."""
    if isinstance(value, complex):
        return f"{value:.6g}"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "−inf"
    return f"{value:.6g}".replace("-", "−") if value else "0"


def cause_of(name: str, operands: Operands, value: float, dtype: torch.dtype) -> Cause:
    """The cause in an operation called ``name`` that read ``operands`` and gave ``value``.

    Args:
        name: plain name of the operation (``div``).
        operands: what stood at the place of the result, by the argument's name.
        value: the non-finite result.
        dtype: of the result.
    """
    key, text = _key(name, operands, value, dtype)
    return Cause(text or key, _CURES[key])


def derivative_of(name: str, cause: Cause) -> Cause:
    """The cause in the derivative of the function called ``name``, where ``cause`` arose."""
    singular = cause.text in ("0/0", "division by zero", "0 to a negative power")
    if singular and name in ("sqrt", "pow", "log", "log2", "log10", "norm"):
        function = "a power" if name == "pow" else name
        text = f"derivative of {function} at 0 ({cause.text})"
        return Cause(text, _DERIVATIVE_CURES.get(name, _CURES["log of 0"]))
    if singular and name in ("acos", "asin", "acosh", "atanh", "log1p"):
        text = f"derivative of {name} at the edge of its domain ({cause.text})"
        return Cause(text, "Keep the argument a little inside of the domain.")
    cure = cause.cure
    if name in _DERIVATIVE_CURES and cause.text in ("0·inf", "0/0"):
        cure = _DERIVATIVE_CURES[name]
    return Cause(f"derivative of {name}: {cause.text}", cure)


def given_cause(kind: str, text: str) -> Cause:
    """The cause of a number that no operation made: an input, a constant, raw memory."""
    return Cause(text, _CURES[kind])


def hidden_cure() -> str:
    """The cure of a branch that was hidden by a selection and still poisons the gradient."""
    return _DERIVATIVE_CURES["where"]


def _key(name, operands, value, dtype) -> tuple[str, str | None]:
    numbers = {
        k: abs(v) if isinstance(v, complex) else v
        for k, v in operands.items()
        if not isinstance(v, Spread)
    }
    spreads = [v for v in operands.values() if isinstance(v, Spread)]
    poisoned = any(not math.isfinite(v) for v in numbers.values()) or any(
        s.infinities or s.nans for s in spreads
    )
    if poisoned:
        return _from_infinities(name, numbers, spreads)
    return _at_a_point(name, numbers) or _from_finite(name, operands, spreads, value, dtype)


def _at_a_point(name: str, at: dict[str, float]) -> tuple[str, str | None] | None:
    """Singular points and edges of domains, from the numbers that were read there."""
    x = at.get("self", at.get("input", next(iter(at.values()), math.nan)))
    if name in ("div", "fmod", "remainder", "floor_divide", "true_divide"):
        divisor = at.get("other", next(reversed(at.values()), math.nan))
        if divisor == 0:
            return ("0/0" if x == 0 or name != "div" else "division by zero"), None
    if name == "addcdiv" and at.get("tensor2") == 0:
        return ("0/0" if at.get("tensor1") == 0 else "division by zero"), None
    if name in ("reciprocal", "rsqrt", "digamma", "lgamma", "polygamma") and x == 0:
        return "division by zero", None
    if name in ("sqrt", "rsqrt") and x < 0:
        return "square root of a negative number", None
    if name in _LOGS:
        argument = at.get("other", x) if name == "xlogy" else x + 1 if name == "log1p" else x
        if argument == 0 or (name == "logit" and x == 1):
            return "log of 0", None
        if argument < 0:
            return "log of a negative number", None
    if name == "pow":
        exponent = at.get("exponent", math.nan)
        if x == 0 and exponent < 0:
            return "0 to a negative power", None
        if x < 0 and exponent % 1 != 0:
            return "power of a negative number", None
    edges = {name: (-1.0, 1.0) for name in ("acos", "asin", "atanh", "erfinv")}
    edges["acosh"] = (1.0, math.inf)
    low, high = edges.get(name, (-math.inf, math.inf))
    if not low < x < high and name in edges:
        return "outside the domain", f"argument {number(x)} outside the domain of {name}"
    return None


def _from_finite(name, operands, spreads, value, dtype) -> tuple[str, str | None]:
    """Finite operands and no singular point: too large for the dtype, or nothing to divide by."""
    limit = torch.finfo(dtype).max
    if name.startswith(("linalg_inv", "linalg_solve")):
        return "singular", "singular matrix"
    if any(math.prod(s.shape) == 0 for s in spreads):
        return "0/0", f"{name} of no values (0/0)"
    if name in _SPREADS and math.isnan(abs(value)):
        return "degenerate", f"{name} of too few numbers (0/0)"
    if "norm" in name and operands.get("eps") == 0:
        return "0/0", "normalization of a flat patch with eps = 0 (0/0)"
    if name in _EXPS:
        largest = math.log(limit) / (math.log(2) if name == "exp2" else 1)
        return "overflow of exp", (
            f"overflow of {name} in {_short(dtype)}: it is finite up to {name}({largest:.5g})"
        )
    if name in ("copy", "to") or "nan" not in str(value) or name in _SUMS_OF_PRODUCTS:
        return "overflow", f"overflow of {_short(dtype)}, whose largest number is {limit:.6g}"
    largest = max((max(abs(s.low), abs(s.high)) for s in spreads), default=0.0)
    if largest > limit**0.5 or (name in _PRODUCTS and largest > 1):
        return "overflow", f"overflow of {_short(dtype)} inside of {name}"
    return "unknown", f"{name} of finite numbers is not finite"


def _from_infinities(name, at, spreads) -> tuple[str, str | None]:
    values = list(at.values())
    infinite = [v for v in values if math.isinf(v)]
    if name in ("softmax", "log_softmax", "logsumexp") and any(
        s.low == s.high == -math.inf and not s.nans for s in spreads
    ):
        return "a row that is all −inf", f"{name} of a row that is all −inf (inf − inf)"
    if name in _SUMS_OF_PRODUCTS:
        return "0·inf", "0·inf or inf − inf in a sum of products"
    if name in _PRODUCTS and (0 in values or spreads):
        return "0·inf", None
    if name == "div" and len(infinite) > 1:
        return "inf/inf", None
    if name in _LOGS and -math.inf in values:
        return "log of a negative number", None
    if name in ("sqrt", "rsqrt") and -math.inf in values:
        return "square root of a negative number", None
    if name in ("sin", "cos", "tan", "fmod", "remainder"):
        return "outside the domain", f"{name} of an infinity"
    return "inf − inf", None


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
