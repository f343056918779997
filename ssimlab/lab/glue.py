"""Numbers for the prose: computed in a cell, printed in a sentence."""

from __future__ import annotations

from typing import Any

from .._extras import extra


def glue(name: str, value: Any, format: str = "{}") -> None:
    """Keep ``value`` under ``name``, for the text of the rendered page to print.

    The page writes it with MyST-NB's role ``{glue:text}`name```. The name must be new on its
    page; the cell shows nothing for it. Works without MyST-NB, so that a notebook runs anywhere.

    Args:
        name: of the number in the prose.
        value: a number, a 0-d tensor or a string.
        format: a format string for it, such as ``"{:.3f}"``.
    """
    with extra("lab"):
        from IPython.display import display

    prefix = "application/papermill.record/"
    text = format.format(value.item() if hasattr(value, "item") else value)
    display(
        {prefix + "text/plain": text},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
        raw=True,
    )
