"""The numbers of a machine that bound what a kernel can reach, and the kernel's own.

The cores do so many arithmetic operations in a second, those in a vector counted one by one, and
so many bytes come from memory; what needs so many of either cannot be faster than the slower of
the two allows. The peaks are measured by small loops, compiled as the kernel is. The kernel's
operations are counted by running its own loops on numbers that count. Source: Williams, Waterman
and Patterson (2009).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from .._extras import extra

STEPS = 32  # operations for each load and store


class Peaks(NamedTuple):
    """What the machine reached with all threads together, float32."""

    operations: float  # multiply-adds or sums in a second, each number of a vector counted
    bytes: float  # to and from memory in a second


def peaks(threads: int | None = None, *, repeats: int = 5) -> Peaks:
    """Measure the machine, the best of some repeats; a second, and some more to compile.

    Some processors add beside their multiply-adds, in units of their own, others in the same. So
    two loops are tried, of multiply-adds alone and of as many sums beside them; the faster counts.

    Args:
        threads: how many work at once; as many as torch uses by default.
        repeats: of each measurement.

    Raises:
        ModuleNotFoundError: Numba is not installed.
    """
    threads = threads or torch.get_num_threads()
    rounds = 20_000
    small = [np.ones(2048, np.float32) for _ in range(threads)]  # fits into the first cache
    large = [np.ones((2, 1 << 23), np.float32) for _ in range(threads)]  # fits into none
    with ThreadPoolExecutor(threads) as pool:

        def best(work: Callable[[Any], object], on: Sequence[Any]) -> float:
            seconds: list[float] = []
            for _ in range(repeats + 1):  # the first compiles and starts the threads
                begin = time.perf_counter()
                list(pool.map(work, on))
                seconds.append(time.perf_counter() - begin)
            return min(seconds[1:])

        arithmetic = min(best(lambda v, f=f: f(v, rounds), small) for f in _loops())
        copying = best(lambda halves: np.copyto(halves[0], halves[1]), large)
    return Peaks(
        STEPS * rounds * sum(v.size for v in small) / arithmetic,
        sum(v.nbytes for v in large) / copying,
    )


def operations(taps: Sequence[float], *, gradient: bool = True) -> float:
    """Arithmetic operations of the CPU kernel for a pixel.

    A product and the sum that takes it up are one operation, as they are one instruction. Not
    counted are loading and storing, what is computed twice where tiles overlap or beyond an
    image's edge, and of the two ways to compute a map value the one that a window does not take.
    Every pixel is taken to have a window of its own.

    Args:
        taps: the window's weights along one dimension.
        gradient: whether the gradient is made too.

    Raises:
        ModuleNotFoundError: Numba is not installed.
    """
    with extra("kernels"):
        from ..kernels import cpu

    count = [0]
    r = len(taps) // 2
    rows, columns = 6 * r + 1, cpu.BLOCK + 2 * r

    def numbers(*shape: int) -> Any:
        generator = np.random.default_rng(0)
        array = np.empty(shape, object)
        array.ravel()[:] = [_Counted(v, count) for v in generator.random(array.size)]
        return array

    images, moments, rises = (numbers(n, rows, columns) for n in (3, 6, 3))
    factors, spread = (numbers(n, rows, columns) for n in (4, 5))
    window, result = numbers(6, columns), numbers(2, columns)
    w, one = numbers(len(taps)), numbers(1)[0]
    loops: list[tuple[Any, tuple[Any, ...]]] = [
        (cpu.along_rows_pair, (images, moments, w, taps, r, r)),
        (cpu.along_rows_difference, (images, moments, w, taps, r, r)),
        (cpu.rise, (images, moments, rises, r, r)),
        (cpu.down_columns_pair, (moments, rises, window, w, taps, 0)),
        (cpu.down_columns_difference, (moments, rises, window, w, taps, 0)),
        (cpu.combine, (images, window, result, factors, taps, one, one, True, gradient, 0, r)),
    ]
    if gradient:
        loops += [
            (cpu.spread_down_columns, (images, factors, spread, w, taps, 0, r)),
            (cpu.spread_along_rows, (images, spread, w, taps, 0, r)),
        ]
    for function, arguments in loops:
        function.py_func(*arguments)
    return count[0] / cpu.BLOCK


class _Counted:
    """A number that counts what is done with it, a product and the sum that takes it up as one."""

    def __init__(self, value: float, count: list[int], product: bool = False) -> None:
        self.value, self.count, self.product = value, count, product
        self.taken_up = False

    def _result(self, value: float, *of: Any, product: bool = False) -> _Counted:
        self.count[0] += 1 + sum(_used(part) for part in (self, *of))
        return _Counted(value, self.count, product)

    def _sum(self, other: Any, value: float) -> _Counted:
        for part, rest in ((self, other), (other, self)):
            if getattr(part, "product", False):  # that operation now adds as well
                part.product, part.taken_up = False, True
                self.count[0] += _used(rest)
                return _Counted(value, self.count)
        return self._result(value, other)

    def __add__(self, other: Any) -> _Counted:
        return self._sum(other, self.value + _value(other))

    def __sub__(self, other: Any) -> _Counted:
        return self._sum(other, self.value - _value(other))

    def __rsub__(self, other: Any) -> _Counted:
        return self._sum(other, _value(other) - self.value)

    def __mul__(self, other: Any) -> _Counted:
        return self._result(self.value * _value(other), other, product=True)

    def __truediv__(self, other: Any) -> _Counted:
        return self._result(self.value / _value(other), other)

    def __rtruediv__(self, other: Any) -> _Counted:
        return self._result(_value(other) / self.value, other)

    def __neg__(self) -> _Counted:
        return self._result(-self.value)

    def __lt__(self, other: Any) -> bool:
        self.count[0] += 1 + _used(self)
        return self.value < _value(other)

    __radd__, __rmul__ = __add__, __mul__


def _used(number: Any) -> int:
    """What a number costs beside the operation that uses it: a product taken up is made again."""
    if not isinstance(number, _Counted):
        return 0
    again = number.taken_up
    number.product = number.taken_up = False
    return int(again)


def _value(number: Any) -> float:
    return getattr(number, "value", number)


def _loops() -> tuple[Any, Any]:
    """Loops with STEPS operations for each number: multiply-adds, and half of them sums."""
    with extra("kernels"):
        from numba import njit

        from ..kernels.loops import whole_registers

    a, b = np.float32(0.999), np.float32(0.001)

    # The inner loops are unrolled, so that the loops around them take vectors.
    @njit(nogil=True, fastmath={"contract"})
    def multiply_adds(v: Any, rounds: int) -> None:
        whole_registers()  # as the kernel does
        for _ in range(rounds):
            for j in range(len(v)):
                s = t = v[j]
                for _ in range(STEPS // 2):
                    s, t = s * a + b, t * b + a
                v[j] = s * t

    @njit(nogil=True, fastmath={"contract"})
    def with_sums(v: Any, rounds: int) -> None:
        whole_registers()
        for _ in range(rounds):
            for j in range(len(v)):
                s = t = p = q = v[j]
                for _ in range(STEPS // 4):
                    s, t, p, q = s * a + b, t * b + a, p + s, q - t
                v[j] = (s * t) * (p * q)

    return multiply_adds, with_sums
