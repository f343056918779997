"""What the kernel does for a pixel is counted rightly; and the peaks are numbers of a machine."""

import itertools

import pytest

from ssimlab import Window
from ssimlab.lab import roofline
from ssimlab.lab.roofline import _Counted

pytest.importorskip("numba", reason="the extra kernels is not installed")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (lambda a, b: a + b, 1),
        (lambda a, b: a - b - 1.0, 2),
        (lambda a, b: a * b, 1),
        (lambda a, b: a * b + a, 1),  # one operation
        (lambda a, b: a - b * b, 1),
        (lambda a, b: a * b + a * b, 2),
        (lambda a, b: (c := a * b) + a + c, 3),  # what is used twice is made twice
        (lambda a, b: (c := a * b) * a + c, 2),
        (lambda a, b: (a + b) * (a - b), 3),
        (lambda a, b: 1.0 / (a * a + b), 2),
        (lambda a, b: a if a < b else -b, 1),
    ],
)
def test_a_product_and_the_sum_that_takes_it_up_are_one_operation(expression, expected):
    count = [0]
    result = expression(_Counted(3.0, count), _Counted(5.0, count))
    assert count == [expected]
    assert result.value == expression(3.0, 5.0)


def test_each_pair_of_taps_adds_the_same_number_of_operations():
    counts = [roofline.operations(Window(size).taps) for size in (3, 5, 7, 9)]
    steps = [b - a for a, b in itertools.pairwise(counts)]
    assert steps == pytest.approx([steps[0]] * 3, abs=3)  # windows take one branch or the other
    assert steps[0] > 40


def test_the_gradient_costs_more():
    taps = Window().taps
    assert roofline.operations(taps) > roofline.operations(taps, gradient=False) > 11


def test_the_peaks_are_those_of_a_machine():
    peaks = roofline.peaks(1, repeats=2)
    assert peaks.operations > 1e8
    assert peaks.bytes > 1e7
