"""Draw how the house is laid out, in CONTRIBUTING.md: which part imports which.

    python -m tools.house            draw it
    python -m tools.house --check    change nothing; fail if the picture is stale

GitHub draws the picture from its text. An arrow that follows from two others is left out.
"""

import argparse
import json
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

from tools.imports import ROOT, Project, notebook_code

PAGE = ROOT / "CONTRIBUTING.md"
PLACE = re.compile(r"(?<=<!-- house -->\n).*(?=<!-- /house -->)", re.DOTALL)

#: For each part of the house, the parts that it imports.
House = dict[str, set[str]]


def part_of(module: str) -> str:
    """The part of the house that a module belongs to: a module of ``ssimlab``, or a package."""
    return ".".join(module.split(".")[: 2 if module.startswith("ssimlab.") else 1])


def house(root: Path = ROOT) -> House:
    """The house as the imports have it."""
    project = Project(root, ("ssimlab", "claims", "benchmarks", "tools"))
    imported: House = {}
    for module in project.modules():
        imported.setdefault(part_of(module), set()).update(project.needs_of(module).modules)
    imported["notebooks"] = set()
    for path in (root / "notebooks").glob("*.ipynb"):
        code = notebook_code(json.loads(path.read_text(encoding="utf8")))
        imported["notebooks"] |= project.needs(code).modules
    # The doors of the package: one hands on every public name, one starts commands by their names.
    del imported["ssimlab"], imported["ssimlab.__main__"]
    return {
        part: {*map(part_of, modules)} & imported.keys() - {part}
        for part, modules in imported.items()
    }


def reduced(imported: House) -> House:
    """From the top of the house down, each part without the imports that follow from others.

    Raises:
        graphlib.CycleError: parts import one another in a circle.
    """
    order = TopologicalSorter({part: sorted(imported[part]) for part in sorted(imported)})
    below: House = {}
    for part in order.static_order():
        below[part] = imported[part].union(*(below[other] for other in imported[part]))
    return {
        part: imported[part].difference(*(below[other] for other in imported[part]))
        for part in reversed(below)
    }


def picture(imported: House) -> str:
    """The house in the language of Mermaid, the package in a frame of its own."""
    within, around = {}, {}
    pointed_at = set().union(*(imported[p] for p in imported if p.startswith("ssimlab.")))
    for part, ends in reduced(imported).items():
        lines = within if part.startswith("ssimlab.") else around
        if ends or part not in pointed_at:
            lines.setdefault(" & ".join(sorted(ends)), []).append(part)

    def drawn(lines: dict[str, list[str]], indent: str) -> list[str]:
        arrows = [" --> ".join(filter(None, [" & ".join(p), ends])) for ends, p in lines.items()]
        return [f"{indent}{arrow}".replace("ssimlab.", "") for arrow in arrows]

    frame = ["  subgraph ssimlab", *drawn(within, "    "), "  end"]
    return "\n".join(["```mermaid", "flowchart TD", *frame, *drawn(around, "  "), "```", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if stale")
    check = parser.parse_args().check
    before = PAGE.read_text(encoding="utf8")
    after = PLACE.sub(lambda _: picture(house()), before)
    if check and after != before:
        sys.exit(f"The picture in {PAGE.name} is stale: run `make house`.")
    PAGE.write_text(after, encoding="utf8")


if __name__ == "__main__":
    main()
