"""The benchmarks measure what they say; the tables are those of the record. No test is on time."""

import copy
import json
import sys

import pytest
import torch

import ssimlab
from benchmarks import __main__ as command
from benchmarks import accuracy, measure, peers, record, run, tables, tasks, timing, worker
from ssimlab import naive
from tools import benchmark_tables

FASTER = {"low": 2.0, "median": 3.0, "high": 4.5}  # ssimlab is
AHEAD = {"low": 0.4, "median": 0.5, "high": 0.6}
OWN = {"low": 9.0, "median": 10.0, "high": 11.0}
NBSP = "\N{NO-BREAK SPACE}"
SIZE = f"1{NBSP}×{NBSP}3{NBSP}×{NBSP}1080{NBSP}×{NBSP}1920"
EVEN = {"low": 1.0, "median": 1.0, "high": 1.0}


def one(name, ratio, window="the window"):
    ms = {key: 10 * value for key, value in ratio.items()}
    return record.Result(
        name=name, window=window, ms=ms, process_ms=[10.0], ratio=ratio, problem=None
    )


@pytest.fixture
def small() -> record.Record:
    """A record made by hand."""
    timing = record.Timing(
        task="ssim-1x3x1080x1920-both-all-native",
        kind="ssim",
        shape=[1, 3, 1080, 1920],
        backward=True,
        threads=2,
        isa="native",
        rounds=5,
        results=[
            one("ssimlab", EVEN) | {"ms": OWN},
            one("slow", FASTER, "another window"),
            measure.without_result("gone", "the window", "not installed"),
        ],
    )
    errors = {"name": "slow", "score": 1.2e-6, "gradient": None, "problem": None}
    errors |= {"worst_score": 3e-6, "worst_gradient": None}
    return record.Record(
        schema=record.SCHEMA,
        quick=False,
        processes=3,
        machine=record.Machine(
            cpu="A processor",
            flags=["avx2"],
            cores=2,
            system="Linux x86_64",
            python="3.11.0",
            threads=2,
            date="2024-01-02",
            gpu=None,
            load=0.0,
        ),
        versions={"ssimlab": "0.1.0", "slow": "1.0", "gone": None},
        timings=[timing, timing | {"task": "one thread", "threads": 1}],
        accuracy=[record.Accuracy(**errors, offset=0.0), record.Accuracy(**errors, offset=1e3)],
        memory=[
            record.Memory(name=name, shape=[1, 3, 8, 8], buffers=b, mib=b, problem=None)
            for name, b in (("ssimlab", 1.0), ("slow", 37.0))
        ],
        sizes=[record.Size(side=64, ns_per_pixel=OWN)],
        limits=[],
        first_calls=[],
        notes=[],
    )


# --- the record ----------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_written(small, tmp_path):
    record.save(small, tmp_path / "new" / "cpu.json")
    assert record.load(tmp_path / "new" / "cpu.json") == small


def test_what_was_measured_again_takes_the_place_of_what_was_there(small):
    again = copy.deepcopy(small) | {"accuracy": [], "memory": [], "sizes": [], "notes": []}
    again["timings"] = [small["timings"][1] | {"rounds": 9}]
    again["limits"] = [{"threads": 1}]
    merged = record.merged(small, again)
    assert merged["timings"] == [small["timings"][0], again["timings"][0]]
    assert (merged["accuracy"], merged["limits"]) == (small["accuracy"], again["limits"])
    told = "Measured again, 2024-01-02, on the same machine: one thread, limits."
    assert merged["notes"] == [told]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"processes": 1}, "numbers of processes"), ({"machine": {"cpu": "other"}}, "cpu is not")],
)
def test_runs_that_differ_are_not_mixed(small, change, message):
    with pytest.raises(ValueError, match=message):
        record.merged(small, small | change | {"timings": []})


@pytest.mark.parametrize("change", [{"schema": 0}, {"more": 1}])
def test_a_record_of_another_schema_is_refused(small, tmp_path, change):
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(small | change))
    with pytest.raises(ValueError, match="not a record of schema 1: run `make bench`"):
        record.load(path)


def test_the_committed_record_has_the_keys_that_are_documented():
    recorded = record.load()
    lists = {
        "timings": record.Timing,
        "accuracy": record.Accuracy,
        "memory": record.Memory,
        "sizes": record.Size,
        "limits": record.Limits,
        "first_calls": record.FirstCall,
    }
    for key, kind in lists.items():
        assert recorded[key], f"nothing was recorded of {key}"
        assert all(entry.keys() == kind.__annotations__.keys() for entry in recorded[key])
    assert recorded["machine"].keys() == record.Machine.__annotations__.keys()
    for each in recorded["timings"]:
        base, *others = each["results"]
        assert base["name"] == "ssimlab"
        assert base["ratio"] == EVEN
        assert all((other["ms"] is None) == (other["problem"] is not None) for other in others)


def test_every_candidate_is_in_the_committed_record_or_said_to_be_missing():
    recorded = record.load()
    assert set(peers.versions(run.CPU_KINDS, ("torch", "numba", "numpy"))) == set(
        recorded["versions"]
    )
    for each in recorded["timings"]:
        names = [peer.name for peer in peers.KINDS[each["kind"]]]
        assert [result["name"] for result in each["results"]] == names


# --- rounds and ratios ---------------------------------------------------------------------------


def test_a_ratio_is_of_two_times_of_one_round():
    # The second round, and all of the second process, ran at half the speed.
    base, peer = [[1.0, 2.0], [2.0, 2.0]], [[3.0, 6.0], [6.0, 6.0]]
    result = measure.result("peer", "", peer, base)
    assert result["ratio"] == {"low": 3.0, "median": 3.0, "high": 3.0}
    assert result["process_ms"] == [4.5, 6.0]


# --- accuracy ------------------------------------------------------------------------------------


def test_the_one_pass_form_is_lost_at_an_offset_where_ssimlab_is_exact():
    def stable(x, y):
        return ssimlab.ssim(x, y, data_range=1.0)

    def one_pass(x, y):
        return naive.one_pass(x, y, data_range=1.0)

    pairs = list(accuracy.pairs(48, 1e3))[:2]
    assert max(e for pair in pairs for e in accuracy.errors(stable, *pair, "valid")) < 1e-6
    for pair in pairs:
        score, gradient = accuracy.errors(one_pass, *pair, "valid")
        assert score > 0.1
        assert gradient > 1


def test_the_oracle_is_not_a_kernel():
    x, y = next(accuracy.pairs(48, 0.0))
    score, gradient = accuracy.errors(
        lambda x, y: ssimlab.reference.ssim(x, y, data_range=1.0).float(), x, y, "valid"
    )
    assert score < 1e-7
    assert gradient < 1e-6


def test_an_error_that_is_not_finite_is_said(monkeypatch):
    monkeypatch.setattr(accuracy, "PHOTOS", ("camera",))
    lost = peers.Peer("lost", "torch", lambda: lambda x, y: (x - y).mean() * float("nan"))
    found = accuracy.judge(lost, 0.0, size=32)
    assert (found["score"], found["problem"]) == (None, "NaN")
    absent = peers.Peer("absent", "no-such-distribution", lambda: pytest.fail("was loaded"))
    assert accuracy.judge(absent, 0.0)["problem"] == "not installed"
    refusing = peers.Peer("refusing", "torch", lambda: lambda x, y: torch.zeros(2) @ x)
    assert accuracy.judge(refusing, 0.0, size=32)["problem"].startswith("RuntimeError")


# --- candidates and tasks ------------------------------------------------------------------------


def test_candidates_agree_on_what_they_compute():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 1, 2, 24, 24, generator=generator)
    for peer in peers.SSIM:
        if peer.version is None or peer.name == "frame-analytics":  # compiles for a long time
            continue
        window = ssimlab.Window(padding=peer.padding)
        expected = ssimlab.reference.ssim(x, y, data_range=1.0, window=window).item()
        assert float(peer.load()(x, y)) == pytest.approx(expected, abs=1e-5), peer.name


def test_names_of_tasks_are_their_own_and_without_avx512_none_is_held_to_avx2():
    names = [task.name for task in tasks.TASKS]
    assert len(set(names)) == len(names)
    assert {task.isa for task in run.chosen_tasks([], True)} == {"native", "avx2"}
    assert {task.isa for task in run.chosen_tasks([], False)} == {"native"}
    assert [task.kind for task in run.chosen_tasks(["ms_ssim"], True)] == ["ms_ssim"]


def test_tasks_of_a_gpu_are_asked_for_by_name_too_and_held_to_no_processor():
    assert {task.device for task in tasks.GPU_TASKS} == {"cuda"}
    assert {task.device for task in tasks.TASKS} == {"cpu"}
    chosen = run.chosen_tasks(["gpu-8x3"], False, tasks.GPU_TASKS)
    assert [task.backward for task in chosen] == [True, False]
    assert set(run.CPU_KINDS) | {task.kind for task in tasks.GPU_TASKS} == set(peers.KINDS)


def test_an_unknown_name_is_refused_and_all_are_listed(capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "nothing"])
    assert "nothing is named nothing: --list names all" in capsys.readouterr().err
    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == run.names()


# --- a process of its own ------------------------------------------------------------------------


def test_a_worker_times_a_tiny_task_and_the_answers_make_a_result():
    task = tasks.Task("box", (1, 1, 16, 16), backward=False, threads=1)
    answer = worker.ask("timing", threads=1, task=vars(task), rounds=2)
    assert answer["threads"] == 1
    assert len(answer["ms"]["ssimlab"]) == 2
    base, other = run.results(task, [answer])
    assert base["ratio"] == EVEN
    assert (other["ms"] is None) == ("fast-ssim" in answer["problems"])


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
def test_a_worker_tells_the_peak_of_memory():
    answer = worker.ask("memory", kind="ssim", name="one-pass form", shape=[1, 1, 256, 256])
    assert answer.get("buffers", 1) > 0 or "not measured" in answer["problem"]
    assert worker.ask("memory", kind="ssim", name="scikit-image", shape=[1, 1, 16, 16]) == {
        "problem": "no gradient"
    }


def test_a_worker_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"(?s)memory failed: .*TypeError"):
        worker.ask("memory", neither="this")


# --- tables --------------------------------------------------------------------------------------


def test_a_table_has_ratios_errors_and_memory_in_one_row(small):
    rows = tables.main_table(small, backward=True).splitlines()
    heads = f"forward + backward | {SIZE} | error of the gradient, offset 0 · 1000"
    assert rows[0] == f"| {heads} | peak memory (images) |"
    assert rows[2:] == [
        f"| ssimlab | 10.0{NBSP}ms | – | 1.0 |",
        "| slow | 3.0 [2.0–4.5] | – | 37.0 |",
    ]
    assert tables.main_table(small, backward=False) == ""
    small["timings"][0]["backward"] = False
    rows = tables.main_table(small, backward=False).splitlines()
    assert rows[-1] == "| slow | 3.0 [2.0–4.5] | 1e-6 [3e-6] · 1e-6 [3e-6] |"


def test_under_the_table_stands_what_it_costs_and_where(small):
    text = tables.readme(small)
    assert "fresh processes (3), float32, 2 threads" in text
    assert "slow: another window" in text
    assert "Not installed, so not measured: gone." in text
    assert "2024-01-02, A processor, AVX2, 2 cores" in text
    assert tables.QUICK not in text
    assert tables.readme(small | {"quick": True}).startswith(tables.QUICK)


def test_the_other_tables_are_of_the_record_too(small):
    assert "| slow | 3.0 [2.0–4.5] |" in tables.timing_table(small, threads=1)
    assert "| 64² | 10.0 [9.0–11.0] |" in tables.sizes_table(small)
    assert tables.limits_table(small) == ""
    folded = tables.chapter(small).partition("{dropdown}")[2]
    assert "**One thread**" in folded
    assert "**With AVX2 alone**" not in folded


def test_who_comes_nearest_or_is_ahead_is_told_for_each_setting(small):
    both, one_thread = small["timings"]
    row = f"slow | {SIZE} | 3.0 | no size of 1 |"
    assert tables.nearest_table(small).splitlines()[2:] == [
        f"| forward + backward | {row}",
        f"| forward + backward, one thread | {row}",
    ]
    ours = [one("ssimlab", EVEN), one("ssimlab, eager", AHEAD)]
    tuned = one_thread | {"kind": "tuned", "threads": 2}
    small["timings"] = [both | {"results": [*ours, one("fast", AHEAD)]}, tuned]
    assert tables.nearest_table(small).splitlines()[2:] == [
        f"| forward + backward | fast | {SIZE} | **0.50** | the one size |",
        f"| forward + backward, others set up for speed | {row}",
    ]
    small["timings"] = [both | {"results": ours}]  # ssimlab's own forms are no library's
    assert tables.nearest_table(small) == ""


def test_others_held_to_avx2_stand_beside_ssimlab_with_all_it_has(small):
    narrow = copy.deepcopy(small["timings"][0]) | {"isa": "avx2"}
    narrow["results"][1]["ms"] = {"low": 20.0, "median": 40.0, "high": 60.0}
    small["timings"].append(narrow)
    (beside,) = tables.others_with_avx2(small)
    assert beside["results"][1]["ratio"] == {"low": 2.0, "median": 4.0, "high": 6.0}


def test_a_share_of_sizes_is_told_in_words():
    assert [tables.share(k, 3) for k in range(4)] == [
        "no size of 3", "1 size of 3", "2 sizes of 3", "all 3 sizes",
    ]  # fmt: skip
    assert [tables.share(k, 1) for k in range(2)] == ["no size of 1", "the one size"]


def test_what_raised_an_error_is_told(small):
    assert tables.failures(small) == ""
    small["timings"][0]["results"][2]["problem"] = "ValueError: no"
    told = f"gone (forward + backward, {SIZE}: ValueError: no)"
    assert tables.failures(small) == told


def test_who_is_faster_than_ssimlab_without_its_kernel_is_told(small):
    assert tables.eager(small) == ""
    ours = [one("ssimlab", EVEN), one("ssimlab, eager", EVEN)]
    both = small["timings"][0] | {"results": [*ours, one("slow", FASTER)]}
    small["timings"] = [both]
    assert tables.eager(small) == ""
    ahead = both | {"results": [*ours, one("slow", FASTER), one("fast", AHEAD)]}
    tuned = both | {"kind": "tuned", "results": [one("slow, compiled", AHEAD)]}
    small["timings"] = [both, ahead, tuned]
    assert tables.eager(small).splitlines()[2:] == [
        "| ahead of the eager form | fast | slow |",
        "|---|--:|--:|",
        "| forward + backward | 1 size of 2 | no size of 2 |",
        "| forward + backward, others set up for speed | no size of 1 | the one size |",
    ]


def test_a_gradient_of_a_gradient_is_another_task():
    x, y = timing.images(tasks.Task("second", (1, 1, 14, 15)))
    peer = peers.KINDS["second"][1]
    first, second = (timing.call_of(peer, x, y, True, again)() for again in (False, True))
    z = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(peer.load()(z, y), z, create_graph=True)
    (expected,) = torch.autograd.grad(slope.square().sum(), z)
    assert torch.equal(first, slope)
    assert torch.equal(second, expected)
    assert timing.images(tasks.Task("bytes", (1, 1, 4, 5)))[0].dtype == torch.uint8


def test_numbers_are_short():
    values = [2.4e-8, 0.3, 2.7, 256.6, 8e5, 0.0]
    assert [*map(tables.magnitude, values)] == ["2e-8", "0.3", "2.7", "257", "8e5", "0"]
    assert [*map(tables.number, [0.6234, 17.66, 1234.5])] == ["0.62", "17.7", "1234"]


def test_the_check_tells_a_stale_table_and_the_command_mends_it(small, tmp_path, monkeypatch):
    page, path = tmp_path / "README.md", tmp_path / "cpu.json"
    page.write_text("Before.\n\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\n\nAfter.\n")
    record.save(small, path)
    monkeypatch.setattr(benchmark_tables, "PAGE", page)
    monkeypatch.setattr(benchmark_tables, "RECORDED", path)
    check = ["benchmark_tables", "--check"]
    monkeypatch.setattr("sys.argv", check)
    with pytest.raises(SystemExit, match="not the recorded ones: run `make bench`"):
        benchmark_tables.main()
    monkeypatch.setattr("sys.argv", check[:1])
    benchmark_tables.main()
    text = page.read_text(encoding="utf8")
    assert text.startswith("Before.\n\n<!-- benchmarks -->\n")
    assert text.endswith("<!-- /benchmarks -->\n\nAfter.\n")
    assert tables.readme(small) in text
    monkeypatch.setattr("sys.argv", check)
    benchmark_tables.main()
    changed = copy.deepcopy(small)
    changed["timings"][0]["results"][1]["ratio"]["median"] = 3.1
    record.save(changed, path)
    with pytest.raises(SystemExit, match="not the recorded ones"):
        benchmark_tables.main()


def test_the_readme_shows_the_committed_record():
    text = benchmark_tables.PAGE.read_text(encoding="utf8")
    place = benchmark_tables.PLACE.search(text)
    assert place is not None
    assert place[0].strip() == tables.readme(record.load()).strip(), "run `make bench`"
