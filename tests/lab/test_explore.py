import base64
import html
import io
import json
import re

import numpy as np
import pytest

pytest.importorskip("ipywidgets", reason="the extra lab is not installed")

from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot, rc_context
from matplotlib.figure import Figure
from PIL import Image

from ssimlab.lab import _progress
from ssimlab.lab.explore import Axis, explore


class Draw:
    """Draws one flat gray for sigma, and remembers the values that it was called with."""

    def __init__(self, **figure):
        self.calls = []
        self.figure = {"figsize": (1, 0.5), "dpi": 40, **figure}

    def __call__(self, sigma, mode="a"):
        self.calls.append((sigma, mode))
        figure = pyplot.figure(**self.figure)
        figure.patch.set_facecolor(str(min(sigma / 10, 1)))
        return figure, f"sigma is {sigma:.3f}"


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])


def alt_of(page: str) -> str:
    return html.unescape(re.search(r'<img [^>]*alt="([^"]*)"', page)[1])


# Making one


@pytest.mark.parametrize(
    ("error", "message", "axes"),
    [
        (ValueError, "at least one axis", {}),
        (ValueError, "axis sigma was given 0 values: give it at least two", {"sigma": []}),
        (ValueError, "axis sigma was given 1 values", {"sigma": [1.0]}),
        (TypeError, "axis mode was given 'abc': give it a list", {"sigma": [0, 1], "mode": "abc"}),
        (TypeError, "axis sigma was given 3: give it a list", {"sigma": 3}),
        (TypeError, "finite numbers only, or strings only", {"sigma": [0, float("nan")]}),
        (TypeError, "finite numbers only, or strings only", {"sigma": [0, "one"]}),
        (ValueError, "axis sigma was given a value twice", {"sigma": [0, 1, 1.0]}),
        (ValueError, "start=2: give it an index into its 2", {"sigma": Axis([0, 1], start=2)}),
        (ValueError, "shows different values alike", {"sigma": Axis([0.1, 0.2], format="{:.0f}")}),
        (ValueError, "cannot show its values by", {"sigma": Axis([0, 1], format="{:q}")}),
        (TypeError, "draw does not take the axis noise", {"sigma": [0, 1], "noise": [0, 1]}),
        (TypeError, "draw needs sigma", {"mode": ["a", "b"]}),
        (ValueError, "sigma × mode makes 242 frames", {"sigma": range(121), "mode": ["a", "b"]}),
    ],
)
def test_axes_that_make_no_sense_are_refused_by_name(error, message, axes):
    with pytest.raises(error, match=re.escape(message)):
        explore(Draw(), title="Gray", **axes)


@pytest.mark.parametrize(
    ("message", "alt"),
    [
        ("alt and title are both missing", None),
        ("alt names noise: it knows sigma and readout", "gray for {noise}"),
        ("alt is 'gray' for every frame", "gray"),
    ],
)
def test_every_frame_needs_alternative_text_of_its_own(message, alt):
    with pytest.raises(ValueError, match=re.escape(message)):
        explore(Draw(), alt=alt, sigma=[0, 1])


def test_an_alt_function_that_returns_nothing_is_refused():
    with pytest.raises(RuntimeError, match=r"sigma=0: alt returned '': it must return a sentence"):
        explore(Draw(), alt=lambda sigma: "", sigma=[0, 1]).to_html()


def test_max_frames_can_be_raised():
    assert explore(Draw(), title="Gray", max_frames=300, sigma=range(300)).axes["sigma"].start == 0


def test_numpy_values_become_plain_numbers():
    axis = explore(Draw(), title="Gray", sigma=np.linspace(0, 1, 3)).axes["sigma"]
    assert [type(value) for value in axis.values] == [float] * 3
    assert [axis.text(value) for value in axis.values] == ["0", "0.5", "1"]


# Drawing


def test_nothing_is_drawn_before_it_is_shown_and_each_frame_only_once():
    draw = Draw()
    explorer = explore(draw, title="Gray", sigma=[0, 1, 2], mode=["a", "b"])
    assert "sigma (3 values, 0 to 2), mode (2 values, a to b)" in repr(explorer)
    assert "\n" not in repr(explorer)
    assert draw.calls == []
    explorer.to_html()
    explorer.to_html()
    assert draw.calls == [(s, m) for s in (0, 1, 2) for m in ("a", "b")]


def test_a_book_build_draws_at_once_so_that_a_failing_draw_fails_its_cell(monkeypatch):
    monkeypatch.setenv("SSIMLAB_STATIC", "1")
    draw = Draw()
    explore(draw, title="Gray", sigma=[0, 1])
    assert len(draw.calls) == 2
    with pytest.raises(RuntimeError, match="draw failed at sigma=0: division by zero"):
        explore(lambda sigma: 1 / sigma, title="Gray", sigma=[0, 1])


def test_figures_are_closed_also_where_draw_fails():
    other = pyplot.figure()

    def fail(sigma):
        pyplot.figure()
        raise ArithmeticError("no")

    try:
        explore(Draw(), title="Gray", sigma=[0, 1]).to_html()
        with pytest.raises(RuntimeError, match="draw failed at sigma=0: no"):
            explore(fail, title="Gray", sigma=[0, 1]).to_html()
        assert pyplot.get_fignums() == [other.number]
    finally:
        pyplot.close(other)


@pytest.mark.parametrize("returned", [None, 3.0, "text", (None, "text"), (Figure(), 3)])
def test_a_draw_that_returns_no_figure_is_told_what_to_return(returned):
    explorer = explore(lambda sigma: returned, title="Gray", sigma=[0, 1])
    with pytest.raises(RuntimeError, match=r"it must return a matplotlib Figure, or \(figure, te"):
        explorer.to_html()


def test_frames_of_different_sizes_are_refused():
    def grow(sigma):
        return Figure(figsize=(1 + sigma, 1), dpi=40)

    with pytest.raises(ValueError, match=r"40×40 pixels and the one at sigma=1 is 80×40: give"):
        explore(grow, title="Gray", sigma=[0, 1]).to_html()


def test_a_tight_bounding_box_does_not_change_the_size():
    with rc_context({"savefig.bbox": "tight"}):
        assert explore(Draw(), title="Gray", sigma=[0, 1]).frames().size == (40, 20)


def test_frames_hold_the_pixels_of_the_figure_exactly():
    image = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)

    def draw(sigma):
        figure = Figure(figsize=(1, 0.5), dpi=40)
        figure.figimage(image if sigma else 255 - image)
        return figure

    first, second = explore(draw, title="Noise", sigma=[0, 1]).frames().pictures
    for picture, expected in ((first, 255 - image), (second, image)):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), expected)
    lossy = explore(draw, title="Noise", pixels=False, sigma=[0, 1]).frames().pictures[0]
    assert len(lossy) < len(first)


def test_a_transparent_figure_stands_on_opaque_white():
    def draw(sigma):
        return Figure(figsize=(1, 1), dpi=40, facecolor="none")

    picture = Image.open(io.BytesIO(explore(draw, title="None", sigma=[0, 1]).frames().pictures[0]))
    assert picture.mode == "RGB"
    assert picture.getcolors() == [(1600, (255, 255, 255))]


def test_dpi_sharpens_the_frames_and_keeps_the_displayed_size():
    frames = explore(Draw(), title="Gray", dpi=80, sigma=[0, 1]).frames()
    assert frames.size == (40, 20)
    assert Image.open(io.BytesIO(frames.pictures[0])).size == (80, 40)


def test_equal_frames_are_stored_once():
    frames = explore(Draw(), title="Gray", sigma=[0, 1, 2], mode=["a", "b"]).frames()
    assert len(frames.pictures) == 3
    assert [index for index, _, _ in frames.states] == [0, 0, 1, 1, 2, 2]


def test_progress_is_shown_to_who_waits_and_never_in_a_book_build(monkeypatch, capsys):
    explore(Draw(), title="Gray", sigma=[0, 1]).to_html()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(_progress, "in_kernel", lambda: True)
    explore(Draw(), title="Gray", sigma=[0, 1]).to_html()
    assert "drawing frames" in capsys.readouterr().err
    monkeypatch.setenv("SSIMLAB_STATIC", "1")
    explore(Draw(), title="Gray", sigma=[0, 1]).to_html()
    assert capsys.readouterr().err == ""


# The words


def test_alternative_text_is_made_of_title_values_and_readout():
    axis = Axis([0.0, 0.5], label="blur", unit="px", start=-1)
    page = explore(Draw(), title="Gray", sigma=axis, mode=["a", "b"]).to_html()
    assert alt_of(page) == "Gray: blur 0.5 px, mode a. sigma is 0.500"
    assert [alt for _, alt, _ in data_of(page)["states"]] == [
        f"Gray: blur {text} px, mode {mode}. sigma is {value:.3f}"
        for text, value in (("0", 0), ("0.5", 0.5))
        for mode in ("a", "b")
    ]


@pytest.mark.parametrize(
    "alt",
    ["Gray at {sigma:.1f}; {readout}", lambda sigma: f"Gray at {sigma:.1f}; sigma is {sigma:.3f}"],
    ids=["format string", "function"],
)
def test_alternative_text_can_be_given(alt):
    page = explore(Draw(), alt=alt, sigma=[0, 1]).to_html()
    assert [alt for _, alt, _ in data_of(page)["states"]] == [
        "Gray at 0.0; sigma is 0.000",
        "Gray at 1.0; sigma is 1.000",
    ]


def test_the_readout_is_a_function_of_the_values_or_comes_with_the_figure_but_not_both():
    def draw(sigma):
        return Draw()(sigma)[0]

    page = explore(draw, title="Gray", readout=lambda sigma: f"<{sigma}>", sigma=[0, 1]).to_html()
    assert ">&lt;0&gt;</output>" in page
    assert [text for _, _, text in data_of(page)["states"]] == ["<0>", "<1>"]
    assert "<output" not in explore(draw, title="Gray", sigma=[0, 1]).to_html()
    with pytest.raises(RuntimeError, match="keep one of them"):
        explore(Draw(), title="Gray", readout=str, sigma=[0, 1]).to_html()


# The page


def test_the_page_starts_at_the_chosen_values():
    page = explore(
        Draw(), title="Gray", sigma=Axis([0, 1, 2], start=2), mode=Axis(["a", "b"], start=1)
    ).to_html()
    state = data_of(page)["states"][5]
    assert state[1:] == [alt_of(page), "sigma is 2.000"]
    assert f'src="{data_of(page)["frames"][state[0]]}"' in page
    assert 'value="2" aria-valuetext="2"' in page
    assert '<option value="1" selected>b</option>' in page


def test_what_an_author_writes_is_text_and_never_markup():
    bad = "</script><b>\"&'"
    page = explore(
        Draw(),
        title=bad,
        caption=bad,
        sigma=Axis([0, 1], label=bad, unit=bad),
        mode=[bad, "b"],
    ).to_html()
    assert "<b>" not in page
    assert page.count("</script>") == 2
    assert data_of(page)["axes"][0]["label"] == bad
    assert bad in alt_of(page)


def test_ids_are_unique_among_explorers_and_among_displays_of_one():
    explorer = explore(Draw(), title="Gray", sigma=[0, 1], mode=["a", "b"])
    other = explore(Draw(), title="Gray", sigma=[0, 1], mode=["a", "b"])
    pages = explorer.to_html() + explorer.to_html() + other.to_html()
    ids = re.findall(r' id="([^"]*)"', pages)
    assert len(ids) == len(set(ids)) == 9
    assert set(re.findall(r'<label for="([^"]*)"', pages)) < set(ids)


def test_a_notebook_leaves_the_keys_to_the_controls():
    page = explore(Draw(), title="Gray", sigma=[0, 1], mode=["a", "b"]).to_html()
    controls = re.findall(r"<(?:input|select|button)[^>]*>", page)
    assert len(controls) == 4
    assert all('data-lm-suppress-shortcuts="true"' in control for control in controls)


def test_the_page_asks_no_other_host_for_anything():
    page = explore(Draw(), title="Gray", sigma=[0, 1]).to_html()
    assert re.findall(r"https?:|url\(|@import|<link", page) == []
    for uri in re.findall(r'src="([^"]*)"', page):
        assert uri.startswith("data:image/webp;base64,")
        assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).format == "WEBP"


def test_twenty_five_line_plots_weigh_less_than_300_kilobytes():
    def draw(slope, offset):
        figure, axes = pyplot.subplots()
        axes.plot(np.arange(9), slope * np.arange(9) + offset)
        return figure

    page = explore(draw, title="A line", slope=range(5), offset=range(5)).to_html()
    assert len(data_of(page)["frames"]) == 25
    assert len(page.encode()) < 300_000


def test_save_writes_a_page_of_its_own(tmp_path):
    explorer = explore(Draw(), title="Gray & flat", sigma=[0, 1])
    page = explorer.save(tmp_path / "gray.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>Gray &amp; flat</title>" in page
    assert len(data_of(page)["states"]) == 2


# The live kernel


def control(axis):
    return explore(Draw(), title="Gray", sigma=axis).widget().children[2]


@pytest.mark.parametrize(
    ("axis", "kind", "traits"),
    [
        ([3, 5, 9], "IntSlider", {"min": 3, "max": 9, "step": 2, "value": 3}),
        (Axis([2, 1, 0], start=1), "IntSlider", {"min": 0, "max": 2, "step": 1, "value": 1}),
        ([0.0, 0.5, 2.0], "FloatSlider", {"min": 0, "max": 2, "step": 0.02, "value": 0}),
        ([10.0, 11.0, 12.0], "FloatSlider", {"min": 10, "max": 12, "value": 10}),
        (Axis([1e-3, 1e-2, 1e-1], start=1), "FloatLogSlider", {"min": -3, "max": -1}),
        ([0.01, 0.03, 0.1, 0.3], "FloatLogSlider", {"value": 0.01}),
        (Axis([0.0, 1.0], format="{:.2f}"), "FloatSlider", {"readout_format": ".2f"}),
        (Axis([0.0, 1.0], label="blur", unit="px"), "FloatSlider", {"description": "blur (px)"}),
        ([False, True], "Dropdown", {"options": (("False", False), ("True", True))}),
    ],
)
def test_each_axis_has_the_control_that_fits(axis, kind, traits):
    widget = control(axis)
    assert type(widget).__name__ == kind
    for name, value in traits.items():
        assert getattr(widget, name) == (value if name == "options" else pytest.approx(value))


def test_strings_are_chosen_from_a_list():
    draw = Draw()
    tree = explore(draw, title="Gray", sigma=[0, 1], mode=["a", "b"]).widget()
    tree.children[3].value = "b"
    assert draw.calls == [(0, "a"), (0, "b")]


def test_a_slider_draws_values_in_between():
    draw = Draw()
    tree = explore(draw, title="Gray", caption="Flat.", sigma=[0.0, 5.0]).widget()
    picture, words, slider, caption = tree.children
    before = picture.value
    assert Image.open(io.BytesIO(before)).format == "PNG"
    assert picture.width == "40"
    assert "Flat." in caption.value
    slider.value = 1.25
    assert draw.calls == [(0.0, "a"), (1.25, "a")]
    assert picture.value != before
    assert "Gray: sigma 1.25. sigma is 1.250" in words.value
    assert words.value.endswith("sigma is 1.250")
    assert pyplot.get_fignums() == []


def test_an_error_in_draw_is_shown_and_goes_when_it_is_over():
    def draw(sigma):
        if sigma == 1:
            raise ArithmeticError("sigma <must> not be 1")
        return Draw()(sigma)

    picture, words, slider, _ = explore(draw, title="Gray", sigma=[0, 1, 2]).widget().children
    slider.value = 1
    assert "ArithmeticError: sigma &lt;must&gt; not be 1" in words.value
    assert picture.layout.display == "none"
    slider.value = 2
    assert "Error" not in words.value
    assert words.value.endswith("sigma is 2.000")
    assert picture.layout.display is None


def test_a_kernel_shows_all_frames_in_a_book_build_and_otherwise_widgets_beside_one_frame():
    cells = [
        "import os, matplotlib.pyplot as plt\nfrom ssimlab.lab.explore import Axis, explore\n"
        "def draw(k):\n    plt.subplots(figsize=(1, 1))[1].plot([0, k])\n    return plt.gcf()\n"
        "os.environ['SSIMLAB_STATIC'] = '1'",
        "explore(draw, k=[1, 2], title='A line')",
        "os.environ['SSIMLAB_STATIC'] = '0'",
        "explore(draw, k=Axis([1, 2], start=1), title='A line', caption='Rising & straight.')",
        "explore(lambda k: 1 / 0, k=[1, 2], title='Nothing')",
    ]
    nbclient, nbformat = map(pytest.importorskip, ("nbclient", "nbformat"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert [len(output) for output in outputs] == [0, 1, 0, 1, 1]
    assert set(outputs[1][0].data) == {"text/html", "text/plain"}
    drawn, failed = outputs[3][0].data, outputs[4][0].data
    for data in (drawn, failed):
        view = data["application/vnd.jupyter.widget-view+json"]
        state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
        assert state[view["model_id"]]["model_name"] == "VBoxModel"
        assert "<script" not in data["text/html"]
        assert "<style" not in data["text/html"]
    assert alt_of(drawn["text/html"]) == "A line: k 2."
    assert "<strong>A line.</strong> Rising &amp; straight." in drawn["text/html"]
    picture = re.search(r'src="data:image/png;base64,([^"]*)"', drawn["text/html"])[1]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (100, 100)
    assert "ZeroDivisionError: division by zero" in failed["text/html"]
    assert "<img" not in failed["text/html"]


def test_outside_a_kernel_nothing_is_drawn_until_html_is_asked_for():
    draw = Draw()
    explorer = explore(draw, title="Gray", sigma=[0, 1])
    in_text = DisplayFormatter(active_types=["text/plain"]).format(explorer)[0]
    assert in_text == {"text/plain": repr(explorer)}
    assert draw.calls == []
    in_html = DisplayFormatter(active_types=["text/plain", "text/html"]).format(explorer)[0]
    assert in_html.keys() == {"text/plain", "text/html"}
    assert len(data_of(in_html["text/html"])["frames"]) == 2
