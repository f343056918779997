"""What the tracer found, as an object that prints and shows itself."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field

import torch

from .card import render
from .cause import Spread, number
from .lines import Line
from .picture import Picture

_PHASES = {
    "input": "was there before the function ran",
    "forward": "made in the forward pass",
    "backward": "made in the backward pass",
}


@dataclass(frozen=True, repr=False)
class Trace:
    """Where the first number that is not finite came from.

    Args:
        phase: ``"input"``, ``"forward"`` or ``"backward"``.
        operation: the operation that made it. In the backward pass, the forward operation whose
            derivative made it; in the code of an ``autograd.Function``, that function; of an
            input, the first operation that passed it on.
        cause: what happened there, in a few words.
        cure: one line on what is usually done.
        value: the number itself: NaN, inf or −inf.
        shape, dtype: of the tensor that holds it.
        index: the first place where the tensor is not finite by this cause.
        count: how many of the tensor's numbers are not finite.
        operands: what the operation read to make the number at ``index``, by argument: a number,
            or a :class:`Spread` where many numbers make one.
        line_of_code: the user's own line, or the library's where no line is the user's; None if no
            Python code is behind it.
        inner: the innermost line of the library that this line calls, None if it calls torch.
        aten: the dispatcher's name of what ran.
        reached: the results and gradients that it spoils, empty if it is hidden from all.
        story: what became of it, in sentences.
        picture: where it struck, None for a tensor without rows and columns.
    """

    phase: str
    operation: str
    cause: str
    cure: str
    value: float
    shape: tuple[int, ...]
    dtype: torch.dtype
    index: tuple[int, ...]
    count: int
    operands: dict[str, float | Spread]
    line_of_code: Line | None
    inner: Line | None
    aten: str
    reached: tuple[str, ...]
    story: tuple[str, ...]
    picture: Picture | None = field(compare=False)

    @property
    def file(self) -> str | None:
        """Path of the user's own file."""
        return self.line_of_code and self.line_of_code.file

    @property
    def line(self) -> int | None:
        """Number of the user's own line."""
        return self.line_of_code and self.line_of_code.line

    @property
    def code(self) -> str | None:
        """That line of source, without its indentation."""
        return self.line_of_code and self.line_of_code.code

    @property
    def title(self) -> str:
        """One line: what, when, by what."""
        did = "passed on first by" if self.phase == "input" else "by"
        by = f", {did} {self.operation}" if self.operation else ""
        return f"{number(self.value)} {_PHASES[self.phase]}{by}: {self.cause}"

    def __repr__(self) -> str:
        where = f" at {self.line_of_code.where}" if self.line_of_code else ""
        return f"<Trace: {self.title}{where}>"

    def __str__(self) -> str:
        rows = [self.title]
        for name, line in self._places():
            rows.append(f"  {name:<9} {line.where}")
            rows += [f"              {line.code}"] if line.code else []
            if line.code and line.columns:
                start, end = line.columns
                rows.append(" " * (14 + start) + "^" * (end - start))
        for name, text in self._facts():
            lines = textwrap.wrap(text, 88) or [""]
            rows.append(f"  {name:<9} {lines[0]}")
            rows += [f"            {line}" for line in lines[1:]]
        return "\n".join(rows)

    def _repr_html_(self) -> str:
        facts = [(name, text) for name, text in self._facts() if name != "cure"]
        return render(
            __file__,
            "report.html",
            title=self.title,
            places=self._places(),
            facts=facts,
            picture=self.picture,
            cure=self.cure,
        )

    def _places(self) -> list[tuple[str, Line]]:
        places = [("at", self.line_of_code), ("inside", self.inner)]
        return [(name, line) for name, line in places if line is not None]

    def _facts(self) -> list[tuple[str, str]]:
        total = math.prod(self.shape)
        shape = " × ".join(map(str, self.shape)) or "a single number"
        place = f"; first at {list(self.index)}, {self.count} of {total} not finite"
        facts = [("tensor", f"{str(self.dtype).removeprefix('torch.')}, {shape}")]
        if self.shape:
            facts[0] = ("tensor", facts[0][1] + place)
        if self.operands:
            read = ", ".join(
                f"{name} = {value if isinstance(value, Spread) else number(value)}"
                for name, value in self.operands.items()
            )
            facts.append(("operands", read))
        if self.aten and self.aten.split(".")[1:2] != [self.operation]:
            facts.append(("torch ran", self.aten))
        if self.story:
            facts.append(("then", " ".join(self.story)))
        return [*facts, ("cure", self.cure)]
