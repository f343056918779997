"""A record as Markdown: what README.md and the book show.

Every table has the ratio of a peer's time to that of ssimlab, above 1 where ssimlab is faster, as
the median with the quartiles; and in the same row what the peer's result is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .record import Accuracy, Machine, Record, Result, Spread, Timing

NOTHING = "–"
OWN = ("ssimlab", "one-pass form")  # not a library's
QUICK = (
    "**These numbers are of a quick run,** few rounds in one process, which shows that all works. "
    "`make bench` measures."
)
SHORT = (
    "On a CPU. The first row is in milliseconds, every other a multiple of it: the median of many "
    "rounds, with the gradient by one image; of the errors, the median over some photographs. The "
    "second row is the closed form in torch, the third E[x²] - μ². How all of it was measured "
    "stands under the fold."
)
CONVERSION = (
    "Of bytes, ssimlab's time includes their conversion to floats, and blazediff-ssim's does not "
    "include the one to the bytes that it takes."
)


def markdown(record: Record) -> str:
    """The tables with and without the gradient, how to read them, what it costs and where."""
    tables = [main_table(record, True), main_table(record, False)]
    tables.append(timing_table(record, "tuned", corner="set up for speed"))
    texts = [reading(record), faster(record), narrow(record), costs(record)]
    notes = " ".join(record["notes"])
    return paragraphs(note(record), summary(record), *tables, *texts, notes, where(record))


def chapter(record: Record) -> str:
    """What the chapter shows: forward and backward, and behind a fold all else."""
    tables = [
        ("Forward and backward, with quartiles", main_table(record, backward=True)),
        ("Forward alone", main_table(record, backward=False)),
        ("Set up for speed", timing_table(record, "tuned")),
        ("One thread", timing_table(record, threads=1)),
        ("With AVX2 alone", timing_table(record, isa="avx2")),
        ("MS-SSIM, forward and backward", timing_table(record, "ms_ssim")),
        ("Second derivatives", timing_table(record, "second")),
        ("Tensors of bytes", timing_table(record, "bytes")),
        ("Bytes, the mean of a uniform window of 7 × 7", timing_table(record, "box")),
        ("Bytes, as MATLAB's script has it", timing_table(record, "matlab")),
        ("What a pixel costs, forward and backward", sizes_table(record)),
        ("The machine's limits and the kernel's share, forward and backward", limits_table(record)),
    ]
    different = other_windows(t for t in record["timings"] if t["kind"] in ("box", "matlab"))
    fold = paragraphs(
        "::::{dropdown} All that was measured, how, and with what",
        reading(record),
        narrow(record),
        costs(record),
        *(paragraphs(f"**{head}**", body) for head, body in tables if body),
        *record["notes"],
        f"Not what ssimlab computes: {different}. {CONVERSION}" if different else "",
        where(record),
        "::::",
    )
    main = main_table(record, backward=True, quartiles=False)
    return paragraphs(
        note(record), main, SHORT, summary(record), tuned(record), faster(record), fold
    )


def summary(record: Record) -> str:
    """In a few sentences who comes nearest, and what ssimlab is without its kernel."""
    default = [t for t in shown(record, "ssim") if t["backward"]]
    default = [t for t in default if t["threads"] == record["machine"]["threads"]]
    near = nearest(default)
    if not near:
        return ""
    text = f"Forward and backward, in the median, the quickest of the libraries is {near}"
    if near := nearest(shown(record, "tuned")):
        text += f"; of those that are set up for speed, as a table has them, {near}"
    if near := nearest(shown(record, "ssim", "avx2")):
        text += f"; with all held to AVX2, {near}"
    text += "."
    ahead = [f"{name} at {k} of {len(default)} sizes" for name, k in before_eager(default)]
    if ahead:
        text += (
            " Without the extra `kernels` ssimlab is the second row, and faster on this CPU are "
            f"{', '.join(ahead)}. On a GPU that row's code runs too, and nothing was measured."
        )
    return text


def nearest(timings: Iterable[Timing]) -> str:
    """The library that takes the least, in proportion to the kernel, and where."""
    of_libraries = [
        (r["ratio"]["median"], r["name"], size(t["shape"]))
        for t in timings
        for r in t["results"]
        if r["ratio"] and not r["name"].startswith(OWN)
    ]
    if not of_libraries:
        return ""
    ratio, name, where = min(of_libraries)
    return f"{name}, which takes {number(ratio)} times as long as the kernel at {where}"


def before_eager(timings: Sequence[Timing]) -> list[tuple[str, int]]:
    """The libraries that are faster than ssimlab without its kernel, and at how many sizes."""
    ahead: dict[str, int] = {}
    for timing in timings:
        ratios = {r["name"]: r["ratio"]["median"] for r in timing["results"] if r["ratio"]}
        for name, ratio in ratios.items():
            if not name.startswith(OWN) and ratio < ratios.get("ssimlab, eager", 0):
                ahead[name] = ahead.get(name, 0) + 1
    return list(ahead.items())


def note(record: Record) -> str:
    """What has to be said first of a quick run."""
    return QUICK if record["quick"] else ""


def paragraphs(*texts: str) -> str:
    """Those that say something, one below the other."""
    return "\n\n".join(text.strip("\n") for text in texts if text) + "\n"


def main_table(record: Record, backward: bool, quartiles: bool = True) -> str:
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
        [
            name,
            *(ratio(t, name, quartiles) for t in timings),
            errors(record["accuracy"], name, what),
        ]
        for name in names(timings)
    ]
    if backward and record["memory"]:
        heads.append("peak memory (images)")
        rows = [[*row, memory(record, row[0])] for row in rows]
    return table(heads, rows)


def timing_table(
    record: Record, kind: str = "ssim", threads: int = 0, isa: str = "native", corner: str = ""
) -> str:
    """The ratios of all candidates of a kind, with so many threads; 0 is all."""
    threads = threads or record["machine"]["threads"]
    timings = [t for t in shown(record, kind, isa) if t["threads"] == threads]
    rows = [[name, *(ratio(t, name) for t in timings)] for name in names(timings)]
    return table([corner, *map(title, timings)], rows)


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


def ratio(timing: Timing, name: str, quartiles: bool = True) -> str:
    """How many times as long a candidate takes; of ssimlab itself the milliseconds."""
    found = result(timing, name)
    if found is None:
        return NOTHING
    if found is timing["results"][0]:
        return milliseconds(timing, name) + " ms"
    if found["ratio"] is None:
        return NOTHING
    return spread(found["ratio"]) if quartiles else number(found["ratio"]["median"])


def milliseconds(timing: Timing, name: str) -> str:
    """The median time."""
    found = result(timing, name)
    return number(found["ms"]["median"]) if found and found["ms"] else NOTHING


def errors(accuracy: Sequence[Accuracy], name: str, of: str) -> str:
    """The median errors at each offset, as 2e-8 · 4e-8."""
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
        "On a CPU. The first row is in milliseconds, every other a multiple of it, below 1 where "
        "it is faster: the median [quartiles] of paired rounds in fresh "
        f"processes ({record['processes']}), float32, {record['machine']['threads']} threads, on "
        "random images, gradient by one image; others are called plainly, with the "
        "published window where they have it; set up for speed, with images laid out as NHWC "
        "(channels last, the conversion included), by torch.compile, or both. The first row takes "
        "the extra `kernels`, the second is the closed form in torch's own operations, the third "
        "E[x²] - μ² in them. "
    )
    if record["accuracy"]:
        text += (
            "Errors are medians over photographs with noise, blurred and brightened, against "
            "float64, at three offsets in data ranges: absolute for the score, relative for the "
            "gradient, above 1 nothing is left of it. Pixels within their data range have no such "
            "offset, and there all of these serve. "
        )
    if shape:
        text += f"Peak memory of these calls is beyond the two images, in images of {size(shape)}. "
    text += (
        "scikit-image uses one thread; frame-analytics' own kernel has no backward pass on a CPU, "
        "where torch computes its gradient. "
    )
    differing = other_windows(shown(record, "ssim"))
    missing = [name for name, version in record["versions"].items() if version is None]
    if differing:
        text += f"Not the window of the others: {differing}. "
    if missing:
        text += f"Not installed, so not measured: {', '.join(missing)}. "
    return text.strip()


def faster(record: Record) -> str:
    """Who is faster than ssimlab, and where."""
    timings = [t for t in record["timings"] if t["isa"] == "native"]
    found = [told for name in names(timings) if (told := where_faster(timings, name))]
    kinds = {t["kind"] for t in timings}
    text = f"Faster than ssimlab: {'; '.join(found)}."
    if "second" in kinds:
        text += " Second derivatives are those of the eager form, whatever made the first."
    if kinds & {"box", "matlab"}:
        text += f" {CONVERSION}"
    return text if found else ""


def tuned(record: Record) -> str:
    """The ratios of others where they are set up for speed."""
    told = others(shown(record, "tuned"))
    return f"Set up for speed, forward + backward: {told}." if told else ""


def narrow(record: Record) -> str:
    """What AVX2 alone makes of the ratios."""
    timings = [t for t in shown(record, "ssim", "avx2") if t["backward"]]
    told = others(timings)
    if not told:
        return ""
    own = " · ".join(milliseconds(t, names(timings)[0]) for t in timings)
    return (
        f"With AVX2 alone, forward + backward, ssimlab takes {own} ms, and torch chooses other "
        "code for the others, some of which is faster on this machine. The ratios are then: "
        f"{told}."
    )


def others(timings: Sequence[Timing]) -> str:
    """The ratios of all but the first candidate, without quartiles."""
    return "; ".join(
        f"{name} {' · '.join(ratio(t, name, quartiles=False) for t in timings)}"
        for name in names(timings)[1:]
    )


def where_faster(timings: Iterable[Timing], name: str) -> str:
    """A candidate's ratios where it is faster than ssimlab; nothing where it is not."""
    of_name = [(t, r["ratio"]["median"]) for t in timings if (r := result(t, name)) and r["ratio"]]
    less = sorted((median, t["task"]) for t, median in of_name if median < 0.95)
    tasks = {t["task"]: t for t, _ in of_name}
    if len(less) < 3:
        told = (f"{number(median)} ({setting(tasks[task])})" for median, task in less)
        return f"{name} {', '.join(told)}" if less else ""
    detail = "" if any(tasks[task]["backward"] for _, task in less) else ", all forward alone"
    found = result(tasks[less[0][1]], name)
    if found and tasks[less[0][1]]["kind"] in ("box", "matlab"):
        detail += f", of bytes; {found['window']}"
    span = f"{number(less[0][0])} to {number(less[-1][0])}"
    return f"{name} {span} (in {len(less)} of {len(of_name)} settings{detail})"


def setting(timing: Timing) -> str:
    """What a time is of, with the threads where there is one."""
    return title(timing) + (", one thread" if timing["threads"] == 1 else "")


def costs(record: Record) -> str:
    """What ssimlab costs: memory, and the first call."""
    found = [
        f"{m['mib']:.0f} MiB beyond the images at {size(m['shape'])}"
        for m in record["memory"]
        if m["name"] == "ssimlab" and m["mib"] is not None
    ]
    calls = record["first_calls"]
    if calls:
        article = {"empty": "an", "filled": "a"}
        seconds = (
            f"{c['first_call_s']:.1f} s with {article[c['cache']]} {c['cache']}" for c in calls
        )
        numba = " and ".join(f"{c['import_numba_s']:.1f} s" for c in calls)
        found.append(
            f"in a process's first call {' and '.join(seconds)} cache of compiled code, after "
            f"{numba} for importing Numba"
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
    if timing["kind"] == "second":
        pass_ = "second derivatives"
    bytes_ = ", bytes" if timing["kind"] == "bytes" else ""
    return f"{pass_}, {size(timing['shape'])}{bytes_}"


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
