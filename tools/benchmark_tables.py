"""Write the tables of README.md from the recorded benchmarks, and for the build the chapter's.

    python -m tools.benchmark_tables            write them
    python -m tools.benchmark_tables --check    change nothing; fail if they are not of the record

`make bench` measures, records and writes.
"""

import argparse
import re
import sys

from benchmarks import record, tables
from tools.imports import ROOT

PAGE = ROOT / "README.md"
CHAPTER = ROOT / "book" / "_generated" / "benchmarks.md"
RECORDED = record.RECORDED
PLACE = re.compile(r"(?<=<!-- benchmarks -->\n).*(?=<!-- /benchmarks -->)", re.DOTALL)


def write_chapter() -> None:
    """Write what the chapter on kernels includes, unless it is the same as before."""
    text = tables.chapter(record.load(RECORDED))
    CHAPTER.parent.mkdir(exist_ok=True)
    if not CHAPTER.exists() or CHAPTER.read_text(encoding="utf8") != text:
        CHAPTER.write_text(text, encoding="utf8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if stale")
    check = parser.parse_args().check
    before = PAGE.read_text(encoding="utf8")
    text = tables.readme(record.load(RECORDED))
    after, places = PLACE.subn(lambda _: f"\n{text}\n", before)
    if places != 1:
        sys.exit(f"{PAGE.name} needs one place between <!-- benchmarks --> and its end.")
    if check and after != before:
        sys.exit(f"The benchmarks in {PAGE.name} are not the recorded ones: run `make bench`.")
    if not check:
        PAGE.write_text(after, encoding="utf8")


if __name__ == "__main__":
    main()
