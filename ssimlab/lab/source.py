"""The package's own code, to be read where it is spoken of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class source:
    """The code of one function or more, as a page or a live notebook shows code.

    Args:
        functions: of Python; what Numba or Triton made of one is undone.
        fold: a line to stand alone, under which the code unfolds; without it the code stands open.
    """

    def __init__(self, *functions: Callable[..., Any], fold: str = "") -> None:
        self.text = "\n\n".join(inspect.getsource(_written(f)).rstrip() for f in functions)
        self.fold = fold

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        code = f"```python\n{self.text}\n```"
        if not self.fold:
            return code
        return f"<details><summary>{self.fold}</summary>\n\n{code}\n\n</details>"


def _written(function: Any) -> Callable[..., Any]:
    """The function as it was written, out of what a compiler has wrapped it in."""
    for name in ("py_func", "fn"):  # Numba's name for it, and Triton's
        function = getattr(function, name, function)
    return inspect.unwrap(function)
