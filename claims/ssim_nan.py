"""Claims of the article "Why does structural similarity loss in PyTorch produce NaN values?"."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from ssimlab import formula, naive, reference, stable
from ssimlab.lab import remedies
from ssimlab.trace import first_nonfinite
from ssimlab.window import Window

from .measuring import (
    NO_RANGE,
    ROOTS,
    broken_pairs,
    flat,
    implementations,
    kornia_ssim,
    largest,
    loss_and_gradient,
    nans,
    nonfinite,
    normal,
    pytorch_msssim_ssim,
    relative_error,
    torchmetrics_ssim,
    torchmetrics_without_range,
    uniform,
    value_and_gradient,
)
from .registry import Finding, Says, Verdict, claims_of, show

HOLDS, CONDITIONAL, FALSE = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.FALSE
IS, CAN = Says.IS, Says.CAN
C1, C2 = formula.constants(1.0)
SEEDS = range(10)
#: The constants of the article's own loss, and its window: uniform, zeros around the image.
ARTICLE_CONSTANTS = (0.01, 0.03)
ARTICLE_WINDOW = Window(size=11, sigma=None, padding="zero")
#: What the absolute values of one window's gradient add up to at most, at a data range of 1.
STEEPEST = 1.05 / math.sqrt(C2) + 1.05 / math.sqrt(C1)

claim = claims_of("article-ssim-nan")


def grays(count=101, dtype=torch.float32):
    """Flat 11 x 11 images of gray levels from 0 to 1."""
    levels = torch.linspace(0, 1, count, dtype=dtype)
    return levels[:, None, None, None].expand(-1, 1, 11, 11).clone()


def uniform_pairs(dtype=torch.float32, count=21):
    """Flat images, in two batches: every pair of so many gray levels."""
    first, second = torch.cartesian_prod(torch.arange(count), torch.arange(count)).T
    images = grays(count, dtype)
    return images[first], images[second]


def nearly_uniform_pairs(count=200):
    """Random gray levels with textures of 1e-7 to 1e-3, another one in each image of a pair."""
    level = uniform(count, 1, 1, 1, seed=1)
    size = 10 ** (4 * uniform(count, 1, 1, 1, seed=2) - 7)
    return tuple((level + size * normal(count, 1, 11, 11, seed=s)).float() for s in (3, 4))


def article_pair():
    """The two images of the article's first example."""
    return flat(0.501), flat(0.5)


def article_loss(x, y, *, constants=ARTICLE_CONSTANTS, epsilon=1e-8):
    """The article's custom loss: average pooling, zeros around the image, ε in the denominator."""

    def average(image):
        return F.avg_pool2d(image, kernel_size=11, stride=1, padding=5)

    m, (c1, c2) = formula.rearranged_moments(x, y, average), constants
    above = (2 * m.mu_x * m.mu_y + c1) * (2 * m.sigma_xy + c2)
    below = (m.mu_x**2 + m.mu_y**2 + c1) * (m.sigma_x2 + m.sigma_y2 + c2) + epsilon
    return torch.mean(1 - above / below)


def article_gradient(x, y, **options):
    """The gradient of the article's custom loss at x."""
    return value_and_gradient(lambda z: article_loss(z, y, **options), x)[1]


def components_with_epsilon(x, y, *, data_range, epsilon):
    """The product l · c · s with ε added to each of its three denominators."""
    m, (c1, c2) = formula.one_pass_moments(x, y, Window()), formula.constants(data_range)
    sigma_x, sigma_y = m.sigma_x2.sqrt(), m.sigma_y2.sqrt()
    luminance = (2 * m.mu_x * m.mu_y + c1) / (m.mu_x**2 + m.mu_y**2 + c1 + epsilon)
    contrast = (2 * sigma_x * sigma_y + c2) / (sigma_x**2 + sigma_y**2 + c2 + epsilon)
    structure = (m.sigma_xy + c2 / 2) / (sigma_x * sigma_y + c2 / 2 + epsilon)
    return (luminance * contrast * structure).mean()


def true_loss_and_gradient(name, x, y, *, data_range=1.0):
    """What this implementation would give in exact arithmetic: the definition in float64."""
    padding = "reflect" if name in ("torchmetrics", NO_RANGE, "kornia") else "valid"
    exact = partial(reference.ssim, window=Window(padding=padding))
    return loss_and_gradient(exact, x.double(), y.double(), data_range=data_range)


def noisy_images(level, seed=0, gray=0.5, dtype=torch.float32):
    """The two images of the article's second example: a gray with noise of this level in each."""
    noise = normal(2, 1, 1, 32, 32, seed=seed)
    return (gray + level * noise[0]).to(dtype), (gray + level * noise[1]).to(dtype)


def descend(loss, start, *, steps, optimizer: Callable = torch.optim.SGD, rate, clip=None):
    """Pixels after so many steps down a loss."""
    x = start.clone().requires_grad_()
    steps_of = optimizer([x], lr=rate)
    for _ in range(steps):
        steps_of.zero_grad()
        loss(x).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([x], clip)
        steps_of.step()
    return x.detach()


def out_of(count, total):
    """A share as text."""
    return f"{count:,} of {total:,}"


# ------------------------------------------------------------------------------------------------
# Paragraphs 1 to 3: the cause, and the formula


def divides_by_nothing(trace):
    """Whether a trace ends at a division by zero, or by a number too small for its dtype."""
    if any(words in trace.cause for words in ("0/0", "division by zero")):
        return True
    divisor = trace.operands.get("other")
    return trace.operation == "div" and isinstance(divisor, float) and 0 < abs(divisor) < 1e-3


@claim(
    "0.1",
    "When an SSIM loss gives NaN, a division by zero or by something tiny is at the root of it.",
    place="Paragraph 1, sentence 1",
    says=IS,
    reading="Of the NaN that SSIM itself makes of finite pixels. Divisions of the backward pass "
    "count as well as those of the forward pass, since the sentence names the gradients.",
    concept="failures",
    expected=CONDITIONAL,
)
def divisions_by_zero():
    """Seven settings in which finite pixels give NaN: a tracer names the operation and its operands
    where the first number that is not finite is made."""
    gray, black = flat(0.5), flat(0.0, dtype=torch.float16)
    bright = (255 * uniform(1, 1, 32, 32)).half()
    images, target = grays(), uniform(1, 1, 11, 11, seed=1).float()
    variance = formula.one_pass_moments(images, images, Window()).sigma_x2.flatten()
    zero, negative = images[variance == 0], images[variance < 0]
    roots = naive.luminance_contrast_structure
    settings = {
        "torchmetrics without a range, 0.5 against itself": (
            torchmetrics_without_range,
            gray,
            gray,
            1.0,
        ),
        "constants of zero, black images": (
            partial(naive.product_form, k=(0, 0)),
            black.float(),
            black.float(),
            1.0,
        ),
        "float16, black images, range 0.5": (naive.product_form, black, black, 0.5),
        "float16, black images, range 1": (naive.product_form, black, black, 1.0),
        "l · c · s, a gray whose computed variance is zero": (roots, zero[:1], target, 1.0),
        "l · c · s, a gray whose computed variance is negative": (roots, negative[:1], target, 1.0),
        "float16, 8-bit pixels, range 255": (naive.product_form, bright, bright.flip(-1), 255.0),
    }
    traces = {
        name: first_nonfinite(lambda z, f=ssim, b=b, r=r: 1 - f(z, b, data_range=r), a)
        for name, (ssim, a, b, r) in settings.items()
    }
    came = [trace is not None and divides_by_nothing(trace) for trace in traces.values()]
    return Finding(
        trials=dict(zip(traces, came, strict=True)),
        figures={f"first fault, {name}": trace.title for name, trace in traces.items() if trace}
        | {
            "gray levels tried in the form l · c · s": len(images),
            "of these with a computed variance of zero": len(zero),
            "of these with a negative computed variance": len(negative),
        },
        condition="the NaN is neither the root of a variance that rounding made negative nor an "
        "overflow in float16",
        explanation="Where the constants vanish (no data range, zeros, float16) SSIM is 0/0, and "
        "where it is written with standard deviations the derivative of the root at 0 divides by "
        f"zero. That form has another NaN too: of {len(images)} gray levels {len(zero)} get a "
        f"variance of exactly zero by rounding, and {len(negative)} a negative one, which has no "
        "root. With C1 and C2 in place and no roots, uniform images give no NaN in float32.",
        right=f"{sum(came)} of the {len(came)} ways to NaN that were tried begin at a division by "
        "zero or by almost nothing, among them torchmetrics without a data range and SSIM written "
        "as l · c · s, on images of the article.",
    )


@claim(
    "0.2",
    "The trouble lies in how SSIM is implemented and in floating point, not in the idea of SSIM.",
    place="Paragraph 1, sentence 3",
    says=IS,
    reading="One function, written in several ways, would then be right in one of them and wrong "
    "in others, in the same arithmetic.",
    concept="stable",
    expected=HOLDS,
)
def implementation_not_concept():
    """300 random pairs of images over offsets up to 1e6 and contrasts down to 1e-6, and 441 pairs
    of uniform images, in float32: three forms of SSIM against the definition in float64."""
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
    pairs = uniform_pairs()
    with_roots, sound = broken_pairs(ROOTS, *pairs), broken_pairs("stable form", *pairs)
    return Finding(
        trials={
            "the stable form is within 1e-5 on every pair": stable_misses == 0,
            "the textbook form misses that on some": textbook_misses > 0,
            "uniform pairs: no NaN in the stable form": sound == 0,
            "uniform pairs: NaN in the form l · c · s": with_roots > 0,
        },
        figures={
            "random pairs": count,
            "misses of the stable form": stable_misses,
            "worst error of the stable form": stable_error,
            "misses of the textbook form": textbook_misses,
            "worst error of the textbook form": textbook_error,
            "uniform pairs": len(pairs[0]),
            "with a NaN gradient, l · c · s": with_roots,
            "with a NaN gradient, stable form": sound,
        },
        explanation=f"Of {count} random pairs the textbook form misses {textbook_misses} (worst "
        f"error {show(textbook_error)}), and the same function in another arrangement "
        f"{stable_misses} (worst error {show(stable_error)}). Of {len(pairs[0])} uniform pairs "
        f"{with_roots} have NaN gradients as l · c · s, and {sound} in the stable form. The fault "
        "is in the arrangement.",
    )


@claim(
    "0.3",
    "SSIM compares images by three things: luminance, contrast and structure.",
    place="Paragraph 2, sentence 1",
    says=IS,
    reading="The product of the three factors should be SSIM, and each should see one kind of "
    "change and be blind to the other two.",
    concept="seeing",
    expected=HOLDS,
)
def three_components():
    """The product of the factors against SSIM; then single windows that are made brighter, given
    twice the contrast, or mirrored. Ten seeds, float64."""
    worst, others, least = 0.0, 0.0, dict.fromkeys(("luminance", "contrast", "structure"), 0.0)
    weights = Window().weights()
    for seed in SEEDS:
        x, y = uniform(2, 1, 1, 32, 32, seed=seed)
        product = math.prod(reference.components(x, y, data_range=1.0))
        off = product - reference.ssim(x, y, data_range=1.0, reduction="none")
        worst = max(worst, largest(off))
        patch = x[..., :11, :11]
        mean = (weights * patch).sum()
        changed = (patch + 0.1, mean + 2 * (patch - mean), patch.flip(-1))
        for kind, other in zip(least, changed, strict=True):
            factors = reference.components(patch, other, data_range=1.0)
            loss = {k: largest(1 - factor) for k, factor in zip(least, factors, strict=True)}
            least[kind] = max(least[kind], loss.pop(kind))
            others = max(others, *loss.values())
    return Finding(
        trials={
            "l · c · s is SSIM to 1e-12": worst < 1e-12,
            "each kind of change lowers its own factor": min(least.values()) > 1e-3,
            "and leaves the other two at 1, to 1e-9": others < 1e-9,
        },
        figures={"largest difference of l · c · s and SSIM": worst}
        | {f"most that {kind} loses by its own change": loss for kind, loss in least.items()}
        | {"most that another factor loses": others},
        explanation=f"With C3 = C2/2 the product agrees with SSIM to {show(worst)}. A brighter "
        "patch lowers luminance alone, a doubled contrast lowers contrast alone, and a mirrored "
        f"patch structure alone: the other two stay at 1 to {show(others)}. It is an analysis to "
        "look at; as code to train with, the three factors bring square roots with them.",
    )


@claim(
    "0.4",
    "For two patches SSIM is one quotient: of means and covariance above, of squared means and "
    "variances below, with C1 and C2 in each.",
    place="Paragraph 2, the formula",
    says=IS,
    reading="The printed formula with weighted means, variances and covariances, and the published "
    "constants, should give what the libraries give.",
    concept="seeing",
    expected=HOLDS,
)
def formula_is_ssim():
    """The printed formula in float64, from moments by their definitions, against three libraries
    and the reference: ten seeds of random 32 x 32 images."""
    libraries = {
        "torchmetrics": torchmetrics_ssim,
        "kornia": partial(kornia_ssim, eps=0.0),
        "pytorch-msssim": pytorch_msssim_ssim,
        "the book's reference": reference.ssim,
    }
    worst = dict.fromkeys(libraries, 0.0)
    for seed in SEEDS:
        x, y = uniform(2, 1, 1, 32, 32, seed=seed)
        for name, ssim in libraries.items():
            reflects = name in ("torchmetrics", "kornia")
            m = formula.moments(x, y, Window(padding="reflect" if reflects else "valid"))
            above = (2 * m.mu_x * m.mu_y + C1) * (2 * m.sigma_xy + C2)
            below = (m.mu_x**2 + m.mu_y**2 + C1) * (m.sigma_x2 + m.sigma_y2 + C2)
            off = (above / below).mean() - ssim(x, y, data_range=1.0)
            worst[name] = max(worst[name], abs(off.item()))
    return Finding(
        trials={f"within 1e-6 of {name}": error < 1e-6 for name, error in worst.items()},
        figures={f"largest difference from {name}": error for name, error in worst.items()},
        explanation="The formula is printed correctly: the libraries agree with it to "
        f"{show(max(worst.values()))} at most, each with its own treatment of the border.",
    )


@claim(
    "0.5",
    "C1 and C2 are small, and are there so that nothing is divided by zero.",
    place="Paragraph 3, sentence 1",
    says=IS,
    reading="With the constants the printed formula should be finite on uniform images, black ones "
    "included, and without them it should not be, in float32 and float64.",
    concept="failures",
    expected=HOLDS,
)
def constants_avoid_division_by_zero():
    """Pairs of 21 gray levels through the printed formula, with the constants and without, in
    float32 and float64: values and gradients."""
    trials, figures = {}, {}
    for dtype in (torch.float32, torch.float64):
        x, y = uniform_pairs(dtype)
        kind = str(dtype).removeprefix("torch.")
        for name, k in (("with", (0.01, 0.03)), ("without", (0, 0))):
            ssim = partial(naive.product_form, data_range=1.0, k=k, reduction="none")
            values, (_, gradient) = ssim(x, y), value_and_gradient(partial(ssim, y=y), x)
            lost = nonfinite(values) + nonfinite(gradient)
            figures[f"values and gradients not finite, {name} constants, {kind}"] = lost
            came = lost == 0 if name == "with" else lost > 0
            trials[f"{'finite' if name == 'with' else 'not finite'} {name} them, {kind}"] = came
    black = flat(0.0, dtype=torch.float16)
    half = naive.product_form(black, black, data_range=0.5).item()
    figures["SSIM of black images, float16, range 0.5"] = half
    lost = figures["values and gradients not finite, without constants, float32"]
    kept = figures["values and gradients not finite, with constants, float32"]
    return Finding(
        trials=trials,
        figures=figures,
        explanation=f"On {len(x)} uniform pairs {lost:,} values and gradients are not finite "
        f"without the constants in float32, and {kept} with them. They do what they are for. Half "
        "precision is another matter: in float16 their product can underflow, and black images at "
        f"a range of 0.5 score {show(half)}.",
    )


# ------------------------------------------------------------------------------------------------
# Paragraph 4: what happens on uniform patches


@claim(
    "0.6",
    "On patches that are flat or nearly so, variance and covariance vanish or nearly do.",
    place="Paragraph 4, sentences 2 and 3",
    says=IS,
    reading="Very small beside C2, to which they are added: below a hundredth of it. As defined, "
    "and as code computes them in float32, with a data range that fits the pixels.",
    concept="failures",
    expected=HOLDS,
)
def variance_of_uniform_patches():
    """The variances and covariance of 2000 flat patches, and of patches with a texture of 1e-3, by
    the definition and as E[x²] - μ²; then with the range of 8-bit pixels forgotten."""
    gray = uniform(2000, 1, 1, 1)
    texture = [1e-3 * normal(2000, 1, 11, 11, seed=s) for s in (1, 2)]
    images = {
        "flat, [0, 1]": [gray.expand(-1, 1, 11, 11)] * 2,
        "texture of 1e-3, [0, 1]": [gray + t for t in texture],
        "flat, [0, 255]": [255 * gray.expand(-1, 1, 11, 11)] * 2,
    }

    def widest(m):
        return max(largest(m.sigma_x2), largest(m.sigma_y2), largest(m.sigma_xy))

    defined, computed, below = {}, {}, {}
    for name, (x, y) in images.items():
        defined[name] = widest(formula.moments(x, y, Window()))
        m = formula.one_pass_moments(x.float(), y.float(), Window())
        computed[name] = widest(m)
        below[name] = (m.sigma_x2 < 0).double().mean().item()
    limit = {name: C2 / 100 * (255**2 if "255" in name else 1) for name in images}
    bright = computed["flat, [0, 255]"]
    return Finding(
        trials={f"by the definition, {name}": v < limit[name] for name, v in defined.items()}
        | {f"E[x²] - μ² in float32, {name}": v < limit[name] for name, v in computed.items()},
        figures={f"largest by the definition, {name}": v for name, v in defined.items()}
        | {f"largest computed in float32, {name}": v for name, v in computed.items()}
        | {f"share of negative variances, {name}": v for name, v in below.items()}
        | {"C2 at range 1": C2, "C2 at range 255": C2 * 255**2},
        explanation="By the definition they are zero on flat patches. What float32 code computes "
        f"there is the rounding of μ²: up to {show(computed['flat, [0, 1]'])} for pixels in "
        f"[0, 1], where C2 is {show(C2)}, and negative in "
        f"{show(100 * below['flat, [0, 1]'])} % of the patches, which is what a square root does "
        f"not survive. With 8-bit pixels it is up to {show(bright)}: small beside C2 at a range of "
        f"255, but {show(bright / C2)} times C2 if the range is left at 1.",
    )


@claim(
    "0.7",
    "Flat or almost flat patches make SSIM produce NaN.",
    place="Paragraph 4, sentences 1 and 4",
    says=IS,
    reading="Tried on every implementation at hand, with a data range of 1 wherever one is taken; "
    "one NaN among all the pairs bears the claim out for an implementation.",
    concept="failures",
    expected=CONDITIONAL,
)
def uniform_patches_give_nan():
    """441 pairs of uniform images and 200 of nearly uniform ones, in float32, through eight
    implementations: how many pairs have a gradient that is not finite."""
    even, nearly = uniform_pairs(), nearly_uniform_pairs()
    broken = {
        name: (broken_pairs(name, *even), broken_pairs(name, *nearly)) for name in implementations()
    }
    return Finding(
        trials={f"a NaN in {name}": sum(counts) > 0 for name, counts in broken.items()},
        figures={f"uniform pairs broken of {len(even[0])}, {n}": c[0] for n, c in broken.items()}
        | {
            f"nearly uniform pairs broken of {len(nearly[0])}, {n}": c[1] for n, c in broken.items()
        },
        condition="SSIM is written with standard deviations, as l · c · s, or torchmetrics is left "
        "to measure the data range itself",
        explanation=f"Written as l · c · s, SSIM breaks on {broken[ROOTS][0]} of {len(even[0])} "
        f"uniform pairs and on {broken[ROOTS][1]} of {len(nearly[0])} nearly uniform ones, by the "
        f"square roots. torchmetrics without a data range breaks on {broken[NO_RANGE][0]} and "
        f"{broken[NO_RANGE][1]}: the range of a constant image is 0, and so are the constants. The "
        "form that the article prints, and the libraries with a range, have no NaN on any of them.",
        right="Uniform patches are where an SSIM that can give NaN does so; someone whose code has "
        "a root in it, or no data range, has met exactly this.",
    )


@claim(
    "0.8",
    "Terms near zero in the denominator can outweigh the two constants.",
    place="Paragraph 4, sentence 5",
    says=CAN,
    reading="Outweigh: the denominator that is computed falls below half of C1 · C2, which is "
    "the least that it could be if variances were never negative.",
    concept="failures",
    expected=HOLDS,
)
def constants_overshadowed():
    """The denominator of the printed formula on flat patches, as float32 computes it, beside
    C1 · C2; with a range that fits, with a range of 1 for 8-bit pixels, and in float16."""

    def denominators(x, y, data_range):
        m, c = formula.one_pass_moments(x, y, Window()), formula.constants(data_range)
        of_means, of_variances = formula.denominators(m, c)
        return of_means * of_variances / (c.c1 * c.c2)

    x, y = uniform_pairs()
    bright = 255 * uniform(4000, 1, 1, 1).float().expand(-1, 1, 11, 11)
    black = grays(2, torch.float16)[:1]
    quotients = {
        "[0, 1], range 1, float32": denominators(x, y, 1.0),
        "[0, 255], range 255, float32": denominators(bright, bright, 255.0),
        "[0, 255], range 1, float32": denominators(bright, bright, 1.0),
        "black, range 0.5, float16": denominators(black, black, 0.5),
    }
    least = {name: quotient.min().item() for name, quotient in quotients.items()}
    negative = (quotients["[0, 255], range 1, float32"] < 0).double().mean().item()
    ulp = torch.tensor(200.0**2).nextafter(torch.tensor(math.inf)).item() - 200.0**2
    fits = min(least["[0, 1], range 1, float32"], least["[0, 255], range 255, float32"])
    return Finding(
        trials={name: quotient < 0.5 for name, quotient in least.items()},
        figures={f"least denominator / (C1 · C2), {name}": v for name, v in least.items()}
        | {
            "share of denominators that are negative, [0, 255] at range 1": negative,
            "spacing of float32 at 200²": ulp,
            "C2 at range 1": C2,
        },
        condition="the pixels are large beside the data range, as 8-bit pixels are at a range of "
        "1, or the arithmetic is float16",
        explanation="With a range that fits the pixels the constants rule: no denominator is "
        f"below {fits:.3f} times C1 · C2. With 8-bit pixels at a range of 1 the variance that "
        f"should be zero is rounding of the size of {show(ulp)}, more than C2 = {show(C2)}, and "
        f"{show(100 * negative)} % of the denominators are negative. In float16 C1 · C2 itself "
        "rounds to zero for small ranges. In exact arithmetic a term near zero cannot outweigh a "
        "constant that it is added to.",
    )


@claim(
    "0.9",
    "The denominator can then shrink to almost nothing, and the quotient become enormous.",
    place="Paragraph 4, sentence 6",
    says=CAN,
    reading="Enormous: a map value or a score beyond 10 in size, where no SSIM is beyond 1.",
    concept="failures",
    expected=HOLDS,
)
def quotient_becomes_large():
    """The largest SSIM of 4000 pairs of nearly flat patches in float32, with the range that fits
    and another; and of torchmetrics, with a range and without, on ten nearly uniform images."""
    level, size = 255 * uniform(4000, 1, 1, 1, seed=1), 10 ** (-3 * uniform(4000, 1, 1, 1, seed=2))
    x, y = ((level + size * normal(4000, 1, 11, 11, seed=s)).float() for s in (3, 4))

    def largest_of(data_range):
        return largest(naive.one_pass(x, y, data_range=data_range, reduction="none"))

    pairs = [noisy_images(1e-6, seed) for seed in SEEDS]
    without, with_range = (
        max(abs(ssim(a, b, data_range=1.0).item()) for a, b in pairs)
        for ssim in (torchmetrics_without_range, torchmetrics_ssim)
    )
    fitting = largest_of(255.0)
    sizes = {
        "0.5 with a texture of 1e-6, torchmetrics at range 1": with_range,
        "8-bit pixels, textbook form at range 255": fitting,
        "8-bit pixels, textbook form at range 1": largest_of(1.0),
        "0.5 with a texture of 1e-6, torchmetrics without a range": without,
    }
    return Finding(
        trials={f"{name}: beyond 10": value > 10 for name, value in sizes.items()},
        figures={f"largest |SSIM|, {name}": value for name, value in sizes.items()},
        condition="the pixels are large beside the data range, or the range is measured on images "
        "that are nearly constant",
        explanation="With 8-bit pixels at a range of 1 the textbook form gives values up to "
        f"{show(sizes['8-bit pixels, textbook form at range 1'])}. torchmetrics without a range "
        f"gives up to {show(without)} on a gray with a texture of 1e-6. With a range that fits, "
        f"neither exceeds {show(max(with_range, fitting))}.",
    )


@claim(
    "0.10",
    "The gradients of such patches can overflow or turn unstable in backpropagation, and put NaN "
    "into the weights.",
    place="Paragraph 4, sentence 7; the paragraph after example 1, sentence 5, comes back to it",
    says=CAN,
    reading="Unstable: a window's gradient is larger than in exact arithmetic any can be. NaN in "
    "the weights: after one step of Adam on a loss of a flat prediction.",
    concept="stable",
    expected=HOLDS,
)
def gradients_overflow():
    """The sum of the absolute gradient of 4000 single windows in float32, nearly flat, against the
    bound of exact arithmetic; then one step of Adam from predictions of 0.501 and 0.5 for 0.5."""
    level, size = uniform(4000, 1, 1, 1, seed=1), 10 ** (-3 * uniform(4000, 1, 1, 1, seed=2))
    textures = [normal(4000, 1, 11, 11, seed=s) for s in (3, 4)]

    def steepest(top, contrast, data_range):
        x, y = ((top * level + contrast * size * t).float() for t in textures)
        ssim = partial(naive.one_pass, data_range=data_range, reduction="none")
        gradient = value_and_gradient(lambda z: ssim(z, y), x)[1]
        return gradient.abs().sum((-3, -2, -1)).max().item() * data_range

    def weights_after_a_step(ssim):
        """Of one-weight networks that paint the first images of the article's two pairs."""
        weights = [torch.tensor([start], requires_grad=True) for start in (0.501, 0.5)]
        optimizer = torch.optim.Adam(weights)
        for weight in weights:
            (1 - ssim(weight * flat(1.0), flat(0.5), data_range=1.0)).backward()
        optimizer.step()
        return [weight.item() for weight in weights]

    sums = {
        "[0, 1] at range 1": steepest(1.0, 0.1, 1.0),
        "[0, 255] at range 255": steepest(255.0, 25.5, 255.0),
        "[0, 255] at range 1": steepest(255.0, 1.0, 1.0),
    }
    weights = {name: weights_after_a_step(ssim) for name, ssim in implementations().items()}
    fatal = [name for name, after in weights.items() if any(map(math.isnan, after))]
    return Finding(
        trials={
            f"textbook form, {name}: beyond the bound of {STEEPEST:.0f} / L": not v <= STEEPEST
            for name, v in sums.items()
        }
        | {f"a weight of NaN, {name}": name in fatal for name in weights},
        figures={f"largest sum of |gradient| · L, {name}": v for name, v in sums.items()}
        | {"largest possible in exact arithmetic": STEEPEST}
        | {f"weights after a step from 0.501 and 0.5, {n}": after for n, after in weights.items()},
        condition="the pixels are large beside the data range, the range is left out, or SSIM is "
        "written with roots",
        explanation="In exact arithmetic the gradient of a window is bounded whatever the patch: "
        f"its absolute values add up to {STEEPEST:.0f} / L at most. Float32 keeps to that with a "
        f"range that fits (the steepest of {len(level):,} windows has "
        f"{show(sums['[0, 1] at range 1'])}), but 8-bit pixels at a range of 1 give "
        f"{show(sums['[0, 255] at range 1'])}. A weight of NaN after one step was seen in "
        f"{len(fatal)} of {len(weights)} implementations: {', '.join(fatal)}.",
    )


@claim(
    "0.11",
    "Tiny variance and covariance, multiplied in the numerator, can underflow to zero, and SSIM be "
    "0/0.",
    place="Paragraph 4, sentence 8",
    says=CAN,
    reading="The article names variance and covariance as the small numbers. What is multiplied in "
    "its formula are the two brackets above; a NaN of the map bears the claim out.",
    concept="floats",
    expected=HOLDS,
)
def underflow_to_zero_over_zero():
    """NaN in the map of black images and of faint textures around black, ten seeds each, in three
    dtypes and at three ranges; and of torchmetrics without a range on faint textures."""

    def spoiled(dtype, data_range):
        total = 0
        for seed in SEEDS:
            faint = (1e-4 * data_range * normal(1, 1, 16, 16, seed=seed)).to(dtype)
            for x in (faint, 0 * faint):
                ssim = naive.product_form(x, x.flip(-1), data_range=data_range, reduction="none")
                total += nans(ssim)
        return total

    faintest = [1e-12 * normal(2, 1, 1, 16, 16, seed=seed).float() for seed in SEEDS]
    counts = {
        "printed form, float32, range 1": spoiled(torch.float32, 1.0),
        "printed form, bfloat16, range 1": spoiled(torch.bfloat16, 1.0),
        "printed form, float16, range 1": spoiled(torch.float16, 1.0),
        "printed form, float16, range 0.5": spoiled(torch.float16, 0.5),
        "printed form, float32, range 1e-12": spoiled(torch.float32, 1e-12),
        "torchmetrics without a range, float32, textures of 1e-12": sum(
            math.isnan(torchmetrics_without_range(x, y, data_range=1.0)) for x, y in faintest
        ),
    }
    ranges = [step / 100 for step in range(1, 101)]
    products = [
        torch.tensor(c1 * c2, dtype=torch.float16) for c1, c2 in map(formula.constants, ranges)
    ]
    largest_lost = max(r for r, product in zip(ranges, products, strict=True) if product == 0)
    return Finding(
        trials={name: count > 0 for name, count in counts.items()},
        figures={
            f"NaN {'scores of 10' if 'torchmetrics' in name else 'in the maps'}, {name}": count
            for name, count in counts.items()
        }
        | {"largest range whose C1 · C2 is 0 in float16": largest_lost},
        condition="the arithmetic is float16, or the range is tiny, or is measured on images that "
        "are very faint",
        explanation="In float16 the product C1 · C2 is zero up to a range of "
        f"{show(largest_lost)}, and dark images are 0/0 in the printed form. In float32 it takes a "
        "range of 1e-12, or torchmetrics measuring such a range itself "
        f"({counts['torchmetrics without a range, float32, textures of 1e-12']} of 10). At a range "
        "of 1 nothing underflows in float32: C2 is added to the covariance before anything is "
        "multiplied, and variance and covariance do not stand in one product.",
    )


# ------------------------------------------------------------------------------------------------
# Paragraph 5: MSE, smooth areas and silence


def trained_by_mse(start, pattern, *, steps=40):
    """Pixels that MSE has trained on a pattern which may lie anywhere: on all its cyclic shifts."""
    side = pattern.shape[-1]
    places = [(row, column) for row in range(side) for column in range(side)]
    targets = torch.cat([pattern.roll(place, (-2, -1)) for place in places])
    # A quarter of the number of pixels: each step halves the distance from the targets' mean.
    return descend(
        lambda x: F.mse_loss(x.expand_as(targets), targets),
        start,
        steps=steps,
        rate=pattern.numel() / 4,
    )


@claim(
    "0.12",
    "Training with MSE or another simple loss can, of all things, make the NaN worse.",
    place="Paragraph 5, sentence 1",
    says=CAN,
    reading="Worse: SSIM's gradient is finite at a random guess, and no longer so after that guess "
    "has been trained by MSE.",
    concept="training",
    expected=HOLDS,
)
def mse_makes_it_worse():
    """A random guess, trained for 40 steps by MSE on a texture whose position is not known: SSIM's
    gradient against the texture, before and after, in eight implementations and ten seeds."""
    before, after = dict.fromkeys(implementations(), 0), dict.fromkeys(implementations(), 0)
    contrast = []
    for seed in SEEDS:
        guess, texture = uniform(2, 1, 1, 16, 16, seed=seed, dtype=torch.float32)
        trained = trained_by_mse(guess, texture)
        contrast.append((trained.std() / texture.std()).item())
        for name in before:
            before[name] += broken_pairs(name, guess, texture)
            after[name] += broken_pairs(name, trained, texture)
    return Finding(
        trials={
            f"finite before and NaN after, {name}": after[name] > before[name] for name in before
        },
        figures={f"seeds with NaN before, of {len(SEEDS)}, {n}": c for n, c in before.items()}
        | {f"seeds with NaN after, of {len(SEEDS)}, {name}": c for name, c in after.items()}
        | {"contrast after MSE, as a share of the texture's": max(contrast)},
        condition="SSIM is written with square roots, as l · c · s",
        explanation=f"MSE flattens the guess to {show(max(contrast))} of the texture's contrast. "
        f"Written as l · c · s, SSIM then has NaN gradients for {after[ROOTS]} of {len(SEEDS)} "
        f"seeds, where it had them for {before[ROOTS]} before. In the other implementations, "
        "without roots, the flat guess is a regular point and its gradient is finite; so it is in "
        "torchmetrics without a range here, since the texture has a range.",
    )


@claim(
    "0.13",
    "A network trained by MSE could soon, in its first steps, put out flat patches.",
    place="Paragraph 5, sentence 2",
    says=CAN,
    reading="Where the input does not tell the targets apart. Flat: less than a tenth of the "
    "targets' contrast; soon: within 100 steps.",
    concept="training",
    expected=HOLDS,
)
def mse_makes_patches_uniform():
    """Pixels trained by MSE on a texture whose position is not known, and a small convolutional
    network trained by MSE from noise to unrelated images; ten seeds each."""

    def network(seed):
        shapes = {"first": (8, 1, 3, 3), "bias": (8,), "last": (1, 8, 3, 3), "gray": (1,)}
        weights = {
            name: (0.1 * normal(*shape, seed=seed + i, dtype=torch.float32)).requires_grad_()
            for i, (name, shape) in enumerate(shapes.items(), start=1_000)
        }
        optimizer = torch.optim.Adam(list(weights.values()), lr=0.05)
        contrast = []
        for step in range(100):
            noise = normal(16, 1, 16, 16, seed=10_000 + 100 * seed + step, dtype=torch.float32)
            targets = uniform(16, 1, 16, 16, seed=20_000 + 100 * seed + step, dtype=torch.float32)
            hidden = F.relu(F.conv2d(noise, weights["first"], weights["bias"], padding=1))
            output = F.conv2d(hidden, weights["last"], weights["gray"], padding=1)
            contrast.append((output.std() / targets.std()).item())
            optimizer.zero_grad()
            F.mse_loss(output, targets).backward()
            optimizer.step()
        return contrast[0], contrast[-1]

    def pixels(seed):
        guess, texture = uniform(2, 1, 1, 16, 16, seed=seed, dtype=torch.float32)
        trained = trained_by_mse(guess, texture, steps=10)
        return (guess.std() / texture.std()).item(), (trained.std() / texture.std()).item()

    runs = {
        "pixels, 10 steps": [pixels(seed) for seed in SEEDS],
        "a convolutional network, 100 steps": [network(seed) for seed in SEEDS],
    }
    flattest = {name: sum(end < 0.1 for _, end in run) for name, run in runs.items()}
    return Finding(
        trials={f"in more than half of the seeds, {n}": c > 5 for n, c in flattest.items()},
        figures={f"seeds that end flat, of {len(SEEDS)}, {n}": c for n, c in flattest.items()}
        | {f"contrast at first, {name}": [start for start, _ in run] for name, run in runs.items()}
        | {f"contrast at the end, {name}": [end for _, end in run] for name, run in runs.items()},
        explanation="Pixels trained on a texture that may lie anywhere lose their contrast within "
        f"ten steps in {out_of(flattest['pixels, 10 steps'], len(SEEDS))} seeds, and a small "
        "network that is fed noise within a hundred in "
        f"{out_of(flattest['a convolutional network, 100 steps'], len(SEEDS))}. A network whose "
        "input does tell the targets apart has no reason to.",
    )


@claim(
    "0.14",
    "MSE pulls predictions towards the mean of the pixels.",
    place="Paragraph 5, sentence 3",
    says=IS,
    reading="Where one prediction serves many targets, the one of least MSE is their mean.",
    concept="training",
    expected=HOLDS,
)
def mse_favors_the_mean():
    """One prediction trained by MSE on 64 random images, and one gray level trained on one image;
    ten seeds, float64."""
    off, flatness, gray_off = 0.0, 0.0, 0.0
    for seed in SEEDS:
        targets = uniform(64, 1, 8, 8, seed=seed)
        guess = descend(
            lambda x, t=targets: F.mse_loss(x.expand_as(t), t),
            torch.zeros(1, 1, 8, 8, dtype=torch.float64),
            steps=60,
            rate=16.0,
        )
        off = max(off, largest(guess - targets.mean(0)))
        flatness = max(flatness, (guess.std() / targets.std()).item())
        gray = descend(
            lambda x, t=targets[:1]: F.mse_loss(x.expand_as(t), t),
            torch.zeros(1, 1, 1, 1, dtype=torch.float64),
            steps=60,
            rate=0.25,
        )
        gray_off = max(gray_off, largest(gray - targets[0].mean()))
    return Finding(
        trials={
            "the prediction is the mean of the targets, to 1e-6": off < 1e-6,
            "it has less than a quarter of a target's contrast": flatness < 0.25,
            "the gray level is the average pixel, to 1e-6": gray_off < 1e-6,
        },
        figures={
            "largest distance from the mean": off,
            "largest contrast of the prediction, as a share of a target's": flatness,
            "largest distance of the gray level from the average pixel": gray_off,
        },
        explanation=f"The minimum of MSE is the mean (reached to {show(off)}), and the mean of "
        f"unrelated images is flat: at most {show(flatness)} of a target's contrast.",
    )


@claim(
    "0.15",
    "Applied to such flat patches, SSIM then ends in NaN gradients.",
    place="Paragraph 5, sentence 4",
    says=IS,
    reading="The uniform patch is the prediction. Its target is textured, as targets are, or flat "
    "too; one NaN among 101 gray levels bears the claim out for an implementation.",
    concept="training",
    expected=CONDITIONAL,
)
def uniform_predictions():
    """Constant predictions of 101 gray levels against a random texture and against gray 0.5, in
    float32, through eight implementations."""
    guesses = grays()
    texture = uniform(1, 1, 11, 11, seed=1, dtype=torch.float32).expand_as(guesses)
    gray = flat(0.5, side=11).expand_as(guesses)
    broken = {
        name: (broken_pairs(name, guesses, texture), broken_pairs(name, guesses, gray))
        for name in implementations()
    }
    smooth = {
        name: largest(loss_and_gradient(ssim, guesses[50:51], texture[:1])[1])
        for name, ssim in implementations().items()
        if name not in (ROOTS, NO_RANGE)
    }
    return Finding(
        trials={f"a NaN in {name}": sum(counts) > 0 for name, counts in broken.items()},
        figures={f"NaN against a texture, of {len(guesses)}, {n}": c[0] for n, c in broken.items()}
        | {f"NaN against gray 0.5, of {len(guesses)}, {n}": c[1] for n, c in broken.items()}
        | {f"largest gradient at gray 0.5, {name}": value for name, value in smooth.items()},
        condition="SSIM is written with square roots, as l · c · s, or torchmetrics is left "
        "without a range and the target is flat too",
        explanation=f"Written as l · c · s, SSIM has NaN gradients at {broken[ROOTS][0]} of "
        f"{len(guesses)} constant predictions for a textured target. torchmetrics without a range "
        f"has none there, and {broken[NO_RANGE][1]} if the target is flat too. In the printed form "
        "and the libraries a constant prediction is a regular point: at gray 0.5 the largest "
        f"gradient is {show(min(smooth.values()))} to {show(max(smooth.values()))}.",
        right="The route is real: MSE flattens, and a flat prediction kills an SSIM that has a "
        "root in it.",
    )


@claim(
    "0.16",
    "Smooth areas of images, or silence in audio spectrograms, will make the NaN more frequent.",
    place="Paragraph 5, sentence 5",
    says=IS,
    reading="More frequent than in the same data without smooth areas or silence. The estimate is "
    "smooth or silent where its target is, as a good estimate will be.",
    concept="failures",
    expected=CONDITIONAL,
)
def smooth_areas_and_silence():
    """Crops that are textured against crops that are smooth, and spectrograms of noise, half of it
    silent, against wholly loud ones; ten of each, through eight implementations, in float32."""

    def spectrogram(seed, silent):
        sound = normal(4096, seed=seed, dtype=torch.float32)
        if silent:
            sound[2048:] = 0
        window = torch.hann_window(128)
        spectrum = torch.stft(sound, 128, window=window, center=False, return_complex=True).abs()
        return (spectrum / spectrum.max())[None, None]

    textures = uniform(10, 1, 16, 16, dtype=torch.float32)
    smooth = uniform(10, 1, 1, 1, seed=1, dtype=torch.float32).expand_as(textures)
    loud, silent = (
        torch.cat([spectrogram(seed, quiet) for seed in SEEDS]) for quiet in (False, True)
    )

    def more(name, without, with_it, estimate):
        counts = [broken_pairs(name, estimate(target), target) for target in (without, with_it)]
        return counts, counts[1] > counts[0]

    cases = {
        name: {
            "smooth crops": more(name, textures, smooth, lambda t: 0.9 * t + 0.05),
            "silence": more(name, loud, silent, lambda t: 0.9 * t),
        }
        for name in implementations()
    }
    logarithms = more("torchmetrics", loud.log(), silent.log(), lambda t: t + math.log(0.9))
    return Finding(
        trials={
            f"more NaN with {kind}, {name}": came
            for name, kinds in cases.items()
            for kind, (_, came) in kinds.items()
        }
        | {"more NaN with silence in logarithms without a floor, torchmetrics": logarithms[1]},
        figures={
            f"{kind}: broken of {len(SEEDS)} without and with, {name}": counts
            for name, kinds in cases.items()
            for kind, (counts, _) in kinds.items()
        }
        | {"logarithms: broken of 10 without and with, torchmetrics": logarithms[0]},
        condition="SSIM is written with square roots, as l · c · s, or torchmetrics is left "
        "without a range, or silence is turned into a logarithm without a floor",
        explanation="Written as l · c · s, SSIM breaks on "
        f"{out_of(cases[ROOTS]['smooth crops'][0][1], len(SEEDS))} smooth crops and "
        f"{out_of(cases[ROOTS]['silence'][0][1], len(SEEDS))} spectrograms with silence, where "
        f"textured crops and loud spectrograms broke {cases[ROOTS]['smooth crops'][0][0]} and "
        f"{cases[ROOTS]['silence'][0][0]} times. torchmetrics without a range breaks on "
        f"{cases[NO_RANGE]['smooth crops'][0][1]} smooth crops. The logarithm of silence is -inf, "
        "which every SSIM passes on as NaN. The other forms have none.",
        right="Both examples are well chosen: flat regions and silence are what breaks an SSIM "
        "that can break.",
    )


# ------------------------------------------------------------------------------------------------
# Example 1: 0.501 against 0.5


@claim(
    "0.17",
    "Two equal images can have a zero gradient; that depends on how SSIM is implemented.",
    place="The paragraph after example 1, sentence 2",
    says=CAN,
    reading="Some implementation should give exactly zero for a gray image against itself, and "
    "another should not.",
    concept="stable",
    expected=HOLDS,
)
def zero_gradient_depends_on_implementation():
    """Grays 0.5 and 0.7 against themselves in float32, through eight implementations: the
    gradient is exactly zero, or rounding, or NaN."""
    grays_tried = (0.5, 0.7)
    steepest = {
        (name, c): largest(loss_and_gradient(ssim, flat(c), flat(c))[1])
        for name, ssim in implementations().items()
        for c in grays_tried
    }
    zero = {
        c: [n for (n, tried), v in steepest.items() if tried == c and v == 0] for c in grays_tried
    }
    finite = [value for value in steepest.values() if math.isfinite(value)]
    return Finding(
        trials={
            f"some give exactly 0 at {show(c)} and some do not": 0 < len(names) < len(steepest) / 2
            for c, names in zero.items()
        },
        figures={f"largest gradient at {show(c)}, {n}": v for (n, c), v in steepest.items()},
        explanation=f"At 0.5 it is exactly zero in {', '.join(zero[0.5])}; at 0.7 in "
        f"{', '.join(zero[0.7])}. The others have {show(max(finite))} at most, which is rounding, "
        "or NaN: l · c · s, and torchmetrics without a range. Zero is the right answer, since the "
        "images are as alike as they can be.",
    )


@claim(
    "0.18",
    "Even the small difference of 0.501 and 0.5 can make backpropagation numerically unstable.",
    place="The paragraph after example 1, sentence 3",
    says=CAN,
    reading="Unstable: a gradient that is NaN, or whose sum is off by more than 1 % from that in "
    "exact arithmetic.",
    concept="failures",
    expected=HOLDS,
)
def small_difference():
    """The first example's pair, float32, through eight implementations, each against the definition
    in float64 with its own treatment of the border."""
    x, y = article_pair()
    lost, off = {}, {}
    for name, ssim in implementations().items():
        gradient = loss_and_gradient(ssim, x, y)[1]
        truth = true_loss_and_gradient(name, x, y)[1]
        lost[name] = nonfinite(gradient)
        off[name] = abs(gradient.double().sum().item() / truth.sum().item() - 1)
    others = [off[name] for name in ("kornia", "pytorch-msssim", "textbook form", "product form")]
    return Finding(
        trials={name: lost[name] > 0 or off[name] > 0.01 for name in lost},
        figures={f"gradients not finite of {x.numel()}, {name}": n for name, n in lost.items()}
        | {f"relative error of the gradient's sum, {name}": e for name, e in off.items()},
        condition="SSIM is written with square roots, the range is left out, or the variance is "
        "computed as E[x²] - μ²",
        explanation=f"As l · c · s it is NaN in {lost[ROOTS]:,} of {x.numel():,} gradients. "
        "With the range of 1 that the article passes, torchmetrics' gradient is finite and its sum "
        f"is {show(100 * off['torchmetrics'])} % off: a small variance is computed as the "
        "difference of two large numbers. Without a range it is off by "
        f"{show(100 * off[NO_RANGE])} %, in the other forms by {show(100 * min(others))} to "
        f"{show(100 * max(others))} %, and in the stable form by {show(off['stable form'])}.",
    )


@claim(
    "0.19",
    "With an ε in the SSIM the printed loss will be another than without.",
    place="The paragraph after example 1, sentence 4",
    says=IS,
    reading="An ε in the denominator, as in example 3, where SSIM can be had with it and without. "
    "The printed numbers should differ, for the example's pair.",
    concept="failures",
    expected=CONDITIONAL,
)
def loss_depends_on_epsilon():
    """The first example's pair through SSIMs with their ε and without: the article's own loss, as
    printed and with published constants, and kornia's in float32 and float64."""
    x, y = article_pair()

    def article(constants):
        return [article_loss(x, y, constants=constants, epsilon=e).item() for e in (1e-8, 0.0)]

    def kornia(a, b):
        return [1 - kornia_ssim(a, b, data_range=1.0, eps=e).item() for e in (1e-12, 0.0)]

    losses = {
        "the article's loss as printed, 1e-8": article(ARTICLE_CONSTANTS),
        "the article's loss with published constants, 1e-8": article((C1, C2)),
        "kornia, float64, 1e-12": kornia(x.double(), y.double()),
        "kornia, float32, 1e-12": kornia(x, y),
    }
    published = losses["the article's loss with published constants, 1e-8"]
    printed = losses["the article's loss as printed, 1e-8"]
    black = [
        1 - kornia_ssim(flat(0.0), flat(0.0), data_range=r, eps=1e-12).item() for r in (1.0, 0.1)
    ]
    return Finding(
        trials={name: with_it != without for name, (with_it, without) in losses.items()},
        figures={f"loss with ε and without, {name}": pair for name, pair in losses.items()}
        | {"kornia's loss of black against black, ranges 1 and 0.1": black},
        condition="ε is large enough to count beside the denominator in the dtype at hand",
        explanation="In the article's own loss ε = 1e-8 turns the loss of this pair from "
        f"{show(printed[1])} into {show(printed[0])}, and with published constants from "
        f"{show(published[1])} into {show(published[0])}. kornia's default of 1e-12 changes "
        "nothing here in float32, where it is lost beside the denominator; on black images it "
        f"makes a loss of {show(black[0])}, and at a range of 0.1 one of {show(black[1])}.",
        right="An ε of the size that the article uses does change the printed loss.",
    )


@claim(
    "0.20",
    "With the PyTorch metric, here torchmetrics, the gradient will be NaN.",
    place="The paragraph after example 1, sentence 5",
    says=IS,
    reading="Of 0.501 against 0.5. The listing passes a range of 1; the metric's default is to "
    "measure the range, so that was tried too. Its code is the same in torchmetrics 1.6.1, of the "
    "article's month.",
    concept="failures",
    expected=CONDITIONAL,
)
def near_uniform_images():
    """The first example with torchmetrics as printed, in float64, on other sizes and with other
    nearly equal grays; and the same with the data range left out."""
    x, y = article_pair()
    images = grays()
    cases = {
        "as printed: range 1, float32, 32 x 32": (torchmetrics_ssim, x, y),
        "range 1, float64": (torchmetrics_ssim, x.double(), y.double()),
        **{
            f"range 1, {n} x {n}": (torchmetrics_ssim, flat(0.501, side=n), flat(0.5, side=n))
            for n in (16, 64, 256)
        },
        "range 1, 101 other pairs of grays, 0.001 apart": (
            torchmetrics_ssim,
            images + 0.001,
            images,
        ),
        "range left out": (torchmetrics_without_range, x, y),
    }
    found = {name: loss_and_gradient(ssim, a, b) for name, (ssim, a, b) in cases.items()}
    lost = {name: nonfinite(gradient) for name, (_, gradient) in found.items()}
    apart = broken_pairs(NO_RANGE, images + 0.001, images)
    itself = nonfinite(loss_and_gradient(torchmetrics_without_range, y, y)[1])
    loss, gradient = found["as printed: range 1, float32, 32 x 32"]
    truth, _ = true_loss_and_gradient("torchmetrics", x, y)
    others = {
        "kornia": 1 - kornia_ssim(x, y, data_range=1.0).item(),
        "pytorch-msssim": 1 - pytorch_msssim_ssim(x, y, data_range=1.0).item(),
        "stable form": stable.dissimilarity(x, y, data_range=1.0).item(),
    }
    return Finding(
        trials={name: count > 0 for name, count in lost.items()}
        | {"range left out, 101 other pairs of grays, 0.001 apart": apart > 0},
        figures={f"gradients not finite, {name}": count for name, count in lost.items()}
        | {
            f"pairs with NaN of {len(images)} other grays, range left out": apart,
            "gradients not finite of 0.5 against itself, range left out": itself,
            "largest gradient, as printed": largest(gradient),
            "loss, as printed": loss,
            "true loss": truth,
        }
        | {f"loss, {name}": value for name, value in others.items()},
        condition="the data range is left out, as the metric's default has it and the listing has "
        "not, and both computed variances round to zero or less",
        explanation=f"As printed, all {gradient.numel() - nonfinite(gradient):,} gradients are "
        f"finite, {show(largest(gradient))} at most. Without the range the metric measures 0 on "
        f"constant images, and {apart} of {len(images)} other pairs of nearly equal grays have "
        f"NaN; this pair has {lost['range left out']}, by the luck of rounding. With the range the "
        f"fault is accuracy: the printed loss is {show(loss)}, {show(loss / truth)} times the true "
        f"{show(truth)}.",
        right="torchmetrics does give NaN on uniform images once the range is left out: 0.5 "
        f"against itself, the example's other pair, then has {itself:,}. And the printed example "
        "is numerically unsound as the article suspects, in the digits of its loss.",
    )


@claim(
    "0.21",
    "In the example, two equal images have a gradient of zero.",
    place="The paragraph after example 1, sentence 6",
    says=IS,
    reading="A remark on the second half of example 1: torchmetrics with a range of 1, on 0.5. "
    "Zero to within 1e-5 in every entry, there and on other images.",
    concept="stable",
    expected=HOLDS,
)
def gradient_of_identical_images():
    """The example's 0.5 against itself in float32 and float64; then 101 gray levels and ten random
    images against themselves, by torchmetrics with a range of 1."""

    def steepest(image):
        return largest(loss_and_gradient(torchmetrics_ssim, image, image)[1])

    printed = {dtype: steepest(flat(0.5, dtype=dtype)) for dtype in (torch.float32, torch.float64)}
    levels = [step / 100 for step in range(101)]
    gray = [steepest(flat(c)) for c in levels]
    random = [steepest(uniform(1, 1, 32, 32, seed=s, dtype=torch.float32)) for s in SEEDS]
    itself = [torchmetrics_ssim(flat(c), flat(c), data_range=1.0).item() for c in levels]
    elsewhere = {
        name: largest(loss_and_gradient(ssim, flat(0.5), flat(0.5))[1])
        for name, ssim in implementations().items()
    }
    return Finding(
        trials={
            "0.5, as printed, float32: within 1e-5": printed[torch.float32] < 1e-5,
            "0.5, float64: within 1e-5": printed[torch.float64] < 1e-5,
            "101 gray levels, float32: within 1e-5": max(gray) < 1e-5,
            "ten random images, float32: within 1e-5": max(random) < 1e-5,
        },
        figures={
            "largest gradient, 0.5, float32": printed[torch.float32],
            "largest gradient, gray levels": max(gray),
            "largest gradient, random images": max(random),
            "least SSIM of a gray level with itself": min(itself),
        }
        | {f"largest gradient at 0.5, {name}": value for name, value in elsewhere.items()},
        explanation=f"On the example's images it is {show(printed[torch.float32])}, and on others "
        f"it is rounding: {show(max(gray))} at most. The images are as alike as they can be, so "
        "zero is right. The score has larger errors than the slope: one of these gray levels "
        f"scores {min(itself):.4f} against itself.",
    )


# ------------------------------------------------------------------------------------------------
# Example 2: noise


def noisy_gradient(ssim, level, seed=0):
    """The gradient of the second example by this SSIM."""
    return loss_and_gradient(ssim, *noisy_images(level, seed))[1]


def broken_seeds(level):
    """For each implementation, how many seeds of the second example have no finite gradient."""
    return {
        name: sum(nonfinite(noisy_gradient(ssim, level, seed)) > 0 for seed in SEEDS)
        for name, ssim in implementations().items()
    }


@claim(
    "0.22",
    "Noise as faint as 1e-6 can keep patches from being wholly flat.",
    place="The paragraph after example 2, sentence 2, first half",
    says=CAN,
    reading="In every 11 x 11 window of the noisy gray some pixels should differ.",
    concept="training",
    expected=HOLDS,
)
def noise_prevents_uniform_patches():
    """Gray 0.5 with noise of 1e-9, 1e-6 and 1e-3 in float32, ten seeds: do pixels differ in every
    window, and what variance does E[x²] - μ² find?"""
    differ, negative = {}, {}
    for level in (1e-9, 1e-6, 1e-3):
        images = [noisy_images(level, seed)[0] for seed in SEEDS]
        windows = torch.cat([x.unfold(-2, 11, 1).unfold(-2, 11, 1).flatten(-2) for x in images])
        differ[level] = bool((windows.amax(-1) > windows.amin(-1)).all())
        batch = torch.cat(images)
        variance = formula.one_pass_moments(batch, batch, Window()).sigma_x2
        negative[level] = (variance < 0).double().mean().item()
    return Finding(
        trials={f"noise of {show(level)}, ten seeds": came for level, came in differ.items()},
        figures={
            f"share of negative variances, noise of {show(k)}": v for k, v in negative.items()
        },
        condition="the noise is above the spacing of floats at the pixel, 3e-8 to 6e-8 at 0.5",
        explanation="Noise of 1e-6 makes pixels differ in every window of ten images; noise of "
        "1e-9 is rounded away. What it does not reach is the variance as most code computes it: "
        f"with 1e-6 it comes out negative in {show(100 * negative[1e-6])} % of the windows, with "
        f"1e-3 in {show(100 * negative[1e-3])} %.",
    )


@claim(
    "0.23",
    "Such noise does not in itself cure the instability where variances and covariances are small.",
    place="The paragraph after example 2, sentence 2, second half",
    says=IS,
    reading="With noise of 1e-6 on both images the gradient should still be NaN, or off by more "
    "than 1 % from exact arithmetic. The stable form, which has no instability, is left out.",
    concept="training",
    expected=HOLDS,
)
def noise_does_not_cure():
    """The second example with noise of 1e-6 through seven implementations and ten seeds: the
    gradient against that of the definition in float64, for the same noisy images."""
    least, wrong = {}, {}
    for name, ssim in implementations().items():
        if name == "stable form":
            continue
        errors = []
        for seed in SEEDS:
            x, y = noisy_images(1e-6, seed)
            measured = max((x.max() - x.min()).item(), (y.max() - y.min()).item())
            data_range = measured if name == NO_RANGE else 1.0
            truth = true_loss_and_gradient(name, x, y, data_range=data_range)[1]
            error = relative_error(loss_and_gradient(ssim, x, y)[1], truth)
            errors.append(error if math.isfinite(error) else math.inf)
        least[name], wrong[name] = min(errors), sum(error > 0.01 for error in errors)
    x, y = noisy_images(1e-6)
    truth = true_loss_and_gradient("stable form", x, y)[1]
    sound = relative_error(loss_and_gradient(stable.ssim, x, y)[1], truth)
    return Finding(
        trials={f"in most of ten seeds, {name}": count > 5 for name, count in wrong.items()},
        figures={f"seeds of {len(SEEDS)} with such a gradient, {n}": c for n, c in wrong.items()}
        | {f"least relative error of ten gradients, {name}": e for name, e in least.items()}
        | {"relative error of the stable form": sound},
        explanation="In every implementation that computes the variance as E[x²] - μ² the gradient "
        f"is off by {show(100 * min(least.values()))} % or more, or not finite, in every one of "
        "ten seeds: a variance of 1e-12 cannot be seen beside the rounding of 0.25. Computed from "
        f"differences of pixels it can: the stable form is off by {show(sound)}.",
    )


@claim(
    "0.24",
    "At a suitable level noise could remove the problem, because no image is then wholly flat.",
    place="The paragraph after example 2, sentence 3, first half",
    says=CAN,
    reading="An implementation that gives NaN for two images of gray 0.5 should be finite with the "
    "noise, in ten seeds of ten.",
    concept="training",
    expected=HOLDS,
)
def noise_could_solve():
    """The second example without noise and at six levels, ten seeds, in the two implementations
    that give NaN without it."""
    levels = [10.0**power for power in range(-7, 0)]
    broken = {level: broken_seeds(level) for level in (0.0, *levels)}
    cured = {
        (name, level): broken[0.0][name] == len(SEEDS) and broken[level][name] == 0
        for name in (ROOTS, NO_RANGE)
        for level in levels
    }
    first = {
        name: min((level for level in levels if cured[name, level]), default=math.inf)
        for name in (ROOTS, NO_RANGE)
    }
    directions = F.normalize(
        torch.stack([noisy_gradient(torchmetrics_ssim, 1e-2, s).flatten() for s in SEEDS]).double()
    )
    others = (directions @ directions.T)[~torch.eye(len(SEEDS), dtype=torch.bool)]
    cosine = others.abs().mean().item()
    return Finding(
        trials={f"noise of {show(level)}, {name}": came for (name, level), came in cured.items()},
        figures={
            f"seeds with NaN of {len(SEEDS)}, noise of {show(level)}, {name}": broken[level][name]
            for name in (ROOTS, NO_RANGE)
            for level in (0.0, *levels)
        }
        | {"mean |cosine| of the gradients of two seeds, noise of 0.01": cosine},
        condition="the noise is large enough for its variance to be seen: about "
        f"{show(first[ROOTS])} with square roots",
        explanation="With square roots the NaN are gone, in ten seeds, from a noise of "
        f"{show(first[ROOTS])} on; in torchmetrics without a range from {show(first[NO_RANGE])} "
        "on. The price is that the gradient of equal images is then that of the noise: the mean "
        f"|cosine| between the gradients of two seeds is {show(cosine)}.",
    )


@claim(
    "0.25",
    "At another level it could make matters worse: pixels come so near zero that they overflow.",
    place="The paragraph after example 2, sentence 3, second half",
    says=CAN,
    reading="Worse: the gradient is finite without the noise and not with it. So near zero that "
    "they overflow: what overflows is a reciprocal, since small numbers themselves underflow.",
    concept="floats",
    expected=HOLDS,
)
def small_values_overflow():
    """Where the second example's gradient is finite without noise, is it finite with it? Black and
    middle gray at twelve noise levels in float32, by torchmetrics; 25 dark grays in float16 with a
    noise of 0.001, by torchmetrics and the printed form; ten seeds each. A tracer names what
    overflows."""

    def spoiled(ssim, gray, level, seeds, dtype):
        """Whether a gradient is not finite, for the images of so many seeds in one batch."""
        pairs = [noisy_images(level, seed, gray, dtype) for seed in seeds]
        x, y = (torch.cat(images) for images in zip(*pairs, strict=True))
        return nonfinite(loss_and_gradient(ssim, x, y)[1]) > 0

    def worse(ssim, gray, level, dtype, batches):
        """The first batch of seeds whose gradient was finite and, with this noise, is not."""
        if spoiled(ssim, gray, 0.0, [0], dtype):
            return None
        return next((seeds for seeds in batches if spoiled(ssim, gray, level, seeds, dtype)), None)

    levels = [10.0**power for power in range(-8, 4)]
    single = {
        gray: sum(
            worse(torchmetrics_ssim, gray, level, torch.float32, [SEEDS]) is not None
            for level in levels
        )
        for gray in (0.0, 0.5)
    }
    dark = [0.088 + step / 2000 for step in range(25)]
    forms = {"torchmetrics": torchmetrics_ssim, "printed form": naive.product_form}
    each = [[seed] for seed in SEEDS]
    half = {
        name: {
            gray: seeds[0]
            for gray in dark
            if (seeds := worse(ssim, gray, 1e-3, torch.float16, each)) is not None
        }
        for name, ssim in forms.items()
    }
    told = {}
    for name, found in half.items():
        for gray, seed in list(found.items())[:1]:
            x, y = noisy_images(1e-3, seed, gray, torch.float16)
            trace = first_nonfinite(lambda z, f=forms[name], y=y: 1 - f(z, y, data_range=1.0), x)
            told[name] = trace.title if trace else "nothing"
    images = grays()
    noisy = images + 1e-6 * normal(*images.shape, seed=1).float()
    roots = implementations()[ROOTS]
    before, after = (
        loss_and_gradient(roots, x, images)[1].isfinite().flatten(1).all(1) for x in (images, noisy)
    )
    nearest = min(noisy_images(1e-6, seed)[0].abs().min().item() for seed in SEEDS)
    return Finding(
        trials={
            f"float32, gray {show(gray)}, noise of 1e-8 to 1000": count > 0
            for gray, count in single.items()
        }
        | {
            f"float16, dark grays, noise of 0.001, {n}": len(found) > 0 for n, found in half.items()
        },
        figures={
            f"noise levels of {len(levels)} that make it worse, float32, gray {show(gray)}": count
            for gray, count in single.items()
        }
        | {
            f"dark grays of {len(dark)} made worse, float16, {name}": len(found)
            for name, found in half.items()
        }
        | {f"what overflows, float16, {name}": title for name, title in told.items()}
        | {
            "pixel nearest to zero of 0.5 with noise of 1e-6": nearest,
            f"grays of {len(images)} that are finite without noise, l · c · s": int(before.sum()),
            "of these not finite with noise of 1e-6": int((before & ~after).sum()),
        },
        condition="the arithmetic is float16 and the image dark",
        explanation="In float16 it can be seen: in the printed form "
        f"{out_of(len(half['printed form']), len(dark))} dark grays (torchmetrics: "
        f"{len(half['torchmetrics'])}) have a finite gradient that the noise spoils, because in "
        "windows that come out a little darker the reciprocal of the denominator is above 65504. "
        "In float32 there was no such case at any level, and 0.5 with noise of 1e-6 stays above "
        f"{nearest:.6f}. Noise can also make l · c · s worse, by its roots and without an "
        f"overflow: of {int(before.sum())} grays with a finite gradient "
        f"{int((before & ~after).sum())} lose it to noise of 1e-6.",
    )


@claim(
    "0.26",
    "A noise of 1e-6 will leave the gradient NaN, as it was.",
    place="The paragraph after example 2, sentence 4, first half",
    says=IS,
    reading="The second example as printed, and with every other implementation in torchmetrics' "
    "place: NaN without noise, and NaN with it, in most of ten seeds.",
    concept="training",
    expected=CONDITIONAL,
)
def noise_keeps_nan():
    """The second example with noise of 1e-6 and without, ten seeds, through eight implementations;
    torchmetrics with a range of 1 is the one that is printed."""
    without, with_noise = broken_seeds(0.0), broken_seeds(1e-6)
    steepest = max(largest(noisy_gradient(torchmetrics_ssim, 1e-6, seed)) for seed in SEEDS)
    named = {"torchmetrics": "torchmetrics, as printed"}
    return Finding(
        trials={
            named.get(name, name): without[name] > 5 and with_noise[name] > 5 for name in without
        },
        figures={
            f"seeds with NaN of {len(SEEDS)} without noise, {n}": c for n, c in without.items()
        }
        | {f"seeds with NaN of {len(SEEDS)} with noise, {n}": c for n, c in with_noise.items()}
        | {"largest gradient with noise, torchmetrics": steepest},
        condition="SSIM is written with square roots, as l · c · s",
        explanation=f"As printed there is no NaN that could remain: {without['torchmetrics']} "
        f"seeds have one without noise and {with_noise['torchmetrics']} with it, and the largest "
        f"gradient is {show(steepest)}. Written as l · c · s, NaN is there for {without[ROOTS]} of "
        f"{len(SEEDS)} seeds without noise, and stays for {with_noise[ROOTS]}. In torchmetrics "
        f"without a range it is there for {without[NO_RANGE]}, and the noise removes all but "
        f"{with_noise[NO_RANGE]}.",
        right="Where the gradient is NaN because of a square root, a noise of 1e-6 is too small to "
        "help, as the article says.",
    )


@claim(
    "0.27",
    "Noise that is strong enough makes the gradient NaN.",
    place="The paragraph after example 2, sentence 4, second half",
    says=IS,
    reading="There should be a level, however large, from which on the second example has NaN. All "
    "powers of ten from 1 to 1e38 were tried.",
    concept="floats",
    expected=HOLDS,
)
def large_noise():
    """The second example at 39 noise levels in float32, through eight implementations, and with
    torchmetrics in float16; and the largest gradient at levels that a training might use."""
    levels = [10.0**power for power in range(39)]

    def first_nan(ssim, dtype=torch.float32, levels=levels):
        for level in levels:
            if nonfinite(loss_and_gradient(ssim, *noisy_images(level, dtype=dtype))[1]):
                return level
        return math.inf

    first = {name: first_nan(ssim) for name, ssim in implementations().items()}
    half = first_nan(torchmetrics_ssim, torch.float16, levels[:5])
    small = [10.0**power for power in range(-8, 4)]
    steepest = {level: largest(noisy_gradient(torchmetrics_ssim, level)) for level in small}
    peak = max(small, key=lambda level: steepest[level])
    return Finding(
        trials={f"at some level up to 1e38, {name}": v < math.inf for name, v in first.items()}
        | {"at some level up to 1e4, torchmetrics in float16": half < math.inf},
        figures={f"first level with NaN, {name}": level for name, level in first.items()}
        | {"first level with NaN, torchmetrics in float16": half}
        | {f"largest gradient at {show(k)}, torchmetrics": v for k, v in steepest.items()},
        explanation="It becomes NaN once products of pixels overflow: as printed, by torchmetrics, "
        f"from {show(first['torchmetrics'])} data ranges on in float32, and from {show(half)} in "
        "float16. At levels that a training might use there is none: from 1e-8 to 1000 all "
        f"gradients are finite, and the largest is {show(steepest[peak])}, at a noise of "
        f"{show(peak)}.",
    )


# ------------------------------------------------------------------------------------------------
# Example 3: a custom loss with ε


@claim(
    "0.28",
    "The custom loss is SSIM in a simplified form, with an ε below the fraction bar.",
    place="The paragraph after example 3, sentence 1",
    says=IS,
    reading="Simplified, so that its window and constants are its own: with an equal-weighted "
    "window, zeros around the image, C1 = 0.01 and C2 = 0.03 it should be SSIM to within 1e-4.",
    concept="failures",
    expected=HOLDS,
)
def custom_loss_is_ssim():
    """The custom loss against the definition with the same window and constants, in float64: random
    images with noise and pairs of faint textures, ten seeds; then against published constants."""
    k = math.sqrt(ARTICLE_CONSTANTS[0]), math.sqrt(ARTICLE_CONSTANTS[1])
    off, faint = 0.0, []
    for seed in SEEDS:
        clean = uniform(1, 1, 32, 32, seed=seed)
        noisy = clean + 0.1 * normal(1, 1, 32, 32, seed=seed + 100)
        textures = [0.5 + 0.05 * normal(1, 1, 32, 32, seed=seed + s) for s in (200, 300)]
        for x, y in ((clean, noisy), textures):
            exact = reference.ssim(x, y, data_range=1.0, window=ARTICLE_WINDOW, k=k)
            off = max(off, abs(article_loss(x, y).item() - (1 - exact.item())))
        published = reference.ssim(*textures, data_range=1.0, window=ARTICLE_WINDOW)
        faint.append((article_loss(*textures).item(), 1 - published.item()))
    custom, true = (sum(column) / len(SEEDS) for column in zip(*faint, strict=True))
    return Finding(
        trials={"within 1e-4 of SSIM with those constants": off < 1e-4},
        figures={
            "largest difference": off,
            "0.01 / published C1": 0.01 / C1,
            "0.03 / published C2": 0.03 / C2,
            "mean loss of two faint textures, custom": custom,
            "mean loss of two faint textures, published constants": true,
        },
        explanation=f"With its own constants it is SSIM to {show(off)}. They are not the published "
        f"ones, which are squares, (0.01 L)² and (0.03 L)²: they are {show(0.01 / C1)} and "
        f"{show(0.03 / C2)} times as large at L = 1, so that the loss sees less of what differs "
        f"faintly. Two unrelated textures of contrast 0.05 lose {show(custom)}, and "
        f"{show(true)} with published constants.",
    )


@claim(
    "0.29",
    "With that ε there will be no NaN.",
    place="The paragraph after example 3, sentence 2, first half",
    says=IS,
    reading="With ε there should be no NaN in value or gradient: in the article's loss as printed, "
    "and where an SSIM gives NaN without it.",
    concept="losses",
    expected=CONDITIONAL,
)
def epsilon_prevents_nan():
    """The custom loss with ε = 1e-8 on its own images, on all pairs of 21 grays, without constants
    and in float16; and ε in the denominators of l · c · s."""
    x, pairs = flat(0.5), uniform_pairs()
    bright = (255 * uniform(1, 1, 32, 32)).half()
    roots = partial(components_with_epsilon, data_range=1.0)
    # A setting is a loss with ε or without, and its two images.
    settings = {
        "as printed, 0.5 against 0.5": (article_loss, x, x),
        "as printed, all pairs of 21 grays": (article_loss, *pairs),
        "no constants, 0.5 against 0.5": (partial(article_loss, constants=(0.0, 0.0)), x, x),
        "as printed, 8-bit pixels in float16": (article_loss, bright, bright.flip(-1)),
        "l · c · s, 0.501 against 0.5": (
            lambda a, b, epsilon: 1 - roots(a, b, epsilon=epsilon),
            *article_pair(),
        ),
    }
    counts = {
        (name, epsilon): nans(
            value_and_gradient(lambda z, f=f, b=b, e=epsilon: f(z, b, epsilon=e), a)[1]
        )
        for name, (f, a, b) in settings.items()
        for epsilon in (0.0, 1e-8)
    }
    price = article_loss(x, x, constants=(0.0, 0.0)).item()
    without, cured = (counts["no constants, 0.5 against 0.5", e] for e in (0.0, 1e-8))
    return Finding(
        trials={name: counts[name, 1e-8] == 0 for name in settings},
        figures={f"NaN gradients, {name}, ε = {show(e)}": n for (name, e), n in counts.items()}
        | {"loss of identical images, no constants, ε = 1e-8": price},
        condition="the NaN is that of a denominator of zero, and not of a square root or of an "
        "overflow",
        explanation="As printed the loss has no NaN on uniform images, with ε or without: C1 and "
        f"C2 see to it. Without constants ε turns {without:,} NaN into {cured} and costs a loss of "
        f"{show(price)} for an image against itself. It does not reach a square root "
        f"({counts['l · c · s, 0.501 against 0.5', 1e-8]:,} NaN with ε in the denominators of "
        "l · c · s), nor an overflow in float16.",
        right="In the loss as printed there is no NaN, and where a denominator is zero ε is the "
        "cure.",
    )


@claim(
    "0.30",
    "With ε, two equal images will have a zero gradient under the custom loss.",
    place="The paragraph after example 3, sentence 2, second half",
    says=IS,
    reading="Zero to within 1e-6 in every entry, since it is printed for people to read; 0.4 "
    "against 0.5 has entries a few hundred times as large.",
    concept="failures",
    expected=HOLDS,
)
def zero_gradient_with_epsilon():
    """The custom loss with ε = 1e-8: 0.5 against itself in float32 and float64, 101 gray levels and
    ten random images against themselves; and 0.4 against 0.5 to compare."""
    printed = largest(article_gradient(flat(0.5), flat(0.5)))
    exact = flat(0.5, dtype=torch.float64)
    double = largest(article_gradient(exact, exact))
    without = largest(article_gradient(exact, exact, epsilon=0.0))
    images = [flat(step / 100) for step in range(101)]
    gray = max(largest(article_gradient(image, image)) for image in images)
    textured = [uniform(1, 1, 32, 32, seed=seed, dtype=torch.float32) for seed in SEEDS]
    random = max(largest(article_gradient(image, image)) for image in textured)
    other = largest(article_gradient(flat(0.4), flat(0.5)))
    return Finding(
        trials={
            "0.5, as printed, float32": printed < 1e-6,
            "0.5, float64": double < 1e-6,
            "101 gray levels, float32": gray < 1e-6,
            "ten random images, float32": random < 1e-6,
        },
        figures={
            "largest gradient, 0.5, float32": printed,
            "largest gradient, 0.5, float64": double,
            "largest gradient, 0.5, float64, ε = 0": without,
            "largest gradient, gray levels": gray,
            "largest gradient, random images": random,
            "largest gradient, 0.4 against 0.5": other,
        },
        explanation=f"As printed it is {show(printed)} at most, beside {show(other)} for 0.4 "
        f"against 0.5. To be exact it is zero without ε only ({show(without)} in float64, and "
        f"{show(double)} with it), because ε makes the score of an image with itself N / (N + ε), "
        "which grows with the brightness. At ε = 1e-8 that is of no consequence.",
    )


@claim(
    "0.31",
    "The ε alone leaves uniform images their zero gradient.",
    place="The paragraph after example 3, sentence 3, first half",
    says=IS,
    reading="Of uniform images that are equal, as the example's are. Zero: to within 1e-6 in "
    "every entry.",
    concept="failures",
    expected=HOLDS,
)
def zero_gradient_of_uniform_images():
    """The custom loss of 101 gray levels against themselves, with ε = 1e-8 and without, in float32;
    and of grays that differ."""
    images = [flat(step / 100) for step in range(101)]
    epsilons = (0.0, 1e-8)
    steepest = {
        e: max(largest(article_gradient(image, image, epsilon=e)) for image in images)
        for e in epsilons
    }
    apart = {c: largest(article_gradient(flat(c), flat(0.5))) for c in (0.0, 0.4, 0.9)}
    return Finding(
        trials={f"101 gray levels, ε = {show(e)}": value < 1e-6 for e, value in steepest.items()},
        figures={f"largest gradient, equal grays, ε = {show(e)}": v for e, v in steepest.items()}
        | {f"largest gradient, {show(c)} against 0.5": v for c, v in apart.items()},
        explanation=f"With ε and without, equal grays have {show(max(steepest.values()))} at most. "
        "That zero is the right answer, since there is nothing to improve; grays that differ have "
        f"a gradient, by the luminance: {show(apart[0.4])} for 0.4 against 0.5.",
    )


@claim(
    "0.32",
    "Gradients can still become too big in spite of the ε.",
    place="The paragraph after example 3, sentence 3, second half",
    says=CAN,
    reading="The article says that ε does not prevent it, so one case bears it out. Too big: the "
    "absolute values add up to more than they can in exact arithmetic, with these constants.",
    concept="stable",
    expected=HOLDS,
)
def custom_gradients_grow():
    """The sum of the absolute gradient of the custom loss, ε = 1e-8: pairs of textures over 13
    orders of contrast, and nearly flat 8-bit pixels that were not rescaled; ten seeds, float32."""

    def steepest(pairs):
        return max(article_gradient(x, y).abs().sum().item() for x, y in pairs)

    def textures(mean, size, seed):
        first, second = normal(2, 1, 1, 24, 24, seed=seed)
        return tuple((mean + size * t).float() for t in (first, second))

    unit = [
        textures(mean, 10.0**power, seed)
        for power in range(-9, 4)
        for mean in (0.0, 0.1, 0.5)
        for seed in SEEDS
    ]
    bright = [
        textures(mean, size, seed)
        for mean in range(5, 256, 10)
        for size in (0.01, 0.1)
        for seed in SEEDS
    ]
    bound = sum(1.05 / math.sqrt(c) for c in ARTICLE_CONSTANTS)
    sums = {"pixels around [0, 1]": steepest(unit), "8-bit pixels, not rescaled": steepest(bright)}
    without = largest(article_gradient(*textures(0.5, 1e-3, 0), constants=(0.0, 0.0), epsilon=1e-8))
    return Finding(
        trials={f"{name}: beyond {bound:.3g}": not v <= bound for name, v in sums.items()},
        figures={f"largest sum of |gradient|, {name}": value for name, value in sums.items()}
        | {"largest possible in exact arithmetic": bound, "largest entry, no constants": without},
        condition="the pixels are large beside the constants, such as 8-bit pixels that were not "
        "rescaled",
        explanation="With pixels around [0, 1] the constants, not ε, keep the sum of the absolute "
        f"gradient below {bound:.3g}: the largest of {len(unit)} pairs has "
        f"{show(sums['pixels around [0, 1]'])}. With 8-bit pixels the variance is rounding that "
        "can nearly cancel C2, and the sum reaches "
        f"{show(sums['8-bit pixels, not rescaled'])}. An ε of 1e-8 does nothing about that.",
    )


@claim(
    "0.33",
    "As the examples show, it takes little for an SSIM loss to have NaN gradients.",
    place="The sentence between example 3 and the strategies",
    says=IS,
    reading="The listings as printed. Only the losses for which the article announces NaN count: "
    "0.501 against 0.5, and the noisy pair; the others are there to show zero gradients.",
    concept="failures",
    expected=FALSE,
)
def examples_show_nan():
    """The first loss of example 1 and the loss of example 2, as printed, the latter with ten seeds
    of its noise; then the same with the range left out and with l · c · s."""
    x, y = article_pair()

    def lost(name):
        ssim = implementations()[name]
        noisy = sum(nonfinite(noisy_gradient(ssim, 1e-6, seed)) for seed in SEEDS)
        return nonfinite(loss_and_gradient(ssim, x, y)[1]), noisy

    counts = {name: lost(name) for name in ("torchmetrics", NO_RANGE, ROOTS)}
    itself = nonfinite(loss_and_gradient(torchmetrics_without_range, y, y)[1])
    first, second = counts["torchmetrics"]
    return Finding(
        trials={
            "example 1, 0.501 against 0.5, as printed": first > 0,
            "example 2, noise of 1e-6, as printed, ten seeds": second > 0,
        },
        figures={f"gradients not finite of 1024, example 1, {n}": c[0] for n, c in counts.items()}
        | {f"gradients not finite of 10240, example 2, {n}": c[1] for n, c in counts.items()}
        | {"gradients not finite of 1024, 0.5 against itself, range left out": itself},
        explanation=f"As printed, {first} of {x.numel():,} gradients of the first example and "
        f"{second} of {len(SEEDS) * x.numel():,} of the second are not finite. The listings pass "
        "a data range, and torchmetrics takes no roots.",
        right="Small changes to the listings do make NaN. With SSIM written as l · c · s "
        f"{counts[ROOTS][0]:,} gradients of the first are not finite and {counts[ROOTS][1]:,} of "
        f"the second; with the range left out {itself:,} of the pair 0.5 and 0.5 in example 1.",
    )


# ------------------------------------------------------------------------------------------------
# The strategies


def far_starts():
    """Ten images, and for each a start that is far off in brightness and one in contrast."""
    y = torch.cat([uniform(1, 1, 16, 16, seed=seed) for seed in SEEDS])
    noise = torch.cat([normal(1, 1, 16, 16, seed=seed + 100) for seed in SEEDS])
    return y, {"brightness off by 20": y + 20, "contrast off by 100": y + 100 * noise}


def distances(x, y):
    """The mean absolute difference of each image of a batch from its target."""
    return (x - y).abs().mean((-3, -2, -1))


def mixed(pixel_loss, amount=0.1):
    """The custom loss with a little of a simpler one."""
    return lambda x, y: (1 - amount) * article_loss(x, y) + amount * pixel_loss(x, y)


#: Steps large enough for the tiny gradients of the far starts, ten images to a batch.
FAR = {"steps": 45, "rate": 10_000.0}


@claim(
    "0.34",
    "Of the strategies, mixing SSIM with a loss such as MSE or L1 helps most.",
    place="The paragraph on strategies, sentence 2",
    says=IS,
    reading="Against what the article describes, NaN and gradients that vanish, and among the "
    "strategies that it lists. Helps most: ends nearest to the target, or removes the NaN.",
    concept="training",
    expected=CONDITIONAL,
)
def mixing_is_most_effective():
    """The custom loss alone, with a tenth of L1 or MSE, with clipping and with a larger ε: 45 steps
    from two starts where its gradient vanishes, ten images each. Then L1 and MSE added to two SSIM
    losses that are NaN for 0.5 against itself."""
    y, starts = far_starts()
    strategies = {
        "SSIM alone": (article_loss, None),
        "with 0.1 L1": (mixed(F.l1_loss), None),
        "with 0.1 MSE": (mixed(F.mse_loss), None),
        "clipped to norm 1": (article_loss, 1.0),
        "with ε = 1e-4": (partial(article_loss, epsilon=1e-4), None),
    }
    ends = {
        (start, name): distances(descend(lambda x, f=loss: f(x, y), begin, clip=clip, **FAR), y)
        .mean()
        .item()
        for start, begin in starts.items()
        for name, (loss, clip) in strategies.items()
    }
    gray = flat(0.5)
    broken = {
        f"{name}, {kind}": nonfinite(
            value_and_gradient(
                lambda z, n=name, p=pixel: (
                    1 - implementations()[n](z, gray, data_range=1.0) + p(z, gray)
                ),
                gray,
            )[1]
        )
        for name in (ROOTS, NO_RANGE)
        for kind, pixel in (("L1", F.l1_loss), ("MSE", F.mse_loss))
    }
    mixes = ("with 0.1 L1", "with 0.1 MSE")

    def best(start):
        return min(strategies, key=lambda name: ends[start, name])

    off = "brightness off by 20"
    return Finding(
        trials={f"{start}: a mixture ends nearest": best(start) in mixes for start in starts}
        | {f"{name} added: the NaN is gone": count == 0 for name, count in broken.items()},
        figures={
            f"distance at first, {s}": distances(b, y).mean().item() for s, b in starts.items()
        }
        | {f"distance at the end, {start}, {name}": v for (start, name), v in ends.items()}
        | {f"gradients not finite of 1024, {name} added": n for name, n in broken.items()},
        condition="the gradient is finite: a NaN stays NaN",
        explanation="Where SSIM's gradient vanishes the mixtures end nearest: from a brightness "
        f"off by 20 the custom loss alone ends at {show(ends[off, 'SSIM alone'])} on average, with "
        f"L1 at {show(ends[off, mixes[0]])} and with MSE at {show(ends[off, mixes[1]])}; clipping "
        f"and a larger ε end at {show(ends[off, 'clipped to norm 1'])} and "
        f"{show(ends[off, 'with ε = 1e-4'])}. Against a NaN that is there a mixture does nothing, "
        f"since NaN plus a number is NaN: in each of four cases {min(broken.values()):,} of "
        f"{gray.numel():,} gradients stay NaN.",
        right="Where gradients vanish, mixing was the one strategy of the list that brought the "
        "images markedly nearer to their targets.",
    )


@claim(
    "0.35",
    "A little of a simpler loss can help the network out of regions of vanishing or exploding "
    "gradients.",
    place="The paragraph on strategies, sentence 3",
    says=CAN,
    reading="With a tenth of it the pixels should come nearer to the target than with SSIM alone, "
    "in ten images of ten.",
    concept="training",
    expected=HOLDS,
)
def mixing_helps_vanishing_gradients():
    """The custom loss with a tenth of L1 or MSE and without, 45 steps from two starts where its
    gradient vanishes; and the textbook form on nearly flat 8-bit pixels at a range of 1, off by 1,
    where float32's gradient explodes, 100 steps of Adam. Ten images each."""
    y, starts = far_starts()
    gray = 20 + 200 * uniform(10, 1, 1, 1, seed=1)
    bright, guess = (
        (gray + lift + 0.01 * normal(10, 1, 16, 16, seed=s)).float() for lift, s in ((0, 2), (1, 3))
    )

    def exploding(x, y):
        return 1 - naive.one_pass(x, y, data_range=1.0)

    begins = len(gray) * value_and_gradient(lambda z: exploding(z, bright), guess)[1]
    steepest = begins.abs().sum((-3, -2, -1)).max().item()  # of an image by itself

    def nearer(start, target, loss, pixel_loss, run):
        def with_a_little(x):
            return 0.9 * loss(x, target) + 0.1 * pixel_loss(x, target)

        alone = distances(descend(lambda x: loss(x, target), start, **run), target)
        helped = distances(descend(with_a_little, start, **run), target)
        begun = distances(start, target).mean().item()
        return int((helped < alone).sum()), begun, alone.mean().item(), helped.mean().item()

    cases = {
        f"{start}, {name}": nearer(begin, y, article_loss, pixel_loss, FAR)
        for start, begin in starts.items()
        for name, pixel_loss in (("L1", F.l1_loss), ("MSE", F.mse_loss))
    } | {
        f"8-bit pixels at range 1, {name}": nearer(
            guess,
            bright,
            exploding,
            pixel_loss,
            {"steps": 100, "optimizer": torch.optim.Adam, "rate": 0.02},
        )
        for name, pixel_loss in (("L1", F.l1_loss), ("MSE", F.mse_loss))
    }
    return Finding(
        trials={f"nearer in ten of ten, {name}": c[0] == len(SEEDS) for name, c in cases.items()},
        figures={
            f"images of {len(SEEDS)} that end nearer, {name}": c[0] for name, c in cases.items()
        }
        | {
            f"distance at first, at the end, and with a little {n}": list(c[1:])
            for n, c in cases.items()
        }
        | {"largest sum of |gradient| at first, 8-bit pixels": steepest},
        explanation="From a brightness off by 20 the custom loss alone ends at "
        f"{show(cases['brightness off by 20, L1'][2])}, with a tenth of L1 at "
        f"{show(cases['brightness off by 20, L1'][3])} and of MSE at "
        f"{show(cases['brightness off by 20, MSE'][3])}. Nearly flat 8-bit pixels at a range of 1, "
        f"off by 1, have gradients that add up to as much as {show(steepest)}, where "
        f"{STEEPEST:.0f} is the bound of exact arithmetic: SSIM alone ends at "
        f"{show(cases['8-bit pixels at range 1, L1'][2])}, and with L1 or MSE at "
        f"{show(cases['8-bit pixels at range 1, L1'][3])} and "
        f"{show(cases['8-bit pixels at range 1, MSE'][3])}.",
    )


@claim(
    "0.36",
    "Clipping is an alternative: it keeps gradients from extremes while a network trains.",
    place="The paragraph on strategies, sentence 4",
    says=IS,
    reading="Clipped to 1 by norm or by value, what comes out should be finite, of size 1 at most "
    "and not all zero. It is offered against the NaN too, so NaN and inf were put in as well.",
    concept="training",
    expected=CONDITIONAL,
)
def clipping():
    """Gradients that are large, infinite or NaN through torch's two clips; the gradient of SSIM
    where float32 makes it explode, and that of l · c · s where it is NaN."""
    gray = 255 * uniform(200, 1, 1, 1, seed=1)
    x, y = ((gray + 0.1 * normal(200, 1, 11, 11, seed=s)).float() for s in (2, 3))
    ssim = partial(naive.one_pass, data_range=1.0, reduction="none")
    exploded = value_and_gradient(lambda z: ssim(z, y), x)[1].flatten().tolist()
    roots = loss_and_gradient(naive.luminance_contrast_structure, *article_pair())[1]
    steep = max(map(abs, exploded))
    sets = {
        "1000 and 1": [1000.0, 1.0],
        "SSIM of 8-bit pixels at range 1": [max(exploded), min(exploded), exploded[0]],
        "1e20 twice": [1e20, 1e20],
        "an inf": [math.inf, 1.0, 2.0],
        "a NaN": [math.nan, 1.0, 2.0],
        "l · c · s, 0.501 against 0.5": roots.flatten()[:3].tolist(),
    }
    clips = {"by norm": remedies.clip_by_norm, "by value": remedies.clip_by_value}
    after = {
        f"{name}, {how}": clip(gradients)
        for name, gradients in sets.items()
        for how, clip in clips.items()
    }

    def tame(result):
        sizes = [abs(number) for number in result]
        return all(size <= 1 + 1e-6 for size in sizes) and any(sizes)

    return Finding(
        trials={name: tame(result) for name, result in after.items()},
        figures={f"after: {name}": result for name, result in after.items()}
        | {"largest before, SSIM of 8-bit pixels at range 1": steep},
        condition="every gradient is finite and their norm does not overflow; clipping by value "
        "tames an inf too",
        explanation="Large finite gradients are tamed, also those of 8-bit pixels at a range of 1 "
        f"({show(steep)} before). "
        f"Two of 1e20 have an infinite norm in float32 and become "
        f"{show(after['1e20 twice, by norm'])}. One inf becomes NaN by norm and takes the others "
        f"with it: {show(after['an inf, by norm'])}. A NaN spreads by norm to "
        f"{show(after['a NaN, by norm'])}, and by value it stays. `error_if_nonfinite=True` makes "
        "torch's clip by norm say so.",
        right="For gradients that are large and finite clipping does just this.",
    )


@claim(
    "0.37",
    "Raising the ε below the fraction bar is a remedy as well.",
    place="The paragraph on strategies, sentence 5, first half",
    says=IS,
    reading="Larger than the 1e-8 of example 3, in that loss. It should remove NaN or lower "
    "gradients, and still leave a target where it is: within 0.01 of its brightness and 10 % of "
    "its contrast in 100 steps.",
    concept="training",
    expected=CONDITIONAL,
)
def larger_epsilon():
    """Example 3's loss with ε from 1e-7 to 1e-2, with its own constants, with published ones, and
    with none: 100 steps of Adam from the target itself, ten dark textures; NaN, and the largest
    gradient, of images without constants; and ε in l · c · s."""
    y = 0.1 + 0.02 * torch.cat([normal(1, 1, 16, 16, seed=seed) for seed in SEEDS]).float()
    epsilons = (1e-7, 1e-6, 1e-4, 1e-2)

    def drift(constants, epsilon):
        x = descend(
            lambda x: article_loss(x, y, constants=constants, epsilon=epsilon),
            y,
            steps=100,
            optimizer=torch.optim.Adam,
            rate=2e-3,
        )
        brighter = (x - y).mean((-3, -2, -1)).abs().max().item()
        contrast = (x.std((-3, -2, -1)) / y.std((-3, -2, -1))).sub(1).abs().max().item()
        return brighter, contrast

    names = {"its own constants": ARTICLE_CONSTANTS, "published constants": (C1, C2)}
    drifts = {
        (name, epsilon): drift(constants, epsilon)
        for name, constants in names.items()
        for epsilon in epsilons
    }
    bare = {"constants": (0.0, 0.0)}
    gray = flat(0.5)
    texture, other = noisy_images(1e-3, 0)
    cured = nans(article_gradient(gray, gray, epsilon=1e-6, **bare))
    before, lower = (
        largest(article_gradient(texture, other, epsilon=e, **bare)) for e in (1e-8, 1e-6)
    )
    roots = nans(
        value_and_gradient(
            lambda z: components_with_epsilon(z, flat(0.5), data_range=1.0, epsilon=1e-2),
            flat(0.501),
        )[1]
    )
    own, published = ({e: drifts[name, e] for e in epsilons} for name in names)
    larger = drift(tuple(10 * c for c in ARTICLE_CONSTANTS), 0.0)
    return Finding(
        trials={
            "no constants, ε = 1e-6: no NaN for equal grays": cured == 0,
            "no constants, ε = 1e-6: lower gradients than with 1e-8": lower < before,
            "l · c · s with ε = 0.01 in its denominators: no NaN": roots == 0,
        }
        | {
            f"{name}, ε = {show(e)}: the target stays": brighter < 0.01 and contrast < 0.1
            for (name, e), (brighter, contrast) in drifts.items()
        },
        figures={f"change of brightness, {n}, ε = {show(e)}": v[0] for (n, e), v in drifts.items()}
        | {f"relative change of contrast, {n}, ε = {show(e)}": v[1] for (n, e), v in drifts.items()}
        | {
            "largest gradient, no constants, ε = 1e-8": before,
            "largest gradient, no constants, ε = 1e-6": lower,
            "change of brightness, constants ten times its own, ε = 0": larger[0],
            "NaN of 1024, l · c · s with ε = 0.01": roots,
        },
        condition="a denominator is at fault, and ε stays small beside the product of the "
        "constants where there are any",
        explanation="In the article's loss an ε of 1e-6, a hundred times its own, moves no target "
        f"by more than {show(own[1e-6][0])} in brightness. A much larger one does, for it rewards "
        f"brightness and contrast: at 1e-2 by {show(own[1e-2][0])}, and by "
        f"{show(published[1e-2][0])} with published constants, where 1e-4 is too much already "
        f"({show(published[1e-4][0])}). Constants ten times as large, without ε, move it by "
        f"{show(larger[0])}. A square root is beyond its reach: {roots:,} NaN are left in "
        "l · c · s.",
        right="Without constants a larger ε removes the NaN and lowers the gradients, and the "
        "article itself warns that there is a price.",
    )


@claim(
    "0.38",
    "Under a larger ε, tiny numerators could leave no gradient at all.",
    place="The paragraph on strategies, sentence 5, second half",
    says=CAN,
    reading="Small beside ε, as the sentence speaks of a larger one. Zero: less than a thousandth "
    "of the gradient that the same images have without ε.",
    concept="stable",
    expected=HOLDS,
)
def small_numerators():
    """Dark textures in float64, ten seeds: the custom loss with ε = 1e-8 and 1e-2 and without, with
    its own constants, published ones and none. And pairs tuned until a numerator is zero."""
    pairs = [tuple((1e-3 + 1e-4 * t) for t in normal(2, 1, 1, 32, 32, seed=seed)) for seed in SEEDS]

    def left(constants, epsilon):
        """The largest share of the gradient that ε leaves."""
        gradients = (
            [
                largest(article_gradient(x, y, constants=constants, epsilon=e))
                for e in (epsilon, 0.0)
            ]
            for x, y in pairs
        )
        return max(with_it / without for with_it, without in gradients)

    names = {
        "its own constants": ARTICLE_CONSTANTS,
        "published constants": (C1, C2),
        "no constants": (0.0, 0.0),
    }
    shares = {
        f"{name}, ε = {show(e)}": left(constants, e)
        for name, constants in names.items()
        for e in (1e-8, 1e-2)
    }
    pattern = normal(1, 1, 11, 11)
    weights = Window().weights()
    pattern = pattern - (weights * pattern).sum()
    pattern = pattern / (weights * pattern**2).sum().sqrt()
    amount = math.sqrt(C2 / 2)  # so that the covariance is -C2 / 2
    opposite = loss_and_gradient(reference.ssim, 0.5 + amount * pattern, 0.5 - amount * pattern)
    steep = opposite[1].abs().sum().item()
    return Finding(
        trials={f"dark textures, {name}": share < 1e-3 for name, share in shares.items()},
        figures={f"share of the gradient that is left, {name}": v for name, v in shares.items()}
        | {"sum of |gradient| where 2σxy + C2 = 0, ε = 0": steep},
        condition="the numerator is small beside ε",
        explanation="On textures around 0.001, an ε of 1e-2 leaves "
        f"{show(shares['published constants, ε = 0.01'])} of the gradient with published "
        f"constants, and without constants even 1e-8 leaves "
        f"{show(shares['no constants, ε = 1e-8'])}. It is ε that flattens there. A numerator that "
        "is zero for another reason, because the covariance is -C2 / 2, has one of the steepest "
        f"gradients that there are ({show(steep)}).",
    )


@claim(
    "0.39",
    "Preparing the data so that few flat regions remain is essential as well.",
    place="The paragraph on strategies, sentence 6",
    says=IS,
    reading="Essential for an implementation if uniform regions in otherwise textured images, or "
    "crops that are wholly uniform, make its gradient NaN or infinite.",
    concept="training",
    expected=CONDITIONAL,
)
def uniform_regions_are_harmful():
    """Ten images with a flat half and ten flat crops, each beside an estimate of 0.9 of it plus
    0.05 that is flat in the same places, through eight implementations, in float32."""
    halves = uniform(10, 1, 32, 32, dtype=torch.float32)
    gray = uniform(10, 1, 1, 1, seed=1, dtype=torch.float32)
    halves[..., 16:] = gray
    crops = gray.expand(-1, 1, 16, 16)
    broken = {
        name: [broken_pairs(name, 0.9 * y + 0.05, y) for y in (halves, crops)]
        for name in implementations()
    }
    x, y = 0.9 * halves + 0.05, halves
    off = {
        name: relative_error(
            loss_and_gradient(ssim, x, y)[1], true_loss_and_gradient(name, x, y)[1]
        )
        for name, ssim in implementations().items()
        if name not in (ROOTS, NO_RANGE)
    }
    return Finding(
        trials={f"needed for {name}": sum(counts) > 0 for name, counts in broken.items()},
        figures={
            f"broken of 10 half flat images and 10 flat crops, {n}": c for n, c in broken.items()
        }
        | {f"relative error of the gradient, half flat images, {n}": e for n, e in off.items()},
        condition="SSIM is written with square roots, as l · c · s, or torchmetrics is left "
        "without a range and a crop may be wholly flat",
        explanation=f"Written as l · c · s, SSIM breaks on {broken[ROOTS][0]} of 10 half flat "
        f"images and on {broken[ROOTS][1]} of 10 flat crops; torchmetrics without a range on "
        f"{broken[NO_RANGE][0]} and {broken[NO_RANGE][1]}. The other implementations need no such "
        "care: they break on none, and on the half flat images their gradients are right to "
        f"{show(max(off.values()))} or better.",
        right="If your SSIM has a root in it, flat regions have to go, or rather the root has.",
    )
