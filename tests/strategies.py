"""What the property tests draw: windows, pairs of small images that fit them, and units."""

import torch.nn.functional as F
from hypothesis import strategies as st
from oracle import random_pair

from ssimlab import Window
from ssimlab.window import PADDINGS

BATCHES = ((), (3,), (2, 3))

#: The same numbers, or some of them, elsewhere in memory: (…, H, W) -> (…, H, W).
LAYOUTS = {
    "transposed": lambda x: x.mT.contiguous().mT,
    "batch last": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "every second column": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "inside a larger image": lambda x: F.pad(x, (2, 1, 1, 2))[..., 1:-2, 2:-1],
    "one row over and over": lambda x: x[..., :1, :].expand(x.shape),
    "one plane over and over": lambda x: x[(slice(1),) * (x.ndim - 2)].expand(x.shape),
}

layouts = st.sampled_from(sorted(LAYOUTS))
OFFSETS, CONTRASTS = st.floats(-1, 2), st.floats(1e-3, 2)


def powers_of_ten(low, high):
    """Numbers from 10**low to 10**high, every order of magnitude as likely as another."""
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


@st.composite
def windows(draw, sizes=(1, 3, 5, 7), paddings=PADDINGS):
    """Gaussian and uniform windows of every padding."""
    sigma = draw(st.none() | st.floats(0.3, 5))
    return Window(draw(st.sampled_from(sizes)), sigma, draw(st.sampled_from(paddings)))


@st.composite
def shapes(draw, least=1, *, even=False, batches=BATCHES):
    """Shapes (…, H, W) of images with at least so many rows and columns, and a few more."""
    step = 2 if even else 1
    sides = st.integers(0, 5).map(lambda n: -(-least // step) * step + step * n)
    return (*draw(st.sampled_from(batches)), draw(sides), draw(sides))


@st.composite
def pairs(draw, shape, *, offsets=OFFSETS, contrasts=CONTRASTS):
    """Two float64 images of a shape, in units of the data range.

    The second is the first with noise, or its negative with noise, or has nothing to do with it.
    """
    offset, contrast = draw(offsets), draw(contrasts)
    seed, noise = draw(st.integers(0, 2**32 - 1)), draw(st.floats(0.01, 1))
    x, y = random_pair(*shape, seed=seed, noise=noise)
    kin = draw(st.sampled_from(("noisy", "negative", "unrelated")))
    y = {"noisy": y, "negative": 1 - y, "unrelated": random_pair(*shape, seed=seed + 1)[0]}[kin]
    return offset + contrast * x, offset + contrast * y


@st.composite
def pairs_in_windows(draw, batches=BATCHES, **how):
    """A window, and two images that it fits."""
    window = draw(windows())
    return window, *draw(pairs(draw(shapes(window.least_size, batches=batches)), **how))
