"""The losses against kornia and Gaussian-splatting code: where those are right, and where not."""

import copy
import inspect
import pickle
import sys
import types

import pytest
import torch
import torch.nn.functional as F

from ssimlab import Scales, Window, dissimilarity, formula, naive, reference
from ssimlab.losses import MixedLoss, SSIMLoss, l1_loss, splatting_ssim, ssim_loss
from ssimlab.multiscale import ms_dissimilarity

pytestmark = pytest.mark.usefixtures("every_backend")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_pair(*shape, dtype=torch.float32, seed=0):
    x, y = torch.rand((2, *shape), generator=generator(seed), dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


@pytest.fixture
def kornia():
    """``kornia.losses``, where it is installed."""
    return pytest.importorskip("kornia.losses")


def photographs(dtype=torch.float32):
    """Two crops of scikit-image's astronaut and their noisy copies, each (2, 3, 64, 70)."""
    data = pytest.importorskip("skimage.data")
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1).double() / 255
    x = torch.stack((image[:, 50:114, 190:260], image[:, 300:364, 100:170]))
    y = x + 0.1 * torch.randn(x.shape, generator=generator(), dtype=x.dtype)
    return x.to(dtype), y.clamp(0, 1).to(dtype)


def gradient(fn, x, *others):
    x = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(fn(x, *others).sum(), x)
    return slope


# DSSIM and kornia --------------------------------------------------------------------------

same_and_valid = pytest.mark.parametrize("padding", ["same", "valid"])


@pytest.mark.parametrize("ours", [ssim_loss, SSIMLoss])
def test_the_signature_is_that_of_kornia(ours, kornia):
    theirs = getattr(kornia, ours.__name__)
    ours, theirs = (inspect.signature(fn).parameters.values() for fn in (ours, theirs))
    *ours, backend = ours
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]
    assert (backend.name, backend.kind) == ("backend", backend.KEYWORD_ONLY)


@same_and_valid
@pytest.mark.parametrize("window_size", [3, 7, 11])
def test_random_images_have_the_loss_of_kornia(padding, window_size, kornia):
    x, y = random_pair(2, 3, 24, 25)
    theirs = kornia.ssim_loss(x, y, window_size, padding=padding)
    ours = ssim_loss(x, y, window_size, padding=padding)
    assert abs(ours - theirs) <= 1e-6
    assert torch.equal(SSIMLoss(window_size, padding=padding)(x, y), ours)


@same_and_valid
def test_the_reduction_sum_is_the_sum_of_the_map(padding, kornia):
    x, y = random_pair(2, 3, 24, 25)
    theirs = kornia.ssim_loss(x, y, 11, reduction="sum", padding=padding)
    ours = ssim_loss(x, y, 11, reduction="sum", padding=padding)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


@same_and_valid
@pytest.mark.parametrize("max_val", [1.0, 255.0])
def test_photographs_have_the_loss_of_kornia_in_float64(padding, max_val, kornia):
    x, y = (max_val * image for image in photographs(torch.float64))
    how = {"window_size": 11, "max_val": max_val, "padding": padding, "reduction": "none"}
    theirs = kornia.ssim_loss(x, y, eps=0.0, **how)
    assert (ssim_loss(x, y, **how) - theirs).abs().max() <= 1e-11
    slope = gradient(lambda x: kornia.ssim_loss(x, y, eps=0.0, **how), x)
    assert (gradient(lambda x: ssim_loss(x, y, **how), x) - slope).norm() <= 1e-11 * slope.norm()


@same_and_valid
@pytest.mark.parametrize("pair", [photographs, lambda: random_pair(2, 3, 24, 25)])
def test_each_pixel_has_the_loss_of_kornia_wherever_kornia_is_right(pair, padding, kornia):
    x, y = pair()
    how = {"window_size": 11, "padding": padding, "reduction": "none"}
    ours, theirs = ssim_loss(x, y, **how), kornia.ssim_loss(x, y, **how)
    truth = kornia.ssim_loss(x.double(), y.double(), eps=0.0, **how)
    assert ours.shape == theirs.shape
    right = (theirs - truth).abs() <= 5e-7
    assert 0.3 < right.float().mean() < 1
    assert (ours - theirs)[right].abs().max() <= 1e-6
    assert (ours - truth).abs().max() <= 3e-7


def test_photographs_have_the_gradient_of_kornia(kornia):
    x, y = photographs()
    truth = gradient(lambda x, y: kornia.ssim_loss(x, y, 11, eps=0.0), x.double(), y.double())
    theirs = gradient(lambda x: kornia.ssim_loss(x, y, 11), x)
    ours = gradient(lambda x: ssim_loss(x, y, 11), x)
    assert (ours - theirs).norm() <= 1e-4 * truth.norm()
    assert (ours - truth).norm() <= 1e-6 * truth.norm()


@pytest.mark.parametrize("max_val", [1e-1, 1e-2, 1e-3])
def test_a_small_max_val_is_no_reason_for_loss(max_val, kornia):
    x = torch.zeros(1, 1, 16, 16)
    assert kornia.ssim_loss(x, x, 11, max_val) > 0.04
    assert ssim_loss(x, x, 11, max_val) == 0


@pytest.mark.parametrize("offset", [1e3, 1e4, 1e6])
def test_an_offset_does_not_turn_the_loss_to_garbage(offset, kornia):
    x, y = (image + offset for image in random_pair(1, 1, 32, 32))
    exact = (1 - reference.ssim(x, y, data_range=1.0)) / 2
    valid = {"window_size": 11, "padding": "valid"}
    assert ssim_loss(x, y, **valid).item() == pytest.approx(exact.item(), abs=1e-6)
    assert kornia.ssim_loss(x, y, **valid).item() != pytest.approx(exact.item(), abs=1e-2)
    slope = gradient(lambda x: (1 - reference.ssim(x, y.double(), data_range=1.0)) / 2, x.double())
    assert (gradient(lambda x: ssim_loss(x, y, **valid), x) - slope).norm() <= 1e-5 * slope.norm()


def test_identical_images_have_exactly_no_loss_and_no_gradient():
    x, _ = photographs()
    assert ssim_loss(x, x.clone(), 11) == 0
    assert not gradient(lambda x, y: ssim_loss(x, y, 11), x, x.clone()).any()


# Both usage examples of kornia's documentation page: the first runs, the second cannot.
def test_the_first_usage_example_runs(kornia):
    x, y = random_pair(1, 4, 5, 5)
    loss = SSIMLoss(window_size=5)(x, y)
    assert loss.item() == pytest.approx(kornia.SSIMLoss(window_size=5)(x, y).item(), abs=1e-6)


@pytest.mark.parametrize("size", [5, 8, 10])
def test_images_smaller_than_a_valid_window_are_refused(size, kornia):
    x, y = random_pair(1, 4, size, size)
    criterion = SSIMLoss(window_size=11, max_val=1.0, eps=1e-12, reduction="mean", padding="valid")
    with pytest.raises(ValueError, match=f'{size} x {size} pixels.*"valid" needs at least 11 x 11'):
        criterion(x, y)
    if size == 10:  # the one that passes unnoticed elsewhere
        assert kornia.ssim_loss(x, y, 11, padding="valid").isnan()


def test_images_smaller_than_a_mirror_are_refused():
    x, y = random_pair(1, 4, 5, 5)
    with pytest.raises(ValueError, match="needs at least 6 x 6"):
        ssim_loss(x, y, 11)


def test_eps_is_accepted_and_changes_nothing():
    x, y = random_pair(1, 1, 16, 16)
    loss = ssim_loss(x, y, 5)
    assert torch.equal(ssim_loss(x, y, 5, 1.0, 0.0), loss)
    with pytest.warns(UserWarning, match=r"eps=0\.1 is not used"):
        assert torch.equal(ssim_loss(x, y, 5, eps=0.1), loss)
    with pytest.warns(UserWarning, match=r"eps=1\.0 is not used"):
        SSIMLoss(5, eps=1)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"window_size": 4}, ValueError, "window size must be odd"),
        ({"window_size": 5.0}, TypeError, "window size must be an odd whole number"),
        ({"max_val": 0}, ValueError, "max_val must be a positive, finite number"),
        ({"max_val": None}, TypeError, "max_val must be a plain number"),
        ({"max_val": torch.tensor(1.0)}, TypeError, "max_val must be a plain number"),
        ({"eps": -1e-12}, ValueError, "eps must be a finite number"),
        ({"eps": float("nan")}, ValueError, "eps must be a finite number"),
        ({"reduction": "avg"}, ValueError, "reduction must be one of .*'sum'.* not 'avg'"),
        ({"padding": "reflect"}, ValueError, "padding must be one of .*'same'.* not 'reflect'"),
    ],
)
def test_bad_settings_are_refused_by_function_and_module(how, error, message):
    x, y = random_pair(1, 1, 16, 16)
    how = {"window_size": 5, **how}
    with pytest.raises(error, match=message):
        ssim_loss(x, y, **how)
    with pytest.raises(error, match=message):
        SSIMLoss(**how)


FLOAT = torch.rand(1, 1, 16, 16)


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        (FLOAT, FLOAT[..., :15], ValueError, "{0} and {1} must have the same shape"),
        (FLOAT, FLOAT.double(), TypeError, "{0} and {1} must have the same dtype"),
        (FLOAT, FLOAT.to("meta"), ValueError, "{0} and {1} must be on the same device"),
        ((255 * FLOAT).byte(), FLOAT, TypeError, r"{0} is torch.uint8.*{0}.float\(\)"),
        (FLOAT, FLOAT.numpy(), TypeError, "{1} must be a torch tensor, not numpy.ndarray"),
    ],
)
@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (lambda x, y: ssim_loss(x, y, 5), ("img1", "img2")),
        (SSIMLoss(5), ("img1", "img2")),
        (splatting_ssim, ("img1", "img2")),
        (l1_loss, ("network_output", "gt")),
        (MixedLoss.kerbl2023(), ("x", "y")),
        (MixedLoss.zhao2017(size=5), ("x", "y")),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(loss, names, first, second, error, message):
    with pytest.raises(error, match=message.format(*names)):
        loss(first, second)


# Mixtures ----------------------------------------------------------------------------------


def test_kerbl2023_is_the_sum_of_its_formula():
    x, y = photographs(torch.float64)
    zero_padded = naive.zero_padded_same(x, y, data_range=1.0)
    expected = 0.8 * (x - y).abs().mean() + 0.2 * (1 - zero_padded)
    torch.testing.assert_close(MixedLoss.kerbl2023()(x, y), expected, rtol=1e-12, atol=0)


def test_zhao2017_is_the_interior_of_kornias_map(kornia):
    x, y = (image[:1, :, :40, :43] for image in photographs(torch.float64))
    # Kornia pads with zeros; 16 pixels from the border its windows lie inside the image. Its
    # taps are made in float32, hence the tolerance.
    per_pixel = kornia.MS_SSIMLoss(alpha=0.84, compensation=1.0, reduction="none").double()
    expected = per_pixel(x, y)[:, 16:-16, 16:-16].mean()
    torch.testing.assert_close(MixedLoss.zhao2017()(x, y), expected, rtol=1e-6, atol=0)


def test_zhao2017_of_one_patch_is_the_published_sum():
    x, y = random_pair(33, 33, dtype=torch.float64)
    y = 0.7 * x + 0.3 * y
    product = 1.0
    for sigma in (0.5, 1.0, 2.0, 4.0, 8.0):
        w = Window(33, sigma).weights()
        mx, my = (w * x).sum(), (w * y).sum()
        vx, vy = (w * x * x).sum() - mx**2, (w * y * y).sum() - my**2
        product = product * (2 * ((w * x * y).sum() - mx * my) + 9e-4) / (vx + vy + 9e-4)
    luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    expected = 0.84 * (1 - luminance * product) + 0.16 * (w * (x - y).abs()).sum()
    torch.testing.assert_close(MixedLoss.zhao2017()(x, y), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("named", [MixedLoss.zhao2017, MixedLoss.kerbl2023])
def test_a_mixture_does_not_depend_on_the_unit_of_the_pixels(named):
    x, y = photographs()
    of_unit = named()(x, y)
    of_bytes = named(data_range=255)(255 * x, 255 * y)
    torch.testing.assert_close(of_bytes, of_unit, rtol=1e-5, atol=0)


@pytest.mark.parametrize("similar", [dissimilarity, ms_dissimilarity])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_is_the_share_of_the_similarity(similar, alpha):
    x, y = photographs(torch.float64)
    options = {"window": Window(3, padding="reflect")}
    unlike = similar(x, y, data_range=2.0, **options)
    mixed = MixedLoss(similar, alpha, data_range=2.0, **options)(x, y)
    expected = alpha * unlike + (1 - alpha) * F.l1_loss(x, y) / 2
    torch.testing.assert_close(mixed, expected)


def test_a_similarity_of_ones_own_can_be_mixed():
    x, y = random_pair(1, 8, 8)

    def squared(x, y, *, data_range):
        return ((x - y) / data_range).square().mean()

    mixed = MixedLoss(squared, 0.5, data_range=1.0)(x, y)
    torch.testing.assert_close(mixed, (F.mse_loss(x, y) + F.l1_loss(x, y)) / 2)


@pytest.mark.parametrize("loss", [MixedLoss.zhao2017(size=5), MixedLoss.kerbl2023()])
def test_a_mixture_of_identical_images_is_exactly_zero_with_no_gradient(loss):
    x, _ = random_pair(1, 1, 16, 16)
    assert loss(x, x.clone()) == 0
    assert not gradient(loss, x, x.clone()).any()


@pytest.mark.parametrize(
    ("arguments", "how", "error", "message"),
    [
        (("ssim", 0.5), {}, TypeError, "dissimilarity must be a function such as ssimlab"),
        ((dissimilarity, 84), {}, ValueError, "alpha must be at most 1, not 84"),
        ((dissimilarity, -0.1), {}, ValueError, "alpha must be a finite number, zero or more"),
        ((dissimilarity, "0.5"), {}, TypeError, "alpha must be a plain number"),
        ((dissimilarity, 0.5), {"data_range": 0}, ValueError, "data_range must be a positive"),
        ((dissimilarity, 0.5), {"l1_window": 11}, TypeError, "l1_window must be a Window"),
    ],
)
def test_a_mixture_refuses_what_it_cannot_mix(arguments, how, error, message):
    with pytest.raises(error, match=message):
        MixedLoss(*arguments, **{"data_range": 1.0, **how})


def test_a_mixture_asks_for_a_data_range():
    with pytest.raises(TypeError, match="data_range"):
        MixedLoss(dissimilarity, 0.5)


def test_zhao2017_says_how_large_its_images_must_be():
    x, y = random_pair(1, 32, 40)
    with pytest.raises(ValueError, match="at least 33 x 33"):
        MixedLoss.zhao2017()(x, y)
    assert MixedLoss.zhao2017(padding="reflect")(x, y).isfinite()
    with pytest.raises(TypeError, match="sigmas must be a tuple"):
        MixedLoss.zhao2017(sigmas=8.0)


# Gaussian splatting, and whole scripts -----------------------------------------------------


def splatting_original(img1, img2, window_size=11, size_average=True):
    """Zero-padded SSIM by convolutions and E[x²] - μ², as Gaussian-splatting code has it."""
    channels = img1.shape[-3]
    window = Window(window_size).weights().to(img1)[None, None].repeat(channels, 1, 1, 1)

    def average(image):
        return F.conv2d(image, window, padding=window_size // 2, groups=channels)

    local = formula.rearranged_moments(img1, img2, average)
    luminance, contrast_structure = formula.quotients(local, formula.constants(1.0))
    values = luminance * contrast_structure
    return values.mean() if size_average else values.mean((1, 2, 3))


@pytest.mark.parametrize("size_average", [True, False])
@pytest.mark.parametrize("window_size", [5, 11])
def test_splatting_ssim_is_the_function_that_it_replaces(size_average, window_size):
    x, y = photographs(torch.float64)
    how = {"window_size": window_size, "size_average": size_average}
    theirs = splatting_original(x, y, **how)
    assert splatting_ssim(x, y, **how).shape == theirs.shape
    torch.testing.assert_close(splatting_ssim(x, y, **how), theirs, rtol=1e-11, atol=0)
    torch.testing.assert_close(
        splatting_ssim(x[0], y[0], window_size), splatting_original(x[0], y[0], window_size)
    )


def test_splatting_ssim_refuses_other_shapes_and_ranges():
    x, y = random_pair(16, 16)
    with pytest.raises(ValueError, match=r"must have shape \(C, H, W\) or \(N, C, H, W\)"):
        splatting_ssim(x, y)
    with pytest.raises(ValueError, match="max_val must be a positive"):
        splatting_ssim(x[None], y[None], max_val=0)


KORNIA_SCRIPT = """
{imports}

criterion = SSIMLoss(11, max_val=1.0, eps=1e-12, reduction="mean", padding="valid")
image = start.clone().requires_grad_()
optimizer = torch.optim.SGD([image], lr=20.0)
history = []
for _ in range(5):
    optimizer.zero_grad()
    loss = criterion(image, target) + ssim_loss(image, target, 5).mean()
    loss.backward()
    optimizer.step()
    history.append(loss.item())
"""

SPLATTING_SCRIPT = """
{imports}

lambda_dssim = 0.2
image = start[0].clone().requires_grad_()
optimizer = torch.optim.SGD([image], lr=20.0)
history = []
for _ in range(5):
    optimizer.zero_grad()
    difference = l1_loss(image, target[0])
    loss = (1.0 - lambda_dssim) * difference + lambda_dssim * (1.0 - ssim(image, target[0]))
    loss.backward()
    optimizer.step()
    history.append(loss.item())
"""

ONE_LINE = [
    (
        KORNIA_SCRIPT,
        "from kornia.losses import SSIMLoss, ssim_loss",
        "from ssimlab.losses import SSIMLoss, ssim_loss",
    ),
    (
        SPLATTING_SCRIPT,
        "from utils.loss_utils import l1_loss, ssim",
        "from ssimlab.losses import l1_loss, splatting_ssim as ssim",
    ),
]


@pytest.mark.parametrize(("script", "was", "now"), ONE_LINE, ids=["kornia", "splatting"])
def test_a_training_script_goes_on_with_one_import_line_changed(script, was, now, monkeypatch):
    loss_utils = types.ModuleType("utils.loss_utils")
    loss_utils.ssim, loss_utils.l1_loss = splatting_original, F.l1_loss
    monkeypatch.setitem(sys.modules, "utils", types.ModuleType("utils"))
    monkeypatch.setitem(sys.modules, "utils.loss_utils", loss_utils)

    if script is KORNIA_SCRIPT:
        pytest.importorskip("kornia")

    def run(imports):
        target, start = photographs()
        names = {"torch": torch, "start": start, "target": target}
        exec(script.format(imports=imports), names)
        return names["history"]

    before, after = run(was), run(now)
    assert after == pytest.approx(before, abs=1e-5)
    assert after[-1] < 0.95 * after[0]


# Types, layouts and transforms -------------------------------------------------------------

EVERY_LOSS = {
    "ssim_loss same": lambda x, y: ssim_loss(x, y, 5),
    "SSIMLoss valid": SSIMLoss(5, padding="valid", reduction="sum"),
    "zhao2017": MixedLoss.zhao2017(size=5, sigmas=(0.5, 1.0)),
    "kerbl2023": MixedLoss.kerbl2023(),
    "ms_ssim mixture": MixedLoss(
        ms_dissimilarity, 0.84, data_range=1.0, window=Window(3), scales=Scales((0.3, 0.7))
    ),
    "splatting_ssim": splatting_ssim,
}
every_loss = pytest.mark.parametrize("loss", EVERY_LOSS.values(), ids=EVERY_LOSS)


@every_loss
def test_half_precision_and_autocast_are_computed_in_float32(loss):
    x, y = random_pair(1, 2, 12, 13)
    outside = loss(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(x, y), outside)
    for dtype in (torch.float16, torch.bfloat16):
        low = loss(x.to(dtype), y.to(dtype))
        assert low.dtype == torch.float32
        assert torch.equal(low, loss(x.to(dtype).float(), y.to(dtype).float()))


@every_loss
def test_first_and_second_derivatives_pass_gradcheck(loss):
    x, y = (image.requires_grad_() for image in random_pair(1, 1, 7, 8, dtype=torch.float64))
    assert torch.autograd.gradcheck(loss, (x, y), fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, (x, y), fast_mode=True)


@every_loss
def test_transforms_of_torch_func_agree_with_plain_loops(loss):
    x, y = random_pair(3, 1, 9, 10)
    each = torch.stack([loss(a, b) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(torch.vmap(loss)(x, y), each)
    slope = torch.func.grad(loss)(x, y)
    _, along = torch.func.jvp(lambda x: loss(x, y), (x,), (y,))
    torch.testing.assert_close(along, (slope * y).sum())


@pytest.mark.parametrize(
    "loss", [SSIMLoss(3), MixedLoss(dissimilarity, 0.2, data_range=1.0, window=Window(3))]
)
def test_torch_compile_captures_a_loss_whole(loss):
    torch.compiler.reset()
    x, y = random_pair(1, 1, 12, 13)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(gradient(compiled, x, y), gradient(loss, x, y))


@pytest.mark.parametrize("module", [SSIMLoss(5), MixedLoss.kerbl2023(), MixedLoss.zhao2017()])
def test_modules_carry_no_state_and_can_be_copied(module):
    x, y = random_pair(1, 1, 40, 41)
    assert not module.state_dict()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x, y), module(x, y))
        assert repr(twin) == repr(module)


def test_a_mixture_refuses_to_be_a_map():
    with pytest.raises(ValueError, match="a mixture is a scalar: leave out reduction"):
        MixedLoss(dissimilarity, 0.2, data_range=1.0, reduction="none")


def test_a_padding_that_is_no_word_is_refused_as_given():
    with pytest.raises(ValueError, match="not None"):
        SSIMLoss(11, padding=None)
