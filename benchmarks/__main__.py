"""Measure ssimlab beside its peers.

python -m benchmarks                              everything, most of an hour; a quiet machine
python -m benchmarks --quick                      that all of it works, in some minutes
python -m benchmarks --only memory ssim-1x3x1080  parts, or tasks by how their names begin
python -m benchmarks --gpu                        on a GPU of NVIDIA, some minutes
python -m benchmarks --list                       the names that --only takes
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import record, run


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="two rounds in one process")
    parser.add_argument("--gpu", action="store_true", help="on a GPU instead of the CPU")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="parts or tasks")
    parser.add_argument("--processes", type=int, help="for each setting; 3, with --quick 1")
    parser.add_argument("--out", type=Path, help="where to write the record; else it is printed")
    parser.add_argument("--into", type=Path, help="a record in which to replace what is measured")
    parser.add_argument("--list", action="store_true", help="name the parts and tasks")
    options = parser.parse_args(arguments)
    if options.list:
        print(*run.names(), sep="\n")
        return 0
    unknown = [n for n in options.only if not any(known.startswith(n) for known in run.names())]
    if unknown:
        parser.error(f"nothing is named {' or '.join(unknown)}: --list names all")
    processes = options.processes or (1 if options.quick else 3)
    measure = run.run_on_gpu if options.gpu else run.run
    measured = measure(options.quick, options.only, processes)
    if options.into:
        record.save(record.merged(record.load(options.into), measured), options.into)
    elif options.out:
        record.save(measured, options.out)
    else:
        print(record.text(measured), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
