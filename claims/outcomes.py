"""Measure claims one after another, and say what came of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .registry import Claim, Finding, get


def measure(chosen: Sequence[Claim]) -> dict[str, Finding]:
    """Run the claims, print a line for each as soon as it is known, return the findings."""
    findings = {}
    for done, claim in enumerate(chosen, start=1):
        finding = findings[claim.number] = claim.run()
        place = f"[{done:>{len(str(len(chosen)))}}/{len(chosen)}]"
        verdict = claim.verdict(finding).value
        print(f"{place} {claim.number:<5} {verdict:<14} {claim.paraphrase}", flush=True)
    return findings


def surprises(findings: Mapping[str, Finding]) -> list[str]:
    """One line for each claim whose verdict is not the expected one."""
    return [
        f"claim {number}: {expected.name} was expected, {came.name} came out"
        for number, finding in findings.items()
        if (came := get(number).verdict(finding)) is not (expected := get(number).expected)
    ]
