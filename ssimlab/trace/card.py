"""Cards, tables and reports as HTML: templates that stand beside their module, in one look.

The look is that of card.css, which a template includes before a sheet of its own. It is kept here
because the tracer needs nothing else of ssimlab, while the others may import the tracer.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def render(module: str, template: str, **values: object) -> str:
    """What a template makes of ``values``, which it escapes.

    Args:
        module: path of the module beside which the template stands, its ``__file__``.
        template: its file name.
        **values: what it speaks of, by name.
    """
    return _templates(Path(module).parent).get_template(template).render(values)


@functools.cache
def _templates(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # torch brings it

    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
