"""What an operation read and wrote, and where the first number that is not finite stands."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeGuard

import torch
from torch._ops import OpOverload

from .cause import Operands, Spread

_PLAIN_NAMES = {
    "_to_copy": "to",
    "linalg_vector_norm": "norm",
    "mm": "matmul",
    "bmm": "matmul",
    "true_divide": "div",
}
_OVERWRITES = {
    *("copy_", "fill_", "zero_", "set_", "resize_", "_foreach_copy_", "_foreach_zero_"),
    *("normal_", "uniform_", "bernoulli_", "random_", "exponential_", "log_normal_"),
}
_UNINITIALIZED = {
    *("empty", "empty_like", "empty_strided", "empty_permuted"),
    *("new_empty", "new_empty_strided", "resize_"),
}
_ELEMENTWISE = {"_to_copy", "copy"}  # pointwise, but not tagged so by torch


class Schema(NamedTuple):
    """What is known of an operation before it runs.

    Args:
        name: plain name of the function (``div`` for ``aten._foreach_div_.List``).
        full: the dispatcher's name (``aten.div.Tensor``).
        arguments: for each, its name, whether it holds numbers or tensors, whether it is written.
        pointwise: whether each result depends on one number of each operand.
        view: whether the result is a view of an operand.
        uninitialized: whether the result is raw memory.
        overwrites: whether what is written is not read.
        listed: whether output i comes from item i of each list.
    """

    name: str
    full: str
    arguments: tuple[tuple[str, bool, bool], ...]
    pointwise: bool
    view: bool
    uninitialized: bool
    overwrites: bool
    listed: bool


class Operand(NamedTuple):
    """An argument: a number, a tensor, or a list of either.

    Args:
        name: of the argument.
        value: as it was before the operation.
        source: the argument itself; another tensor than ``value`` where it was overwritten.
    """

    name: str
    value: Any
    source: Any

    def item(self, i: int, listed: bool) -> list[Operand]:
        """The operands that belong to output ``i``, lists taken apart."""
        if not isinstance(self.value, (list, tuple)):
            return [self]
        pairs = list(zip(self.value, self.source, strict=True))
        if listed:
            # A fused optimizer changes several lists: its outputs are all of them in a row.
            return [Operand(self.name, *pairs[i % len(pairs)])]
        return [Operand(f"{self.name}[{j}]", *pair) for j, pair in enumerate(pairs)]


@functools.lru_cache(maxsize=4096)
def schema_of(func: OpOverload) -> Schema:
    """The :class:`Schema` of an operator overload."""
    overload, returns = func._schema, func._schema.returns
    raw: str = func._schema.name.split("::")[-1]
    functional = raw.removeprefix("_foreach_").rstrip("_")
    arguments = tuple(
        (
            a.name,
            any(kind in str(a.type) for kind in ("Tensor", "number", "float")),
            bool(a.alias_info and a.alias_info.is_write),
        )
        for a in overload.arguments
    )
    written = any(a[2] for a in arguments)
    alias = any(r.alias_info for r in returns)
    name = _PLAIN_NAMES.get(functional, functional.lstrip("_"))
    name = name.removeprefix("special_").removeprefix("native_")
    return Schema(
        name=_PLAIN_NAMES.get(name, name),
        full=str(func),
        arguments=arguments,
        pointwise=_is_pointwise(func) or functional in _ELEMENTWISE or raw in _ELEMENTWISE,
        view=alias and not written and raw != "lift_fresh",
        uninitialized=raw in _UNINITIALIZED,
        overwrites=raw in _OVERWRITES,
        listed=raw.startswith(("_foreach_", "_fused_")),
    )


def _is_pointwise(func: OpOverload) -> bool:
    """Whether torch says so of the overload, or of the function that it does in place."""
    namespace, name = func._schema.name.split("::")
    plain = getattr(getattr(torch.ops, namespace), name.removeprefix("_foreach_").rstrip("_"), None)
    overloads = [func]
    if plain is not None and hasattr(plain, "overloads"):
        overloads += [getattr(plain, overload) for overload in plain.overloads()]
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)


def operands_of(schema: Schema, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Operand]:
    """The arguments that hold numbers; copies of those that the operation is about to change."""
    operands = []
    for i, (name, holds_numbers, written) in enumerate(schema.arguments):
        if i < len(args):
            value = args[i]
        elif name in kwargs:
            value = kwargs[name]
        else:
            continue
        if not holds_numbers or value is None:
            continue
        if written and (schema.overwrites or i >= len(args)):  # an out= argument is no operand
            continue
        value = dense(value)
        operands.append(Operand(name, _copied(value) if written else value, value))
    return operands


def outputs_of(
    schema: Schema, args: tuple[Any, ...], kwargs: dict[str, Any], out: object
) -> list[torch.Tensor]:
    """The tensors that the operation gave or changed."""
    given = list(_tensors(out))
    if given or out is not None:
        return given
    changed: list[torch.Tensor] = []
    for i, (name, _, written) in enumerate(schema.arguments):
        if written:
            changed += _tensors(args[i] if i < len(args) else kwargs.get(name))
    return changed


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield dense(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _copied(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value.clone() if isinstance(value, torch.Tensor) else value


def is_watched(value: object) -> TypeGuard[torch.Tensor]:
    """Whether a value is a tensor that could hold a number that is not finite."""
    return (
        isinstance(value, torch.Tensor)
        and (value.is_floating_point() or value.is_complex())
        and value.layout is torch.strided
        and not value.is_nested
        and value.device.type != "meta"
        and value.numel() > 0
    )


def dense(value: Any) -> Any:
    """The numbers that a sparse tensor stores; anything else as it is."""
    if isinstance(value, torch.Tensor) and value.layout is not torch.strided:
        return value._values() if value.layout is torch.sparse_coo else value.values()
    return value


def finite(tensor: torch.Tensor) -> torch.Tensor:
    """True where a number is finite."""
    return torch.isfinite(_widened(tensor))


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, but the 8-bit floats, which have no isfinite of their own, as float32."""
    return tensor if tensor.itemsize > 1 else tensor.float()


def is_finite(value: object) -> bool:
    """Whether a tensor or a number is finite throughout; whatever is neither, is."""
    if is_watched(value):
        return bool(finite(value).all())
    return not isinstance(value, float) or math.isfinite(value)


def has_nan(value: object) -> bool:
    """Whether a tensor or a number holds NaN."""
    if is_watched(value):
        return bool(torch.isnan(_widened(value)).any())
    return isinstance(value, float) and math.isnan(value)


def first(mask: torch.Tensor) -> tuple[int, ...]:
    """Index of the first true element, in memory order."""
    flat = int(mask.flatten().int().argmax())
    index = []
    for size in reversed(mask.shape):
        flat, place = divmod(flat, size)
        index.append(place)
    return tuple(reversed(index))


def struck(
    schema: Schema, operands: list[Operand], out: torch.Tensor
) -> tuple[str, tuple[int, ...]]:
    """How the first non-finite number came into ``out``, and its index.

    ``"made"``: of finite operands; ``"turned"``: a NaN of infinities; ``"constant"``: an infinity
    that is an argument in the code; ``"carried"``: it came with an operand.
    """
    bad, values = ~finite(out), [operand.value for operand in operands]
    tainted = [v for v in values if not is_finite(v)]
    if not tainted:
        return "made", first(bad)
    tensors = [v for v in tainted if isinstance(v, torch.Tensor)]
    nan = torch.isnan(_widened(out))
    if not tensors and (any(map(has_nan, tainted)) or not nan.any()):
        return "constant", first(bad)
    if is_aligned(schema, values, out):
        fresh = bad & ~_any_of(tensors, lambda t: ~finite(t), out)
        if len(tensors) == len(tainted) and fresh.any():
            return "made", first(fresh)
        nan &= ~_any_of(tensors, lambda t: torch.isnan(_widened(t)), out)
    elif any(map(has_nan, tainted)):
        return "carried", first(bad)
    return ("turned", first(nan)) if nan.any() else ("carried", first(bad))


def _any_of(
    tensors: list[torch.Tensor], test: Callable[[torch.Tensor], torch.Tensor], out: torch.Tensor
) -> torch.Tensor:
    total = torch.zeros_like(out, dtype=torch.bool)
    for tensor in tensors:
        total |= test(tensor).to(out.device)
    return total


def is_aligned(schema: Schema, values: list[object], out: torch.Tensor) -> bool:
    """Whether each number of ``out`` comes from one number of each operand."""
    shapes = [v.shape for v in values if isinstance(v, torch.Tensor)]
    if not schema.pointwise:
        return False
    try:
        return torch.broadcast_shapes(out.shape, *shapes) == out.shape
    except RuntimeError:
        return False


def read_at(
    schema: Schema, operands: list[Operand], out: torch.Tensor, index: tuple[int, ...]
) -> Operands:
    """What the operation read to make the number at ``index``, by the argument's name."""
    aligned = is_aligned(schema, [operand.value for operand in operands], out)
    read: Operands = {}
    for operand in operands:
        value = operand.value
        if not isinstance(value, torch.Tensor):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                read[operand.name] = value
        elif value.dtype is torch.bool or value.is_quantized or value.layout is not torch.strided:
            continue
        elif aligned or (value.ndim == 0 and value.numel()):
            place = index[len(index) - value.ndim :]
            sizes = zip(place, value.shape, strict=True)
            read[operand.name] = value[tuple(i if n > 1 else 0 for i, n in sizes)].item()
        else:
            read[operand.name] = _spread(value)
    return read


def reading_slices(
    schema: Schema,
    operands: list[Operand],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: torch.Tensor,
    at: tuple[int, ...],
) -> list[Operand]:
    """The operands, cut to what fed the number at ``at`` where a reduction tells by its ``dim``."""
    if schema.pointwise or not operands or not isinstance(operands[0].value, torch.Tensor):
        return operands
    names = [name for name, _, _ in schema.arguments]
    dims = kwargs.get("dim")
    if "dim" in names and names.index("dim") < len(args):
        dims = args[names.index("dim")]
    x = operands[0].value
    if isinstance(dims, int):
        dims = [dims]
    if not dims or x.ndim == 0:
        return operands
    reduced = {d % x.ndim for d in dims}
    if out.ndim == x.ndim:
        kept = iter([i for d, i in enumerate(at) if d not in reduced])
    elif out.ndim == x.ndim - len(reduced):
        kept = iter(at)
    else:
        return operands
    cut = x[tuple(slice(None) if d in reduced else next(kept) for d in range(x.ndim))]
    return [operands[0]._replace(value=cut), *operands[1:]]


def _spread(value: torch.Tensor) -> Spread:
    shape = tuple(value.shape)
    if value.numel() == 0:
        return Spread(shape, math.nan, math.nan, 0, 0)
    value = value.abs() if value.is_complex() else _widened(value)
    nans, infinities = int(torch.isnan(value).sum()), int(torch.isinf(value).sum())
    numbers = value[~torch.isnan(value)]
    low, high = (
        (numbers.min().item(), numbers.max().item()) if len(numbers) else (math.nan, math.nan)
    )
    return Spread(shape, low, high, infinities, nans)
