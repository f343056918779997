"""A record as Markdown: what README.md and the book show.

Every table has the ratio of a peer's time to that of ssimlab, above 1 where ssimlab is faster, as
the median with the quartiles; and in the same row what the peer's result is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .record import Accuracy, Machine, Record, Result, Spread, Timing

NOTHING = "–"
QUICK = (
    "**These numbers are of a quick run,** few rounds in one process, which shows that all works. "
    "`make bench` measures."
)


def markdown(record: Record) -> str:
    """The tables with and without the gradient, how to read them, what it costs and where."""
    tables = [main_table(record, backward) for backward in (True, False)]
    return paragraphs(
        note(record), *tables, reading(record), faster(record), costs(record), where(record)
    )


def chapter(record: Record) -> str:
    """What the chapter shows: forward and backward, and behind a fold all else."""
    tables = [
        ("Forward alone", main_table(record, backward=False)),
        ("One thread", timing_table(record, threads=1)),
        ("With AVX2 alone", timing_table(record, isa="avx2")),
        ("MS-SSIM, forward and backward", timing_table(record, "ms_ssim")),
        ("Bytes, the mean of a uniform window of 7 × 7", timing_table(record, "box")),
        ("Bytes, as MATLAB's script has it", timing_table(record, "matlab")),
        ("What a pixel costs, forward and backward", sizes_table(record)),
        ("The machine's limits and the kernel's share, forward and backward", limits_table(record)),
    ]
    different = other_windows(t for t in record["timings"] if t["kind"] != "ssim")
    fold = paragraphs(
        "::::{dropdown} All that was measured, and with what",
        *(paragraphs(f"**{head}**", body) for head, body in tables if body),
        *record["notes"],
        f"Not what ssimlab computes: {different}." if different else "",
        where(record),
        "::::",
    )
    main = main_table(record, backward=True)
    return paragraphs(note(record), main, reading(record), faster(record), costs(record), fold)


def note(record: Record) -> str:
    """What has to be said first of a quick run."""
    return QUICK if record["quick"] else ""


def paragraphs(*texts: str) -> str:
    """Those that say something, one below the other."""
    return "\n\n".join(text.strip("\n") for text in texts if text) + "\n"


def main_table(record: Record, backward: bool) -> str:
    """A row for each candidate: times at each shape, errors, memory."""
    timings = [
        t
        for t in shown(record, "ssim")
        if t["threads"] == record["machine"]["threads"] and t["backward"] == backward
    ]
    if not timings:
        return ""
    pass_, what = ("forward + backward", "gradient") if backward else ("forward", "score")
    offsets = ", offset " + " · ".join(offsets_of(record)) if record["accuracy"] else ""
    heads = [pass_, *(size(t["shape"]) for t in timings), f"error of the {what}{offsets}"]
    rows = [
        [name, *(ratio(t, name) for t in timings), errors(record["accuracy"], name, what)]
        for name in names(timings)
    ]
    if backward and record["memory"]:
        heads.append("peak memory (images)")
        rows = [[*row, memory(record, row[0])] for row in rows]
    return table(heads, rows)


def timing_table(record: Record, kind: str = "ssim", threads: int = 0, isa: str = "native") -> str:
    """The ratios of all candidates of a kind, with so many threads; 0 is all."""
    threads = threads or record["machine"]["threads"]
    timings = [t for t in shown(record, kind, isa) if t["threads"] == threads]
    rows = [[name, *(ratio(t, name) for t in timings)] for name in names(timings)]
    return table(["", *map(title, timings)], rows)


def sizes_table(record: Record) -> str:
    """What a pixel costs at each size."""
    rows = [[f"{s['side']}²", spread(s["ns_per_pixel"])] for s in record["sizes"]]
    return table(["image", "ns for each pixel"], rows)


def limits_table(record: Record) -> str:
    """What the machine can do, and the share reached."""
    heads = ["threads", "10⁹ instructions/s", "GB/s", "share of each"]
    rows = [
        [
            str(each["threads"]),
            f"{each['ginstructions_per_s']:.0f}",
            f"{each['gb_per_s']:.0f}",
            f"{each['share_of_instructions']:.0%} · {each['share_of_bandwidth']:.0%}",
        ]
        for each in record["limits"]
    ]
    return table(heads, rows)


def shown(record: Record, kind: str, isa: str = "native") -> list[Timing]:
    """The timings of a kind, those with a backward pass first."""
    timings = [t for t in record["timings"] if t["kind"] == kind and t["isa"] == isa]
    return sorted(timings, key=lambda t: not t["backward"])


def names(timings: Sequence[Timing]) -> list[str]:
    """Everyone with a time, in the order of the record."""
    return list(dict.fromkeys(r["name"] for t in timings for r in t["results"] if r["ms"]))


def result(timing: Timing, name: str) -> Result | None:
    """One candidate's result, if it has a time."""
    return next((r for r in timing["results"] if r["name"] == name and r["ms"]), None)


def ratio(timing: Timing, name: str) -> str:
    """How many times as long a candidate takes; of ssimlab itself the milliseconds."""
    found = result(timing, name)
    if found is None:
        return NOTHING
    if found is timing["results"][0]:
        return milliseconds(timing, name) + " ms"
    return spread(found["ratio"]) if found["ratio"] else NOTHING


def milliseconds(timing: Timing, name: str) -> str:
    """The median time."""
    found = result(timing, name)
    return number(found["ms"]["median"]) if found and found["ms"] else NOTHING


def errors(accuracy: Sequence[Accuracy], name: str, of: str) -> str:
    """The worst errors at each offset, as 2e-8 · 4e-8."""
    found = [a for a in accuracy if a["name"] == name]
    values = [a["score"] if of == "score" else a["gradient"] for a in found]
    if not any(value is not None for value in values):
        return NOTHING
    return " · ".join(NOTHING if value is None else magnitude(value) for value in values)


def memory(record: Record, name: str) -> str:
    """Peak memory in image buffers."""
    buffers = (m["buffers"] for m in record["memory"] if m["name"] == name)
    found = next(buffers, None)
    return NOTHING if found is None else number(found)


def reading(record: Record) -> str:
    """How the tables are to be read."""
    shape = next((m["shape"] for m in record["memory"]), None)
    text = (
        "Of ssimlab these are milliseconds, of all others how many times as long they take, below "
        "1 where they are faster: the median [quartiles] of paired rounds in fresh processes "
        f"({record['processes']}), float32, {record['machine']['threads']} threads, as their "
        "documentation calls them, on random images; gradient by one image. "
    )
    if record["accuracy"]:
        text += (
            "Errors are medians over photographs with noise, blurred and brightened, against "
            "float64, at three offsets in data ranges: absolute for the score, relative for the "
            "gradient, above 1 nothing is left of it. Pixels within their data range have no such "
            "offset, and there all of these serve; pixels of 8 bits with a data range of 1 have "
            "one of about 200. "
        )
    if shape:
        text += f"Peak memory, forward and backward, is in images, {size(shape)}. "
    text += (
        "scikit-image uses one thread; frame-analytics' own kernel has no backward pass on a CPU, "
        "where its gradient is compiled torch. "
    )
    differing = other_windows(shown(record, "ssim"))
    missing = [name for name, version in record["versions"].items() if version is None]
    if differing:
        text += f"Not the window of the others: {differing}. "
    if missing:
        text += f"Not installed, so not measured: {', '.join(missing)}. "
    return text.strip()


def faster(record: Record) -> str:
    """Who is faster than ssimlab, and where; and what AVX2 alone makes of the ratios."""
    found = [
        f"{name} {number(r['ratio']['median'])} ({title(t)})"
        for t in record["timings"]
        if t["isa"] == "native" and t["threads"] == record["machine"]["threads"]
        for name, r in ((r["name"], r) for r in t["results"])
        if r["ratio"] and r["ratio"]["median"] < 0.95
    ]
    text = f"Faster than ssimlab: {'; '.join(found)}. " if found else ""
    narrow = [t for t in shown(record, "ssim", "avx2") if t["backward"]]
    ratios = [
        f"{name} {' · '.join(ratio(t, name).partition(' ')[0] for t in narrow)}"
        for name in names(narrow)
        if name in ("pytorch-msssim", "kornia", "torchmetrics", "frame-analytics")
    ]
    if ratios:
        text += (
            "With AVX2 alone torch chooses other code, on this machine faster for some of them, "
            f"and forward + backward the ratios are {'; '.join(ratios)}."
        )
    return text.strip()


def costs(record: Record) -> str:
    """What ssimlab costs: milliseconds, memory, the first call."""
    found: list[str] = []
    for m in record["memory"]:
        if m["name"] == "ssimlab" and m["mib"] is not None:
            found.append(f"{m['mib']:.0f} MiB beyond the images at {size(m['shape'])}")
    for first in record["first_calls"]:
        found.append(
            f"{first['first_call_s']:.1f} s for a process's first call with the cache of compiled "
            f"code {first['cache']}, after {first['import_numba_s']:.1f} s for importing Numba"
        )
    return f"What it costs: {'; '.join(found)}." if found else ""


def other_windows(timings: Iterable[Timing]) -> str:
    """Who computes something else than ssimlab, and what."""
    differing = dict.fromkeys(
        f"{r['name']}: {r['window']}"
        for t in timings
        for r in t["results"]
        if r["ms"] and r["window"] != t["results"][0]["window"]
    )
    return "; ".join(differing)


def offsets_of(record: Record) -> list[str]:
    """The offsets at which errors were taken."""
    return [f"{offset:g}" for offset in dict.fromkeys(a["offset"] for a in record["accuracy"])]


def where(record: Record) -> str:
    """Machine and versions."""
    m: Machine = record["machine"]
    installed = [f"{n} {v}" for n, v in record["versions"].items() if v is not None]
    wide = "AVX-512" if "avx512f" in m["flags"] else "AVX2" if "avx2" in m["flags"] else ""
    cpu = ", ".join(filter(None, [m["cpu"], wide, f"{m['cores']} cores", m["system"]]))
    load = "" if m["load"] is None else f"load before the run {m['load']}; "
    return f"{m['date']}, {cpu}; {load}Python {m['python']}, {', '.join(installed)}."


def title(timing: Timing) -> str:
    """What a column of times is of."""
    pass_ = "forward + backward" if timing["backward"] else "forward"
    return f"{pass_}, {size(timing['shape'])}"


def size(shape: Sequence[int]) -> str:
    """8 × 3 × 256²."""
    *planes, height, width = shape
    image = [f"{height}²"] if height == width else [str(height), str(width)]
    return " × ".join([*map(str, planes), *image])


def spread(of: Spread) -> str:
    """17.7 [15.8–19.3]."""
    return f"{number(of['median'])} [{number(of['low'])}–{number(of['high'])}]"


def number(value: float) -> str:
    """Two or three digits, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def magnitude(value: float) -> str:
    """2e-8, 0.31, 8e5: one digit where the power of ten is what counts."""
    if value == 0:
        return "0"
    if 0.1 <= value < 1000:
        return f"{value:.2g}" if value < 100 else f"{value:.0f}"
    digit, _, power = f"{value:.0e}".partition("e")
    return f"{digit}e{int(power)}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; nothing without rows."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    rule = "|".join(["---", *["--:"] * (len(heads) - 1)])
    return "\n".join([f"| {' | '.join(heads)} |", f"|{rule}|", *lines]) if lines else ""
