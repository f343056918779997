"""Photographs as float tensors, and distortions of them that all have the same squared error."""

from __future__ import annotations

import math

import numpy as np
import torch

from .._extras import extra
from .._inputs import check_image, check_number
from ..window import Window

#: Photographs that scikit-image ships, so that nothing is downloaded.
PHOTOS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon",
    "rocket",
)  # fmt: skip


def photo(
    name: str = "camera",
    *,
    size: int | None = None,
    color: bool = False,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """A photograph with pixels in [0, 1].

    Args:
        name: one of ``PHOTOS``.
        size: side of the result in pixels; the largest centered square is resized to it with
            anti-aliasing. None keeps the original's size.
        color: keep three channels, (3, H, W), where the original has them.
        dtype: of the result.

    Returns:
        (H, W), or (3, H, W) for ``color=True``. The data range is 1.

    Raises:
        ValueError: no such photograph, a size below 1, or color asked of a gray original.
        ModuleNotFoundError: scikit-image is not installed.

    Source: the images of scikit-image (van der Walt et al., 2014).
    """
    with extra("lab"):
        import skimage.color
        import skimage.data
        import skimage.transform
        import skimage.util

    if name not in PHOTOS:
        raise ValueError(f"there is no photograph {name!r}: choose one of {', '.join(PHOTOS)}")
    pixels = skimage.util.img_as_float64(getattr(skimage.data, name)())
    if color and pixels.ndim == 2:
        raise ValueError(f"{name!r} is a gray photograph: leave out color=True")
    if pixels.ndim == 3 and not color:
        pixels = skimage.color.rgb2gray(pixels)
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"size must be a whole number of pixels, 1 or more, not {size!r}")
        side = min(pixels.shape[:2])
        top, left = ((n - side) // 2 for n in pixels.shape[:2])
        square = pixels[top : top + side, left : left + side]
        if side != size:
            shape = (size, size, *pixels.shape[2:])
            square = skimage.transform.resize(square, shape, order=1, anti_aliasing=True)
        pixels = square
    image = torch.from_numpy(np.array(pixels, order="C")).to(dtype)
    return image.movedim(-1, 0).contiguous() if color else image


def mse(x: torch.Tensor, y: torch.Tensor) -> float:
    """Mean squared error of two images, in squared units of their pixels, summed in float64.

    Raises:
        ValueError: the images have different shapes.
    """
    if x.shape != y.shape:
        raise ValueError(
            f"x and y must have the same shape, not {tuple(x.shape)} and {tuple(y.shape)}: "
            "crop, resize or expand one of them; nothing is broadcast"
        )
    return (x.double() - y.double()).square().mean().item()


def at_mse(image: torch.Tensor, distorted: torch.Tensor, target: float) -> torch.Tensor:
    """The point on the way from ``image`` to ``distorted``, or beyond, whose error is ``target``.

    Raises:
        ValueError: the two are equal, so that there is no way to follow.
    """
    target = check_number("target", target, positive=True, advice="it is a mean squared error")
    error = distorted - image
    current = error.double().square().mean().item()
    if current == 0:
        raise ValueError("distorted equals image, so no multiple of their difference has an error")
    return image + error * math.sqrt(target / current)


def brighten(image: torch.Tensor, by: float = 0.06) -> torch.Tensor:
    """Every pixel raised by the same amount."""
    return image + by


def stretch_contrast(image: torch.Tensor, factor: float = 1.3) -> torch.Tensor:
    """Every pixel moved away from the image's mean."""
    mean = image.mean(dim=(-2, -1), keepdim=True)
    return mean + factor * (image - mean)


def add_noise(image: torch.Tensor, sigma: float = 0.06, seed: int = 0) -> torch.Tensor:
    """Gaussian noise of standard deviation ``sigma``, independent from pixel to pixel."""
    return image + sigma * _draw(torch.randn, image, seed)


def salt_and_pepper(image: torch.Tensor, share: float = 0.02, seed: int = 0) -> torch.Tensor:
    """A share of the pixels replaced by black or white."""
    draw = _draw(torch.rand, image, seed)
    spoilt = torch.where(draw < share / 2, torch.zeros_like(image), torch.ones_like(image))
    return torch.where((draw < share / 2) | (draw > 1 - share / 2), spoilt, image)


def blur(image: torch.Tensor, sigma: float = 4.0) -> torch.Tensor:
    """A Gaussian blur of ``sigma`` pixels, mirrored at the border.

    The window ends at four standard deviations, or where the mirrored image does.
    """
    reach = min(math.ceil(4 * sigma), min(image.shape[-2:]) - 1)
    return Window(2 * reach + 1, sigma, "reflect")(image)


def block_code(image: torch.Tensor, step: float = 0.8, block: int = 8) -> torch.Tensor:
    """Cosine transform of each block, rounded to multiples of ``step``: the heart of JPEG.

    Raises:
        ValueError: the sides are not multiples of ``block``.
    """
    check_image("image", image)
    *batch, height, width = image.shape
    if height % block or width % block:
        raise ValueError(f"the sides of the image must be multiples of {block}, not "
                         f"{height} x {width}: crop or resize it")  # fmt: skip
    basis = _cosines(block).to(image)
    tiles = image.reshape(*batch, height // block, block, width // block, block).transpose(-3, -2)
    kept = torch.round(basis @ tiles @ basis.T / step) * step
    return (basis.T @ kept @ basis).transpose(-3, -2).reshape(image.shape)


#: The distortions that the book compares at one squared error, by the name that figures print.
DISTORTIONS = {
    "brighter": brighten,
    "more contrast": stretch_contrast,
    "noise": add_noise,
    "salt and pepper": salt_and_pepper,
    "blur": blur,
    "block coding": block_code,
}


def equal_mse(image: torch.Tensor, target: float = 0.0036) -> dict[str, torch.Tensor]:
    """Every distortion of ``DISTORTIONS``, scaled to the same mean squared error.

    Returns:
        name -> image. Pixels may leave [0, 1]: clipping would change the error.
    """
    return {name: at_mse(image, distort(image), target) for name, distort in DISTORTIONS.items()}


def _draw(sampler, image, seed):
    """Random numbers that are the same on every device: drawn on the CPU, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return sampler(image.shape, generator=generator, dtype=torch.float64).to(image)


def _cosines(n: int) -> torch.Tensor:
    """The orthonormal cosine basis, one basis vector a row."""
    position = torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi / n * (position + 0.5) * position[:, None]) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis
