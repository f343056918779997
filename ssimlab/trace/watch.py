"""Watches every operation of torch, forward and backward, for numbers that are not finite."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch
from torch._C._autograd import _get_sequence_nr
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from . import operation
from .cause import Cause, Operands, cause_of, derivative_of, given_cause, number
from .events import Event, Found, Operation, first_root
from .lines import Call, current_call, is_users
from .operation import Operand, Schema, is_finite, is_watched
from .picture import picture_of

_PICTURES = 100  # enough for any cause; a loop that makes more keeps the words


class Watch(TorchDispatchMode):
    """A dispatch mode that keeps, for each number that is not finite, where it comes from.

    Args:
        names: names of tensors that exist before, as pairs of tensor and name.
    """

    supports_higher_order_operators = True

    def __init__(self, names: Iterable[tuple[torch.Tensor, str]]):
        super().__init__()
        self._named = list(names)  # kept alive, so that no other tensor takes their place
        self.names = {_storage(tensor): name for tensor, name in self._named}
        self.events: list[Event] = []
        self.leaves: dict[int, torch.Tensor] = {}
        self.reached: list[tuple[str, Event]] = []
        self.backward_ran = False
        self._at: dict[int | None, list[Event]] = {}  # by storage
        self._raw: dict[int | None, Operation] = {}  # memory that was allocated and not yet filled
        self._numbers: dict[str, Event] = {}  # read into Python, by value
        self._made: dict[int, Operation] = {}  # by sequence number of the autograd node
        self._next_node = _get_sequence_nr()
        self._clock = itertools.count(1)
        self._pictures = _PICTURES
        self._hooks = []
        self._looking = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch would import its compiler at the first operation

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(kind, error, traceback)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._looking or not isinstance(func, OpOverload):
            return func(*args, **kwargs)
        schema = operation.schema_of(func)
        with torch._C.DisableTorchFunctionSubclass():
            operands = operation.operands_of(schema, args, kwargs)
        for operand in operands:
            self._watch_leaves(operand.source)
        ran = self._operation(schema)
        out = func(*args, **kwargs)
        if not schema.view:
            with torch._C.DisableTorchFunctionSubclass():
                self._look(ran, schema, operands, args, kwargs, out)
        return out

    # Who asked for the operation

    def _operation(self, schema: Schema) -> Operation:
        node, call = torch._C._current_autograd_node(), current_call()
        if node is None or call.recomputing:
            ran = Operation(call.function or schema.name, schema.full, schema.name, "forward", ())
            ran.frames = call.frames
        else:
            ran = self._backward_operation(schema, node, call)
        # Autograd makes its node before the operation runs: what is new since the last operation
        # belongs to this one.
        now = _get_sequence_nr()
        for sequence in range(self._next_node, now):
            self._made[sequence] = ran
        self._next_node = now
        return ran

    def _backward_operation(self, schema: Schema, node, call: Call) -> Operation:
        # Not id(node): torch 2.6 makes a new Python object for a node each time it is asked.
        sequence = node._sequence_nr()
        forward, frames = self._made.get(sequence), call.frames
        if forward is not None and not is_users(frames):
            frames += forward.frames
        name = call.function or schema.name
        derivative = not call.frames
        if derivative:
            name = forward.plain if forward else _node_name(node)
        ran = Operation(name, schema.full, schema.name, "backward", frames, sequence, derivative)
        ran.forward = forward
        return ran

    # Where gradients end

    def _watch_leaves(self, value: object) -> None:
        if isinstance(value, (list, tuple)):
            for item in value:
                self._watch_leaves(item)
        elif (
            isinstance(value, torch.Tensor)
            and value.requires_grad
            and value.is_leaf
            and id(value) not in self.leaves
        ):
            self.watch_leaf(value)

    def watch_leaf(self, leaf: torch.Tensor) -> None:
        """Look at the gradient of a leaf whenever one is accumulated."""
        self.leaves[id(leaf)] = leaf
        self._hooks.append(leaf.register_post_accumulate_grad_hook(self._accumulated))

    def _accumulated(self, leaf: torch.Tensor) -> None:
        self.backward_ran = True
        self.look_at(f"the gradient of {self.name_of(leaf)}", leaf.grad)

    def look_at(self, name: str, value: object) -> Event | None:
        """The event behind a result or gradient called ``name``; None if it is finite."""
        self._looking, before = True, self._looking
        try:
            value = operation.dense(value)
            if is_watched(value) and not is_finite(value):
                event = first_root(self._origins(Operand(name, value, value)))
            elif isinstance(value, float) and not math.isfinite(value):
                event = self._numbers.get(number(value)) or self._python_number(value)
            else:
                event = None
        finally:
            self._looking = before
        if event is not None:
            self.reached.append((name, event))
        return event

    def named_tensors(self) -> list[tuple[torch.Tensor, str]]:
        """Leaves and other tensors that existed before, with their names."""
        known = {_storage(tensor) for tensor, _ in self._named}
        others = [leaf for leaf in self.leaves.values() if _storage(leaf) not in known]
        return self._named + [(leaf, self.name_of(leaf)) for leaf in others]

    def name_of(self, tensor: torch.Tensor) -> str:
        """What to call a tensor that the function did not make."""
        return self.names.get(_storage(tensor), f"a tensor of shape {_size(tensor.shape)}")

    # What it made

    def _look(self, ran, schema, operands, args, kwargs, out) -> None:
        if schema.name == "local_scalar_dense":
            self._read_into_python(operands[0], out)
            return
        event = None
        for i, tensor in enumerate(operation.outputs_of(schema, args, kwargs, out)):
            if not is_watched(tensor):
                continue
            own = [item for operand in operands for item in operand.item(i, schema.listed)]
            if schema.uninitialized:
                self._allocate(ran, tensor)
                continue
            if is_finite(tensor):
                self._settle(ran, own, tensor)
                continue
            # The results of an operation share one cause; those of a list have their own.
            if event is None or schema.listed:
                event = self._event(ran, schema, own, args, kwargs, tensor)
            self._keep(tensor, event)

    def _allocate(self, ran: Operation, out: torch.Tensor) -> None:
        """Raw memory holds anything: it matters once it is read."""
        self._at.pop(_storage(out), None)
        self._raw[_storage(out)] = ran

    def _read_into_python(self, operand: Operand, value: object) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            self._numbers[number(value)] = first_root(self._origins(operand))

    def _python_number(self, value: float) -> Event:
        cause = given_cause("unknown", f"{number(value)} as a Python number, not made by torch")
        ran = Operation("Python", "", "Python", "forward", ())
        return self._new("made", 0, ran, self._found(cause, torch.tensor(value)))

    def _settle(self, ran: Operation, operands: list[Operand], out: torch.Tensor) -> None:
        """A finite result: note what it hides, forget what it overwrote."""
        for operand in operands:
            known = self._at.get(_storage(operand.source))
            if known and not is_finite(operand.value):
                for event in known:
                    event.root.hidden_by = event.root.hidden_by or ran
        if _covers_its_storage(out):
            self._at.pop(_storage(out), None)
            self._raw.pop(_storage(out), None)

    def _keep(self, out: torch.Tensor, event: Event) -> None:
        key = _storage(out)
        if _covers_its_storage(out):
            self._raw.pop(key, None)
        if _covers_its_storage(out) or key not in self._at:
            self._at[key] = [event]
        elif event not in self._at[key]:
            self._at[key].append(event)

    def _origins(self, operand: Operand) -> list[Event]:
        """The events behind an operand that is not finite."""
        if not isinstance(operand.value, torch.Tensor):
            event = self._numbers.get(number(operand.value))
            return [event] if event else []
        key = _storage(operand.source)
        if key not in self._at:
            self._at[key] = [self._from_outside(operand)]
        return self._at[key]

    def _from_outside(self, operand: Operand) -> Event:
        """A tensor that no watched operation wrote: it existed before, or a kernel made it."""
        tensor, node = operand.source, operand.source.grad_fn
        if _is_custom(node):
            forward, name = self._made.get(node._sequence_nr()), _node_name(node)
            frames = forward.frames if forward and forward.name == name else ()
            ran = Operation(name, node.name(), name, "forward", frames)
            cause = given_cause("unknown", f"made inside {name}, in code that torch cannot see")
            return self._new("made", 0, ran, self._found(cause, operand.value))
        if _storage(tensor) in self._raw:
            cause = given_cause("uninitialized", "memory that no operation of torch has filled")
            ran = self._raw[_storage(tensor)]
            return self._new("uninitialized", 0, ran, self._found(cause, operand.value))
        return self.add_input(tensor, self.name_of(tensor))

    def add_input(self, tensor: torch.Tensor, name: str) -> Event:
        """Keep that a tensor was not finite before anything ran."""
        value = "NaN" if operation.has_nan(tensor) else "an infinity"
        cause = given_cause("input", f"{value} in {name}")
        rank = 0 if operation.has_nan(tensor) else 1
        event = Event(0, "input", rank, None, self._found(cause, tensor))
        self.events.append(event)
        self._at[_storage(tensor)] = [event]
        return event

    def _event(self, ran, schema, operands, args, kwargs, out) -> Event:
        if schema.full.startswith("aten.lift_fresh"):
            known = self._at.get(_storage(out))
            return known[0] if known else self._constant(ran, out)
        kind, index = operation.struck(schema, operands, out)
        parents = self._parents(operands, out)
        for parent in parents:
            if parent.operation is None:
                parent.operation = ran
        if kind == "constant" and not parents:
            return self._constant(ran, out)
        if kind in ("constant", "carried"):
            root = first_root(parents)
            return self._new("carried", 0, ran, root.found, root)
        own = operation.reading_slices(schema, operands, args, kwargs, out, index)
        read = operation.read_at(schema, own, out, index)
        cause = cause_of(schema.name, read, out[index].item(), out.dtype)
        if ran.derivative:
            cause = derivative_of(ran.name, cause)
        found = self._found(cause, out, index, read)
        if kind == "made":
            event = self._new("made", 0, ran, found)
        else:
            guilty = [p for p in parents if p.rank < 2]
            event = self._new("turned", 0, ran, found, first_root(guilty) if guilty else None)
            if event.root is not event and event.root.became is None:
                event.root.became = event
        ran.event = ran.event or event
        return event

    def _constant(self, ran: Operation, out: torch.Tensor) -> Event:
        what = "a NaN" if operation.has_nan(out) else "an infinity"
        cause = given_cause("constant", f"{what} that the code itself puts there")
        return self._new("constant", 2, ran, self._found(cause, out))

    def _parents(self, operands: list[Operand], out: torch.Tensor) -> list[Event]:
        """The roots of the operands; where one holds NaN, infinities explain nothing."""
        bad = [operand for operand in operands if not is_finite(operand.value)]
        if operation.has_nan(out):
            bad = [operand for operand in bad if operation.has_nan(operand.value)] or bad
        return [event.root for operand in bad for event in self._origins(operand)]

    def _new(
        self, kind: str, rank: int, ran: Operation, found: Found, root: Event | None = None
    ) -> Event:
        event = Event(next(self._clock), kind, rank, ran, found)
        event.root = root or event
        self.events.append(event)
        return event

    def _found(
        self,
        cause: Cause,
        tensor: torch.Tensor,
        index: tuple[int, ...] | None = None,
        read: Operands | None = None,
    ) -> Found:
        bad = ~operation.finite(tensor)
        index = operation.first(bad) if index is None else index
        picture = picture_of(tensor.detach(), bad, index) if self._pictures > 0 else None
        self._pictures -= picture is not None
        return Found(
            cause=cause,
            shape=tuple(tensor.shape),
            dtype=tensor.dtype,
            index=index,
            value=tensor[index].item(),
            count=int(bad.sum()),
            operands=read or {},
            picture=picture,
        )


def _storage(value: Any) -> int | None:
    """What tells one piece of memory from another; None for what has none of its own."""
    try:
        return value.untyped_storage()._cdata
    except (AttributeError, NotImplementedError, RuntimeError):  # numbers; sparse tensors
        return None


def _covers_its_storage(tensor: torch.Tensor) -> bool:
    try:
        return tensor.numel() * tensor.itemsize >= tensor.untyped_storage().nbytes()
    except (NotImplementedError, RuntimeError):
        return True


def _is_custom(node: Any) -> bool:
    """Whether a node of autograd is that of somebody's own ``class Mine(Function)``."""
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def _node_name(node: Any) -> str:
    """``sqrt`` for SqrtBackward0, ``Mine`` for the backward of ``class Mine(Function)``."""
    name = node.name().split("::")[-1].rstrip("0123456789").removesuffix("Backward")
    if _is_custom(node):
        return name
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _size(shape: Iterable[int]) -> str:
    return " × ".join(map(str, shape)) or "a single number"
