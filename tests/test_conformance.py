import functools
import html.parser
import itertools
import json
import math
import os
import re
import subprocess
import sys
import warnings

import pytest
import torch

import ssimlab
from ssimlab import Window, conformance, gradient, kernels, naive, reference
from ssimlab.conformance import conditions, words
from ssimlab.conformance.command import main
from ssimlab.conformance.judge import _oracle

COUNTED = [case for case in conformance.CASES if case.counts]
ADVICE = [case for case in conformance.CASES if not case.counts]
BY_SLUG = {case.slug: case for case in conformance.CASES}
CONTROLS = [case.slug for case in conformance.CASES if case.group == "Ordinary images"]

# Where the oracle with the published window refuses, and an error is the right answer.
REFUSED = {
    "range-missing",
    "range-none-flat",
    "range-none-batch",
    "range-zero",
    "range-negative",
    "small-image",
    "smaller-image",
    "two-shapes",
}


@functools.cache
def report_on(name):
    return conformance.run(name)


def misses(report):
    return {row.case.slug for row in report.misses}


def sound(x, y, **call):
    """A function with no fault, to be spoiled in one place by each test."""
    return ssimlab.ssim(x, y, **call)


def refuse(x, y, **call):
    raise ValueError("no")


# The catalogue


def test_the_cases_of_a_group_stand_together():
    groups = [case.group for case in conformance.CASES]
    runs = [group for group, _ in itertools.groupby(groups)]
    assert len(runs) == len(set(runs)), "a case stands apart from its group in cases.py"


def test_there_are_many_cases_with_unique_keys_and_complete_words():
    assert len(COUNTED) >= 24
    assert len(BY_SLUG) == len(conformance.CASES)
    for case in conformance.CASES:
        assert case.slug == case.slug.lower().replace(" ", "-")
        assert case.title
        assert case.why
        assert not case.why.endswith(".")
        assert not case.title.endswith(".")


@pytest.mark.parametrize("case", conformance.CASES, ids=lambda case: case.slug)
def test_a_case_makes_the_same_pixels_each_time_in_its_own_dtype(case):
    for first, second in zip(case.inputs(), case.inputs(), strict=True):
        assert first.dtype == case.dtype
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def test_the_oracle_answers_or_refuses_as_each_case_says():
    answers = {case.slug: _oracle(case, Window()).value for case in COUNTED}
    assert {slug for slug, value in answers.items() if value is None} == REFUSED
    poisoned = {case.slug for case in COUNTED if case.poisoned}
    not_a_number = {s for s, v in answers.items() if v is not None and math.isnan(v)}
    assert not_a_number == poisoned == {"nan-pixel", "inf-pixel", "nan-neighbor"}


def test_a_layout_changes_strides_and_memory_but_not_the_question():
    strided = BY_SLUG["non-contiguous"]
    assert not strided.layout(strided.inputs()[0]).is_contiguous()
    last = BY_SLUG["channels-last"]
    laid_out = last.layout(last.inputs()[0])
    assert laid_out.is_contiguous(memory_format=torch.channels_last)
    assert not laid_out.is_contiguous()
    assert 0 in BY_SLUG["expanded"].layout(BY_SLUG["expanded"].inputs()[0]).stride()


# Who passes


@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
def test_the_stable_form_comes_through_with_no_miss(padding):
    window = Window(padding=padding)
    report = conformance.run(functools.partial(ssimlab.ssim, window=window), window=window)
    assert misses(report) == set()
    assert report.passed


@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
@pytest.mark.parametrize("backend", ["cpu", "eager", "traced"])
def test_every_backend_comes_through_with_no_miss_in_value_gradient_and_map(
    backend, padding, monkeypatch
):
    chosen = []

    def choose(_, *pair):
        chosen.append(backend)
        return backend

    # "traced" has no name of its own: it is what "auto" takes where every operation is transformed.
    monkeypatch.setattr(kernels, "choose", choose)
    window = Window(padding=padding)
    under_test = conformance.Subject(
        backend,
        functools.partial(ssimlab.ssim, window=window),
        window,
        map=functools.partial(ssimlab.ssim, window=window, reduction="none"),
    )
    report = conformance.run(under_test)
    assert misses(report) == set()
    assert len(chosen) > len(COUNTED) - len(REFUSED)


def test_a_backend_comes_through_by_the_name_that_a_user_gives_it():
    for backend in ("cpu", "eager"):
        fn = functools.partial(ssimlab.ssim, backend=backend)
        assert misses(conformance.run(fn)) == set()


def test_the_function_to_use_comes_through_by_name_with_its_map_looked_at():
    assert conformance.subject("ssimlab").map is not None
    assert report_on("ssimlab").passed


@pytest.mark.parametrize("fn", [reference.ssim, gradient.ssim], ids=["oracle", "closed form"])
def test_float64_forms_without_cancellation_come_through_too(fn):
    assert misses(conformance.run(fn)) == set()


def test_a_uniform_window_is_judged_by_a_uniform_window():
    window = Window(7, sigma=None)
    fn = functools.partial(ssimlab.ssim, window=window)
    assert conformance.run(fn, window=window).passed
    assert "ordinary-pair" in misses(conformance.run(fn, ["ordinary-pair"]))


# Who is caught: for each naive form, what it must be caught at and what it must not be blamed for.
# The cases left out depend on how a machine rounds.

CANCELS = {"offset-1e3", "offset-1e5", "step", "forgotten-255"}
COMPUTES_IN_HALF = {"half-8bit", "half-pair", "bfloat16-pair"}
ARITHMETIC = {"autocast-bfloat16", "tf32", "double-offset", "range-tiny", "equal", "nearly-equal"}
NO_FAULT = {
    *CONTROLS,
    *ARITHMETIC,
    *REFUSED,
    "signed",
    "range-too-large",
    "non-contiguous",
    "channels-last",
    "expanded",
    "nan-pixel",
    "inf-pixel",
    "nan-neighbor",
    "integer-images",
}
FOURTH_POWERS = {"range-minute", "range-huge", "far-out", "half-black"}

CAUGHT = {
    "one_pass": CANCELS | COMPUTES_IN_HALF,
    "clamped_variance": CANCELS | COMPUTES_IN_HALF | {"low-contrast"},
    "product_form": CANCELS | COMPUTES_IN_HALF | FOURTH_POWERS,
    "luminance_contrast_structure": CANCELS
    | COMPUTES_IN_HALF
    | {"black", "flat-equal", "low-contrast", "half-black"},
    "zero_padded_same": CANCELS | COMPUTES_IN_HALF,
    "unsquared_constants": {*CONTROLS, *CANCELS, *COMPUTES_IN_HALF, "range-tiny", "range-huge"}
    | {"range-minute", "range-too-large", "signed", "flat-apart", "non-contiguous"},
}
NOT_BLAMED = {
    "one_pass": NO_FAULT | FOURTH_POWERS | {"black"},
    "clamped_variance": NO_FAULT | FOURTH_POWERS | {"black"},
    "product_form": NO_FAULT | {"black"},
    "luminance_contrast_structure": NO_FAULT | {"range-minute", "range-huge", "far-out"},
    "zero_padded_same": NO_FAULT - {"small-image", "smaller-image"} | FOURTH_POWERS | {"black"},
    "unsquared_constants": {"black", "equal", "two-shapes", "integer-images", "range-missing"},
}


def test_the_tables_speak_of_every_naive_form():
    assert set(CAUGHT) == set(NOT_BLAMED) == set(naive.FORMS)


@pytest.mark.parametrize("form", naive.FORMS)
def test_each_naive_form_is_caught_where_it_should_be_and_nowhere_else(form):
    found = misses(report_on(f"naive.{form}"))
    assert CAUGHT[form] - found == set()
    assert NOT_BLAMED[form] & found == set()


def test_zero_padding_is_no_fault_where_it_is_declared_and_one_where_it_is_not():
    assert report_on("naive.zero_padded_same")["ordinary-pair"].outcome == "fine"
    undeclared = conformance.run(naive.zero_padded_same, CONTROLS)
    assert undeclared["ordinary-pair"].outcome == "wrong value"


@pytest.mark.parametrize(
    ("form", "slug", "outcome"),
    [
        ("one_pass", "offset-1e5", "wrong value"),
        ("clamped_variance", "low-contrast", "wrong gradient"),
        ("product_form", "half-black", "NaN/inf"),
        ("product_form", "range-huge", "NaN/inf"),
        ("luminance_contrast_structure", "black", "NaN/inf"),
    ],
)
def test_a_form_is_caught_for_the_reason_that_the_book_gives(form, slug, outcome):
    assert report_on(f"naive.{form}")[slug].outcome == outcome


@pytest.mark.parametrize(
    "name", ["kornia", "kornia_loss", "torchmetrics", "pytorch_msssim", "skimage"]
)
def test_each_library_is_judged_by_its_own_conventions(name):
    pytest.importorskip(name.removesuffix("_loss"))
    report = report_on(name)
    assert misses(report) & {*CONTROLS, "channels-last", "expanded", "non-contiguous"} == set()
    assert "offset-1e5" in misses(report)  # all of them compute E[x²] - μ²
    assert report.subject.version in str(report)


def test_a_library_of_values_alone_is_not_asked_for_gradients():
    pytest.importorskip("skimage")
    rows = report_on("skimage").rows
    assert {row.gradient_error for row in rows} == {None}
    assert "not offered" in str(report_on("skimage"))


# The outcomes, each provoked in a function that is otherwise sound


def outcome_of(fn, slug, **options):
    row = conformance.run(fn, [slug], **options)[slug]
    return row.outcome, row.why


class TenthLessGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, upstream):
        return 0.9 * upstream


def test_a_value_that_is_off_is_a_wrong_value():
    outcome, why = outcome_of(lambda x, y, **call: sound(x, y, **call) + 2e-4, "ordinary-pair")
    assert outcome is conformance.Outcome.WRONG_VALUE
    assert "off by 0.0002" in why


def test_rounding_is_not_a_wrong_value():
    noisy = conformance.run(lambda x, y, **call: sound(x, y, **call) + 1e-5, ["ordinary-pair"])
    assert noisy.passed


def test_a_right_value_with_a_wrong_gradient_is_told_apart():
    def fn(x, y, **call):
        return TenthLessGradient.apply(sound(x, y, **call))

    row = conformance.run(fn, ["ordinary-pair"])["ordinary-pair"]
    assert row.outcome is conformance.Outcome.WRONG_GRADIENT
    assert row.gradient_error == pytest.approx(0.1, rel=0.05)
    assert "the gradient has a relative error of" in row.why


@pytest.mark.parametrize(
    ("fn", "slug"),
    [
        (lambda x, y, **call: sound(x, y, **call).detach(), "ordinary-pair"),
        (lambda x, y, **call: sound(x.detach(), y, **call), "ordinary-pair"),
        (lambda x, y, **call: sound(x, y, **call).item(), "ordinary-pair"),
        (lambda x, y, **call: sound(x, y, **call).clamp(max=0.5) + 0.239381, "ordinary-pair"),
    ],
    ids=["detached", "detached input", "number", "clamped"],
)
def test_a_gradient_of_zero_where_there_is_one_is_dead(fn, slug):
    assert outcome_of(fn, slug)[0] is conformance.Outcome.DEAD_GRADIENT


def test_a_relu_at_zero_is_caught_on_a_negative_score():
    row = conformance.run(lambda x, y, **call: sound(x, y, **call).relu(), ["negative-similarity"])
    assert row["negative-similarity"].outcome is conformance.Outcome.WRONG_VALUE
    assert "the gradient is zero at every pixel" in row["negative-similarity"].why


def test_a_nan_gradient_under_a_right_value_is_nan():
    def fn(x, y, **call):
        return sound(x, y, **call) + (x - x).sum().sqrt()

    outcome, why = outcome_of(fn, "equal")
    assert outcome is conformance.Outcome.NONFINITE
    assert "the gradient is NaN or inf at 1024 of 1024 pixels" in why


def test_an_exception_is_an_error_where_there_is_an_answer_and_fine_where_there_is_none():
    report = conformance.run(refuse)
    assert {row.case.slug for row in report.rows if row.outcome is conformance.Outcome.FINE} == {
        *REFUSED,
        "integer-images",
    }
    rest = [row for row in report.rows if row.case.slug not in {*REFUSED, "integer-images"}]
    assert {row.outcome for row in rest} == {conformance.Outcome.ERROR}
    assert "ValueError, no" in report["equal"].why


def test_an_exception_in_the_backward_pass_is_an_error():
    class Breaks(TenthLessGradient):
        @staticmethod
        def backward(ctx, upstream):
            raise RuntimeError("no way back")

    outcome, why = outcome_of(lambda x, y, **call: Breaks.apply(sound(x, y, **call)), "equal")
    assert outcome is conformance.Outcome.ERROR
    assert "no way back" in why


@pytest.mark.parametrize("slug", sorted(REFUSED))
def test_a_silent_number_is_wrong_where_an_error_is_right(slug):
    outcome, _ = outcome_of(lambda x, y, **call: x.mean() * 0 + 0.5, slug)
    assert outcome is conformance.Outcome.WRONG_VALUE


def test_integer_images_may_be_refused_or_answered_rightly():
    assert outcome_of(refuse, "integer-images")[0] == "fine"
    right = lambda x, y, **call: sound(x.float(), y.float(), **call)  # noqa: E731
    assert outcome_of(right, "integer-images")[0] == "fine"
    assert outcome_of(lambda x, y, **call: 1.0, "integer-images")[0] == "wrong value"


def test_the_border_decides_whether_a_small_image_has_an_answer():
    reflect = Window(padding="reflect")
    fn = functools.partial(ssimlab.ssim, window=reflect)
    rows = conformance.run(fn, ["small-image", "smaller-image"], window=reflect)
    assert rows["small-image"].truth is not None
    assert rows["smaller-image"].truth is None
    assert rows.passed


def test_a_finite_score_that_hides_a_nan_pixel_is_wrong():
    def fn(x, y, **call):
        return sound(x.nan_to_num(), y, **call)

    assert outcome_of(fn, "nan-pixel")[0] is conformance.Outcome.WRONG_VALUE


def test_nan_that_spreads_over_the_image_is_caught_by_the_gradient():
    def fn(x, y, **call):
        mean = x.mean()
        return sound(x - mean + mean, y, **call)

    outcome, why = outcome_of(fn, "nan-pixel")
    assert outcome is conformance.Outcome.NONFINITE
    assert "583 of 1024" in why  # all but the 21 x 21 pixels whose windows hold the NaN


def test_nan_that_spreads_over_the_map_is_caught_where_a_map_is_offered():
    def spread(x, y, **call):
        return ssimlab.ssim(x + 0 * x.sum(), y, reduction="none", **call)

    subject = conformance.Subject("spread", sound, map=spread)
    row = conformance.run(subject, ["nan-pixel"])["nan-pixel"]
    assert row.outcome is conformance.Outcome.WRONG_VALUE
    assert "NaN in 484 windows, where 121 touch it" in row.why


def test_a_poisoned_neighbor_must_not_reach_a_sound_image():
    def fn(x, y, **call):
        return sound(x + 0 * x.amax().detach(), y, **call)

    outcome, why = outcome_of(fn, "nan-neighbor")
    assert outcome is conformance.Outcome.NONFINITE
    assert "1024 of 2048" in why


def test_code_that_reads_memory_in_order_is_caught():
    def in_order(image):
        return image.as_strided(image.shape, torch.empty(image.shape).stride())

    def fn(x, y, **call):
        return sound(in_order(x), in_order(y), **call)

    cases = ["ordinary-pair", "color-batch", "non-contiguous", "channels-last"]
    assert misses(conformance.run(fn, cases)) == {"non-contiguous", "channels-last"}


def test_broadcasting_is_caught():
    def fn(x, y, **call):
        x, y = torch.broadcast_tensors(x, y)
        return sound(x, y, **call)

    assert misses(conformance.run(fn)) == {"two-shapes"}


def test_a_warning_does_not_excuse_but_is_told():
    def fn(x, y, **call):
        warnings.warn("image smaller than window", stacklevel=1)
        return x.mean()

    outcome, why = outcome_of(fn, "smaller-image")
    assert outcome is conformance.Outcome.WRONG_VALUE
    assert "image smaller than window" in why


def test_rows_of_advice_are_reported_and_never_counted():
    report = conformance.run("ssimlab", ADVICE)
    assert report.passed
    assert {row.outcome for row in report.rows} == {conformance.Outcome.NONFINITE}
    assert "no miss in 0 cases" in report.title


@pytest.mark.parametrize(
    "returned", [None, "0.5", torch.zeros(3), torch.zeros((), dtype=torch.cfloat)]
)
def test_what_is_not_one_number_is_a_mistake_of_the_caller(returned):
    with pytest.raises(TypeError, match="one number"):
        conformance.run(lambda x, y, **call: returned, ["ordinary-pair"])


@pytest.mark.parametrize(
    ("adapt", "loss"),
    [
        (conformance.from_dssim, lambda x, y, **call: ssimlab.dissimilarity(x, y, **call) / 2),
        (conformance.from_complement, ssimlab.dissimilarity),
    ],
)
def test_losses_are_judged_as_the_similarity_they_stand_for(adapt, loss):
    assert conformance.run(adapt(loss)).passed
    assert not conformance.run(loss, ["ordinary-pair"]).passed


# The circumstances


def test_tf32_keeps_ten_bits_of_the_mantissa_ties_to_even():
    step = 2.0**-10
    x = torch.tensor([1 + step, 1 + step / 2, 1 + 3 * step / 2, 1 + 0.51 * step, -1 - step / 2])
    expected = torch.tensor([1 + step, 1, 1 + 2 * step, 1 + step, -1])
    torch.testing.assert_close(conditions.round_to_tf32(x), expected, rtol=0, atol=0)
    odd = torch.tensor([math.inf, -math.inf, math.nan, 0.0])
    torch.testing.assert_close(conditions.round_to_tf32(odd), odd, rtol=0, atol=0, equal_nan=True)


def test_emulated_tf32_touches_products_of_both_passes_and_nothing_else():
    x = torch.full((1, 1, 4, 4), 1 + 2.0**-11, requires_grad=True)
    weight = torch.full((1, 1, 1, 1), 1 + 2.0**-11)
    with conditions.emulated_tf32("cpu"):
        convolved = torch.nn.functional.conv2d(x, weight)
        (by_x,) = torch.autograd.grad(convolved.sum(), x)
        assert torch.equal(x * 1, x)
        assert torch.equal(x[0, 0] @ torch.eye(4), torch.ones(4, 4))
    assert torch.equal(convolved, torch.ones_like(x))
    assert torch.equal(by_x, torch.ones_like(x))
    doubles = x.double()
    with conditions.emulated_tf32("cpu"):
        assert torch.equal(torch.nn.functional.conv2d(doubles, weight.double()), doubles**2)


@pytest.mark.parametrize("slug", ["tf32", "autocast-bfloat16"])
def test_a_convolution_feels_what_additions_do_not(slug):
    window = Window()
    kernel = window.weights()[None, None].float()

    def by_convolution(x, y, *, data_range):
        return naive.one_pass(
            x, y, data_range=data_range, window=lambda z: torch.nn.functional.conv2d(z, kernel)
        )

    assert not conformance.run(by_convolution, [slug]).passed
    assert conformance.run(naive.one_pass, [slug]).passed


# What is shown


class Outline(html.parser.HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.tags, self.open, self.attributes = [], [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes += [value or "" for _, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


FAULTY = ["ordinary-pair", "offset-1e5", "nan-pixel", "range-none-flat", "sqrt-of-loss"]


def faulty_report():
    return conformance.run("naive.one_pass", FAULTY)


def test_the_text_has_a_line_for_each_case_and_a_reason_for_each_miss():
    lines = str(faulty_report()).splitlines()
    assert "1 miss in 4 cases" in lines[0]
    for slug in FAULTY:
        assert sum(slug in line for line in lines) == 1
    assert any("two numbers near 1e10" in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_the_json_is_strict_and_holds_what_the_rows_hold():
    def unknown(constant):
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads(faulty_report().to_json(), parse_constant=unknown)
    assert read["misses"] == ["offset-1e5"]
    assert read["passed"] is False
    assert read["window"] == {"size": 11, "sigma": 1.5, "padding": "valid"}
    rows = {row["case"]: row for row in read["rows"]}
    assert rows["nan-pixel"]["truth"] == rows["nan-pixel"]["obtained"] == "nan"
    assert rows["range-none-flat"]["truth"] is None
    assert rows["sqrt-of-loss"]["counts"] is False
    assert rows["ordinary-pair"]["truth"] == faulty_report()["ordinary-pair"].truth


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_the_tables_are_whole_and_named_without_script_or_color_of_text(kind):
    names = {"a <b> & c": "naive.one_pass"}
    compared = conformance.compare(names, FAULTY)
    markup = (faulty_report() if kind == "report" else compared)._repr_html_()
    outline = Outline(markup)
    assert outline.open == []
    assert {"table", "thead", "tbody", "th", "td"} <= set(outline.tags)
    title = faulty_report().title if kind == "report" else "What each function does on each case"
    assert f'<table aria-label="{title}">' in markup
    assert outline.tags.count("tr") == len(FAULTY) + 6  # the heads, and five groups' headings
    assert "script" not in outline.tags
    assert {"col", "row", "rowgroup"} <= set(outline.attributes)
    style = markup[: markup.index("</style>")]
    assert set(re.findall(r"[^-]color: ([^;]*);", style)) == {"inherit"}
    assert re.findall(r"#[0-9a-f]{3,}", style) == ["#d55e00"]  # the accent that marks a miss
    assert markup.count("data-missed") - style.count("data-missed") == 1
    assert ("a &lt;b&gt; &amp; c" in markup) == (kind == "comparison")
    for slug in FAULTY:
        assert slug in markup


def test_a_comparison_has_a_column_for_each_name_with_its_version_and_a_legend():
    pytest.importorskip("skimage")
    compared = conformance.compare(
        {"mine": sound, "one pass": "naive.one_pass", "skimage": "skimage"}, FAULTY
    )
    assert list(compared.reports) == ["mine", "one pass", "skimage"]
    assert compared.versions["skimage"] == compared.reports["skimage"].subject.version
    assert compared.versions["mine"] is None
    assert compared.versions["torch"] == torch.__version__
    text = str(compared)
    for symbol, meaning in words.LEGEND:
        assert symbol in text
        assert meaning in text
        assert meaning in compared._repr_html_()
    assert "values only" in compared._repr_html_()
    (offset,) = (rows for case, rows in compared.lines() if case.slug == "offset-1e5")
    assert [row.outcome for row in offset] == ["fine", "wrong value", "wrong value"]
    assert json.loads(compared.to_json()).keys() == compared.reports.keys()


def test_the_libraries_of_the_page_can_all_be_compared():
    for name in conformance.LIBRARIES:
        pytest.importorskip(name.removesuffix("_loss"))
    compared = conformance.compare(cases=["ordinary-pair"])
    assert set(compared.reports) == set(conformance.LIBRARIES)
    assert all(report.passed for report in compared.reports.values())


def test_a_wrong_value_is_shown_with_the_digits_that_tell_it_from_the_truth():
    compared = conformance.compare({"off": lambda x, y, **c: sound(x, y, **c) - 1e-4}, ["equal"])
    assert "✗ 0.9999\n" in str(compared)


# The names and the command line


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fn": 3}, TypeError, "a function or the name of one, not 3"),
        ({"fn": "korna"}, ValueError, "'korna' is not known: choose from kornia"),
        ({"fn": "ssimlab:nothing"}, ValueError, "ssimlab has no nothing"),
        ({"fn": "ssimlab:__version__"}, ValueError, "is not a function"),
        ({"fn": "no_such_package:ssim"}, ImportError, "no_such_package"),
        ({"fn": "ssimlab", "cases": ["nan-pixl"]}, ValueError, "the nearest are nan-pixel"),
        ({"fn": "ssimlab", "window": Window(7)}, ValueError, "declares its own window"),
        ({"fn": sound, "window": Window(13)}, ValueError, "up to 11 x 11 pixels, not 13 x 13"),
    ],
)
def test_a_wrong_argument_gets_one_clear_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        conformance.run(**arguments)


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_msssim", None)
    sentence = r'^pytorch_msssim is not installed: pip install "ssimlab\[peers\]"$'
    with pytest.raises(ModuleNotFoundError, match=sentence):
        conformance.run("pytorch_msssim")


class WithoutRange(torch.nn.Module):
    def forward(self, x, y):
        return x.mean()


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, y: 1.0,
        lambda x, y, size, data_range: 1.0,
        WithoutRange(),
        conformance.from_dssim(WithoutRange()),
        conformance.from_complement(lambda x, y: 0.0),
        conformance.Subject("mine", lambda x, y: 1.0),
    ],
)
def test_a_function_that_does_not_take_data_range_is_refused_in_one_sentence(fn):
    sentence = r"cannot be called as fn\(x, y, data_range=1\.0\) .*: wrap it, as in lambda [^\n]*$"
    with pytest.raises(TypeError, match=sentence):
        conformance.run(fn)


def test_a_built_in_function_without_a_signature_is_tried_all_the_same():
    assert conformance.run(max, ["equal"])["equal"].outcome is conformance.Outcome.ERROR


def test_an_empty_list_of_cases_is_refused():
    with pytest.raises(ValueError, match="cases is empty, and nothing tried is nothing passed"):
        conformance.run(ssimlab.ssim, [])


def test_an_empty_comparison_is_refused():
    with pytest.raises(ValueError, match="functions is empty"):
        conformance.compare({})


def test_a_report_knows_its_cases_and_says_so_where_it_does_not():
    report = conformance.run("ssimlab", "equal")
    assert report["equal"].obtained == 1
    with pytest.raises(KeyError, match="no case 'step'"):
        report["step"]


def test_the_command_says_by_its_exit_code_whether_there_was_a_miss(capsys):
    assert main(["ssimlab", "--case", "step"]) == 0
    assert "no miss in 1 case" in capsys.readouterr().out
    assert main(["naive.one_pass", "--case", "step", "--case", "equal"]) == 1
    assert "1 miss in 2 cases" in capsys.readouterr().out


def test_the_command_prints_json(capsys):
    assert main(["naive.one_pass", "--json", "--case", "step"]) == 1
    assert json.loads(capsys.readouterr().out)["misses"] == ["step"]


def test_the_command_lists_the_cases(capsys):
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(case.slug in listed and case.title in listed for case in conformance.CASES)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name a function"),
        (["korna"], "is not known"),
        (["no_such_package:ssim"], "no_such_package"),
        (["ssimlab", "--case", "nothing"], "there is no case"),
        (["ssimlab", "--device", "abacus"], "abacus"),
        (["ssimlab", "--padding", "reflect"], "declares its own window"),
        (["ssimlab", "--loss", "dssim"], "is not a loss"),
        (["ssimlab:ssim", "--size", "4"], "window size must be odd"),
        (["ssimlab:ssim", "--nothing"], "unrecognized arguments"),
    ],
)
def test_a_command_that_cannot_be_carried_out_ends_with_two(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


MODULE = """
import functools
import ssimlab

splatting = functools.partial(
    ssimlab.dissimilarity, window=ssimlab.Window(7, sigma=None, padding="zero")
)
"""


def test_the_command_takes_a_function_of_the_current_folder_with_its_conventions(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    command = [sys.executable, "-m", "ssimlab", "conformance", "mine:splatting"]
    conventions = ["--loss", "complement", "--size", "7", "--sigma", "uniform", "--padding", "zero"]
    done = subprocess.run(
        [*command, *conventions, "--case", "ordinary-pair"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Conformance of mine:splatting: no miss in 1 case" in done.stdout


def in_a_terminal(*arguments, **options):
    command = [sys.executable, "-m", "ssimlab", "conformance", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", **options
    )


def test_a_library_that_is_not_installed_is_one_sentence_in_a_terminal(tmp_path):
    (tmp_path / "kornia.py").write_text("raise ModuleNotFoundError(name='kornia')")
    with in_a_terminal("kornia", cwd=tmp_path) as done:
        said = done.communicate()
    assert said == ("", 'kornia is not installed: pip install "ssimlab[peers]"\n')
    assert done.returncode == 2


def test_a_reader_who_leaves_early_sees_no_traceback():
    with in_a_terminal("--list") as left:
        left.stdout.close()
        assert left.stderr.read() == ""
    assert left.returncode == 141


def test_conventions_that_are_not_declared_are_missed(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_undeclared.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["mine_undeclared:splatting", "--case", "ordinary-pair"]) == 1
    assert "wrong value" in capsys.readouterr().out
