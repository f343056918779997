"""What a claim is, what measuring it gives, and the list of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import torch


class Verdict(Enum):
    """What came of a claim."""

    HOLDS = "holds"
    CONDITIONAL = "holds only if"
    FALSE = "false"


@dataclass(frozen=True)
class Document:
    """A document whose claims are tested; ``key`` is its entry in the book's bibliography."""

    key: str
    title: str
    kind: str


#: In the order of the claims' numbers: claim 2.3 is the third of the document at index 2.
DOCUMENTS = (
    Document(
        "article-ssim-nan",
        "Why does structural similarity loss in PyTorch produce NaN values?",
        "article",
    ),
    Document(
        "forum-derivative",
        "Analytical SSIM derivative differs from autograd computation",
        "forum thread",
    ),
    Document(
        "article-debug-nan",
        "How can I debug NaN loss and improve accuracy when implementing a custom PyTorch loss "
        "function?",
        "article",
    ),
    Document(
        "article-loss-nan",
        "Why are NaN values appearing in PyTorch loss calculations?",
        "article",
    ),
    Document("page-kornia-loss", "Implementation: Kornia SSIM loss", "documentation page"),
)

#: What a claim is about.
KINDS = ("cause", "example", "formula", "behavior", "remedy", "method")

#: The concept under which the book tells a claim's story.
CONCEPTS = (
    "seeing",
    "jacobian",
    "gradient",
    "autograd",
    "floats",
    "losses",
    "failures",
    "stable",
    "protocol",
    "training",
)

LONGEST_PARAPHRASE = 20


@dataclass(frozen=True)
class Finding:
    """What measuring a claim gave.

    Attributes:
        trials: for each circumstance in which the claim was put to the test, whether it came out
            as claimed.
        figures: the measured numbers, by name.
        explanation: what is true, with the measured numbers in it.
        condition: completes "holds only if"; needed where the trials disagree.
    """

    trials: Mapping[str, bool]
    figures: Mapping[str, object]
    explanation: str
    condition: str = ""

    def __post_init__(self):
        if not self.trials or not all(isinstance(t, bool) for t in self.trials.values()):
            raise ValueError("a finding needs at least one trial, each True or False")
        if not self.figures:
            raise ValueError("a finding needs the figures that its trials were decided by")
        if self.verdict is Verdict.CONDITIONAL and not self.condition:
            disagreeing = ", ".join(f"{name}: {came}" for name, came in self.trials.items())
            raise ValueError(f"trials disagree, so say what the claim depends on ({disagreeing})")

    @property
    def verdict(self) -> Verdict:
        """Holds if every trial came out as claimed, false if none did, conditional otherwise."""
        if all(self.trials.values()):
            return Verdict.HOLDS
        return Verdict.CONDITIONAL if any(self.trials.values()) else Verdict.FALSE

    def __str__(self) -> str:
        conditional = self.verdict is Verdict.CONDITIONAL
        lines = [f"{self.verdict.value} {self.condition}" if conditional else self.verdict.value]
        lines += [f"  {'yes' if came else 'no '}  {name}" for name, came in self.trials.items()]
        lines += [f"  {name}: {show(value)}" for name, value in self.figures.items()]
        return "\n".join([*lines, self.explanation])


@dataclass(frozen=True)
class Claim:
    """One claim of one document.

    Attributes:
        number: as in "2.3": the document's index in ``DOCUMENTS``, and the claim's place in it.
        document: where it is made.
        paraphrase: what it says, in at most twenty words.
        kind: one of ``KINDS``.
        concept: one of ``CONCEPTS``: which part of the book tells the story.
        expected: the verdict that the measurement gave when the claim was written down.
        measure: the function that tests it.
    """

    number: str
    document: Document
    paraphrase: str
    kind: str
    concept: str
    expected: Verdict
    measure: Callable[[], Finding]

    def run(self) -> Finding:
        """Measure, on the installed torch and libraries. Deterministic on one machine.

        Raises:
            ModuleNotFoundError: a library that the claim is about is not installed.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # so that sums are added up in the same order every time
        try:
            return self.measure()
        finally:
            torch.set_num_threads(threads)


_claims: dict[str, Claim] = {}


def claims_of(document_key: str):
    """The decorator factory for the claims of one document.

    Used as ``claim = claims_of("article-ssim-nan")`` and ``@claim("0.1", "…", kind=…, concept=…,
    expected=…)`` above a function that takes nothing and returns a :class:`Finding`.
    """
    index = [document.key for document in DOCUMENTS].index(document_key)

    def claim(number: str, paraphrase: str, *, kind: str, concept: str, expected: Verdict):
        def register(measure):
            if not number.startswith(f"{index}.") or number in _claims:
                raise ValueError(f"{number} is not a free number of document {index}")
            if kind not in KINDS or concept not in CONCEPTS:
                raise ValueError(f"claim {number}: unknown kind {kind!r} or concept {concept!r}")
            if len(paraphrase.split()) > LONGEST_PARAPHRASE:
                raise ValueError(f"claim {number}: more than {LONGEST_PARAPHRASE} words")
            _claims[number] = Claim(
                number, DOCUMENTS[index], paraphrase, kind, concept, expected, measure
            )
            return measure

        return register

    return claim


def all_claims() -> list[Claim]:
    """Every claim, ordered by number."""
    return sorted(_claims.values(), key=lambda c: tuple(map(int, c.number.split("."))))


def get(number: str) -> Claim:
    """The claim with this number, as in "2.3".

    Raises:
        KeyError: there is none.
    """
    if number not in _claims:
        first, *_, last = (c.number for c in all_claims())
        raise KeyError(f"there is no claim {number!r}: they run from {first} to {last}")
    return _claims[number]


def show(value: object, digits: int = 3) -> str:
    """A figure as text: three significant digits (in lists four), no padding in the exponent."""
    if isinstance(value, bool | str) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        if math.isfinite(value) and value == int(value) and abs(value) < 1_000:
            return str(int(value))
        if 1_000 <= abs(value) < 1_000_000:
            return f"{value:,.0f}"
        mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if exponent else mantissa
    if isinstance(value, list | tuple):
        return f"[{', '.join(show(item, 4) for item in value)}]"
    return str(value)
