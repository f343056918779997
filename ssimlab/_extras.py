"""What only an extra installs: where it is missing, one sentence says how to get it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Generator[None]:
    """Stands around the imports of packages that the extra called ``name`` installs.

    Raises:
        ModuleNotFoundError: one of them is missing; the message names it and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        raise ModuleNotFoundError(
            f'{package} is not installed: pip install "ssimlab[{name}]"', name=missing.name
        ) from None
