"""The oracle: held against 50 digits, scikit-image, published values and its own ladder."""

import itertools

import numpy as np
import pytest
import torch
from oracle import as_tensor, mean_in_50_digits, random_pair, ssim_map_in_50_digits

from ssimlab import Window, formula, reference

WINDOWS = [
    Window(3),
    Window(5, 0.8, "reflect"),
    Window(5, None, "zero"),
    Window(7, None),
    Window(11, 1.5, "reflect"),
    Window(1),
]


PHOTOGRAPHS = ["camera", "coins", "astronaut R", "astronaut G", "astronaut B"]


def photograph(name):
    """A photograph and the same with noise, of 8-bit values."""
    data = pytest.importorskip("skimage.data")
    name, _, channel = name.partition(" ")
    plane = getattr(data, name)()
    plane = plane[..., "RGB".index(channel)] if channel else plane
    plane = plane[:240, :230].astype(np.float64)
    noise = np.random.default_rng(0).standard_normal(plane.shape)
    return plane, np.clip(plane + 15 * noise, 0, 255).round()


def camera_and_noise():
    """The pair of scikit-image's own tests: camera, with noise of sigma 20 from NumPy seed 5."""
    camera = pytest.importorskip("skimage.data").camera()
    noise = np.random.RandomState(5).randn(*camera.shape)
    noisy = np.clip(camera + 20.0 * noise, 0, 255).astype(camera.dtype)
    return (torch.from_numpy(image.astype(np.float64)) for image in (camera, noisy))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(
    ("offset", "contrast", "data_range"), [(0, 1, 1), (1000, 0.1, 1), (-3, 2, 2), (100, 80, 255)]
)
def test_it_equals_fifty_digits(window, offset, contrast, data_range):
    x, y = random_pair(max(7, window.size - 4), 8, seed=1, offset=offset, contrast=contrast)
    settings = {"window": window, "data_range": data_range}
    rows = ssim_map_in_50_digits(x, y, **settings)
    # The means are rounded to an ulp of the offset, the deviations from them likewise.
    tolerance = 1e-13 * max(1, abs(offset) / contrast)
    got = reference.ssim(x, y, **settings, reduction="none")
    torch.testing.assert_close(got, as_tensor(rows), rtol=0, atol=tolerance)
    mean = float(mean_in_50_digits(rows))
    assert abs(reference.ssim(x, y, **settings).item() - mean) <= tolerance


def test_it_equals_fifty_digits_with_other_constants():
    x, y = random_pair(6, 6)
    settings = {"window": Window(3), "data_range": 1}
    rows = ssim_map_in_50_digits(x, y, **settings, k=("0.05", "0.001"))
    got = reference.ssim(x, y, **settings, k=(0.05, 0.001), reduction="none")
    torch.testing.assert_close(got, as_tensor(rows), rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [1, 1 / 255])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_it_equals_scikit_image_on_photographs(name, scale):
    metrics = pytest.importorskip("skimage.metrics")
    plane, noisy = (scale * image for image in photograph(name))
    mean, full = metrics.structural_similarity(
        plane,
        noisy,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255 * scale,
        full=True,
    )
    got = reference.ssim(
        torch.from_numpy(plane),
        torch.from_numpy(noisy),
        data_range=255 * scale,
        reduction="none",
    )
    expected = torch.from_numpy(full[5:-5, 5:-5])
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert abs(got.mean().item() - mean) <= 1e-12


@pytest.mark.parametrize("size", [3, 7, 11])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_it_equals_scikit_image_with_a_uniform_window(name, size):
    metrics = pytest.importorskip("skimage.metrics")
    plane, noisy = (image[:96, :80] / 255 for image in photograph(name))
    mean, full = metrics.structural_similarity(
        plane, noisy, win_size=size, use_sample_covariance=False, data_range=1.0, full=True
    )
    got = reference.ssim(
        torch.from_numpy(plane),
        torch.from_numpy(noisy),
        data_range=1.0,
        window=Window(size, None),
        reduction="none",
    )
    r = size // 2
    # scipy's uniform filter is a running sum, whose rounding grows along the row: 1e-11 is its.
    torch.testing.assert_close(got, torch.from_numpy(full[r:-r, r:-r]), rtol=0, atol=1e-11)
    assert abs(got.mean().item() - mean) <= 1e-12


def test_it_gives_the_published_value_of_the_ipol_code():
    # scikit-image, tests/skimage/metrics/test_structural_similarity.py,
    # test_gaussian_structural_similarity_vs_IPOL: imdiff of IPOL, 0.357959091663361, which
    # scikit-image itself asks for to three decimals (to five before version 0.19).
    x, y = camera_and_noise()
    assert abs(reference.ssim(x, y, data_range=255).item() - 0.357959091663361) <= 1e-5


def test_its_moments_give_the_published_value_of_scikit_image():
    # The same file, test_mssim_vs_legacy: 0.3674518327910367, with a uniform window of 7 x 7 and
    # sample covariance, N / (N - 1) times the population's.
    x, y = camera_and_noise()
    m = formula.moments(x, y, Window(7, None))
    m = m._replace(**{name: getattr(m, name) * 49 / 48 for name in m._fields[2:]})
    luminance, contrast_structure = formula.quotients(m, formula.constants(255))
    value = (luminance * contrast_structure).mean().item()
    assert abs(value - 0.3674518327910367) <= 1e-12


def test_constant_images_leave_the_luminance_alone():
    # (2ab + C1) / (a² + b² + C1), with C1 = 1e-4: by hand for (0, 0.1) and for (0.9, 1).
    for a, b, expected in ((0.0, 0.1, 1e-4 / 1.01e-2), (0.9, 1.0, 1.8001 / 1.8101)):
        x, y = (torch.full((11, 11), v, dtype=torch.float64) for v in (a, b))
        assert reference.ssim(x, y, data_range=1).item() == pytest.approx(expected, rel=1e-13)


LADDER = [
    reference.ssim_loops,
    reference.ssim_convolution,
    reference.ssim_separable,
    reference.ssim,
]


@pytest.mark.parametrize("lower", range(3), ids=["loops", "convolution", "separable"])
@pytest.mark.parametrize(
    "window", [Window(), Window(7, None, "reflect"), Window(5, padding="zero"), Window(1)], ids=str
)
@pytest.mark.parametrize("shape", [(13, 12), (2, 3, 12, 15)], ids=str)
def test_each_rung_of_the_ladder_equals_the_next(lower, window, shape):
    x, y = random_pair(*shape)
    one, other = (
        fn(x, y, data_range=1.0, window=window, reduction="none")
        for fn in LADDER[lower : lower + 2]
    )
    assert one.shape == (*shape[:-2], *window.output_size(shape[-2:]))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    means = [fn(x, y, data_range=1.0, window=window) for fn in LADDER[lower : lower + 2]]
    torch.testing.assert_close(*means, rtol=0, atol=1e-13)


def test_the_rungs_part_where_the_mean_is_large_beside_the_contrast():
    x, y = random_pair(14, 14, offset=1e6, contrast=0.1)
    loops, _, separable, vectorised = (fn(x, y, data_range=1.0) for fn in LADDER)
    torch.testing.assert_close(loops, vectorised, rtol=0, atol=1e-7)
    assert abs(separable - loops) > 1e-5


@pytest.mark.parametrize("offset", [0, 50])
def test_luminance_contrast_and_structure_multiply_to_ssim(offset):
    x, y = random_pair(2, 16, 17, offset=offset)
    parts = reference.components(x, y, data_range=1.0)
    expected = reference.ssim(x, y, data_range=1.0, reduction="none")
    torch.testing.assert_close(parts[0] * parts[1] * parts[2], expected, rtol=0, atol=1e-13)
    for part, least in zip(parts, (0, 0, -1), strict=True):
        assert (part >= least).all()
        assert (part <= 1 + 1e-12).all()


def test_each_component_sees_one_thing():
    x, _ = random_pair(16, 16, contrast=0.5)
    brighter = reference.components(x, x + 0.2, data_range=1.0)
    stretched = reference.components(x, 0.25 + 2 * (x - 0.25), data_range=1.0)
    assert brighter[0].max() < 1
    torch.testing.assert_close(brighter[1], torch.ones_like(brighter[1]))
    torch.testing.assert_close(brighter[2], torch.ones_like(brighter[2]))
    assert stretched[1].max() < 0.9
    torch.testing.assert_close(stretched[2], torch.ones_like(stretched[2]), rtol=0, atol=1e-2)


def test_more_noise_scores_less_and_equal_images_score_one():
    x, _ = random_pair(24, 24)
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(24, 24, generator=generator, dtype=torch.float64)
    scores = [reference.ssim(x, x + s * noise, data_range=1.0) for s in (0, 0.01, 0.1, 0.5, 2)]
    assert scores[0].item() == pytest.approx(1, abs=1e-15)
    assert all(a > b for a, b in itertools.pairwise(scores))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("fn", LADDER, ids=lambda fn: fn.__name__)
def test_every_rung_computes_in_float64(fn, dtype):
    x, y = random_pair(13, 13, dtype=dtype)
    value = fn(x, y, data_range=1.0)
    assert value.dtype == torch.float64
    assert value == fn(x.double(), y.double(), data_range=1.0)


@pytest.mark.parametrize("data_range", [1e-170, 1e160])
def test_constants_outside_the_range_of_float64_are_refused(data_range):
    x, y = random_pair(13, 13)
    with pytest.raises(ValueError, match="outside the range of float64: rescale the images"):
        reference.ssim(x, y, data_range=data_range)


def test_constants_at_the_edge_of_the_range_of_float64_are_accepted():
    edge = 2.0**-511  # its square is the smallest normal number
    assert formula.constants(edge, (1.0, 1.0)).c1 == torch.finfo(torch.float64).tiny
    with pytest.raises(ValueError, match="outside the range of float64"):
        formula.constants(edge / 2, (1.0, 1.0))
