"""The figure style: what is drawn, and that nothing is left open."""

import numpy as np
import pytest
import torch

plt = pytest.importorskip("matplotlib.pyplot", reason="the extra lab is not installed")

from ssimlab.lab import figures


@pytest.fixture(autouse=True)
def nothing_stays_open():
    yield
    assert not plt.get_fignums()


def test_show_draws_every_panel_with_its_limits_and_title():
    panels = [
        figures.picture(torch.rand(8, 8), "a"),
        figures.ssim_map(torch.rand(1, 1, 8, 8), "b"),
        figures.signed(torch.tensor([[-2.0, 1.0], [0.0, 0.5]]), "c"),
        figures.magnitude(torch.tensor([[0.0, 3.0]]), "d"),
    ]
    figure = figures.show(*panels, columns=3)
    drawn = [axis for axis in figure.axes if axis.get_images()]
    assert [axis.get_title() for axis in drawn if axis.get_title()] == ["a", "b", "c", "d"]
    limits = {axis.get_title(): axis.get_images()[0].get_clim() for axis in drawn}
    assert limits["a"] == (0, 1)
    assert limits["b"] == (0, 1)
    assert limits["c"] == (-2, 2)
    assert limits["d"] == (0, 3)


def test_numbers_that_are_not_finite_do_not_move_the_scale():
    values = torch.tensor([[1.0, float("nan")], [float("inf"), -0.5]])
    panel = figures.signed(values)
    assert (panel.low, panel.high) == (-1, 1)
    figures.show(panel)


def test_a_field_of_zeros_or_of_nothing_finite_has_a_scale_all_the_same():
    assert figures.signed(torch.zeros(4, 4)).high == 1
    assert figures.signed(torch.full((4, 4), float("nan"))).high == 1
    assert figures.magnitude(torch.full((4, 4), float("nan"))).high > 0


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match="one image at a time"):
        figures.picture(torch.rand(2, 1, 8, 8))


def test_color_photographs_show_in_color():
    figure = figures.show(figures.picture(torch.rand(3, 8, 8)))
    assert figure.axes[0].get_images()[0].get_array().shape == (8, 8, 3)


def test_lines_draws_every_series_on_the_scales_asked_for():
    figure = figures.lines(
        torch.arange(1.0, 5),
        {"a": torch.arange(4.0), "b": np.ones(4)},
        xlabel="x (px)",
        ylabel="y",
        xscale="log",
        marks={"here": 2.0},
    )
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]
    assert axis.get_xscale() == "log"
    assert axis.get_xlabel() == "x (px)"


def test_series_may_have_abscissas_of_their_own():
    figure = figures.lines(
        None, {"a": ([1, 2], [3, 4]), "b": ([5, 6, 7], [8, 9, 10])}, xlabel="x", ylabel="y"
    )
    assert len(figure.axes[0].get_lines()[1].get_xdata()) == 3


def test_lines_differ_in_dash_as_well_as_in_color():
    figure = figures.lines([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="x", ylabel="y")
    first, second = figure.axes[0].get_lines()
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()


def test_bars_print_their_values():
    figure = figures.bars({"one": torch.tensor(0.25), "two": 1.0}, xlabel="SSIM")
    assert {text.get_text() for text in figure.axes[0].texts} == {"0.250", "1.000"}


def test_a_color_photograph_is_shown_between_its_limits():
    image = torch.tensor([-10.0, 0.0, 127.5, 255.0, 300.0]).expand(3, 2, 5)
    drawn = figures.show(figures.picture(image, high=255)).axes[0].get_images()[0].get_array()
    assert drawn[0, :, 0].tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("panel", [figures.ssim_map, figures.signed, figures.magnitude])
@pytest.mark.parametrize("shape", [(3, 8, 8), (8,), (2, 8, 8)])
def test_what_is_no_plane_has_no_color_scale(panel, shape):
    with pytest.raises(ValueError, match=r"one image at a time, \(H, W\), not"):
        panel(torch.rand(shape))


def test_a_limit_is_taken_as_it_is_given():
    assert figures.signed(torch.ones(2, 2), limit=0.5).high == 0.5


def test_spreads_draws_a_dot_for_each_median_and_its_notes():
    figure = figures.spreads(
        {"fast": (1.0, 2.0, 3.0), "slow": (50.0, 60.0, 70.0)},
        xlabel="milliseconds",
        xscale="log",
        notes={"slow": "right"},
        notes_title="error",
        marks={"one": 1.0},
    )
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["fast", "slow"]
    assert {"2.0", "60.0", "right", "error", "one"} <= {text.get_text() for text in axis.texts}
    assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the first on top


def test_a_roof_rises_to_the_ridge_and_is_flat_beyond():
    figure = figures.roof(100.0, 50.0, {"copy": (0.1, 4.0), "kernel": (20.0, 60.0)})
    (axis,) = figure.axes
    x, y = axis.lines[0].get_data()
    assert (x[1], y[1]) == (2, 100)
    assert y[0] == pytest.approx(50 * x[0])
    assert y[2] == 100
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["copy", "kernel"]
    assert x[0] < 0.1
    assert x[2] > 20
