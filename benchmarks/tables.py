"""A record as Markdown: what README.md and the book show.

Every table has the ratio of a peer's time to that of ssimlab, above 1 where ssimlab is faster, as
the median with the quartiles; and in the same row what the peer's result is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .record import Accuracy, Machine, Record, Result, Spread, Timing

NOTHING = "–"
NBSP = "\N{NO-BREAK SPACE}"
OWN = ("ssimlab", "one-pass form")  # not a library's
QUICK = (
    "**These numbers are of a quick run,** few rounds in one process, which shows that all works. "
    "`make bench` measures."
)
SHORT = (
    "Forward and backward on {threads} threads of a CPU, with the gradient by one image: "
    "milliseconds in the first row, and in every other how many times as long it takes (× 10 is "
    "ten times as long), the median of many rounds. Errors are relative, medians over photographs; "
    "above 1 nothing is left of the gradient. Offsets are in data ranges; pixels within theirs "
    "have none, and on these photographs all of these serve there. The second row is ssimlab "
    "without the extra `kernels`, in torch's own operations; the third is E[x²] - μ² in them."
)
NEAREST = (
    "Who comes nearest, or is ahead (bold). frame-analytics has a kernel of its own for the pass "
    "forward; its gradient is made by torch from whole images. Second derivatives are those of "
    "ssimlab's eager form. fast-ssim and blazediff-ssim score bytes and have no gradient. Set up "
    "for speed is with channels last, compiled by torch.compile, or both."
)
WITHOUT = (
    "Without the extra `kernels` others are faster on this CPU, at so many sizes; on a GPU another "
    "kernel takes its place, and no time of it is recorded:"
)
CONVERSION = (
    "Of bytes, ssimlab's time includes their conversion to floats, and blazediff-ssim's does not "
    "include the one to the bytes that it takes."
)
FOLD = "All that was measured, how, and with what"


def readme(record: Record) -> str:
    """For README.md, where a fold is HTML."""
    opening = f"<details>\n<summary>{FOLD}</summary>"
    return page(record, opening, "</details>")


def chapter(record: Record) -> str:
    """For the book, where a fold is a directive."""
    return page(record, f"::::{{dropdown}} {FOLD}", "::::")


def page(record: Record, opening: str, closing: str) -> str:
    """Forward and backward, who comes nearest in anything, and behind a fold all else."""
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
        (
            "Bytes: blazediff-ssim of the luma, shrunk as MATLAB's script does; ssimlab of every "
            "channel, at full size",
            timing_table(record, "matlab"),
        ),
        ("What a pixel costs, forward and backward", sizes_table(record)),
        ("The machine's limits and the kernel's share, forward and backward", limits_table(record)),
    ]
    different = other_windows(t for t in record["timings"] if t["kind"] in ("box", "matlab"))
    return paragraphs(
        QUICK if record["quick"] else "",
        main_table(record, backward=True, quartiles=False),
        SHORT.format(threads=record["machine"]["threads"]),
        *([NEAREST, near] if (near := nearest_table(record)) else []),
        eager(record),
        costs(record),
        opening,
        reading(record),
        *(paragraphs(f"**{head}**", body) for head, body in tables if body),
        *record["notes"],
        f"Not what ssimlab computes: {different}. {CONVERSION}" if different else "",
        where(record),
        closing,
    )


def nearest_table(record: Record) -> str:
    """For everything that was timed the library that comes nearest to ssimlab, or is ahead."""
    ssim, threads = shown(record, "ssim"), record["machine"]["threads"]
    settings = {
        f"{pass_}{also}": [t for t in ssim if t["backward"] == backward and t["threads"] == n]
        for pass_, backward in (("forward + backward", True), ("forward alone", False))
        for n, also in ((threads, ""), (1, ", one thread"))
    } | {
        "forward + backward, others set up for speed": shown(record, "tuned"),
        "forward + backward, all held to AVX2": shown(record, "ssim", "avx2"),
        "forward + backward, others alone held to AVX2": others_with_avx2(record),
        "MS-SSIM, forward + backward": shown(record, "ms_ssim"),
        "second derivatives": shown(record, "second"),
        "forward alone, bytes": shown(record, "bytes"),
        "forward alone, bytes, uniform window of 7 × 7": shown(record, "box"),
        "forward alone, bytes, theirs of the shrunken luma": shown(record, "matlab"),
    }
    rows = [[name, *nearest(timings)] for name, timings in settings.items() if timings]
    heads = ["", "nearest, or ahead", "at", "times as long as ssimlab", "ahead at"]
    return table(heads, [row for row in rows if len(row) == len(heads)])


def nearest(timings: Sequence[Timing]) -> list[str]:
    """The library with the least ratio, where it has it, and at how many sizes any is ahead."""
    least = [
        min(found)
        for t in timings
        if (found := [(of, name, size(t["shape"])) for name, of in of_libraries(t).items()])
    ]
    if not least:
        return []
    ratio, name, where = min(least)
    ahead = sum(ratio < 1 for ratio, _, _ in least)
    told = f"**{number(ratio)}**" if ratio < 1 else number(ratio)
    return [name, where, told, share(ahead, len(timings))]


def of_libraries(timing: Timing) -> dict[str, float]:
    """The median ratios of all that is a library's."""
    found = {r["name"]: r["ratio"]["median"] for r in timing["results"] if r["ratio"]}
    return {name: ratio for name, ratio in found.items() if not name.startswith(OWN)}


def others_with_avx2(record: Record) -> list[Timing]:
    """Everybody's times with AVX2 beside those of ssimlab with all that the processor has.

    A quotient of medians, because no round had both. torch's convolutions are slower with AVX-512
    than without it on some processors, and who has looked for speed there knows it.
    """
    threads = record["machine"]["threads"]
    native = [t for t in shown(record, "ssim") if t["backward"] and t["threads"] == threads]
    found: list[Timing] = []
    for timing in shown(record, "ssim", "avx2"):
        own = [result(t, "ssimlab") for t in native if t["shape"] == timing["shape"]]
        if own and own[0] and own[0]["ms"]:
            ms = own[0]["ms"]["median"]
            results: list[Result] = [
                {**r, "ratio": divided(r["ms"], ms)} for r in timing["results"] if r["ms"]
            ]
            found.append({**timing, "results": results})
    return found


def divided(spread: Spread | None, by: float) -> Spread | None:
    """A spread in other units."""
    if spread is None:
        return None
    return Spread(low=spread["low"] / by, median=spread["median"] / by, high=spread["high"] / by)


def eager(record: Record) -> str:
    """Who is faster than ssimlab without its kernel, in what, and at how many sizes."""
    threads = record["machine"]["threads"]
    ssim = [t for t in shown(record, "ssim") if t["threads"] == threads]
    both = [t for t in ssim if t["backward"]]
    settings = {
        "forward + backward": both,
        "forward + backward, others set up for speed": shown(record, "tuned"),
        "forward + backward, all held to AVX2": shown(record, "ssim", "avx2"),
        "forward alone": [t for t in ssim if not t["backward"]],
    }
    ahead = {name: ahead_of_eager(timings, both) for name, timings in settings.items()}
    libraries = list(dict.fromkeys(name for found in ahead.values() for name in found))
    rows = [
        [setting, *(share(found.get(name, 0), len(settings[setting])) for name in libraries)]
        for setting, found in ahead.items()
        if found
    ]
    return paragraphs(WITHOUT, table(["ahead of the eager form", *libraries], rows)) if rows else ""


def ahead_of_eager(timings: Sequence[Timing], both: Sequence[Timing]) -> dict[str, int]:
    """Libraries that are faster than ssimlab's eager form, and at how many sizes, however set up.

    Where it took no part itself its time beside the kernel's is that of ``both``.
    """
    ahead: dict[str, int] = {}
    for timing in timings:
        plain = next((t for t in both if t["shape"] == timing["shape"]), timing)
        own = result(timing, "ssimlab, eager") or result(plain, "ssimlab, eager")
        least: dict[str, float] = {}
        for name, ratio in of_libraries(timing).items():
            library = name.partition(",")[0]
            least[library] = min(ratio, least.get(library, ratio))
        for library, ratio in least.items():
            if own and own["ratio"] and ratio < own["ratio"]["median"]:
                ahead[library] = ahead.get(library, 0) + 1
    return ahead


def share(ahead: int, of: int) -> str:
    """At how many sizes: no size of 3, 1 size of 3, all 3 sizes, the one size."""
    if ahead == of:
        return "the one size" if of == 1 else f"all {of} sizes"
    return f"{ahead or 'no'} {'sizes' if ahead > 1 else 'size'} of {of}"


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
            errors(record["accuracy"], name, what, worst=quartiles),
        ]
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
    heads = ["threads", "10⁹ operations/s", "GB/s", "share of each"]
    rows = [
        [
            str(each["threads"]),
            f"{each['goperations_per_s']:.0f}",
            f"{each['gb_per_s']:.0f}",
            f"{each['share_of_operations']:.0%} · {each['share_of_bandwidth']:.0%}",
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
    if found and found["ms"] and found is timing["results"][0]:
        return number(found["ms"]["median"]) + f"{NBSP}ms"
    if found is None or found["ratio"] is None:
        return NOTHING
    return spread(found["ratio"]) if quartiles else f"×{NBSP}{number(found['ratio']['median'])}"


def errors(accuracy: Sequence[Accuracy], name: str, of: str, worst: bool = False) -> str:
    """The median errors at each offset, as 2e-8 · 4e-8; the worst in brackets if asked for."""
    told: list[str] = []
    for each in accuracy:
        if each["name"] == name:
            if of == "score":
                median, largest = each["score"], each["worst_score"]
            else:
                median, largest = each["gradient"], each["worst_gradient"]
            also = f" [{magnitude(largest)}]" if worst and largest is not None else ""
            told.append(NOTHING if median is None else magnitude(median) + also)
    return NOTHING if {*told} <= {NOTHING} else " · ".join(told)


def memory(record: Record, name: str) -> str:
    """Peak memory in image buffers."""
    buffers = (m["buffers"] for m in record["memory"] if m["name"] == name)
    found = next(buffers, None)
    return NOTHING if found is None else number(found)


def reading(record: Record) -> str:
    """How the tables are to be read."""
    shape = next((m["shape"] for m in record["memory"]), None)
    text = (
        "Each ratio is the median [quartiles] of paired rounds in fresh "
        f"processes ({record['processes']}), float32, {record['machine']['threads']} threads where "
        "nothing else is said, on random images, with the gradient by one. Others are called "
        "plainly, with the published window where they have it; set up for speed, with images laid "
        "out as NHWC (channels last, the conversion included), by torch.compile, or both. With "
        "AVX2 alone torch chooses other code, some of which is faster on some machines. Second "
        "derivatives are those of the eager form, whatever made the first. "
    )
    if record["accuracy"]:
        text += (
            "Errors are medians over photographs with noise, blurred and brightened, against "
            "float64, with the worst in brackets: absolute for the score, relative for the "
            "gradient. "
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
    failed = failures(record)
    if failed:
        text += f"Could not be measured: {failed}. "
    if missing:
        text += f"Not installed, so not measured: {', '.join(missing)}. "
    return text.strip()


def failures(record: Record) -> str:
    """Who raised an error, and which."""
    expected = ("no gradient", "not installed")
    told = dict.fromkeys(
        f"{r['name']} ({title(t)}: {r['problem']})"
        for t in record["timings"]
        for r in t["results"]
        if r["problem"] and not r["problem"].startswith(expected)
    )
    return "; ".join(told)


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
    """8 × 3 × 256², which no line break parts."""
    *planes, height, width = shape
    image = [f"{height}²"] if height == width else [str(height), str(width)]
    return f"{NBSP}×{NBSP}".join([*map(str, planes), *image])


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
