"""The claims of five documents on SSIM, losses and NaN, each tested by a function.

    >>> import claims
    >>> claim = claims.get("2.2")
    >>> print(claim.told(claim.run()))

or ``python -m claims 2.2`` in a terminal.

One module for each document. A claim's verdict follows from its trials; which trials there are
and how close is close enough is chosen, and stands on the page. What was expected is recorded
beside it, and the tests fail where the two part.
"""

from . import debug_nan, forum_derivative, kornia_loss, loss_nan, ssim_nan
from .outcomes import measure, surprises
from .registry import (
    CONCEPTS,
    DOCUMENTS,
    Claim,
    Document,
    Finding,
    Says,
    Verdict,
    all_claims,
    get,
    show,
)

__all__ = [
    "CONCEPTS",
    "DOCUMENTS",
    "Claim",
    "Document",
    "Finding",
    "Says",
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
