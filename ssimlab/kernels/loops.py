"""How the loops of a tile are compiled, and where their arrays lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

_options: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
STEPS = "loops", "tiles"  # the modules that hold some
step = njit(forceinline=True, **_options)


def compiled(function: Callable[..., Any]) -> Any:
    """The function compiled, with its machine code kept on disk where that can be written.

    Numba makes the code anew where the function's own file has changed, and does not look at the
    modules from which it takes its steps. Their digest in the name, by which the code is kept,
    does that.
    """
    steps = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in STEPS)
    function.__qualname__ += f"_{hashlib.sha256(steps).hexdigest()[:12]}"
    try:
        return njit(cache=True, **_options)(function)
    except RuntimeError:  # Numba found no folder that it may write
        return njit(**_options)(function)


@step
def on_lines(array):
    """The array without as much of its last dimension as makes it begin on a line of the cache.

    A register that is loaded from two lines takes twice as long. Memory comes on half a line, and
    the rows of the array must be whole lines.
    """
    return array[..., -array.ctypes.data % 64 // array.itemsize :]


def take(taken):
    """The next number, from zero on, that no thread has been given: ``taken`` counts them.

    Numbers are dealt by the processor, and not by Python: a thread that is woken late has then
    made nobody wait, and none comes back to Python's lock for its next tile.
    """
    taken[0] += 1
    return taken[0] - 1


@intrinsic
def _take(_typing: Any, taken: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, arguments[0])
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return types.int64(taken), emit


@overload(take)
def _taken_at_once(taken):
    return lambda taken: _take(taken)  # pyright: ignore[reportCallIssue]


def whole_registers() -> None:
    """Let the function that says this use registers of 512 bits, where the processor has them.

    Left alone the compiler takes half of them on Intel's processors. The first that had them ran
    slower in their use; for loops as dense as these they are worth it.
    """


@intrinsic
def _whole_registers(_typing: Any) -> Any:
    def emit(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        # Not `add`, which knows the names that llvmlite knows.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), emit


@overload(whole_registers, inline="always")
def _of_the_caller() -> Any:
    return lambda: _whole_registers()  # pyright: ignore[reportCallIssue]
