"""HTML of templates that stand beside the module that shows them; what they are given is text."""

from __future__ import annotations

import functools


def render(template: str, **values: object) -> str:
    """What a template of this package makes of ``values``, which it escapes.

    Args:
        template: its path in the package, such as ``"conformance/report.html"``.
        **values: what it speaks of, by name.
    """
    return _templates().get_template(template).render(values)


@functools.cache
def _templates():
    from jinja2 import Environment, PackageLoader, StrictUndefined  # torch brings it

    return Environment(
        loader=PackageLoader("ssimlab", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
