"""Measure claims.

python -m claims              all of them, one line each
python -m claims 2.2 0.11     these, each with all that was found

Exit code 0: every verdict is the expected one. 1: one is not. 2: the command cannot be carried out.
"""

from __future__ import annotations

import argparse

from ssimlab._command import exit_with

from . import Claim, Finding, all_claims, get, measure, surprises


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m claims", description="Measure claims.")
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="as in 2.2; all, if left out")
    numbers = parser.parse_args(arguments).numbers
    try:
        findings = in_full(list(map(get, numbers))) if numbers else measure(all_claims())
    except (KeyError, ModuleNotFoundError) as error:
        parser.exit(2, f"{error.args[0]}\n")
    unexpected = surprises(findings)
    if unexpected:
        print("Verdicts have changed:", *unexpected, sep="\n  ")
    return 1 if unexpected else 0


def in_full(chosen: list[Claim]) -> dict[str, Finding]:
    """Measure the claims and print all that was found of each."""
    findings = {}
    for claim in chosen:
        finding = findings[claim.number] = claim.run()
        print(f"{claim.told(finding)}\n", flush=True)
    return findings


if __name__ == "__main__":
    exit_with(main)
