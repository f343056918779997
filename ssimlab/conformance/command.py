"""``python -m ssimlab conformance kornia``: the catalogue in a terminal.

Exit code 0: no miss. 1: at least one miss. 2: the command cannot be carried out.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from ..window import PADDINGS, Window
from .cases import CASES
from .runs import run
from .subjects import SUBJECTS, Subject, from_complement, from_dssim, subject

LOSSES = {"dssim": from_dssim, "complement": from_complement}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{case.slug:<22} {case.title}" for case in CASES))
        return 0
    if options.subject is None:
        parser.error("name a function: " + ", ".join(SUBJECTS) + ", or package.module:function")
    try:
        report = run(_subject(options), options.case, device=options.device)
    # An AssertionError is how torch says that a device is not there.
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
        parser.exit(2, f"{error}\n")
    print(report.to_json() if options.json else report)
    return 0 if report.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ssimlab conformance",
        description="Try an SSIM function on every case of the catalogue.",
        epilog="Exit code: 0 no miss, 1 at least one miss, 2 the command cannot be carried out.",
    )
    parser.add_argument(
        "subject", nargs="?", help=f"{', '.join(SUBJECTS)}, or package.module:function"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--case", action="append", metavar="SLUG", help="this case; repeatable")
    parser.add_argument("--device", default="cpu", help="where the images are put (cpu)")
    parser.add_argument(
        "--loss", choices=LOSSES, help="the function returns (1 - SSIM) / 2, or 1 - SSIM"
    )
    window = parser.add_argument_group("what package.module:function computes with")
    window.add_argument("--size", type=int, help="side of the window (11)")
    window.add_argument("--sigma", type=_sigma, help='of the Gaussian, or "uniform" (1.5)')
    window.add_argument("--padding", choices=PADDINGS, help="(valid)")
    return parser


def _subject(options: argparse.Namespace) -> Subject:
    window: dict[str, Any] = {
        name: None if value == "uniform" else value
        for name in ("size", "sigma", "padding")
        if (value := getattr(options, name)) is not None
    }
    found = subject(options.subject, window=Window(**window) if window else None)
    if options.loss is None:
        return found
    if options.subject in SUBJECTS:
        raise ValueError(f"{options.subject} is not a loss: --loss is for package.module:function")
    return replace(found, fn=LOSSES[options.loss](found.fn))


def _sigma(text: str) -> float | str:
    return text if text == "uniform" else float(text)
