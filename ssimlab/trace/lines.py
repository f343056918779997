"""Which line of whose code an operation comes from."""

from __future__ import annotations

import functools
import inspect
import itertools
import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import torch

_TORCH = tuple(
    os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), name, "")
    for name in ("torch", "functorch", "torchgen")
)
_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.join(os.path.dirname(_HERE), "")  # that this one is a part of
_STDLIB = tuple(
    os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib")
)
_INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")
_ENGINE = "_engine_run_backward"  # the last Python frame before autograd's C++ engine


@dataclass(frozen=True)
class Line:
    """One line of source.

    Args:
        file: path as Python knows it.
        line: number, from 1.
        code: the source line without its indentation, empty where the source is not at hand.
        function: the function that contains it.
        columns: start and end of the expression in ``code``, where Python knows them (3.11 on).
    """

    file: str
    line: int
    code: str
    function: str
    columns: tuple[int, int] | None = None

    @property
    def where(self) -> str:
        """The place in words, without the folders that are this machine's own business."""
        inside = "" if self.function.startswith("<") else f", in {self.function}"
        cell = _cell(self.file)
        return f"{cell}, line {self.line}{inside}" if cell else self._short + inside

    @property
    def _short(self) -> str:
        return f"{_without_folders(self.file)}:{self.line}"


class Frame(NamedTuple):
    """What is kept of a Python frame: enough to find its line later, nothing that it holds."""

    code: CodeType
    instruction: int
    line: int

    def located(self) -> Line:
        file, line = self.code.co_filename, self.line or self.code.co_firstlineno
        text = linecache.getline(file, line).rstrip("\n")
        code = text.strip()
        columns = self._columns(text, len(text) - len(text.lstrip()))
        return Line(file, line, code, self.code.co_name, columns)

    def _columns(self, text: str, indentation: int) -> tuple[int, int] | None:
        if sys.version_info < (3, 11):
            return None
        positions = itertools.islice(self.code.co_positions(), self.instruction // 2, None)
        first, last, start, end = next(positions, (None,) * 4)
        if None in (first, last, start, end) or first != self.line:
            return None
        # Python counts bytes of UTF-8, a reader counts characters.
        characters = [len(text.encode()[:n].decode(errors="ignore")) for n in (start, end)]
        stripped = len(text.rstrip())
        start, end = characters[0], characters[1] if last == first else stripped
        columns = start - indentation, min(end, stripped) - indentation
        return columns if 0 <= columns[0] < columns[1] else None


class Call(NamedTuple):
    """The Python side of one operation.

    Args:
        frames: frames outside torch, innermost first, no further out than the traced function
            or, in the backward pass, than autograd's engine. Where the traced function is torch's
            own, the one frame that called the tracer.
        recomputing: whether a checkpoint is running a piece of the forward pass again.
        function: name of the ``autograd.Function`` whose code this is, or None.
    """

    frames: tuple[Frame, ...]
    recomputing: bool
    function: str | None


def current_call() -> Call:
    """The call that is being dispatched now."""
    frame = sys._getframe(1)
    frames, recomputing, function, outside = [], False, None, False
    while frame is not None:
        code = frame.f_code
        owner = _owner(code.co_filename)
        if code.co_name == _ENGINE or (owner == "tracer" and frames):
            break
        if owner == "tracer":
            outside = outside or code.co_name == "first_nonfinite"
        elif owner != "torch":
            frames.append(Frame(code, frame.f_lasti, frame.f_lineno))
            function = function or _function_of(code)
            if outside:
                break
        elif code.co_filename.endswith("checkpoint.py"):
            recomputing = True
        frame = frame.f_back
    return Call(tuple(frames), recomputing, function)


def lines_of(frames: tuple[Frame, ...]) -> tuple[Line | None, Line | None]:
    """The user's line, and the innermost library line below it where there is one.

    Where all the code is a library's, its innermost line is all there is to name.
    """
    if not frames:
        return None, None
    user = next((f for f in frames if _owner(f.code.co_filename) == "user"), None)
    if user is None:
        return frames[0].located(), None
    return user.located(), None if user is frames[0] else frames[0].located()


def is_users(frames: tuple[Frame, ...]) -> bool:
    """Whether any of the frames is the user's own code."""
    return any(_owner(frame.code.co_filename) == "user" for frame in frames)


@functools.lru_cache(maxsize=4096)
def _owner(file: str) -> str:
    if file.startswith(_TORCH):
        return "torch"
    if os.path.dirname(file) == _HERE:
        return "tracer"
    if file.startswith((_PACKAGE, *_STDLIB, "<frozen ")) or _INSTALLED.search(file):
        return "library"
    return "user"


@functools.lru_cache(maxsize=4096)
def _function_of(code: CodeType) -> str | None:
    """The ``autograd.Function`` that a piece of code is a step of, by name.

    Looked up by the code, because ``apply``, which runs it, is a Python frame in torch up to 2.14.
    """
    for function in _subclasses(torch.autograd.Function):
        for step in ("forward", "setup_context", "backward", "vjp", "jvp"):
            method = inspect.unwrap(getattr(function, step))
            if getattr(method, "__code__", None) is code:
                return function.__name__
    return None


def _subclasses(kind: type) -> Iterator[type]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _cell(file: str) -> str | None:
    """The notebook cell that a file name stands for, or None for a file."""
    old = re.match(r"<ipython-input-(\d+)-", file)
    if old:
        return f"cell [{old[1]}]"
    if "ipykernel_" not in file:
        return None
    ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    name = getattr(getattr(ipython, "compile", None), "format_code_name", lambda _: None)(file)
    number = re.search(r"\d+", name[1]) if name else None
    return f"cell [{number[0]}]" if number else "a notebook cell"


def _without_folders(file: str) -> str:
    roots = [os.getcwd(), os.path.dirname(os.path.dirname(_HERE)), *filter(None, sys.path)]
    under = [root for root in map(os.path.abspath, roots) if file.startswith(root + os.sep)]
    if not under:
        return os.path.basename(file) or file
    return Path(file).relative_to(max(under, key=len)).as_posix()
