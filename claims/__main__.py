"""Measure claims.

python -m claims              all of them, one line each
python -m claims 2.2 0.11     these, each with all that was found

The exit code is 1 if a verdict is not the expected one.
"""

from __future__ import annotations

import argparse
import sys

from . import all_claims, get, measure, surprises


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m claims", description="Measure claims.")
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="as in 2.2; all, if left out")
    numbers = parser.parse_args(arguments).numbers
    try:
        chosen = [get(number) for number in numbers]
        findings = measure(chosen or all_claims())
    except (KeyError, ModuleNotFoundError) as error:
        sys.exit(error.args[0])
    for claim in chosen:
        print(f"\n{claim.number}  {claim.paraphrase}\n{findings[claim.number]}")
    unexpected = surprises(findings)
    if unexpected:
        print("\nVerdicts have changed:", *unexpected, sep="\n  ")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
