"""The claims of five documents on SSIM, losses and NaN, each tested by a function.

    >>> import claims
    >>> print(claims.get("2.2").run())

or ``python -m claims 2.2`` in a terminal.

One module for each document. A claim's verdict is never typed: it follows from the trials that
its function runs. What was expected is recorded beside it, and the tests fail where the two part.
"""

from . import debug_nan, forum_derivative, kornia_loss, loss_nan, ssim_nan
from .outcomes import measure, surprises
from .registry import (
    CONCEPTS,
    DOCUMENTS,
    KINDS,
    Claim,
    Document,
    Finding,
    Verdict,
    all_claims,
    get,
    show,
)

__all__ = [
    "CONCEPTS",
    "DOCUMENTS",
    "KINDS",
    "Claim",
    "Document",
    "Finding",
    "Verdict",
    "all_claims",
    "debug_nan",
    "forum_derivative",
    "get",
    "kornia_loss",
    "loss_nan",
    "measure",
    "show",
    "ssim_nan",
    "surprises",
]
