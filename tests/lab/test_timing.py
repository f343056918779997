"""What a computation costs: races are fair, and what autograd keeps is counted. No time counts."""

import pytest
import torch

from ssimlab.lab import timing
from ssimlab.lab.timing import Spread, kept, race, ratios


@pytest.fixture
def clock(monkeypatch):
    """A clock that the candidates move, in milliseconds; nobody waits."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0] / 1e3)
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)

    def candidate(ms):
        def run():
            now[0] += ms

        return run

    return candidate


def test_each_candidate_is_timed_once_in_each_round(clock):
    times = race({"a": clock(30), "b": clock(60)}, rounds=4)
    assert times == {"a": pytest.approx([30] * 4), "b": pytest.approx([60] * 4)}


def test_each_round_begins_with_another_one(clock, monkeypatch):
    order = []

    def candidate(name):
        step = clock(200)  # too long to be called again before it is timed
        return lambda: (order.append(name), step())

    race({name: candidate(name) for name in "abc"}, rounds=3)
    assert "".join(order[6:]) == "abcbcacab"


def test_what_is_short_is_repeated_until_it_can_be_timed(clock):
    calls = []
    step = clock(2)
    times = race({"short": lambda: (calls.append(1), step())}, rounds=1)
    assert times["short"] == pytest.approx([2])
    assert len(calls) == 1 + 1 + 1 + 10  # warm, expected, before, and 20 ms


def test_what_takes_very_long_runs_in_two_rounds(clock):
    times = race({"long": clock(6000), "short": clock(50)}, rounds=5)
    assert [len(values) for values in times.values()] == [2, 5]


def test_a_race_without_candidates_is_over():
    assert race({}) == {}


def test_ratios_are_of_times_of_the_same_round():
    # The machine ran at half its speed in the second round.
    assert ratios({"a": [30.0, 60.0], "b": [10.0, 20.0]}, to="b") == {"a": Spread(3, 3, 3)}


def test_quartiles_are_interpolated():
    assert Spread.of([4.0, 1.0, 3.0, 2.0]) == (1.75, 2.5, 3.25)
    assert Spread.of([7.0]) == (7, 7, 7)


def test_autograd_keeps_what_it_is_counted_to_keep():
    x = torch.rand(4, 8, requires_grad=True)
    assert kept(lambda: x + x) == 0
    assert kept(lambda: x * x) == 4 * 32
    assert kept(lambda: x.exp().exp()) == 2 * 4 * 32  # each its own result
    assert kept(lambda: x.exp().sin()) == 4 * 32  # the result of one is the argument of the other


def test_memory_that_two_operations_keep_is_counted_once():
    x, y = (torch.rand(32, requires_grad=True) for _ in range(2))
    assert kept(lambda: x * y + x * y) == 2 * 4 * 32
    assert kept(lambda: x[:16] * x[16:]) == 4 * 32
