"""The photographs, and the distortions that chapter 1 compares."""

import pytest
import torch

pytest.importorskip("skimage", reason="the extra lab is not installed")

from ssimlab.lab import images


@pytest.mark.parametrize("name", images.PHOTOS)
def test_a_photograph_is_a_float_image_between_zero_and_one(name):
    image = images.photo(name, size=64)
    assert image.shape == (64, 64)
    assert image.dtype == torch.float64
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.01


def test_a_photograph_keeps_its_size_and_its_eight_bits():
    image = images.photo("camera") * 255
    assert image.shape == (512, 512)
    assert (image - image.round()).abs().max() < 1e-9


def test_color_comes_first():
    assert images.photo("astronaut", color=True, size=32).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "lena"}, "there is no photograph 'lena': choose one of"),
        ({"name": "camera", "color": True}, "'camera' is a gray photograph"),
        ({"size": 0}, "size must be a whole number of pixels"),
        ({"size": 12.5}, "size must be a whole number of pixels"),
    ],
)
def test_a_wrong_photograph_is_refused_in_a_sentence(arguments, words):
    with pytest.raises(ValueError, match=words):
        images.photo(**arguments)


@pytest.mark.parametrize("target", [1e-4, 3.6e-3, 0.1])
def test_all_distortions_have_the_error_asked_for(target):
    original = images.photo("camera", size=64)
    spoilt = images.equal_mse(original, target)
    assert set(spoilt) == set(images.DISTORTIONS)
    for image in spoilt.values():
        assert images.mse(original, image) == pytest.approx(target, rel=1e-12)


def test_random_distortions_are_the_same_every_time_and_differ_by_seed():
    original = images.photo("camera", size=64)
    for distort in (images.add_noise, images.salt_and_pepper):
        assert torch.equal(distort(original), distort(original))
        assert not torch.equal(distort(original), distort(original, seed=1))


def test_a_fine_step_of_block_coding_changes_almost_nothing():
    original = images.photo("camera", size=64)
    assert images.mse(original, images.block_code(original, step=1e-6)) < 1e-12


def test_an_image_that_does_not_divide_into_blocks_is_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        images.block_code(torch.rand(20, 24))


def test_an_undistorted_image_cannot_be_scaled():
    image = torch.rand(8, 8)
    with pytest.raises(ValueError, match="distorted equals image"):
        images.at_mse(image, image, 0.1)


def test_images_of_different_shapes_have_no_squared_error():
    with pytest.raises(ValueError, match="nothing is broadcast"):
        images.mse(torch.rand(8, 8), torch.rand(3, 8, 8))
