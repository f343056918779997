"""What a claim is, what measuring it gives, and the list of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import torch


class Says(Enum):
    """How a document puts a claim: it decides which trials could refute it."""

    IS = "is"  # of every circumstance within its scope: one trial that fails counts against it
    CAN = "can"  # can, may, might, often: one trial bears it out, and none refutes it


class Verdict(Enum):
    """What came of a claim."""

    HOLDS = "holds"
    CONDITIONAL = "holds only if"
    FALSE = "false"
    UNSEEN = "not seen"


@dataclass(frozen=True)
class Document:
    """A document whose claims are tested.

    Attributes:
        key: its entry in the book's bibliography.
        title: as the document has it.
        name: what every page of the book calls it.
    """

    key: str
    title: str
    name: str


#: In the order of the claims' numbers: claim 2.3 is the third of the document at index 2.
DOCUMENTS = (
    Document(
        "article-ssim-nan",
        "Why does structural similarity loss in PyTorch produce NaN values?",
        "the article on SSIM and NaN",
    ),
    Document(
        "forum-derivative",
        "Analytical SSIM derivative differs from autograd computation",
        "the forum thread",
    ),
    Document(
        "article-debug-nan",
        "How can I debug NaN loss and improve accuracy when implementing a custom PyTorch loss "
        "function?",
        "the article on custom losses",
    ),
    Document(
        "article-loss-nan",
        "Why are NaN values appearing in PyTorch loss calculations?",
        "the article on NaN in losses",
    ),
    Document(
        "page-kornia-loss", "Implementation: Kornia SSIM loss", "the page on kornia's SSIM loss"
    ),
)

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

LONGEST_PARAPHRASE = 25


@dataclass(frozen=True)
class Finding:
    """What measuring a claim gave.

    Attributes:
        trials: for each circumstance in which the claim was put to the test, whether it came out
            as claimed.
        figures: the measured numbers, by name.
        explanation: what is true, with the measured numbers in it.
        right: what is right in the claim; needed where it does not hold as it stands.
        condition: completes "holds only if"; needed where that is the verdict.
    """

    trials: Mapping[str, bool]
    figures: Mapping[str, object]
    explanation: str
    right: str = ""
    condition: str = ""

    def __post_init__(self):
        if not self.trials or not all(isinstance(t, bool) for t in self.trials.values()):
            raise ValueError("a finding needs at least one trial, each True or False")
        if not self.figures:
            raise ValueError("a finding needs the figures that its trials were decided by")

    def verdict(self, says: Says) -> Verdict:
        """What follows from the trials for a claim that is put in this way."""
        came = self.trials.values()
        if all(came) or (says is Says.CAN and any(came)):
            return Verdict.HOLDS
        if says is Says.CAN:
            return Verdict.UNSEEN
        return Verdict.CONDITIONAL if any(came) else Verdict.FALSE


@dataclass(frozen=True)
class Claim:
    """One claim of one document.

    Attributes:
        number: as in "2.3": the document's index in ``DOCUMENTS``, and the claim's place in it.
        document: where it is made.
        place: where in the document, so that a reader finds it.
        paraphrase: what it says, in other words, with its own scope and its own can or will.
        says: whether it says *is* or *can*.
        reading: what it was taken to mean, and why that is fair to its author.
        concept: one of ``CONCEPTS``: which part of the book tells the story.
        expected: the verdict that the measurement gave when the claim was written down.
        measure: the function that tests it; its docstring says what was varied.
    """

    number: str
    document: Document
    place: str
    paraphrase: str
    says: Says
    reading: str
    concept: str
    expected: Verdict
    measure: Callable[[], Finding]

    def run(self) -> Finding:
        """Measure, on the installed torch and libraries. Deterministic on one machine.

        Raises:
            ModuleNotFoundError: a library that the claim is about is not installed.
            ValueError: the finding lacks what its verdict needs.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # so that sums are added up in the same order every time
        try:
            finding = self.measure()
        finally:
            torch.set_num_threads(threads)
        verdict = self.verdict(finding)
        if verdict is Verdict.CONDITIONAL and not finding.condition:
            raise ValueError(f"claim {self.number}: trials disagree, so say what it depends on")
        if verdict is not Verdict.HOLDS and not finding.right:
            raise ValueError(f"claim {self.number} does not hold, so say what is right in it")
        return finding

    def verdict(self, finding: Finding) -> Verdict:
        """What this finding makes of the claim."""
        return finding.verdict(self.says)

    def told(self, finding: Finding) -> str:
        """The claim and all that was found of it, as text."""
        verdict = self.verdict(finding)
        said = [verdict.value, finding.condition] if verdict is Verdict.CONDITIONAL else None
        lines = [
            f"{self.number}  {self.paraphrase}",
            f"({self.place}; read as: {self.reading})",
            " ".join(said or [verdict.value]),
            *(f"  {'yes' if came else 'no '}  {name}" for name, came in finding.trials.items()),
            *(f"  {name}: {show(value)}" for name, value in finding.figures.items()),
            finding.explanation,
            *([f"What is right in it: {finding.right}"] if finding.right else []),
        ]
        return "\n".join(lines)


_claims: dict[str, Claim] = {}


def claims_of(document_key: str):
    """The decorator factory for the claims of one document.

    Used as ``claim = claims_of("article-ssim-nan")`` and ``@claim("0.1", "…", place=…, says=…,
    reading=…, concept=…, expected=…)`` above a function that takes nothing and returns a
    :class:`Finding`.
    """
    index = [document.key for document in DOCUMENTS].index(document_key)

    def claim(
        number: str,
        paraphrase: str,
        *,
        place: str,
        says: Says,
        reading: str,
        concept: str,
        expected: Verdict,
    ):
        def register(measure):
            if not number.startswith(f"{index}.") or number in _claims:
                raise ValueError(f"{number} is not a free number of document {index}")
            if concept not in CONCEPTS:
                raise ValueError(f"claim {number}: unknown concept {concept!r}")
            if len(paraphrase.split()) > LONGEST_PARAPHRASE:
                raise ValueError(f"claim {number}: more than {LONGEST_PARAPHRASE} words")
            _claims[number] = Claim(
                number,
                DOCUMENTS[index],
                place,
                paraphrase,
                says,
                reading,
                concept,
                expected,
                measure,
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
