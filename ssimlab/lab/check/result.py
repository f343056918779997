"""What a check found, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...trace.card import render
from .pairs import ImagePair
from .trial import TOLERANCE, Diagnosis, Trial


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """What a check found.

    A result is true if the function passed, prints as text, and shows as a table in a notebook.

    Attributes:
        quantity: "ssim" or "gradient".
        passed: whether every case passed.
        trials: what the function did with each case, smallest first.
    """

    quantity: str
    passed: bool
    trials: list[Trial]
    shown: Trial
    found: Diagnosis

    def __bool__(self) -> bool:
        return self.passed

    @property
    def diagnosis(self) -> str | None:
        """The name of the mistake; None if the function passed or no known mistake fits."""
        return self.found.name

    @property
    def explanation(self) -> str:
        """What to know about the mistake, or what the failures have in common."""
        return self.found.explanation

    @property
    def case(self) -> ImagePair:
        """The smallest case that failed (or that came out worst, if all passed): its images are
        ``.case.x`` and ``.case.y``, its range ``.case.data_range``."""
        return self.shown.case

    @property
    def expected(self) -> torch.Tensor:
        """The right value in that case, float64: a number, or a gradient of the shape of x."""
        return self.shown.expected

    @property
    def obtained(self) -> torch.Tensor | None:
        """The function's value in that case; None if it raised or returned something else."""
        return self.shown.obtained

    @property
    def failed(self) -> list[str]:
        """The names of all cases that failed, smallest first."""
        return [trial.case.name for trial in self.trials if not trial.passed]

    @property
    def worst_error(self) -> float:
        """The largest error over all cases, absolute for SSIM and relative for gradients."""
        return max((trial.error for trial in self.trials), key=lambda e: (e != e, e))

    @property
    def tolerance(self) -> float:
        """The largest error that passes, in the units of :attr:`worst_error`."""
        return TOLERANCE

    def __str__(self) -> str:
        rows = self._rows()
        width = max((len(label) for label, _ in rows), default=0)
        lines = [self._headline()]
        for label, text in rows:
            first, *others = text.split("\n")
            lines.append(f"  {label:<{width}}  {first}")
            lines += [" " * (width + 4) + other for other in others]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return render(
            __file__,
            "result.html",
            passed=self.passed,
            headline=self._headline(),
            rows=self._rows(),
        )

    def _headline(self) -> str:
        name, count = f"check.{self.quantity}", len(self.trials)
        if self.passed:
            return (
                f"{name}: passed on all {count} cases; largest {self._error_kind()} "
                f"{self.worst_error:.1e}, tolerance {self.tolerance:.0e}."
            )
        return f"{name}: failed on {len(self.failed)} of {count} cases. This is the smallest:"

    def _error_kind(self) -> str:
        return "error" if self.expected.ndim == 0 else "relative error"

    def _rows(self) -> list[tuple[str, str]]:
        if self.passed:
            return []
        case = self.case
        rows = [
            (
                "case",
                f"{case.name}: x and y of shape {case.shape}, data_range={case.data_range:g}\n"
                "(.case.x, .case.y and .case.data_range of this result)",
            )
        ]
        if self.obtained is not None:
            rows += self._values(self.obtained)
        others = self.failed[1:]
        passed = [trial.case.name for trial in self.trials if trial.passed]
        if len(passed) < len(others):
            rows.append(("passes", "; ".join(passed) or "none of the cases"))
        else:
            rows.append(("also fails", "; ".join(others) or "none of the other cases"))
        name = self.diagnosis or "no known mistake gives these values"
        rows.append(("diagnosis", f"{name}\n{self.explanation}"))
        return rows

    def _values(self, obtained: torch.Tensor) -> list[tuple[str, str]]:
        error = (
            self._error_kind(),
            f"{self.shown.error:.2e} (tolerance {self.tolerance:.0e})",
        )
        if self.expected.ndim == 0:
            return [
                ("expected", f"{float(self.expected):.12g}"),
                ("obtained", f"{float(obtained):.12g}"),
                error,
            ]
        difference = (obtained - self.expected).abs()
        # NaN counts as the worst there is.
        difference = difference.nan_to_num(nan=float("inf"))
        worst = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
        return [
            ("worst pixel", f"[{', '.join(map(str, worst))}]"),
            ("expected", f"{float(self.expected[worst]):.12g}"),
            ("obtained", f"{float(obtained[worst]):.12g}"),
            error,
        ]
