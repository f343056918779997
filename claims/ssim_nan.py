"""Claims of the article "Why does structural similarity loss in PyTorch produce NaN values?"."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ssimlab import formula, naive, reference, stable
from ssimlab.lab import remedies
from ssimlab.window import Window

from .measuring import (
    flat,
    implementations,
    kornia_ssim,
    largest,
    nans,
    nonfinite,
    normal,
    pytorch_msssim_ssim,
    relative_error,
    torchmetrics_ssim,
    uniform,
    value_and_gradient,
)
from .registry import Finding, Verdict, claims_of, show

HOLDS, CONDITIONAL, FALSE = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.FALSE
C1, C2 = formula.constants(1.0)
#: The window of the article's own SSIM: uniform, zeros around the image.
ARTICLE_WINDOW = Window(size=11, sigma=None, padding="zero")

claim = claims_of("article-ssim-nan")


def uniform_pairs(dtype=torch.float32, scale=1.0):
    """Constant 11 x 11 images for all pairs of 33 levels in [0, scale], (1089, 1, 11, 11)."""
    levels = torch.linspace(0, scale, 33, dtype=dtype)
    pairs = torch.cartesian_prod(levels, levels)
    return (column[:, None, None, None].expand(-1, 1, 11, 11).clone() for column in pairs.T)


def denominator(x, y, *, data_range):
    """The denominator of SSIM's one fraction, as textbook code computes it."""
    m = formula.rearranged_moments(x, y, Window())
    c1, c2 = formula.constants(data_range)
    return (m.mu_x**2 + m.mu_y**2 + c1) * (m.sigma_x2 + m.sigma_y2 + c2)


def article_loss(x, y, *, constants=(0.01, 0.03), epsilon=1e-8):
    """The article's custom loss: average pooling, zeros around the image, ε in the denominator."""

    def average(image):
        return F.avg_pool2d(image, kernel_size=11, stride=1, padding=5)

    m, (c1, c2) = formula.rearranged_moments(x, y, average), constants
    above = (2 * m.mu_x * m.mu_y + c1) * (2 * m.sigma_xy + c2)
    below = (m.mu_x**2 + m.mu_y**2 + c1) * (m.sigma_x2 + m.sigma_y2 + c2) + epsilon
    return torch.mean(1 - above / below)


@claim(
    "0.1",
    "NaN from SSIM comes from divisions by zero, or by extremely small values.",
    kind="cause",
    concept="failures",
    expected=CONDITIONAL,
)
def divisions_by_zero():
    """Uniform pairs with right constants, then three ways to make the constants vanish."""
    x, y = uniform_pairs()
    spoiled, smallest = {}, denominator(x, y, data_range=1.0).min().item()
    for name in ("torchmetrics", "kornia", "textbook form", "product form"):
        ssim = implementations()[name]
        value, gradient = value_and_gradient(lambda z, f=ssim: f(z, y, data_range=1.0), x)
        spoiled[name] = nonfinite(gradient) + (not math.isfinite(value))
    same = flat(0.5)
    no_range = torchmetrics_ssim(same, same, data_range=None).item()
    no_constants = naive.one_pass(same, same, data_range=1.0, k=(0, 0)).item()
    dark = flat(0.0, dtype=torch.float16)
    half = naive.product_form(dark, dark, data_range=0.5).item()
    return Finding(
        trials={
            f"{len(x)} uniform pairs in [0, 1], data_range=1": any(spoiled.values()),
            "constant images, torchmetrics with data_range=None": math.isnan(no_range),
            "constant images, C1 = C2 = 0": math.isnan(no_constants),
            "black images, float16, data_range=0.5": math.isnan(half),
        },
        figures={
            "smallest denominator": smallest,
            "C1 · C2": C1 * C2,
            **{f"non-finite numbers, {name}": count for name, count in spoiled.items()},
        },
        condition="the constants C1 and C2 vanish: no data range, constants of zero, or float16",
        explanation=f"With the constants in place the smallest denominator of {len(x)} uniform "
        f"pairs is {show(smallest)}, about C1 · C2 and far above the smallest float32, and no "
        "value or gradient is NaN. It takes a range measured on constant images, constants of "
        "zero, or a float16 product that underflows to divide 0 by 0.",
    )


@claim(
    "0.2",
    "The stabilizing constants can be overshadowed by near-zero values in the denominator.",
    kind="cause",
    concept="failures",
    expected=FALSE,
)
def constants_overshadowed():
    """The denominator against C1 · C2 near zero; then where it really goes wrong."""
    x, y = uniform_pairs()
    share = (denominator(x, y, data_range=1.0) / (C1 * C2)).min().item()
    bright = 255 * uniform(4000, 1, 1, 1, dtype=torch.float32).expand(-1, 1, 11, 11)
    negative = (denominator(bright, bright, data_range=1.0) < 0).float().mean().item()
    ulp = torch.tensor(200.0**2).nextafter(torch.tensor(math.inf)).item() - 200.0**2
    return Finding(
        trials={"denominator below C1 · C2 / 2 on uniform pairs in [0, 1]": share < 0.5},
        figures={
            "smallest denominator / (C1 · C2)": share,
            "ulp of 200² in float32": ulp,
            "C2": C2,
            "flat [0, 255] patches with a negative denominator at data_range=1": negative,
        },
        explanation="It is the other way round: each factor is a constant plus something that is "
        f"not negative, so near zero the constants rule (the least quotient is {share:.4f}). "
        "What overwhelms C2 is a large mean: float32 keeps 200² to "
        f"{show(ulp)}, more than C2 = {show(C2)}, and {show(100 * negative)} % of flat patches "
        "in [0, 255] at data_range=1 get a negative denominator.",
    )


@claim(
    "0.3",
    "Tiny variance and covariance multiplied in the numerator underflow, and 0/0 follows.",
    kind="cause",
    concept="floats",
    expected=CONDITIONAL,
)
def underflow_to_zero_over_zero():
    """The product form on black and nearly flat images, in three dtypes."""

    def spoiled(dtype, data_range):
        texture = 1e-4 * normal(1, 1, 16, 16).to(dtype)
        pairs = ((texture * 0, texture * 0), (texture, texture.flip(-1)))
        return sum(
            nans(naive.product_form(x, y, data_range=data_range, reduction="none"))
            for x, y in pairs
        )

    single, brain, half = (
        spoiled(torch.float32, 1.0),
        spoiled(torch.bfloat16, 1.0),
        spoiled(torch.float16, 0.5),
    )
    dark = flat(0.0, side=16, dtype=torch.float16)
    at_one, gradient = value_and_gradient(
        lambda z: naive.product_form(z, dark, data_range=1.0), dark
    )
    ranges = [step / 100 for step in range(1, 101)]
    products = [
        torch.tensor(c1 * c2, dtype=torch.float16) for c1, c2 in map(formula.constants, ranges)
    ]
    largest_lost = max(r for r, product in zip(ranges, products, strict=True) if product == 0)
    return Finding(
        trials={
            "float32, data_range=1": single > 0,
            "bfloat16, data_range=1": brain > 0,
            "float16, data_range=0.5": half > 0,
        },
        figures={
            "NaN pixels, float32": single,
            "NaN pixels, bfloat16": brain,
            "NaN pixels, float16": half,
            "largest data_range whose C1 · C2 is 0 in float16": largest_lost,
            "float16, data_range=1, black: SSIM": at_one,
            "float16, data_range=1, black: NaN gradients of 256": nans(gradient),
        },
        condition="the arithmetic is float16, where the constants themselves underflow",
        explanation="Variance and covariance are never multiplied together, and C2 is added to "
        "each before anything is. In float32 and bfloat16 nothing underflows. In float16 C1 · C2 "
        f"is zero up to data_range={show(largest_lost)}, and black images are 0/0; at "
        f"data_range=1 the value is {show(at_one)} but {nans(gradient)} of 256 gradients are "
        "NaN, because 1 / (C1 · C2) overflows.",
    )


@claim(
    "0.4",
    "On near-uniform patches the gradients become exceedingly large and quickly overflow.",
    kind="cause",
    concept="stable",
    expected=FALSE,
)
def gradients_overflow():
    """The 1-norm of the gradient of single windows over 14 orders of contrast, against a bound."""
    shape = (1500, 1, 11, 11)
    contrast = 10 ** (12 * uniform(1500, 1, 1, 1, seed=1) - 12)
    ratio = 10 ** (4 * uniform(1500, 1, 1, 1, seed=2) - 2)
    mean = 10 ** (6 * uniform(1500, 1, 1, 1, seed=3) - 6)
    pattern = normal(*shape, seed=4)
    other = torch.where(uniform(1500, 1, 1, 1, seed=5) < 0.5, normal(*shape, seed=6), pattern)
    x, y = mean + contrast * pattern, mean + ratio * contrast * other
    # Two windows that reach a part of the bound: black beside √C1, and flat beside two levels.
    two_levels = 1.0 - 2.0 * (torch.arange(121) % 2).reshape(1, 1, 11, 11)
    x[:2], y[:1], y[1:2] = 0.0, math.sqrt(C1), math.sqrt(C2) * two_levels

    def steepest(dtype, scale):
        a, b = (scale * x).to(dtype), (scale * y).to(dtype)
        fn = stable.ssim if dtype == torch.float32 else naive.one_pass
        _, gradient = value_and_gradient(lambda z: fn(z, b, data_range=scale, reduction="none"), a)
        return gradient.abs().sum((-3, -2, -1)).max().item()

    exact, single, narrow = (
        steepest(torch.float64, 1.0),
        steepest(torch.float32, 1.0),
        steepest(torch.float64, 1e-3),
    )
    bound = 1.05 / math.sqrt(C2) + 1.05 / math.sqrt(C1)
    return Finding(
        trials={
            "data_range=1, float32": not single <= bound * (1 + 1e-5),
            "data_range=1, float64": not exact <= bound,
            "data_range=0.001, float64": not narrow <= 1e3 * bound,
        },
        figures={
            "steepest window, data_range=1, float64": exact,
            "steepest window, data_range=1, float32": single,
            "steepest window, data_range=0.001": narrow,
            "bound at data_range=1": bound,
        },
        explanation="The gradient of one window is bounded, whatever the patch: by about 1/√C2 "
        f"from contrast and structure and 1/√C1 from luminance, together {show(bound)} at "
        f"data_range=1. The steepest of 1500 windows has {show(exact)} (black beside √C1), and "
        f"{show(narrow)} at data_range=0.001: it scales with 1/L and does not overflow.",
    )


@claim(
    "0.5",
    "An early MSE phase leaves uniform patches, on which SSIM's gradients are NaN.",
    kind="cause",
    concept="training",
    expected=FALSE,
)
def uniform_predictions():
    """The gradient at the constant image that MSE prefers, in every implementation."""
    target = uniform(1, 1, 32, 32, dtype=torch.float32)
    guess = torch.full_like(target, target.mean().item())
    gradients = {
        name: value_and_gradient(lambda z, f=ssim: 1 - f(z, target, data_range=1.0), guess)[1]
        for name, ssim in implementations().items()
    }
    steepest = {name: largest(gradient) for name, gradient in gradients.items()}
    return Finding(
        trials={name: nonfinite(gradient) > 0 for name, gradient in gradients.items()},
        figures={f"largest gradient, {name}": value for name, value in steepest.items()},
        explanation="A constant prediction is a regular point of SSIM: all gradients are finite, "
        f"the largest between {show(min(steepest.values()))} and {show(max(steepest.values()))}.",
    )


def _article_pair():
    return flat(0.501), flat(0.5)


@claim(
    "0.6",
    "With torchmetrics, the gradient of 0.501 against 0.5 is NaN.",
    kind="example",
    concept="failures",
    expected=FALSE,
)
def near_uniform_images():
    """The article's first example: values, gradients and the truth."""
    x, y = _article_pair()
    loss, gradient = value_and_gradient(lambda z: 1 - torchmetrics_ssim(z, y, data_range=1.0), x)
    kornia = 1 - kornia_ssim(x, y, data_range=1.0).item()
    other = 1 - pytorch_msssim_ssim(x, y, data_range=1.0).item()
    sound = stable.dissimilarity(x, y, data_range=1.0).item()
    padded = Window(padding="reflect")
    truth, true_gradient = value_and_gradient(
        lambda z: 1 - reference.ssim(z, y.double(), data_range=1.0, window=padded), x.double()
    )
    without_range = 1 - torchmetrics_ssim(flat(0.5), flat(0.5), data_range=None).item()
    return Finding(
        trials={"torchmetrics, data_range=1": nans(gradient) > 0},
        figures={
            "NaN gradients of 1024": nans(gradient),
            "largest gradient": largest(gradient),
            "sum of the gradient": gradient.sum().item(),
            "true sum of the gradient": true_gradient.sum().item(),
            "loss": loss,
            "true loss": truth,
            "loss, kornia": kornia,
            "loss, pytorch-msssim": other,
            "loss, stable form": sound,
            "loss of 0.5 against 0.5 with data_range=None": without_range,
        },
        explanation=f"All {gradient.numel() - nans(gradient)} gradients are finite, and none is "
        f"above {show(largest(gradient))}. What is wrong is the accuracy: torchmetrics prints a "
        f"loss of {show(loss)}, {show(loss / truth)} times the true {show(truth)}; kornia prints "
        f"{show(kornia)} and pytorch-msssim {show(other)}, where no loss can be negative; the "
        f"stable form prints {show(sound)}. NaN takes data_range=None.",
    )


@claim(
    "0.7",
    "Even the small difference of 0.501 and 0.5 can make backpropagation numerically unstable.",
    kind="example",
    concept="failures",
    expected=CONDITIONAL,
)
def small_difference():
    """The same pair: is the gradient finite, and is it right?"""
    x, y = _article_pair()
    _, gradient = value_and_gradient(lambda z: 1 - torchmetrics_ssim(z, y, data_range=1.0), x)
    _, truth = value_and_gradient(
        lambda z: (
            1 - reference.ssim(z, y.double(), data_range=1.0, window=Window(padding="reflect"))
        ),
        x.double(),
    )
    off = gradient.sum().item() / truth.sum().item() - 1
    bad = nonfinite(gradient)
    return Finding(
        trials={
            "a gradient is NaN or infinite": bad > 0,
            "the gradient's sum is off by more than 1 %": abs(off) > 0.01,
        },
        figures={
            "non-finite gradients": bad,
            "relative error of the gradient's sum": off,
            "relative error of the gradient": relative_error(gradient, truth),
        },
        condition="unstable means inaccurate: the gradient is finite and wrong",
        explanation=f"Nothing is NaN or infinite, but the sum of the gradient is "
        f"{show(100 * off)} % off: one minus a number next to one keeps few digits.",
    )


@claim(
    "0.8",
    "When the two images are exactly the same, the gradient is zero.",
    kind="behavior",
    concept="stable",
    expected=CONDITIONAL,
)
def gradient_of_identical_images():
    """Identical flat and textured images, in every implementation: is each gradient exactly 0?"""
    images = {f"flat {c}": flat(c) for c in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)}
    images["random"] = uniform(1, 1, 32, 32, dtype=torch.float32)
    zero, worst = {}, {}
    for name, ssim in implementations().items():
        steepest = [
            largest(value_and_gradient(lambda z, y=y, f=ssim: 1 - f(z, y, data_range=1.0), y)[1])
            for y in images.values()
        ]
        zero[name], worst[name] = all(g == 0 for g in steepest), max(steepest)
    lucky = largest(
        value_and_gradient(
            lambda z: 1 - torchmetrics_ssim(z, flat(0.5), data_range=1.0), flat(0.5)
        )[1]
    )
    itself = torchmetrics_ssim(flat(0.7), flat(0.7), data_range=1.0).item()
    return Finding(
        trials={f"exactly 0 on {len(images)} images, {name}": came for name, came in zero.items()}
        | {"exactly 0 on the article's images, torchmetrics": lucky == 0},
        figures={f"largest gradient, {name}": value for name, value in worst.items()}
        | {"SSIM of 0.7 with itself, torchmetrics": itself},
        condition="the arithmetic is exact there: in the difference form, or at lucky values "
        "such as 0.5",
        explanation="Identical images are the maximum, so in exact arithmetic the gradient is "
        "zero. In float32 only the form that starts from x - y keeps it: the textbook form "
        f"leaves {show(worst['textbook form'])}, torchmetrics {show(worst['torchmetrics'])} "
        f"(its SSIM of 0.7 with itself is {itself:.5f}). The article's 0.5 is a power of "
        "two.",
    )


@claim(
    "0.9",
    "Depending on the implementation, identical images can have a gradient of zero.",
    kind="behavior",
    concept="stable",
    expected=HOLDS,
)
def zero_gradient_depends_on_implementation():
    """One pair of identical flat images, in every implementation."""
    y = flat(0.7)
    steepest = {
        name: largest(value_and_gradient(lambda z, f=ssim: 1 - f(z, y, data_range=1.0), y)[1])
        for name, ssim in implementations().items()
    }
    zero = [name for name, value in steepest.items() if value == 0]
    return Finding(
        trials={
            "some implementation gives exactly zero": len(zero) > 0,
            "some implementation does not": len(zero) < len(steepest),
        },
        figures={f"largest gradient, {name}": value for name, value in steepest.items()},
        explanation=f"At 0.7 the gradient is exactly zero for {', '.join(zero)} and up to "
        f"{show(max(steepest.values()))} for the others. Zero is the right answer there, not a "
        "problem: the images are as similar as they can be.",
    )


@claim(
    "0.10",
    "The printed loss depends on whether the SSIM includes an epsilon.",
    kind="behavior",
    concept="failures",
    expected=CONDITIONAL,
)
def loss_depends_on_epsilon():
    """kornia with its default ε and without, on the article's pair and on black images."""

    def pair_of_losses(x, y, data_range):
        return [1 - kornia_ssim(x, y, data_range=data_range, eps=e).item() for e in (1e-12, 0.0)]

    article = pair_of_losses(*_article_pair(), 1.0)
    black = {L: pair_of_losses(flat(0.0), flat(0.0), L) for L in (1.0, 0.1, 0.01)}
    return Finding(
        trials={
            "0.501 against 0.5, float32": article[0] != article[1],
            "black images": black[1.0][0] != black[1.0][1],
        },
        figures={
            "0.501 against 0.5, ε = 1e-12": article[0],
            "0.501 against 0.5, ε = 0": article[1],
            **{f"black, data_range={show(L)}, ε = 1e-12": v[0] for L, v in black.items()},
            **{f"black, data_range={show(L)}, ε = 0": v[1] for L, v in black.items()},
        },
        condition="the images are nearly black or the data range is small, so that ε counts "
        "beside C1 · C2",
        explanation="On the article's pair ε = 1e-12 drowns in a denominator of 4.5e-4 and the "
        f"loss is {show(article[0])} with it and without. On identical black images it makes a "
        f"loss of {show(black[1.0][0])} out of {show(black[1.0][1])}, {show(black[0.1][0])} at "
        f"data_range=0.1 and {show(black[0.01][0])} at 0.01: an ε in the denominator is a bias.",
    )


def _noisy_gradient(level, seed=0):
    """The gradient of the article's second example: both images 0.5 plus noise of this level."""
    first, second = normal(2, 1, 1, 32, 32, seed=seed, dtype=torch.float32)
    image = flat(0.5)

    def loss(z):
        return 1 - torchmetrics_ssim(z + level * first, image + level * second, data_range=1.0)

    return value_and_gradient(loss, image)[1]


@claim(
    "0.11",
    "With noise of 1e-6 added, the gradient stays NaN.",
    kind="example",
    concept="training",
    expected=FALSE,
)
def noise_keeps_nan():
    """The article's second example, with torchmetrics."""
    with_noise, without = _noisy_gradient(1e-6), _noisy_gradient(0.0)
    return Finding(
        trials={
            "noise of 1e-6": nans(with_noise) > 0,
            "no noise": nans(without) > 0,
        },
        figures={
            "NaN gradients with noise": nans(with_noise),
            "largest gradient with noise": largest(with_noise),
            "NaN gradients without noise": nans(without),
        },
        explanation="There is no NaN that could remain: without noise all gradients are finite, "
        f"and with it the largest is {show(largest(with_noise))}.",
    )


@claim(
    "0.12",
    "If the noise level is large enough, the gradient becomes NaN.",
    kind="example",
    concept="training",
    expected=FALSE,
)
def large_noise():
    """The second example over twelve noise levels."""
    levels = [10.0**power for power in range(-8, 4)]
    gradients = {level: _noisy_gradient(level) for level in levels}
    steepest = {level: largest(gradient) for level, gradient in gradients.items()}
    peak = max(steepest, key=lambda level: steepest[level])
    return Finding(
        trials={f"noise of {show(level)}": nans(g) > 0 for level, g in gradients.items()},
        figures={f"largest gradient at {show(level)}": value for level, value in steepest.items()},
        explanation=f"No level gives NaN. The gradient is largest, {show(steepest[peak])}, at a "
        f"level of {show(peak)}, near √C2 = {show(math.sqrt(C2))}, and falls beyond it, to "
        f"{show(steepest[1e3])} at 1000.",
    )


@claim(
    "0.13",
    "Noise can bring pixel values so close to zero that they overflow.",
    kind="cause",
    concept="floats",
    expected=FALSE,
)
def small_values_overflow():
    """Where small pixels go: the noisy images themselves, and images as small as floats get."""
    noisy = 0.5 + 1e-6 * normal(1, 1, 32, 32, dtype=torch.float32)
    nearest = noisy.abs().min().item()
    values = {}
    for scale in (1e-10, 1e-30, 1e-45):
        tiny = scale * normal(1, 1, 32, 32).float()
        values[scale] = tiny, naive.one_pass(tiny, tiny.flip(-1), data_range=1.0).item()
    squares = (values[1e-30][0] ** 2).count_nonzero().item()
    return Finding(
        trials={
            f"images of size {show(scale)}": bool(tiny.isinf().any()) or not math.isfinite(value)
            for scale, (tiny, value) in values.items()
        },
        figures={
            "pixel nearest to zero with noise of 1e-6": nearest,
            "non-zero squares of 1024 pixels of size 1e-30": squares,
            "SSIM at 1e-45": values[1e-45][1],
        },
        explanation=f"Noise of 1e-6 brings no pixel of 0.5 nearer to zero than {nearest:.6f}. And "
        "small numbers underflow, to zero; they do not overflow. Of 1024 squares of pixels of "
        f"size 1e-30 {squares} are left, and beside the constants zero is what they should be.",
    )


@claim(
    "0.14",
    "A small noise such as 1e-6 prevents completely uniform patches.",
    kind="remedy",
    concept="training",
    expected=CONDITIONAL,
)
def noise_prevents_uniform_patches():
    """Whether the pixels differ, and whether the variance that is computed knows it."""
    texture = normal(1, 1, 64, 64)
    differs, negative, error = {}, {}, {}
    for level in (1e-9, 1e-6, 1e-3):
        x = (0.5 + level * texture).float()
        computed = formula.rearranged_moments(x, x, Window()).sigma_x2.double()
        true = formula.moments(x.double(), x.double(), Window()).sigma_x2
        differs[level] = x.unique().numel() > 1
        negative[level] = (computed < 0).double().mean().item()
        error[level] = ((computed - true).abs() / true.clamp(min=1e-30)).median().item()
    return Finding(
        trials={
            "noise of 1e-9: some pixels differ": differs[1e-9],
            "noise of 1e-6: some pixels differ": differs[1e-6],
            "noise of 1e-6: the computed variance is positive": negative[1e-6] == 0,
            "noise of 1e-3: the computed variance is positive": negative[1e-3] == 0,
        },
        figures={f"windows of negative variance at {show(k)}": v for k, v in negative.items()}
        | {f"median relative error of the variance at {show(k)}": v for k, v in error.items()},
        condition="the noise is above the pixels' ulp; and for the textbook variance to notice "
        "it, above the ulp's square root",
        explanation="Noise of 1e-9 is rounded away from a pixel of 0.5. Noise of 1e-6 survives in "
        f"the pixels, but E[x²] - μ² cannot see it: {show(100 * negative[1e-6])} % of the windows "
        f"have a negative variance. At 1e-3 it is right to {show(error[1e-3])}.",
    )


@claim(
    "0.15",
    "The custom loss with C1 = 0.01 and C2 = 0.03 computes SSIM.",
    kind="formula",
    concept="failures",
    expected=FALSE,
)
def unsquared_constants_are_ssim():
    """The article's third example against SSIM with the same window and squared constants."""
    clean = uniform(1, 1, 32, 32)
    noisy = clean + 0.1 * normal(1, 1, 32, 32, seed=1)
    faint, other = (0.5 + 0.05 * normal(1, 1, 32, 32, seed=s) for s in (2, 3))
    pairs = {"noise of 0.1 on a random image": (clean, noisy), "two faint textures": (faint, other)}
    losses = {
        name: (
            article_loss(x, y).item(),
            1 - reference.ssim(x, y, data_range=1.0, window=ARTICLE_WINDOW).item(),
        )
        for name, (x, y) in pairs.items()
    }
    faint_custom, faint_true = losses["two faint textures"]
    return Finding(
        trials={
            f"equal to 1e-3: {name}": abs(custom - true) < 1e-3
            for name, (custom, true) in losses.items()
        },
        figures={f"1 - custom, {name}": custom for name, (custom, _) in losses.items()}
        | {f"1 - SSIM, {name}": true for name, (_, true) in losses.items()}
        | {"0.03 / C2": 0.03 / C2, "0.01 / C1": 0.01 / C1},
        explanation="SSIM's constants are squares, (0.01 L)² and (0.03 L)². Left unsquared they "
        f"are {show(0.01 / C1)} and {show(0.03 / C2)} times too large at L = 1, and hide what "
        f"differs faintly: two independent textures lose {show(faint_custom)} instead of "
        f"{show(faint_true)}.",
    )


@claim(
    "0.16",
    "An epsilon in the denominator prevents NaN.",
    kind="remedy",
    concept="losses",
    expected=CONDITIONAL,
)
def epsilon_prevents_nan():
    """The custom loss of identical flat images with and without ε, with and without constants."""
    x = flat(0.5)

    def spoiled(constants, epsilon):
        def loss(z):
            return article_loss(z, x, constants=constants, epsilon=epsilon)

        return nans(value_and_gradient(loss, x)[1])

    published, none = (0.01, 0.03), (0.0, 0.0)
    left = article_loss(x, x, constants=none, epsilon=1e-8).item()
    counts = {
        "constants, ε = 0": spoiled(published, 0.0),
        "constants, ε = 1e-8": spoiled(published, 1e-8),
        "no constants, ε = 0": spoiled(none, 0.0),
        "no constants, ε = 1e-8": spoiled(none, 1e-8),
    }

    def prevented(case):
        return counts[f"{case}, ε = 0"] > 0 and counts[f"{case}, ε = 1e-8"] == 0

    return Finding(
        trials={
            "the article's C1 = 0.01, C2 = 0.03": prevented("constants"),
            "C1 = C2 = 0": prevented("no constants"),
        },
        figures={f"NaN gradients, {name}": count for name, count in counts.items()}
        | {"loss of identical images, no constants, ε = 1e-8": left},
        condition="there are no constants C1 and C2, which are there for the same purpose",
        explanation="With the article's constants there is no NaN to prevent, with ε or without. "
        f"Without constants ε does turn {counts['no constants, ε = 0']} NaN into finite numbers, "
        f"and the price is a loss of {show(left)} for an image compared with itself.",
    )


@claim(
    "0.17",
    "With epsilon, the custom loss has a zero gradient for identical images.",
    kind="behavior",
    concept="failures",
    expected=FALSE,
)
def epsilon_keeps_zero_gradient():
    """The gradient at x = y, on the article's images and on random ones."""

    def at(image, epsilon):
        return value_and_gradient(lambda z: article_loss(z, image, epsilon=epsilon), image)

    single = at(flat(0.5), 1e-8)[1]
    loss, double = at(flat(0.5, dtype=torch.float64), 1e-8)
    random = at(uniform(1, 1, 32, 32), 1e-8)[1]
    without = largest(at(flat(0.5, dtype=torch.float64), 0.0)[1])
    return Finding(
        trials={
            "0.5 against 0.5, float32": largest(single) == 0,
            "0.5 against 0.5, float64": largest(double) == 0,
            "a random image, float64": largest(random) == 0,
        },
        figures={
            "loss of identical images": loss,
            "largest gradient, float32": largest(single),
            "largest gradient, float64": largest(double),
            "gradients that are not zero, float64": double.count_nonzero().item(),
            "largest gradient, random image": largest(random),
            "largest gradient with ε = 0, float64": without,
        },
        explanation="With ε an image scores N/(N + ε) against itself, which grows with N: the "
        f"loss is {show(loss)} and {double.count_nonzero().item()} of 1024 gradients are not zero "
        f"(up to {show(largest(double))}; {show(without)} with ε = 0). The optimum has moved.",
    )


@claim(
    "0.18",
    "Epsilon does not prevent the zero gradient of uniform images.",
    kind="behavior",
    concept="failures",
    expected=CONDITIONAL,
)
def zero_gradient_of_uniform_images():
    """The gradient of uniform images that are the same, and of uniform images that are not."""
    y = flat(0.5, dtype=torch.float64)
    same = largest(value_and_gradient(lambda z: article_loss(z, y), y)[1])
    steepest = {
        c: largest(value_and_gradient(lambda z: article_loss(z, y), torch.full_like(y, c))[1])
        for c in (0.0, 0.4, 0.9)
    }
    return Finding(
        trials={"0.5 against 0.5": same < 1e-6}
        | {f"{show(c)} against 0.5": value < 1e-6 for c, value in steepest.items()},
        figures={"largest gradient, 0.5 against 0.5": same}
        | {f"largest gradient, {show(c)} against 0.5": v for c, v in steepest.items()},
        condition="the two uniform images are the same, where zero is right",
        explanation="Uniform images of different brightness have a gradient, by the luminance "
        f"term: up to {show(steepest[0.4])} at 0.4 against 0.5. It vanishes ({show(same)}) where "
        "there is nothing to improve.",
    )


@claim(
    "0.19",
    "A larger epsilon in the denominator is a remedy.",
    kind="remedy",
    concept="training",
    expected=FALSE,
)
def larger_epsilon():
    """Adam started at the target itself, with SSIM's constants and an ε: does it stay?"""
    y = 0.1 + 0.02 * normal(1, 1, 16, 16, dtype=torch.float32)

    def trained(epsilon):
        x = y.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=2e-3)
        losses = []
        for _ in range(100):
            loss = article_loss(x, y, constants=(C1, C2), epsilon=epsilon)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        x = x.detach()
        return losses[0], (x - y).mean().item(), (x.std() / y.std()).item()

    start = {epsilon: trained(epsilon) for epsilon in (0.0, 1e-4, 1e-2)}
    return Finding(
        trials={
            f"ε = {show(e)}: the target is left within 0.01 of itself": abs(start[e][1]) < 0.01
            and abs(start[e][2] - 1) < 0.1
            for e in (1e-4, 1e-2)
        },
        figures={f"loss of the target with itself, ε = {show(e)}": v[0] for e, v in start.items()}
        | {f"drift of the brightness, ε = {show(e)}": v[1] for e, v in start.items()}
        | {f"contrast gained, ε = {show(e)}": v[2] for e, v in start.items()},
        explanation=f"With ε = 1e-4 a target loses {show(start[1e-4][0])} against itself, and 100 "
        f"steps move it by {show(start[1e-4][1])} in brightness and to {show(start[1e-4][2])} "
        f"times its contrast ({show(start[1e-2][1])} and {show(start[1e-2][2])} at ε = 1e-2; "
        f"{show(start[0.0][1])} and {show(start[0.0][2])} without). A larger ε rewards "
        "brightness and contrast; larger constants C1 and C2 would not.",
    )


@claim(
    "0.20",
    "Clipping gradients guards training against NaN and extreme gradients.",
    kind="remedy",
    concept="training",
    expected=CONDITIONAL,
)
def clipping():
    """Five sets of gradients through both clips: is what comes out finite and not all zero?"""
    sets = {
        "a NaN": [math.nan, 1.0, 2.0],
        "an inf": [math.inf, 1.0, 2.0],
        "1e20 twice": [1e20, 1e20],
        "1000 and 1": [1000.0, 1.0],
    }
    clips = {"by norm": remedies.clip_by_norm, "by value": remedies.clip_by_value}
    after = {
        f"{name}, clipped {how}": clip(gradients)
        for name, gradients in sets.items()
        for how, clip in clips.items()
    }
    return Finding(
        trials={
            name: all(map(math.isfinite, result)) and any(result) for name, result in after.items()
        },
        figures={name: result for name, result in after.items()},
        condition="every gradient is finite and their norm does not overflow; clipping by value "
        "also bounds an inf",
        explanation="One NaN makes the norm NaN and with it every gradient: "
        f"{show(after['a NaN, clipped by norm'])}. One inf makes itself NaN and all others zero: "
        f"{show(after['an inf, clipped by norm'])}. Two of 1e20 have an infinite float32 norm and "
        f"become {show(after['1e20 twice, clipped by norm'])}. Clipping by value leaves a NaN "
        "where it is. Clipping is for gradients that are large and right.",
    )


@claim(
    "0.21",
    "Adding MSE or L1 to the SSIM loss is the most effective cure for its NaN.",
    kind="remedy",
    concept="training",
    expected=FALSE,
)
def mixing_cures_nan():
    """A loss that is NaN, plus L1 and plus MSE."""
    x, y = flat(0.5), flat(0.5)

    def mixed(pixel_loss):
        return value_and_gradient(
            lambda z: pixel_loss(z, y) + 1 - torchmetrics_ssim(z, y, data_range=None), x
        )[1]

    counts = {"L1": nans(mixed(F.l1_loss)), "MSE": nans(mixed(F.mse_loss))}
    return Finding(
        trials={f"{name} + SSIM: no NaN gradient": n == 0 for name, n in counts.items()},
        figures={f"NaN gradients of 1024, {name} + SSIM": n for name, n in counts.items()},
        explanation="NaN plus a number is NaN: where the SSIM loss is NaN (here by "
        f"data_range=None), {counts['L1']} of 1024 gradients stay NaN with L1 added, and "
        f"{counts['MSE']} with MSE.",
    )


def _half_flat():
    image = uniform(1, 1, 32, 32, seed=9, dtype=torch.float32)
    image[..., 16:] = 0.25
    return image


@claim(
    "0.22",
    "Pre-processing the data to minimize uniform regions is essential.",
    kind="remedy",
    concept="training",
    expected=FALSE,
)
def uniform_regions_are_harmful():
    """An image that is half flat, in every implementation."""
    y = _half_flat()
    x = (y + 0.1 * normal(1, 1, 32, 32, seed=8)).float()
    bad = {
        name: nonfinite(value_and_gradient(lambda z, f=ssim: 1 - f(z, y, data_range=1.0), x)[1])
        + nonfinite(value_and_gradient(lambda z, f=ssim: 1 - f(z, y, data_range=1.0), y)[1])
        for name, ssim in implementations().items()
    }
    return Finding(
        trials={f"{name} fails on a flat region": count > 0 for name, count in bad.items()},
        figures={f"non-finite gradients, {name}": count for name, count in bad.items()},
        explanation=f"A flat half gives {sum(bad.values())} non-finite gradients in "
        f"{len(bad)} implementations: flat regions are what C1 and C2 are for.",
    )


@claim(
    "0.23",
    "The trouble is not in SSIM itself but in implementations and floating-point arithmetic.",
    kind="cause",
    concept="stable",
    expected=HOLDS,
)
def implementation_not_concept():
    """300 random pairs over offsets and contrasts: the stable form and the textbook form."""
    count = 300
    offset = torch.where(
        uniform(count, 1, 1, 1, seed=1) < 0.3, 0, 10 ** (6 * uniform(count, 1, 1, 1, seed=2))
    )
    contrast = 10 ** (-6 * uniform(count, 1, 1, 1, seed=3))
    x, y = (
        (offset + contrast * normal(count, 1, 13, 13, seed=s)).float().requires_grad_()
        for s in (4, 5)
    )

    def misses(form):
        ssim = form(x, y, data_range=1.0, reduction="none").double()
        off = (ssim - truth).abs().amax((-3, -2, -1))
        return int((~(off <= 1e-5)).sum()), off.max().item()

    with torch.no_grad():
        truth = reference.ssim(x, y, data_range=1.0, reduction="none")
        stable_misses, stable_error = misses(stable.ssim)
        textbook_misses, textbook_error = misses(naive.one_pass)
    return Finding(
        trials={
            "the stable form is right on every pair, in float32": stable_misses == 0,
            "the textbook form is wrong on some": textbook_misses > 0,
        },
        figures={
            "pairs": count,
            "misses of the stable form": stable_misses,
            "worst error of the stable form": stable_error,
            "misses of the textbook form": textbook_misses,
            "worst error of the textbook form": textbook_error,
        },
        explanation=f"The same function written in another way misses {stable_misses} of {count} "
        f"pairs (worst error {show(stable_error)}) where the textbook form misses "
        f"{textbook_misses} (worst error {show(textbook_error)}).",
    )


@claim(
    "0.24",
    "SSIM is the product of three components: luminance, contrast and structure.",
    kind="formula",
    concept="seeing",
    expected=HOLDS,
)
def three_components():
    """l · c · s against the two-factor formula; then the same three in float32."""
    x, y = uniform(1, 1, 32, 32), uniform(1, 1, 32, 32, seed=1)
    product = math.prod(reference.components(x, y, data_range=1.0))
    off = largest(product - reference.ssim(x, y, data_range=1.0, reduction="none"))
    levels = torch.linspace(0, 1, 101)[:, None, None, None].expand(-1, 1, 11, 11).clone()
    _, gradient = value_and_gradient(
        lambda z: naive.luminance_contrast_structure(z, levels, data_range=1.0, reduction="none"),
        levels,
    )
    spoiled = int(gradient.isnan().flatten(1).any(1).sum())
    return Finding(
        trials={"l · c · s equals SSIM to 1e-12, float64": off < 1e-12},
        figures={
            "largest difference": off,
            "flat images of 101 with a NaN gradient, three factors, float32": spoiled,
        },
        explanation=f"With C3 = C2/2 the two agree to {show(off)}. As code the three factors are "
        "the one form that does give NaN on flat images, by the square roots of the standard "
        f"deviations: for {spoiled} of 101 gray levels in float32.",
    )


@claim(
    "0.25",
    "Silence in an audio spectrogram makes the NaN problem more prevalent.",
    kind="cause",
    concept="failures",
    expected=CONDITIONAL,
)
def silent_spectrogram():
    """A spectrogram with silence, linear and in logarithms."""
    time = torch.arange(4096) / 4096
    sound = torch.sin(2 * math.pi * 300 * time) * (time < 0.5)
    window = torch.hann_window(128)
    spectrum = torch.stft(sound, 128, window=window, center=False, return_complex=True).abs()
    spectrum = (spectrum / spectrum.max())[None, None]
    estimate = 0.9 * spectrum + 0.01

    def spoiled(x, y):
        return nans(value_and_gradient(lambda z: 1 - torchmetrics_ssim(z, y, data_range=1.0), x)[1])

    linear, logarithmic = spoiled(estimate, spectrum), spoiled(estimate.log(), spectrum.log())
    zeros = int((spectrum == 0).sum())
    return Finding(
        trials={
            "magnitudes": linear > 0,
            "logarithms of magnitudes": logarithmic > 0,
        },
        figures={
            "bins of exact silence": zeros,
            "NaN gradients, magnitudes": linear,
            "NaN gradients, logarithms": logarithmic,
        },
        condition="the spectrogram is in logarithms without a floor: silence is then -inf",
        explanation=f"With {zeros} bins of exact zero the magnitudes give {linear} NaN. Their "
        f"logarithms give {logarithmic}, because the image handed to SSIM holds -inf: the "
        "logarithm made it, and SSIM passed it on.",
    )


@claim(
    "0.26",
    "A little MSE or L1 helps the network out of regions where SSIM's gradient vanishes.",
    kind="remedy",
    concept="training",
    expected=HOLDS,
)
def mixing_helps_vanishing_gradients():
    """Two starts with a vanishing SSIM gradient, trained with and without a little L1."""
    y = uniform(1, 1, 16, 16, seed=3)

    def trained(start, amount):
        x = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([x], lr=1000.0)
        for _ in range(45):
            ssim = naive.one_pass(x, y, data_range=1.0)
            loss = (1 - amount) * (1 - ssim) + amount * F.l1_loss(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return F.l1_loss(x, y).item()

    starts = {"brightness off by 20": y + 20, "contrast off by 100": y + 100 * normal(1, 1, 16, 16)}
    steepest = {
        name: largest(
            value_and_gradient(lambda z: stable.dissimilarity(z, y, data_range=1.0), start)[1]
        )
        for name, start in starts.items()
    }
    far = {
        name: (F.l1_loss(start, y).item(), trained(start, 0.0), trained(start, 0.1))
        for name, start in starts.items()
    }
    return Finding(
        trials={
            f"{name}: 0.1 L1 comes nearer than SSIM alone": mixed < min(alone, began)
            for name, (began, alone, mixed) in far.items()
        },
        figures={f"largest SSIM gradient, {name}": v for name, v in steepest.items()}
        | {f"L1 distance before, {name}": v[0] for name, v in far.items()}
        | {f"after SSIM alone, {name}": v[1] for name, v in far.items()}
        | {f"after SSIM with 0.1 L1, {name}": v[2] for name, v in far.items()},
        explanation="Far from the target SSIM is flat: with a brightness off by 20 its largest "
        f"gradient is {show(steepest['brightness off by 20'])}, and 45 steps of it bring the "
        f"distance from {show(far['brightness off by 20'][0])} to "
        f"{show(far['brightness off by 20'][1])}; with a tenth of L1 to "
        f"{show(far['brightness off by 20'][2])}.",
    )


@claim(
    "0.27",
    "MSE favors the average pixel value.",
    kind="cause",
    concept="training",
    expected=HOLDS,
)
def mse_favors_the_mean():
    """A predictor that is told nothing, trained by MSE on random targets."""
    targets = uniform(64, 1, 8, 8, seed=1)
    guess = torch.zeros(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([guess], lr=16.0)
    for _ in range(60):
        optimizer.zero_grad()
        F.mse_loss(guess.expand_as(targets), targets).backward()
        optimizer.step()
    off = largest(guess.detach() - targets.mean(0))
    spread, data_spread = guess.detach().std().item(), targets.std().item()
    return Finding(
        trials={
            "the prediction is the mean of the targets": off < 1e-6,
            "the prediction is much flatter than a target": spread < data_spread / 4,
        },
        figures={
            "distance from the mean": off,
            "contrast of the prediction": spread,
            "contrast of the targets": data_spread,
        },
        explanation=f"Where nothing tells the targets apart, MSE's minimum is their mean (to "
        f"{show(off)}), of contrast {show(spread)} where a target has {show(data_spread)}. That "
        "it makes flat predictions is true; that SSIM cannot bear them is not.",
    )


@claim(
    "0.28",
    "Extremely small numerators can result in zero gradients.",
    kind="cause",
    concept="stable",
    expected=FALSE,
)
def small_numerators():
    """Pairs tuned until the numerator of SSIM is zero: is the gradient zero there?"""
    pattern = normal(1, 1, 11, 11)
    weights = Window().weights()
    pattern = pattern - (weights * pattern).sum()
    pattern = pattern / (weights * pattern**2).sum().sqrt()
    amount = math.sqrt(C2 / 2)  # covariance -C2/2
    structure = (0.5 + amount * pattern, 0.5 - amount * pattern)
    level = math.sqrt(C1 / 2)  # product of the means -C1/2
    luminance = (level + 0.1 * pattern, -level + 0.1 * pattern)
    values, steepest = {}, {}
    for name, (x, y) in {"structure": structure, "luminance": luminance}.items():
        values[name], gradient = value_and_gradient(
            lambda z, y=y: reference.ssim(z, y, data_range=1.0), x
        )
        steepest[name] = gradient.abs().sum().item()
    return Finding(
        trials={
            f"numerator zero by {name}: the gradient is below 1e-6": steepest[name] < 1e-6
            for name in values
        },
        figures={f"SSIM, {name}": value for name, value in values.items()}
        | {f"1-norm of the gradient, {name}": value for name, value in steepest.items()},
        explanation="A numerator of zero makes SSIM zero, not its slope: the 1-norm of the "
        f"gradient is {show(steepest['structure'])} where 2σxy + C2 = 0 and "
        f"{show(steepest['luminance'])} where 2μxμy + C1 = 0, among the steepest there are.",
    )


@claim(
    "0.29",
    "The custom loss with epsilon does not keep gradients from growing too large.",
    kind="behavior",
    concept="stable",
    expected=FALSE,
)
def custom_gradients_grow():
    """The custom loss's gradient over 12 orders of contrast: is it unbounded?"""
    pattern, other = normal(1, 1, 24, 24, seed=1), normal(1, 1, 24, 24, seed=2)
    steepest = {}
    for power in range(-9, 4):
        size = 10.0**power
        for mean in (0.0, 0.1, 0.5):
            x, y = mean + size * pattern, mean + size * other
            for name, partner in (("independent", y), ("opposite", 2 * mean - x)):
                gradient = value_and_gradient(lambda z, y=partner: article_loss(z, y), x)[1]
                steepest[power, mean, name] = gradient.abs().sum().item()
    worst = max(steepest.values())
    bound = 1.05 / math.sqrt(0.03) + 1.05 / math.sqrt(0.01)
    power, mean, name = max(steepest, key=lambda pair: steepest[pair])
    return Finding(
        trials={f"{len(steepest)} pairs: a gradient beyond the bound": not worst <= bound},
        figures={
            "largest 1-norm": worst,
            "bound": bound,
            "largest 1-norm, contrast 1e-9": max(v for k, v in steepest.items() if k[0] == -9),
            "largest 1-norm, contrast 1000": max(v for k, v in steepest.items() if k[0] == 3),
        },
        explanation="The constants bound the gradient whatever ε is: with C1 = 0.01 and C2 = 0.03 "
        f"its 1-norm stays below {show(bound)}. The largest found is {show(worst)}, for "
        f"{name} textures of contrast {show(10.0**power)} around {show(mean)}.",
    )


@claim(
    "0.30",
    "C1 and C2 are small constants that avoid division by zero.",
    kind="formula",
    concept="failures",
    expected=HOLDS,
)
def constants_avoid_division_by_zero():
    """Black and flat images with the constants and without, in float32 and float64."""
    trials, figures = {}, {}
    for dtype in (torch.float32, torch.float64):
        x, y = uniform_pairs(dtype)
        for name, k in (("with", (0.01, 0.03)), ("without", (0, 0))):
            values = naive.one_pass(x, y, data_range=1.0, k=k, reduction="none")
            kind = str(dtype).removeprefix("torch.")
            figures[f"non-finite of {len(x)}, {name} constants, {kind}"] = nonfinite(values)
            if name == "with":
                trials[f"finite with the constants, {kind}"] = nonfinite(values) == 0
            else:
                trials[f"not finite without them, {kind}"] = nonfinite(values) > 0
    lost = figures[f"non-finite of {len(x)}, without constants, float32"]
    return Finding(
        trials=trials,
        figures=figures,
        explanation=f"Of {len(x)} uniform pairs {lost} are not finite without the constants in "
        "float32, and none with them. They do what they are for.",
    )


@claim(
    "0.31",
    "On uniform patches variance and covariance become zero or extremely small.",
    kind="behavior",
    concept="failures",
    expected=CONDITIONAL,
)
def variance_of_uniform_patches():
    """The variance of flat patches as textbook code computes it, beside C2."""
    sizes = {"[0, 1]": 1.0, "[0, 255]": 255.0}
    worst, below = {}, {}
    for name, top in sizes.items():
        patch = top * uniform(2000, 1, 1, 1, dtype=torch.float32).expand(-1, 1, 11, 11)
        m = formula.rearranged_moments(patch, patch, Window())
        worst[name] = largest(m.sigma_x2)
        below[name] = (m.sigma_x2 < 0).float().mean().item()
    exact = flat(200.1, side=11, dtype=torch.float32).double()
    true = largest(formula.moments(exact, exact, Window()).sigma_x2)
    return Finding(
        trials={
            "by the definition, float64": true < C2 / 100,
            **{f"E[x²] - μ², {name}, float32": v < C2 / 100 for name, v in worst.items()},
        },
        figures={"variance of a flat patch by the definition": true, "C2 at data_range=1": C2}
        | {f"largest computed variance, {name}": v for name, v in worst.items()}
        | {f"negative, {name}": v for name, v in below.items()},
        condition="the variance is computed without cancellation, or the pixels are of order 1",
        explanation=f"By the definition it is {show(true)}. As E[x²] - μ² it is rounding noise of "
        f"μ²: up to {show(worst['[0, 1]'])} for pixels in [0, 1], but {show(worst['[0, 255]'])} "
        f"in [0, 255], {show(worst['[0, 255]'] / C2)} times C2 at data_range=1, and negative for "
        f"{show(100 * below['[0, 255]'])} % of the patches.",
    )


@claim(
    "0.32",
    "The three code examples demonstrate how easily NaN gradients arise.",
    kind="example",
    concept="failures",
    expected=FALSE,
)
def examples_show_nan():
    """All four losses of the article's three examples, as printed."""
    x, y = _article_pair()
    same = flat(0.5)

    def metric_loss(a, b):
        return 1 - torchmetrics_ssim(a, b, data_range=1.0)

    gradients = {
        "0.501 against 0.5": value_and_gradient(lambda z: metric_loss(z, y), x)[1],
        "0.5 against 0.5": value_and_gradient(lambda z: metric_loss(z, same), same)[1],
        "with noise of 1e-6": _noisy_gradient(1e-6),
        "custom loss with epsilon": value_and_gradient(lambda z: article_loss(z, same), same)[1],
    }
    return Finding(
        trials={name: nans(gradient) > 0 for name, gradient in gradients.items()},
        figures={f"NaN gradients, {name}": nans(g) for name, g in gradients.items()}
        | {f"largest gradient, {name}": largest(g) for name, g in gradients.items()},
        explanation=f"None of the {len(gradients)} losses has a NaN gradient: "
        f"{sum(map(nans, gradients.values()))} in {sum(g.numel() for g in gradients.values())} "
        "numbers.",
    )


@claim(
    "0.33",
    "Adding noise is a way around the zero gradient of identical uniform images.",
    kind="remedy",
    concept="training",
    expected=CONDITIONAL,
)
def noise_gives_a_gradient():
    """The gradients under noise of several seeds: are they there, and do they agree?"""
    gradients = torch.stack([_noisy_gradient(1e-2, seed).flatten() for seed in range(8)])
    size = largest(gradients)
    directions = F.normalize(gradients.double(), dim=1)
    cosines = directions @ directions.T
    agreement = cosines[~torch.eye(8, dtype=torch.bool)].abs().mean().item()
    return Finding(
        trials={
            "the gradient is not zero": size > 0,
            "two seeds agree on its direction": agreement > 0.5,
        },
        figures={"largest gradient": size, "mean |cosine| of two seeds": agreement},
        condition="any direction will do: the gradient is that of the noise",
        explanation=f"There is a gradient then (up to {show(size)} at a noise of 0.01), but the "
        f"mean |cosine| between two seeds is {show(agreement)}: it points to that noise, and the "
        "images needed none.",
    )
