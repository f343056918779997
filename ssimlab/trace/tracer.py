"""Runs a function under the watch of the tracer, and makes a report of what was seen."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from copy import copy as shallow_copy

import torch

from .cause import hidden_cure
from .events import Event, Operation, first_root
from .lines import lines_of
from .operation import is_finite, is_watched
from .report import Trace
from .watch import Watch


def first_nonfinite(
    fn: Callable[..., object],
    *inputs: object,
    requires_grad: bool = True,
    hidden: bool = False,
    **kwargs: object,
) -> Trace | None:
    """Run a function forward and backward and say where its first NaN or infinity came from.

    Every operation of torch is watched while ``fn`` runs, in the forward and the backward pass,
    also those inside libraries. What is reported is the earliest number that is not finite *and*
    that ends in a result, in a gradient, or in a parameter: an infinity that does no harm, such
    as the −inf of an attention mask, is no finding. An infinity that the code puts there on
    purpose and that then turns into NaN is reported where it turns.

    If ``fn`` calls ``backward`` itself, as a training step does, that is the backward pass.
    Otherwise the tracer runs one from the sum of all the returned tensors that require a
    gradient; the ``.grad`` of every parameter is afterwards as it was.

    ``fn`` runs once, on copies of the tensors among its arguments. What it does to anything else
    (an optimizer's step, running statistics, random numbers) is done. If it raises an exception
    while a number that is not finite is about, that number is reported and the exception named.

    Args:
        fn: any callable: a function, a module, a closure around a training step.
        *inputs: its arguments; tensors may be inside lists, tuples and dictionaries.
        requires_grad: whether floating-point inputs are to require a gradient, so that the
            backward pass reaches them. Where one of them already does, that choice is kept: the
            gradient of a target, say, may not be finite and nobody's concern. False leaves each
            input as it is.
        hidden: whether to report, where results and gradients are all finite, a number that was
            made on the way and then hidden (by a relu, a where, a clamp). A gradient that is 0
            everywhere often hides one.
        **kwargs: keyword arguments of ``fn``.

    Returns:
        Trace: the finding, which prints itself and shows itself as a card in a notebook; or None
        where all is finite.

    Raises:
        TypeError: if ``fn`` cannot be called.
        Exception: whatever ``fn`` raises while all its numbers are finite.

    What the tracer does not see: code that computes outside torch's dispatcher (NumPy, a kernel
    launched by hand) is one step to it, and threads that ``fn`` starts are not followed. A
    compiled function is run as the Python that it was compiled from, where torch (2.6 on) can.
    """
    if not callable(fn):
        raise TypeError(
            f"fn must be something to call, not {type(fn).__name__}: pass the function and its "
            "arguments apart, as in first_nonfinite(loss, prediction, target)"
        )
    labels = _argument_names(fn, len(inputs))
    if any(tensor.requires_grad for tensor in _tensors_in([inputs, kwargs])):
        requires_grad = False
    names = _names_around(fn, zip(labels, inputs, strict=True))
    copies: list[tuple[torch.Tensor, torch.Tensor]] = []  # what fn is given, its leaf
    inputs = tuple(
        _copied(value, label, requires_grad, names, copies)
        for value, label in zip(inputs, labels, strict=True)
    )
    kwargs = {
        key: _copied(value, f"the input {key}", requires_grad, names, copies)
        for key, value in kwargs.items()
    }
    watch = Watch(names)
    for given, leaf in copies:
        if is_watched(given) and not is_finite(given):
            watch.add_input(given, watch.name_of(given))
        if leaf.requires_grad:
            watch.watch_leaf(leaf)
    error = None
    with torch.autograd.set_multithreading_enabled(False), _eager(), watch:
        try:
            result = fn(*inputs, **kwargs)
            _look_at_results(watch, result)
            if not watch.reached and not watch.backward_ran:
                _run_backward(watch, list(_tensors_in(result)))
        except Exception as raised:
            error = raised
    return _conclude(watch, error, hidden)


def _look_at_results(watch: Watch, result: object) -> None:
    for name, value in _parts(result, "the result"):
        watch.look_at(name, value)
    for tensor, name in watch.named_tensors():
        event = watch.look_at(name, tensor)
        if event is not None and event.time == 0:
            watch.reached.pop()  # it was so before, and spoiled nothing


def _run_backward(watch: Watch, results: list[torch.Tensor]) -> None:
    """Backward from the sum of the results, without forming the sum, which could overflow."""
    results = [result for result in results if result.requires_grad]
    kept = [(leaf, leaf.grad) for leaf in watch.leaves.values()]
    for leaf, _ in kept:
        leaf.grad = None
    # Torch makes the 1 of a single number itself, and imports much to check one that is given.
    ones = [None if r.numel() == 1 and not r.is_complex() else torch.ones_like(r) for r in results]
    try:
        torch.autograd.backward(results, ones)
    except RuntimeError as error:
        # fn has used the graph up with torch.autograd.grad: its own backward pass was watched.
        if "backward through the graph a second time" not in str(error):
            raise
    finally:
        for leaf, grad in kept:
            leaf.grad = grad


def _conclude(watch: Watch, error: Exception | None, hidden: bool) -> Trace | None:
    notes = []
    roots = [event.root for _, event in watch.reached]
    if not roots and error is not None:
        about = [e.root for e in watch.events if e.time]
        roots = [root for root in about if root.rank < 2 and root.hidden_by is None][-1:]
        if not roots:
            raise error
    if error is not None:
        text = str(error).strip().split("\n")[0]
        notes.append(f"The function then stopped with {type(error).__name__}: {text}")
    if not roots and hidden:
        roots = [e for e in watch.events if e.root is e and e.rank == 0 and _was_hidden(e)]
    if not roots:
        return None
    return _trace_of(first_root(roots), watch, notes)


def _was_hidden(event: Event) -> bool:
    """Whether someone's code hid it, rather than the guard inside autograd's own formula."""
    by = event.hidden_by
    return (
        by is None
        or event.operation is None
        or by.node is None
        or (by.node != event.operation.node)
    )


def _trace_of(root: Event, watch: Watch, notes: list[str]) -> Trace:
    reached = tuple(dict.fromkeys(name for name, _ in watch.reached))
    event, cure = root, root.found.cause.cure
    story: list[str] = []
    made_by = root.operation
    if made_by is not None and made_by.derivative and made_by.forward and made_by.forward.event:
        # The forward value was not finite either, at the same operation: that came first.
        event, cure = made_by.forward.event.root, hidden_cure()
        story.append(f"{_hiding(event)}, but not from its derivative: {root.found.cause.text}.")
    if event.became is not None:
        turned = event.became
        assert turned.operation is not None  # only an input has none
        story.append(
            f"It becomes NaN in {turned.operation.name}{_at(turned.operation)}: "
            f"{turned.found.cause.text}."
        )
    if event is root and event.hidden_by is not None and not _spoils_result(reached):
        story.append(f"{_hiding(event)}.")
    if made_by is not None and made_by.forward is not None:
        by_hand = not made_by.derivative and made_by.name != made_by.plain
        if by_hand:
            story.append(f"Its forward ran{_at(made_by.forward)}.")
    if reached:
        named = list(reached)
        if len(named) > 3:
            named[2:] = [f"{len(reached) - 2} more"]
        story.append(f"It spoils {' and '.join(filter(None, [', '.join(named[:-1]), named[-1]]))}.")
    elif not notes:
        story.append("No result and no gradient shows it.")
    return _assembled(event, cure, reached, (*story, *notes))


def _assembled(event: Event, cure: str, reached: tuple[str, ...], story: tuple[str, ...]) -> Trace:
    made_by, found = event.operation, event.found
    line, inner = lines_of(made_by.frames) if made_by else (None, None)
    phase = made_by.phase if made_by and event.kind != "input" else "input"
    return Trace(
        phase=phase,
        operation=made_by.name if made_by else "",
        cause=found.cause.text,
        cure=cure,
        value=found.value,
        shape=found.shape,
        dtype=found.dtype,
        index=found.index,
        count=found.count,
        operands=found.operands,
        line_of_code=line,
        inner=inner,
        aten=made_by.full if made_by else "",
        reached=reached,
        story=story,
        picture=found.picture,
    )


def _hiding(event: Event) -> str:
    by = event.hidden_by
    if by is None:
        return "The result does not show it"
    if by.phase == "backward":
        return f"The derivative of {by.name}{_at(by)} hides it from the gradients"
    return f"{by.name}{_at(by)} hides it from the result"


def _at(operation: Operation) -> str:
    line, _ = lines_of(operation.frames)
    return f" at {line.where}" if line else ""


def _spoils_result(reached: tuple[str, ...]) -> bool:
    return any(name.startswith("the result") for name in reached)


def _copied(value, label, requires_grad, names, copies):
    """``value`` with its tensors copied; the copies and their names are noted."""
    if isinstance(value, torch.Tensor):
        copy = value.detach().clone()
        differentiable = copy.is_floating_point() or copy.is_complex()
        if differentiable and (value.requires_grad or requires_grad):
            copy.requires_grad_()
        given = copy
        if copy.requires_grad and not (value.requires_grad and value.is_leaf):
            # As a leaf it could not be changed in place, which the caller's own tensor could.
            with torch.enable_grad():
                given = copy.clone()
            given.retain_grad()
        names += [(given, label), (copy, label)]
        copies.append((given, copy))
        return given
    if isinstance(value, MutableMapping):
        copy = shallow_copy(value)
        for key, item in value.items():
            copy[key] = _copied(item, f"{label}[{key!r}]", requires_grad, names, copies)
        return copy
    if isinstance(value, (list, tuple)):
        items = [
            _copied(v, f"{label}[{i}]", requires_grad, names, copies) for i, v in enumerate(value)
        ]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _argument_names(fn: Callable[..., object], count: int) -> list[str]:
    """The names of the positional arguments, where the function tells."""
    target = fn.forward if isinstance(fn, torch.nn.Module) else fn
    names = []
    with contextlib.suppress(TypeError, ValueError):  # built-in functions have no signature
        for parameter in inspect.signature(target).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                names.append(f"the input {parameter.name}")
    return (names + [f"input {i}" for i in range(len(names), count)])[:count]


def _names_around(
    fn: Callable[..., object], inputs: Iterable[tuple[str, object]]
) -> list[tuple[torch.Tensor, str]]:
    """Tensors that the function can reach without being given them itself, with their names."""
    around = {"": fn, "self": getattr(fn, "__self__", None)}
    with contextlib.suppress(TypeError, ValueError):
        variables = inspect.getclosurevars(inspect.unwrap(fn))
        around |= {**variables.globals, **variables.nonlocals}
    modules = ((name, value) for name, value in inputs if isinstance(value, torch.nn.Module))
    around |= {name.removeprefix("the input "): module for name, module in modules}
    names = []
    for name, value in around.items():
        if isinstance(value, torch.nn.Module):
            prefix = "" if value is fn else f"{name}."
            members = [*value.named_parameters(), *value.named_buffers()]
            names += [(tensor, f"the parameter {prefix}{member}") for member, tensor in members]
        elif isinstance(value, torch.Tensor):
            names.append((value, f"the tensor {name}"))
    gradients = [(t.grad, f"the old gradient of {name}") for t, name in names if t.is_leaf]
    return names + [(grad, name) for grad, name in gradients if grad is not None]


def _parts(value: object, name: str) -> Iterator[tuple[str, object]]:
    """The tensors and numbers in a result, with names."""
    if isinstance(value, (torch.Tensor, float)):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(item, f"{name}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _parts(item, f"{name}[{i}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _parts(getattr(value, item.name), f"{name}.{item.name}")


def _tensors_in(value: object) -> Iterator[torch.Tensor]:
    return (part for _, part in _parts(value, "") if isinstance(part, torch.Tensor))


def _eager():
    """Run compiled functions as the Python that they were made from, line by line."""
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        return torch.compiler.set_stance("force_eager")
    return contextlib.nullcontext()
