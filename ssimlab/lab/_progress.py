"""Where the code runs, and a progress bar where somebody waits for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from .._extras import extra

Item = TypeVar("Item")


def is_static() -> bool:
    """Whether SSIMLAB_STATIC=1 announces a book build, whose pages no kernel will answer."""
    return os.environ.get("SSIMLAB_STATIC", "") not in ("", "0")


def in_kernel() -> bool:
    """Whether a Jupyter kernel runs the code."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def progress(items: Iterable[Item], *, desc: str, unit: str) -> Iterable[Item]:
    """The items, with a progress bar where somebody waits for them and no page would keep it."""
    if is_static() or not (sys.stderr.isatty() or in_kernel()):
        return items
    with extra("lab"):
        from tqdm.auto import tqdm

    return tqdm(items, desc=desc, unit=unit, leave=False)
