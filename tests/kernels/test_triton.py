"""The kernels for the GPU: compiled where there is one, and read by Triton's interpreter elsewhere.

The interpreter takes as long for one column as for a strip of them, and a tenth of a second for a
row. Images are therefore small, and where there are many they stand side by side in one.
"""

import functools
import importlib
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from oracle import random_pair, relative_error, truth, value_and_gradients

from ssimlab import (
    Window,
    conformance,
    dissimilarity,
    kernels,
    ms_ssim,
    reference,
    ssim,
    stable,
)
from ssimlab.kernels import Settings, eager

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MAP_ERROR, GRADIENT_ERROR = 1e-6, 3e-6

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def forget_the_kernels():
    sys.modules.pop("ssimlab.kernels.triton", None)
    if hasattr(kernels, "triton"):
        del kernels.triton


@pytest.fixture(scope="module")
def triton():
    pytest.importorskip("triton", reason="pip install triton, or a torch for CUDA, to run these")
    forget_the_kernels()
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        module = importlib.import_module("ssimlab.kernels.triton")
        # The interpreter prepares itself anew for each part of a kernel, which takes half its time.
        for name, part in list(vars(module).items()):
            if hasattr(part, "rewrite") and name not in ("forward", "backward"):
                patch.setattr(module, name, part.rewrite())
        yield module
    forget_the_kernels()


def settings_of(x, window=Window(), data_range=1.0):
    return stable.prepare(x, x, data_range, window, (0.01, 0.03))[2]


def on_device(*tensors):
    return [tensor.to(DEVICE) for tensor in tensors]


def map_and_gradient(triton, x, y, settings, weights=None):
    """The map of 1 - SSIM, and the gradient of the planes' means or of Σ weights · map."""
    x, y = on_device(x, y)
    unlike = triton.unlike_map(x, y, settings)
    if weights is None:
        weights = torch.full_like(unlike, unlike[..., 0, 0].numel() / unlike.numel())
    by_x = triton.gradient(x, y, weights.to(DEVICE), settings)
    assert unlike.dtype == by_x.dtype == x.dtype
    assert by_x.shape == x.shape
    assert by_x.is_contiguous()
    return unlike.cpu(), by_x.cpu()


def exact(x, y, **settings):
    """The map of 1 - SSIM by the reference, and the gradient of its mean, in float64."""
    x, y = x.double(), y.double()
    unlike = 1 - reference.ssim(x, y, reduction="none", **settings)
    _, by_x, _ = value_and_gradients(dissimilarity, x, y, backend="eager", **settings)
    return unlike, by_x


def assert_exact(unlike, by_x, x, y, map_error=MAP_ERROR, **settings):
    if torch.equal(x, y):
        assert not unlike.any()
        assert not by_x.any()
        return
    true_unlike, true_by_x = exact(x, y, **settings)
    assert (unlike.double() - true_unlike).abs().max() <= map_error
    assert relative_error(by_x, true_by_x) <= GRADIENT_ERROR


def assert_exact_side_by_side(triton, pairs, window=Window(), map_error=MAP_ERROR):
    """Many pairs of one size, in one image; windows that would see two of them weigh nothing."""
    x, y = (torch.cat(images, -1).float() for images in zip(*pairs, strict=True))
    height, width = pairs[0][0].shape
    map_height, map_width = window.output_size((height, width))
    weights = torch.zeros(window.output_size(x.shape))
    for at in range(0, x.shape[1], width):
        weights[:, at : at + map_width] = 1 / (map_height * map_width)
    unlike, by_x = map_and_gradient(triton, x, y, settings_of(x, window), weights)
    for at in range(0, x.shape[1], width):
        mine = slice(at, at + width)
        assert_exact(
            unlike[:, at : at + map_width], by_x[:, mine], x[:, mine], y[:, mine],
            map_error, data_range=1.0, window=window,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("window", "height"), [(Window(3), 5), (Window(), 12), (Window(7, None), 8)], ids=str
)
def test_the_sweep_of_offsets_and_contrasts(triton, window, height):
    pairs = [
        random_pair(height, 12, seed=seed, offset=offset, contrast=contrast)
        for seed, contrast in enumerate((1, 1e-2, 1e-4, 1e-6))
        for offset in (0, 1, 1e2, 1e4, 1e6)
    ]
    assert_exact_side_by_side(triton, pairs, window)


def test_steps_spikes_ramps_and_checks(triton):
    ramp = torch.arange(14.0).expand(12, 14)
    step, checks = (ramp >= 7).double(), (ramp + torch.arange(12.0)[:, None]) % 2
    noise, other = random_pair(12, 14, noise=1)
    spike = torch.zeros(12, 14)
    spike[6, 7] = 1
    flat = torch.full((12, 14), 0.5)
    pairs = [
        (image + 0.1 * noise, image + 0.1 * other)
        for image in (1e3 * step, 1e6 * step, 1e6 * spike, ramp, 1e4 * ramp, checks, 1e3 * checks)
    ]
    pairs += [(step, flat), (1e3 * step, 1e3 * step.flip(1)), (noise, 1e-3 * other), (noise, flat)]
    pairs += [(noise, noise * (1 + difference * other)) for difference in (1e-2, 1e-4, 1e-6)]
    pairs += [(noise, 1e6 * other), (noise + 1e6, other), (checks, noise)]
    assert_exact_side_by_side(triton, pairs)


def test_images_near_antiphase(triton):
    pairs = [
        (x, 1 - x + noise * y)
        for noise in (0, 1e-3)
        for x, y in (random_pair(12, 14, contrast=c) for c in (1, 1e-1))
    ]
    assert_exact_side_by_side(triton, pairs, map_error=6e-6)


@pytest.mark.parametrize(
    ("window", "size"),
    [
        (Window(1), (3, 4)),
        (Window(5, None, "reflect"), (4, 6)),
        (Window(5, 1.5, "zero"), (4, 6)),
        (Window(11, 1.5, "reflect"), (6, 7)),
        (Window(11, None, "zero"), (2, 3)),
    ],
    ids=str,
)
def test_every_padding(triton, window, size):
    x, y = random_pair(*size, offset=1, dtype=torch.float32)
    unlike, by_x = map_and_gradient(triton, x, y, settings_of(x, window))
    assert_exact(unlike, by_x, x, y, data_range=1.0, window=window)


@pytest.mark.parametrize(
    "window", [Window(3), Window(3, None, "reflect"), Window(5, padding="zero")], ids=str
)
def test_float64_stays_float64(triton, window):
    x, y = random_pair(4, 6, offset=1)
    unlike, by_x = map_and_gradient(triton, x, y, settings_of(x, window))
    true_unlike, true_by_x = exact(x, y, data_range=1.0, window=window)
    assert (unlike - true_unlike).abs().max() <= 1e-13
    assert relative_error(by_x, true_by_x) <= 1e-12


def test_the_largest_window(triton):
    window = Window(33, 5.0, "zero")
    x, y = random_pair(1, 2, offset=1, dtype=torch.float32)
    unlike, _, by_x = triton.means(*on_device(x, y), settings_of(x, window), True)
    true_unlike, true_by_x = exact(x, y, data_range=1.0, window=window)
    assert abs(unlike.item() - true_unlike.mean()) <= MAP_ERROR
    assert relative_error(by_x.cpu(), true_by_x) <= GRADIENT_ERROR


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "window", [Window(3), Window(5, None, "reflect"), Window(3, 1.5, "zero")], ids=str
)
def test_identical_images_give_exactly_zero_and_no_gradient(triton, window, dtype):
    images = [random_pair(6, 7, offset=offset, contrast=0.1)[0] for offset in (0, 100)]
    x = torch.cat([*images, torch.full((6, 7), 213 / 255), torch.zeros(6, 7)], 1).to(dtype)
    unlike, like, by_x = triton.means(*on_device(x, x.clone()), settings_of(x, window), True)
    assert unlike.item() == 0
    assert like.item() == 1
    assert not by_x.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_means_are_those_of_the_map_and_come_with_their_gradient(triton, dtype):
    x, y = on_device(*random_pair(2, 1, 5, 6, noise=0.02, dtype=dtype))
    settings = settings_of(x, Window(3))
    unlike, like, by_x = triton.means(x, y, settings, True)
    values, of_map = map_and_gradient(triton, x, y, settings)
    assert unlike.shape == like.shape == (2, 1)
    assert unlike.dtype == like.dtype == dtype
    torch.testing.assert_close(unlike.cpu(), values.mean((-2, -1)))
    torch.testing.assert_close(like, 1 - unlike)
    torch.testing.assert_close(by_x.cpu(), of_map)
    again = triton.means(x, y, settings, False)
    assert torch.equal(again[0], unlike)
    assert torch.equal(again[1], like)
    assert again[2].numel() == 0


@pytest.mark.parametrize("padding", ["valid", "reflect"])
def test_without_luminance_contrast_and_structure_are_compared_alone(triton, padding):
    x, y = random_pair(5, 6, offset=1, dtype=torch.float32)
    settings = settings_of(x, Window(3, padding=padding))._replace(luminance=False)
    for other in (y, 1 - y, x):
        unlike, by_x = map_and_gradient(triton, x, other, settings)
        a, b = x.double().requires_grad_(), other.double()
        true_unlike = eager.maps(a, b, settings)[0]
        true_by_x = torch.autograd.grad(true_unlike.mean(), a)[0]
        assert (unlike.double() - true_unlike).abs().max() <= MAP_ERROR
        assert (by_x.double() - true_by_x).abs().max() <= GRADIENT_ERROR * true_by_x.abs().max()


@pytest.mark.parametrize("data_range", [1e-30, 255.0, 1e30])
def test_images_may_be_in_any_units(triton, data_range):
    x, y = random_pair(6, 7, dtype=torch.float32)
    x, y = x * data_range, y * data_range
    unlike, by_x = map_and_gradient(triton, x, y, settings_of(x, Window(3), data_range))
    assert_exact(unlike, by_x, x, y, data_range=data_range, window=Window(3))


def layouts(image):
    """The same pixels, (2, 2, H, W), as they may lie in memory."""
    yield image.to(memory_format=torch.channels_last)
    yield image.mT.contiguous().mT
    yield torch.stack((image, image), -1)[..., 0]
    yield torch.cat((image, image), -2)[:, :, : image.shape[-2]]
    yield image.transpose(0, 1).contiguous().transpose(0, 1)
    yield torch._neg_view(-image)


def test_every_layout_in_memory_gives_the_same_bits(triton):
    x, y = on_device(*random_pair(2, 2, 4, 5, dtype=torch.float32))
    settings = settings_of(x, Window(3))
    weights = torch.rand(2, 2, 2, 3).to(DEVICE)
    values, by_x = triton.unlike_map(x, y, settings), triton.gradient(x, y, weights, settings)
    for a, b in zip(layouts(x), reversed([*layouts(y)]), strict=True):
        assert torch.equal(triton.unlike_map(a, b, settings), values)
    for a, b, c in list(zip(layouts(x), layouts(y), layouts(weights), strict=True))[:2]:
        assert torch.equal(triton.gradient(a, b, c, settings), by_x)


def test_images_and_weights_may_be_expanded(triton):
    x, y = on_device(*random_pair(6, 7, dtype=torch.float32))
    settings = settings_of(x, Window(3))
    weight = torch.rand(2, 2, 1, 1).to(DEVICE)
    got = triton.gradient(
        x.expand(2, 2, 6, 7), y.expand(2, 2, 6, 7), weight.expand(2, 2, 4, 5), settings
    )
    one = triton.gradient(x, y, torch.ones((), device=DEVICE).expand(4, 5), settings)
    torch.testing.assert_close(got, weight * one)


@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
def test_the_cut_into_strips_and_runs_changes_no_bit(triton, padding, monkeypatch):
    x, y = random_pair(7, 21, offset=1, dtype=torch.float32)
    settings = settings_of(x, Window(3, padding=padding))
    whole = map_and_gradient(triton, x, y, settings)
    means = triton.means(*on_device(x, y), settings, False)
    monkeypatch.setattr(triton, "RUNS", (4,))
    monkeypatch.setattr(triton, "COLUMNS", 16)
    for a, b in zip(map_and_gradient(triton, x, y, settings), whole, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(triton.means(*on_device(x, y), settings, False), means, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("planes", "rows"), [(25, 64), (3, 32), (1, 8)])
def test_a_run_is_the_longest_that_keeps_the_gpu_busy(triton, planes, rows, monkeypatch):
    monkeypatch.setattr(triton, "_multiprocessors", lambda device: 20)
    images = torch.empty(planes, 210, 266)
    assert triton._rows(images, (200, 256)) == rows


def test_a_map_of_one_pixel_and_no_planes_at_all(triton):
    x, y = random_pair(5, 5, dtype=torch.float32)
    unlike, by_x = map_and_gradient(triton, x, y, settings_of(x, Window(5)))
    assert unlike.shape == (1, 1)
    assert_exact(unlike, by_x, x, y, data_range=1.0, window=Window(5))
    none = torch.zeros(0, 3, 5, 5, device=DEVICE)
    results = triton.means(none, none, settings_of(x, Window(5)), True)
    assert [result.shape for result in results] == [(0, 3), (0, 3), (0, 3, 5, 5)]
    assert triton.unlike_map(none, none, settings_of(x, Window(5))).shape == (0, 3, 1, 1)


@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
@pytest.mark.parametrize("where", [(5, 6), (0, 1)])
def test_nan_stays_in_the_windows_that_touch_it(triton, padding, where):
    x, y = random_pair(10, 12, dtype=torch.float32)
    x[where] = torch.nan
    window = Window(3, padding=padding)
    unlike, by_x = map_and_gradient(triton, x, y, settings_of(x, window))
    expected, gradient = exact(x, y, data_range=1.0, window=window)
    assert torch.equal(unlike.isnan(), expected.isnan())
    assert torch.equal(by_x.isnan(), gradient.isnan())


def test_two_runs_and_exchanged_images_give_the_same_bits(triton):
    x, y = on_device(*random_pair(2, 7, 9, offset=1, dtype=torch.float32))
    settings = settings_of(x, Window(3))
    first = triton.means(x, y, settings, True)
    for a, b in zip(triton.means(x, y, settings, True), first, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(triton.means(y, x, settings, False)[:2], first[:2], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_package_finds_the_kernels_and_differentiates_through_them(triton, reduction):
    x, y = random_pair(2, 6, 7, dtype=torch.float32)
    settings = {"data_range": 1.0, "window": Window(3)}
    inputs = [image.to(DEVICE).requires_grad_() for image in (x, y)]
    result = dissimilarity(*inputs, reduction=reduction, backend="triton", **settings)
    _, *gradients = truth(x, y, **settings)
    got = torch.autograd.grad(result.mean(), inputs)
    for by_image, true in zip(got, gradients, strict=True):
        assert relative_error(by_image.cpu(), -true) <= GRADIENT_ERROR


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # of NumPy, the interpreter
def test_a_constant_of_zero_leaves_a_quotient_of_zeros_where_an_image_is_flat(triton):
    flat = torch.full((3, 4), 0.5, device=DEVICE)
    no_c2 = Settings(Window(3).taps, "valid", 1e-4, 0.0)
    no_c1 = Settings(Window(3).taps, "valid", 0.0, 9e-4)
    assert triton.unlike_map(flat, flat, no_c2).isnan().all()
    assert triton.unlike_map(0 * flat, 0 * flat, no_c1).isnan().all()


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("part", range(4))
def test_the_catalogue_of_hard_cases_has_no_miss(triton, part):
    # With three taps, which the interpreter takes in a third of the time of eleven.
    window = Window(3)
    fn = functools.partial(ssim, window=window, backend="triton")
    cases = conformance.CASES[part::4]
    report = conformance.run(fn, cases, window=window, device=DEVICE)
    assert [row.case.slug for row in report.rows] == [case.slug for case in cases]
    assert [row.case.slug for row in report.misses] == []


def test_what_cannot_be_used_is_said(triton, monkeypatch):
    x = torch.zeros(3, 3)
    settings = Settings((1.0,), "valid", 1.0, 1.0)
    monkeypatch.setattr(triton, "INTERPRETED", True)
    assert triton.reason_against(x, x, settings) is None
    many = settings._replace(taps=(1 / 35,) * 35)
    assert triton.reason_against(x, x, many) == (
        "the window has 35 taps, and the kernels take up to 33"
    )
    monkeypatch.setattr(triton, "INTERPRETED", False)
    assert triton.reason_against(x, x, settings) == (
        "the images are on cpu, and this kernel is for the GPU"
    )
    monkeypatch.setattr(triton, "triton", SimpleNamespace(__version__="3.2.0+cpu"))
    assert triton.reason_against(x, x, settings) == "Triton 3.2.0+cpu is too old: 3.3 is needed"


def test_the_interpreter_is_never_taken_for_images_on_the_cpu_unless_it_is_named(triton):
    x, y = random_pair(20, 20)
    assert kernels.choose("auto", x, y, settings_of(x)) != "triton"


def test_a_machine_without_triton_is_told_so():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from ssimlab.kernels import triton, Settings\n"
        "x = torch.zeros(3, 3)\n"
        "print(triton.reason_against(x, x, Settings((1.0,), 'valid', 1.0, 1.0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=os.environ
    )
    assert done.stdout == "Triton is not installed\n", done.stderr


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
@pytest.mark.parametrize(("taps", "sigma"), [(11, 1.5), (33, 5.0)])
def test_large_images_on_the_gpu_are_as_accurate_as_small_ones(triton, taps, sigma, padding, dtype):
    window = Window(taps, sigma, padding)
    x, y = random_pair(2, 301, 407, offset=10, dtype=dtype)
    unlike, by_x = map_and_gradient(triton, x, y, settings_of(x, window))
    a, b = x.double(), y.double()
    settings = {"data_range": 1.0, "window": window}
    expected = 1 - reference.ssim_separable(a, b, reduction="none", **settings)
    _, gradient, _ = value_and_gradients(dissimilarity, a, b, backend="eager", **settings)
    assert (unlike.double() - expected).abs().max() <= MAP_ERROR
    assert relative_error(by_x / 2, gradient) <= GRADIENT_ERROR  # the mean is over two planes


@needs_cuda
def test_pixels_beyond_two_to_the_31_are_found(triton):
    if torch.cuda.mem_get_info()[0] < 10 * 2**30:
        pytest.skip("8 GiB are needed")
    x, y = on_device(*random_pair(2, 20, 21, dtype=torch.float32))
    far = torch.empty(2**31 + 20 * 21, device="cuda").as_strided((2, 20, 21), (2**31, 21, 1))
    far.copy_(x)
    for result, near in zip(
        triton.means(far, y, settings_of(x), True),
        triton.means(x, y, settings_of(x), True),
        strict=True,
    ):
        assert torch.equal(result, near)


@needs_cuda
def test_autocast_and_tf32_change_nothing(triton, monkeypatch):
    x, y = on_device(*random_pair(2, 40, 41, offset=1, contrast=0.1, dtype=torch.float32))
    expected = triton.means(x, y, settings_of(x), True)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    with torch.autocast("cuda", dtype=torch.float16):
        got = triton.means(x, y, settings_of(x), True)
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b)


@needs_cuda
@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
def test_auto_takes_the_kernel_and_comes_through_with_no_miss(padding):
    x, y = on_device(*random_pair(20, 21, dtype=torch.float32))
    assert kernels.choose("auto", x, y, settings_of(x)) == "triton"
    window = Window(padding=padding)
    under_test = conformance.Subject(
        "triton",
        functools.partial(ssim, window=window),
        window,
        map=functools.partial(ssim, window=window, reduction="none"),
    )
    report = conformance.run(under_test, device="cuda")
    assert not [row.case.slug for row in report.misses]
    assert report.passed


def in_full(x, y, **options):
    """The dissimilarity, its gradients, and the gradient of the sum of one's squares."""
    x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
    value = dissimilarity(x, y, data_range=1.0, **options)
    by_x, by_y = torch.autograd.grad(value, (x, y), create_graph=True)
    (second,) = torch.autograd.grad(by_x.square().sum(), x)
    return [t.detach().cpu() for t in (value, by_x, by_y, second)]


@needs_cuda
def test_public_functions_give_on_the_gpu_what_they_give_on_the_cpu():
    x, y = random_pair(2, 3, 200, 190, offset=1, dtype=torch.float32)
    for got, expected in zip(
        in_full(x.cuda(), y.cuda()), in_full(x.double(), y.double()), strict=True
    ):
        assert relative_error(got, expected) <= GRADIENT_ERROR
    scores = [
        ms_ssim(a.to(d), b.to(d), data_range=1.0) for a, b in [(x, y)] for d in ("cuda", "cpu")
    ]
    torch.testing.assert_close(scores[0].cpu(), scores[1], rtol=1e-5, atol=0)


@needs_cuda
def test_the_compiler_takes_the_kernel_whole():
    x, y = on_device(*random_pair(3, 40, 50, dtype=torch.float32))

    def both(x, y):
        x = x.detach().requires_grad_()
        (by_x,) = torch.autograd.grad(loss(x, y), x)
        return by_x

    def loss(x, y):
        return (
            dissimilarity(x, y, data_range=1.0)
            + dissimilarity(x, y, data_range=1.0, reduction="none").square().mean()
        )

    expected = both(x, y)
    loss = torch.compile(loss, fullgraph=True)
    torch.testing.assert_close(both(x, y), expected)


@needs_cuda
def test_work_on_another_stream_is_in_its_order():
    x, y = on_device(*random_pair(8, 300, 301, dtype=torch.float32))
    expected = in_full(x, y)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        a, b = x.clone(), y.clone()
        got = in_full(a, b)
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.equal(ours, theirs)


@needs_cuda
def test_the_kernels_can_be_captured_in_a_graph():
    x, y = on_device(*random_pair(2, 70, 71, dtype=torch.float32))
    expected = dissimilarity(x, y, data_range=1.0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = dissimilarity(x, y, data_range=1.0)
    value.zero_()
    graph.replay()
    assert torch.equal(value, expected)


COMPILED = """
import torch, triton
from triton.backends.compiler import GPUTarget

class Driver:
    "A card of a given architecture, which compiles and cannot run."
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_current_target(self): return GPUTarget("cuda", ARCHITECTURE, 32)
    def get_active_torch_device(self): return torch.device("cpu")

triton.runtime.driver.set_active(Driver())
from ssimlab import Window, stable
from ssimlab.kernels import triton as kernels

made = []
def compiled(kernel, grid):
    return lambda *args, **options: made.append(kernel.warmup(*args, grid=grid, **options))
kernels.forward.__class__.__getitem__ = compiled
for dtype in (torch.float32, torch.float64):
    for padding in ("valid", "reflect"):
        x = torch.rand(2, 40, 41, dtype=dtype)
        settings = stable.prepare(x, x, 1.0, Window(5, padding=padding), (0.01, 0.03))[2]
        kernels.means(x, x, settings, True)
        kernels.unlike_map(x, x, settings)
assert len(made) == 12
assert all(kernel.asm["cubin"] for kernel in made)
print("compiled")
"""


@pytest.mark.parametrize("architecture", [75, 90])
def test_they_compile_for_cards_that_are_not_there(architecture):
    pytest.importorskip("triton")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED.replace("ARCHITECTURE", str(architecture))],
        capture_output=True,
        encoding="utf-8",
        env=environment,
    )
    assert done.stdout == "compiled\n", done.stderr
