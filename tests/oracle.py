"""What the tests of the mathematics are held against: SSIM in 50 digits, and seeded images."""

import mpmath
import torch

from ssimlab import reference

DIGITS = 50


def ssim_map_in_50_digits(x, y, *, data_range, window, k=("0.01", "0.03")):
    """The SSIM map of two images (H, W), from the definition alone, as a list of rows.

    Nothing of the package is used but the window's three settings: the taps, the borders and the
    formula are written again here.
    """
    with mpmath.workdps(DIGITS):
        x, y = (_exact(image) for image in (x, y))
        c1, c2 = ((mpmath.mpf(ki) * mpmath.mpf(data_range)) ** 2 for ki in k)
        weights = _weights(window.size, window.sigma)
        rows = _windows_along(len(x), window.size, window.padding)
        columns = _windows_along(len(x[0]), window.size, window.padding)
        return [[_ssim_of_window(x, y, r, c, weights, c1, c2) for c in columns] for r in rows]


def mean_in_50_digits(rows):
    """The mean of a map that is given as a list of rows."""
    with mpmath.workdps(DIGITS):
        return mpmath.fsum(v for row in rows for v in row) / (len(rows) * len(rows[0]))


def gradient_in_50_digits(x, y, **settings):
    """∂ mean(SSIM) / ∂x of two images (H, W), by central differences of the 50-digit mean."""
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(10) ** -16
        image = _exact(x)

        def mean_at(i, j, change):
            moved = [list(row) for row in image]
            moved[i][j] += change
            return mean_in_50_digits(ssim_map_in_50_digits(moved, y, **settings))

        return torch.tensor(
            [
                [
                    float((mean_at(i, j, step) - mean_at(i, j, -step)) / (2 * step))
                    for j in range(len(image[0]))
                ]
                for i in range(len(image))
            ],
            dtype=torch.float64,
        )


def as_tensor(rows):
    """A map of 50-digit numbers, rounded to a float64 tensor."""
    return torch.tensor([[float(v) for v in row] for row in rows], dtype=torch.float64)


def random_pair(*shape, seed=0, offset=0.0, contrast=1.0, noise=0.3, dtype=torch.float64):
    """Texture of the given contrast on an offset, and the same with noise added; seeded."""
    generator = torch.Generator().manual_seed(seed)
    x = offset + contrast * torch.rand(shape, generator=generator, dtype=torch.float64)
    y = x + contrast * noise * torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


def value_and_gradients(fn, x, y, upstream=None, **settings):
    """fn's map and the gradients by x and y of its mean, or of Σ upstream · map."""
    x, y = (image.detach().clone().requires_grad_() for image in (x, y))
    values = fn(x, y, reduction="none", **settings)
    total = values.mean() if upstream is None else (upstream * values).sum()
    return values.detach(), *torch.autograd.grad(total, (x, y))


def truth(x, y, **settings):
    """The reference's map and gradients, in float64, for these very pixels."""
    return value_and_gradients(reference.ssim, x.double(), y.double(), **settings)


def relative_error(got, expected):
    """The largest difference, in units of the largest expected entry."""
    return ((got.double() - expected).abs().max() / expected.abs().max()).item()


def _exact(image):
    rows = image.tolist() if isinstance(image, torch.Tensor) else image
    return [[mpmath.mpf(v) for v in row] for row in rows]


def _weights(size, sigma):
    radius = size // 2
    if sigma is None:
        line = [mpmath.mpf(1)] * size
    else:
        sigma = mpmath.mpf(sigma)
        line = [mpmath.exp(-mpmath.mpf(i * i) / (2 * sigma**2)) for i in range(-radius, radius + 1)]
    total = sum(line)
    return [[a * b / total**2 for b in line] for a in line]


def _windows_along(count, size, padding):
    """For each window of one dimension, the indices that it covers; None is a zero outside."""
    radius = size // 2
    centers = range(radius, count - radius) if padding == "valid" else range(count)

    def index(i):
        if 0 <= i < count:
            return i
        if padding == "zero":
            return None
        return -i if i < 0 else 2 * (count - 1) - i

    return [[index(i) for i in range(c - radius, c + radius + 1)] for c in centers]


def _ssim_of_window(x, y, rows, columns, weights, c1, c2):
    def pixels(image):
        return [[0 if i is None or j is None else image[i][j] for j in columns] for i in rows]

    def average(values):
        return mpmath.fsum(
            w * v
            for ws, vs in zip(weights, values, strict=True)
            for w, v in zip(ws, vs, strict=True)
        )

    def products(a, b):
        return [[s * t for s, t in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]

    px, py = pixels(x), pixels(y)
    mu_x, mu_y = average(px), average(py)
    dx, dy = [[v - mu_x for v in row] for row in px], [[v - mu_y for v in row] for row in py]
    sigma_x2, sigma_y2 = average(products(dx, dx)), average(products(dy, dy))
    sigma_xy = average(products(dx, dy))
    return ((2 * mu_x * mu_y + c1) * (2 * sigma_xy + c2)) / (
        (mu_x**2 + mu_y**2 + c1) * (sigma_x2 + sigma_y2 + c2)
    )
