"""Claims of the forum thread "Analytical SSIM derivative differs from autograd computation"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.resources import files
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from ssimlab import attempts, formula, jacobian, naive
from ssimlab.attempts import FORUM_WINDOW
from ssimlab.lab import images
from ssimlab.window import Window

from .measuring import largest, normal, relative_error, uniform, value_and_gradient
from .registry import Finding, Says, Verdict, claims_of, show

HOLDS, CONDITIONAL, FALSE = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.FALSE
IS, CAN = Says.IS, Says.CAN
C1, C2 = formula.constants(1.0)
SEEDS = range(10)
#: For post 1, which gives no size: the customary 11 x 11, with its author's Gaussian and zeros.
POSTED_WINDOW = Window(size=11, sigma=1.5, padding="zero")
#: The two precisions that the thread compares.
SINGLE, DOUBLE = torch.float32, torch.float64

claim = claims_of("forum-derivative")


# ------------------------------------------------------------------------------------------------
# What the trials have in common: images, gradients, and how a range of numbers is told


class Case(NamedTuple):
    """Two images and the window to compare them with."""

    x: Tensor
    y: Tensor
    window: Window


OF_THE_POST = "the thread's 4 x 4 images"
RANDOM, PHOTO = "ten random pairs", "ten pieces of a photograph"


def random_pair(side: int, seed: int, window: Window, channels=1) -> Case:
    """Two images of independent pixels from 0 to 1."""
    x, y = uniform(2, channels, side, side, seed=seed)
    return Case(x, y, window)


def noisy_pieces(side: int, seeds: Iterable[int] = SEEDS) -> list[Case]:
    """Pieces of a photograph with noise, against the same pieces without."""
    photo = images.photo("camera")[None]
    found = []
    for seed in seeds:
        top, left = (uniform(2, seed=seed) * (photo.shape[-1] - side)).long().tolist()
        clean = photo[..., top : top + side, left : left + side]
        noisy = clean + 0.1 * normal(*clean.shape, seed=seed)
        found.append(Case(noisy, clean, POSTED_WINDOW))
    return found


def in_float32(case: Case) -> Case:
    """The same pixels in float32."""
    return Case(case.x.float(), case.y.float(), case.window)


@cache
def cases() -> dict[str, list[Case]]:
    """The images and the window of post 6, and what they are varied by: seeds, sizes, content."""
    return {
        OF_THE_POST: [Case(*attempts.forum_images(), FORUM_WINDOW)],
        RANDOM: [random_pair(24, seed, POSTED_WINDOW) for seed in SEEDS],
        PHOTO: noisy_pieces(64),
    }


def measured(measure: Callable[[Case], float], dtype=DOUBLE) -> dict[str, list[float]]:
    """A number for every case, by the name of its group."""
    return {
        name: [measure(Case(c.x.to(dtype), c.y.to(dtype), c.window)) for c in group]
        for name, group in cases().items()
    }


def span(values: Iterable[float], times: float = 1) -> str:
    """From the least to the greatest, as text."""
    numbers = [times * value for value in values]
    least, greatest = show(min(numbers)), show(max(numbers))
    return least if least == greatest else f"{least} to {greatest}"


def to(errors: Iterable[float]) -> str:
    """How closely two things agree, after a word such as agree or right."""
    greatest = max(errors)
    return f"to {show(greatest)}" if greatest else "exactly"


def every(groups: dict[str, list[float]]) -> list[float]:
    """The numbers of all groups in one list."""
    return [value for group in groups.values() for value in group]


def spans(quantity: str, groups: dict[str, list[float]]) -> dict[str, str]:
    """Figures: the range of a quantity in each group."""
    return {f"{quantity}, {name}": span(values) for name, values in groups.items()}


def within(groups: dict[str, list[float]], bound: float, tolerance: str) -> dict[str, bool]:
    """Trials: whether each group stays within a bound, which is named in words."""
    return {f"{name}: {tolerance}": max(values) < bound for name, values in groups.items()}


def ones_scattered(x: Tensor, window: Window) -> Tensor:
    """Wᵀ1, which the thread calls the gradient of mu1 by img1."""
    return window.adjoint(torch.ones_like(x), tuple(x.shape[-2:]))


def ssim_gradient(case: Case) -> Tensor:
    """What autograd gives for the mean SSIM, in the dtype of the images."""
    x, y, window = case
    return value_and_gradient(lambda z: naive.one_pass(z, y, data_range=1.0, window=window), x)[1]


def luminance_gradient(case: Case) -> Tensor:
    """What autograd gives for mean(l), in the dtype of the images."""
    x, y, window = case
    return value_and_gradient(
        lambda z: attempts.mean_luminance(z, y, data_range=1.0, window=window), x
    )[1]


def attempted(attempt: Callable[..., Tensor], case: Case) -> Tensor:
    """One of the thread's gradients."""
    x, y, window = case
    return attempt(x, y, data_range=1.0, window=window)


first_attempt = partial(attempted, attempts.pixelwise)
second_attempt = partial(attempted, attempts.by_local_mean)
third_attempt = partial(attempted, attempts.by_gradients_of_sums)
right_luminance = partial(attempted, attempts.luminance_gradient)


class Parts(NamedTuple):
    """a, b with l = a/b, and p, q with cs = p/q, maps; and the moments that they are made of."""

    a: Tensor
    b: Tensor
    p: Tensor
    q: Tensor
    m: formula.Moments


def parts(case: Case) -> Parts:
    """Numerators and denominators in the dtype of the images, with the variances of the thread."""
    m = formula.one_pass_moments(*case)
    b, q = formula.denominators(m, formula.constants(1.0))
    return Parts(2 * m.mu_x * m.mu_y + C1, b, 2 * m.sigma_xy + C2, q, m)


def scattered(case: Case, by_mean: Tensor, by_square: Tensor, by_product: Tensor) -> Tensor:
    """The gradient of a sum by x, from its derivatives by W x, W x² and W xy."""
    x, y, window = case
    back = partial(window.adjoint, size=tuple(x.shape[-2:]))
    return back(by_mean) + 2 * x * back(by_square) + y * back(by_product)


def structure_by_averages(of: Parts) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives of cs by W x, W x² and W xy."""
    cs = of.p / of.q
    return 2 * (cs * of.m.mu_x - of.m.mu_y) / of.q, -cs / of.q, 2 / of.q


def right_ssim(case: Case) -> Tensor:
    """The gradient of the mean SSIM by hand as it should be, in the dtype of the images."""
    of = parts(case)
    luminance, cs = of.a / of.b, of.p / of.q
    by_mean, by_square, by_product = (luminance * g for g in structure_by_averages(of))
    by_mean = by_mean + cs * 2 * (of.m.mu_y - luminance * of.m.mu_x) / of.b
    return scattered(case, by_mean, by_square, by_product) / case.x.numel()


def apart(by_hand: Callable[[Case], Tensor], truth: Callable[[Case], Tensor]):
    """The largest difference of two gradients, as a function of a case."""
    return lambda case: largest(by_hand(case).double() - truth(case).double())


def off(by_hand: Callable[[Case], Tensor], truth: Callable[[Case], Tensor]):
    """The relative difference of two gradients, as a function of a case."""
    return lambda case: relative_error(by_hand(case), truth(case))


# ------------------------------------------------------------------------------------------------
# Post 1: the question, and the code of the first attempt


@claim(
    "1.1",
    "Iteration after iteration, his gradient and autograd's are at most about 1e-4 apart in any "
    "entry.",
    place="Post 1 (Janusch), paragraph 1, sentence 3",
    says=IS,
    reading="A report of runs whose images are not posted. It is borne out if the posted lines "
    "show such a difference on images of some ordinary size, gray, with pixels from 0 to 1. The "
    "window's size is not posted either; 11 x 11 is customary.",
    concept="gradient",
    expected=HOLDS,
)
def discrepancy():
    """The first attempt against autograd: ten random images and noisy copies at each of four sizes,
    five photographs of 512 x 512 against blurred copies, and his later 4 x 4 images."""
    difference = apart(first_attempt, ssim_gradient)
    by_size, relative = {}, []
    for side in (16, 96, 256):
        pairs = []
        for seed in SEEDS:
            x = uniform(1, side, side, seed=seed)
            pairs.append(Case(x, x + 0.1 * normal(1, side, side, seed=seed), POSTED_WINDOW))
        by_size[f"{side} x {side}"] = [difference(pair) for pair in pairs]
        relative += [off(first_attempt, ssim_gradient)(pair) for pair in pairs]
    photos = [images.photo(name)[None] for name in ("camera", "brick", "grass", "gravel", "moon")]
    blurred = [Case(images.blur(photo, 3.0), photo, POSTED_WINDOW) for photo in photos]
    of_photos = [difference(pair) for pair in blurred]
    return Finding(
        trials={
            "ten random pairs of 96 x 96: 1e-4 within a factor of 2": all(
                5e-5 < value < 2e-4 for value in by_size["96 x 96"]
            ),
            "five photographs of 512 x 512 and blurred copies: 1e-4 within a factor of 3": all(
                1e-4 / 3 < value < 3e-4 for value in of_photos
            ),
        },
        figures={f"largest difference, random, {side}": span(v) for side, v in by_size.items()}
        | {
            "largest difference, photographs of 512 x 512": span(of_photos),
            "largest difference, the 4 x 4 images of post 6": difference(cases()[OF_THE_POST][0]),
            "relative difference, random": span(relative),
        },
        explanation=f"The difference is {span(by_size['96 x 96'])} at 96 x 96 and "
        f"{span(of_photos)} on photographs of 512 x 512, as he reports. The number follows the "
        "size of the image, because a mean over HW pixels has a gradient of the order of 1/HW: it "
        f"is {span(by_size['16 x 16'])} at 16 x 16 and {span(by_size['256 x 256'])} at 256 x 256. "
        f"Relative to the gradient it is {span(relative, 100)} % on the random pairs.",
        right="He gave the number that showed him something was wrong; what would have told how "
        "wrong is the same number divided by the size of the gradient.",
    )


def differences_of_a_run(start: Tensor, render: Callable, target: Tensor, steps: int) -> list:
    """Largest differences of the first attempt, at every tenth step of a training as in the thread:
    Adam on 0.8 L1 + 0.2 (1 - SSIM)."""
    p = start.clone().requires_grad_()
    optimizer, found = torch.optim.Adam([p], lr=0.01), []
    for step in range(steps):
        x = render(p)
        if step % 10 == 0:
            found.append(
                apart(first_attempt, ssim_gradient)(Case(x.detach(), target, POSTED_WINDOW))
            )
        optimizer.zero_grad()
        ssim = naive.one_pass(x, target, data_range=1.0, window=POSTED_WINDOW)
        (0.8 * (x - target).abs().mean() + 0.2 * (1 - ssim)).backward()
        optimizer.step()
    return found


@claim(
    "1.2",
    "Throughout his iterations that largest difference hardly changes.",
    place="Post 1 (Janusch), paragraph 1, sentence 3",
    says=IS,
    reading="A report again, of steps towards a reference image. What was optimized is not posted; "
    "a model with fewer parameters than the image has pixels is tried, as one that renders a scene "
    "has. It comes near the image and never arrives. Every pixel free is tried beside it.",
    concept="gradient",
    expected=HOLDS,
)
def consistent_discrepancy():
    """Five photographs, 128 x 128, approached by a grid of 32 x 32 values that is interpolated: 100
    steps of Adam on 0.8 L1 + 0.2 (1 - SSIM), looked at every tenth step. Beside it one run of 150
    steps with every pixel free."""

    def render(p):
        return F.interpolate(p[None], size=(128, 128), mode="bilinear", align_corners=False)[0]

    targets = [
        images.photo(name, size=128, dtype=SINGLE)[None]
        for name in ("camera", "brick", "grass", "gravel", "moon")
    ]
    runs = [
        differences_of_a_run(torch.full((1, 32, 32), 0.5), render, target, 100)
        for target in targets
    ]
    ratios = [max(run) / min(run) for run in runs]
    free = differences_of_a_run(torch.full((1, 128, 128), 0.5), lambda p: p, targets[0], 150)
    return Finding(
        trials={"five runs of a model: the greatest is less than twice the least": max(ratios) < 2},
        figures={
            "greatest over least difference in a run": span(ratios),
            "largest differences": span(value for run in runs for value in run),
            "greatest over least, every pixel free": max(free) / min(free),
        },
        explanation="While a model that cannot match every pixel is trained, the largest "
        f"difference changes by a factor of {span(ratios)} from its least to its greatest: fairly "
        "constant, as he reports. It goes with the gradient, and so with the distance that is "
        f"left. Where every pixel is free and arrives, it changes {show(max(free) / min(free))}-"
        "fold.",
    )


@claim(
    "1.3",
    "Having gone over his derivation several times, he believes that it is right.",
    place="Post 1 (Janusch), paragraph 1, sentence 4, and the last lines of the code",
    says=IS,
    reading="A belief, about the gradient of the mean SSIM by the first image. The factor that the "
    "code does not define is taken as Wᵀ1, since he finds it right for the mean of mu1; the "
    "figures give two other readings.",
    concept="gradient",
    expected=FALSE,
)
def first_attempt_is_right():
    """The first attempt against autograd on the 4 x 4 images, ten random pairs and ten pieces of a
    photograph, in float64; the diagonal of the SSIM map's Jacobian against the same expression."""
    errors = measured(off(first_attempt, ssim_gradient))

    def alignment(case):
        return F.cosine_similarity(
            *(g(case).flatten() for g in (first_attempt, ssim_gradient)), dim=0
        ).item()

    cosines = every(measured(alignment))

    def without_reach(case):
        return first_attempt(case) / ones_scattered(case.x, case.window)

    def by_center(case):
        return case.window.taps[case.window.radius] ** 2 * without_reach(case)

    def diagonal(case):
        x, y, window = case
        full = jacobian.ssim_map_jacobian(x[0], y[0], data_range=1.0, window=window)
        return full.reshape(x.numel(), -1).diagonal().reshape(x.shape) / x.numel()

    small = (cases()[OF_THE_POST][0], random_pair(12, 1, POSTED_WINDOW))
    at_a_pixel = [off(by_center, diagonal)(case) for case in small]
    return Finding(
        trials=within(errors, 0.01, "within 1 %"),
        figures=spans("relative error", errors)
        | {
            "cosine with the true gradient": span(cosines),
            "relative error with 1 for the undefined factor": span(
                every(measured(off(without_reach, ssim_gradient)))
            ),
            "relative error with the window's central weight for it": span(
                every(measured(off(by_center, ssim_gradient)))
            ),
            "relative error of the Jacobian's diagonal": span(at_a_pixel),
        },
        explanation=f"It is {span(every(errors), 100)} % off. The product and the quotient rule "
        "are applied at one pixel, as if a map pixel saw only the image pixel at its own place; "
        "every window that covers a pixel contributes, each with its own weight and its own "
        f"statistics. The direction is roughly right (cosine {span(cosines)}), which makes such a "
        "mistake hard to see. He doubts it in the same post, and by post 4 he has found himself "
        "that the formula is the cause.",
        right="Every step is right for one pixel: with the window's central weight for the "
        "undefined factor the expression is the derivative of a map pixel by the image pixel at "
        f"its own place, {to(at_a_pixel)}. What is missing is the sum over the neighbors.",
    )


@claim(
    "1.4",
    "For the mean of mu1 his gradient and autograd's are as good as equal.",
    place="Post 1 (Janusch), paragraph 2, sentence 2",
    says=IS,
    reading="The adjoint of the window applied to ones, divided by the number of pixels, against "
    "autograd's gradient of the mean of the local means.",
    concept="gradient",
    expected=HOLDS,
)
def gradient_of_mean_of_mu():
    """Wᵀ1 / N against autograd on the 4 x 4 images, random images and pieces of a photograph, in
    both precisions."""

    def by_hand(case):
        return ones_scattered(case.x, case.window) / case.x.numel()

    def truth(case):
        return value_and_gradient(lambda z: case.window(z).mean(), case.x)[1]

    single, double = (every(measured(off(by_hand, truth), dtype)) for dtype in (SINGLE, DOUBLE))
    return Finding(
        trials={
            "float32: within 1e-6 of the gradient": max(single) < 1e-6,
            "float64: within 1e-12 of the gradient": max(double) < 1e-12,
        },
        figures={
            "largest relative difference, float32": max(single),
            "largest relative difference, float64": max(double),
        },
        explanation=f"They agree {to(single)} in float32 and {to(double)} in float64. "
        "μ is linear in the image and the mean weights all its pixels alike, so the "
        "gradient is Wᵀ applied to a constant, and no factor can come out on the wrong side of Wᵀ.",
        right="He chose a good test: it shows that the window, its adjoint and the scale are "
        "right, and so that the fault lies in what is combined with them.",
    )


@claim(
    "1.5",
    "For the L1 loss there is next to no difference either.",
    place="Post 1 (Janusch), paragraph 2, sentence 2",
    says=IS,
    reading="The sign of the difference over the number of pixels, against autograd's gradient of "
    "the mean absolute difference.",
    concept="gradient",
    expected=HOLDS,
)
def l1_gradient():
    """sign(x - y) / N against autograd on the 4 x 4 images, some of whose pixels are equal, random
    images and pieces of a photograph, in both precisions."""

    def by_hand(case):
        return (case.x - case.y).sign() / case.x.numel()

    def truth(case):
        return value_and_gradient(lambda z: F.l1_loss(z, case.y), case.x)[1]

    single, double = (every(measured(off(by_hand, truth), dtype)) for dtype in (SINGLE, DOUBLE))
    return Finding(
        trials={
            "float32: within 1e-6 of the gradient": max(single) < 1e-6,
            "float64: within 1e-12 of the gradient": max(double) < 1e-12,
        },
        figures={
            "largest relative difference, float32": max(single),
            "largest relative difference, float64": max(double),
        },
        explanation=f"They agree {to(single)} in float32 and {to(double)} in float64. "
        "L1 has no window: each pixel of the loss sees one pixel of the image, so that "
        "a derivation at one pixel is all that is needed.",
    )


@claim(
    "1.6",
    "He isn't sure, but the difference looks too large to him to be explained by rounding alone.",
    place="Post 1 (Janusch), paragraph 2, sentences 3 and 4",
    says=IS,
    reading="A suspicion, about the difference of his gradient from autograd's on his images, in "
    "the single precision that his code has in post 1.",
    concept="floats",
    expected=HOLDS,
)
def too_large_for_rounding():
    """What float32 changes in autograd's gradient and in his, as a share of the difference between
    the two: the 4 x 4 images, ten random pairs and ten pieces of a photograph."""

    def share(case):
        rounding = (
            apart(g, lambda _, g=g: g(case))(in_float32(case))
            for g in (first_attempt, ssim_gradient)
        )
        return sum(rounding) / apart(first_attempt, ssim_gradient)(case)

    shares = measured(share)
    most = max(every(shares))
    return Finding(
        trials=within(shares, 0.01, "rounding is less than 1 % of it"),
        figures=spans("share of rounding in the difference", shares),
        explanation=f"What single precision changes in both gradients together is at most "
        f"{show(100 * most)} % of the difference between them. Rounding cannot have made it: his "
        "suspicion was right.",
    )


def as_one_fraction(case: Case) -> Tensor:
    """The first attempt with the quotient rule on ap / bq, still pixel by pixel."""
    of, reach = parts(case), ones_scattered(case.x, case.window)
    m, above, below = of.m, of.a * of.p, of.b * of.q
    da, db = 2 * m.mu_y * reach, 2 * m.mu_x * reach
    dp, dq = 2 * (case.y - m.mu_y) * reach, 2 * (case.x - m.mu_x) * reach
    rule = (da * of.p + of.a * dp) * below - above * (db * of.q + of.b * dq)
    return rule / below**2 / case.x.numel()


def by_two_quotient_rules(case: Case) -> Tensor:
    """The first attempt with both quotient rules written out, as post 4 does."""
    of, reach = parts(case), ones_scattered(case.x, case.window)
    m = of.m
    by_luminance = (2 * m.mu_y * of.b - of.a * 2 * m.mu_x) / of.b**2
    by_structure = (2 * (case.y - m.mu_y) * of.q - of.p * 2 * (case.x - m.mu_x)) / of.q**2
    return reach * (by_luminance * (of.p / of.q) + (of.a / of.b) * by_structure) / case.x.numel()


@claim(
    "1.7",
    "Different arrangements of the computation left the error about as it was.",
    place="Post 1 (Janusch), paragraph 3, sentence 3",
    says=IS,
    reading="A report. The arrangements that he tried are not posted; two are tried that equal his "
    "formula in exact arithmetic.",
    concept="autograd",
    expected=HOLDS,
)
def rearranging():
    """The first attempt as one fraction, and with two quotient rules written out, in float32: the
    largest error of each over that of the posted arrangement."""
    ratios = []
    for arranged in (as_one_fraction, by_two_quotient_rules):
        for group in cases().values():
            for case in map(in_float32, group):
                posted, other = (apart(g, ssim_gradient)(case) for g in (first_attempt, arranged))
                ratios.append(other / posted)
    change = max(abs(ratio - 1) for ratio in ratios)
    return Finding(
        trials={"two other arrangements, 21 pairs of images: the same within 1 %": change < 0.01},
        figures={"error rearranged over error as posted": span(ratios), "largest change": change},
        explanation=f"The error changes by {show(100 * change)} % at most. The arrangements are "
        "equal in exact arithmetic, so all carry the same mistake.",
        right="It was a good thing to try: rounding is another in another arrangement, so an error "
        "that stays speaks for what he suspected.",
    )


@claim(
    "1.8",
    "With the product of the image's second and third dimensions as divisor, his gradient is that "
    "of the mean.",
    place="Post 1 (Janusch), the code, the line before the loss",
    says=IS,
    reading="The code divides by these two sizes and compares with the mean of the SSIM map. The "
    "indices say that an image is channels × height × width, and the code takes any number of "
    "channels.",
    concept="gradient",
    expected=CONDITIONAL,
)
def divisor_of_the_mean():
    """Autograd's gradient of the sum of the SSIM map, divided so, against its gradient of the mean:
    one channel and three, ten seeds."""
    ratios = {}
    for channels in (1, 3):
        ratios[channels] = []
        for seed in SEEDS:
            case = random_pair(24, seed, POSTED_WINDOW, channels)
            of_the_mean = ssim_gradient(case)
            of_the_sum = of_the_mean * case.x.numel()
            divided = of_the_sum / (case.x.size(1) * case.x.size(2))
            ratios[channels].append((divided.norm() / of_the_mean.norm()).item())
    return Finding(
        trials={
            "one channel: within 1e-12": all(abs(r - 1) < 1e-12 for r in ratios[1]),
            "three channels: within 1e-12": all(abs(r - 1) < 1e-12 for r in ratios[3]),
        },
        figures={
            "divided gradient over that of the mean, one channel": span(ratios[1]),
            "divided gradient over that of the mean, three channels": span(ratios[3]),
        },
        condition="the image has one channel",
        explanation="The mean divides by the number of all entries, channels included. With three "
        f"channels the divided gradient is {span(ratios[3])} times that of the mean; with one they "
        "are the same.",
        right="In the thread's own example, post 6, the image has one channel, and there he "
        "divides by the number of entries, which is right for any.",
    )


# ------------------------------------------------------------------------------------------------
# Post 2: the debug build


def by_autograds_own_steps(x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of the posted mean SSIM by hand, operation for operation as autograd does it,
    and by autograd.

    Autograd goes back through the operations in the reverse of the order in which they were made,
    and adds up what arrives at the image in that order: so the forward pass keeps the posted one.
    """
    options = {"padding": weights.shape[-1] // 2, "groups": x.shape[1]}
    average = partial(F.conv2d, weight=weights, **options)

    def forward(z):
        mu_x = average(z)
        square = mu_x.pow(2)
        variance = average(z * z) - square
        mu_y = average(y)
        product = mu_x * mu_y
        p = 2 * (average(z * y) - product) + C2
        q = variance + (average(y * y) - mu_y.pow(2)) + C2
        a, b = 2 * product + C1, square + mu_y.pow(2) + C1
        return a, b, p, q, mu_x, mu_y

    image = x.clone().requires_grad_()
    a, b, p, q, *_ = forward(image)
    (by_autograd,) = torch.autograd.grad(((a / b) * (p / q)).mean(), image)

    a, b, p, q, mu_x, mu_y = forward(x)
    back = partial(conv2d_input, x.shape, weights, **options)
    upstream = torch.ones_like(x) / x.numel()
    of_l, of_cs = upstream * (p / q), upstream * (a / b)
    of_p, of_q = of_cs / q, -of_cs * ((p / q) / q)
    of_a, of_b = of_l / b, -of_l * ((a / b) / b)
    of_product, of_square = of_a * 2 - of_p * 2, of_b - of_q
    of_mu = of_product * mu_y + of_square * (2 * mu_x)
    by_square = back(of_q) * x
    return back(of_p * 2) * y + by_square + by_square + back(of_mu), by_autograd


@claim(
    "1.9",
    "His guess: if autograd's computation is repeated exactly, both gradients come out identical.",
    place="Post 2 (on a debug build of PyTorch), sentence 2",
    says=IS,
    reading="A guess, about the same operations in the same order within one build. It is taken "
    "at its word: identical to the last bit.",
    concept="autograd",
    expected=HOLDS,
)
def identical_gradients():
    """A backward pass by hand that does what autograd does, step by step, against autograd: one
    and three channels, both precisions, ten seeds each. Beside it the closed form."""
    trials, shares = {}, []
    for dtype in (SINGLE, DOUBLE):
        for channels, named in ((1, "one channel"), (3, "three channels")):
            weights = POSTED_WINDOW.weights().to(dtype).expand(channels, 1, 11, 11).contiguous()
            same = 0
            for seed in SEEDS:
                x, y = uniform(2, 1, channels, 24, 24, seed=seed, dtype=dtype)
                by_hand, by_autograd = by_autograds_own_steps(x, y, weights)
                same += torch.equal(by_hand, by_autograd)
                closed = right_ssim(Case(x, y, POSTED_WINDOW))
                shares.append((closed == by_autograd).double().mean().item())
            name = f"{str(dtype).removeprefix('torch.')}, {named}, {len(SEEDS)} pairs"
            trials[f"{name}: equal to the last bit"] = same == len(SEEDS)
    return Finding(
        trials=trials,
        figures={"entries of the closed form equal to the last bit, %": span(shares, 100)},
        explanation=f"In {sum(trials.values())} of {len(trials)} settings a backward pass by hand "
        "with autograd's operations, and its order of every sum, gives the same bits. It is more "
        "than a right derivation needs: the closed form, as right as autograd, adds up in another "
        f"order, and {span(shares, 100)} % of its entries are the same to the last bit, the others "
        "to rounding.",
        right="He guessed right, and also that it takes knowledge of the internals: even the order "
        "in which the contributions to one pixel are added up matters.",
    )


# ------------------------------------------------------------------------------------------------
# Post 3: round-off, and the test by two precisions


def textured(gray: float, texture: float, seed: int, side=24) -> Case:
    """A gray with a little texture, and a copy with a little more, in units of the pixels."""
    noise = normal(2, 1, side, side, seed=seed)
    x = gray + texture * noise[0]
    return Case(x, x + texture * noise[1], POSTED_WINDOW)


@claim(
    "1.10",
    "Round-off might be what the difference comes from; he rules it out as little as he asserts "
    "it.",
    place="Post 3 (K. Frank), paragraph 1, sentence 1",
    says=CAN,
    reading="Said when nothing was known but a difference of 1e-4. It is borne out if there are "
    "images on which round-off alone, in a right formula, makes so much.",
    concept="floats",
    expected=HOLDS,
)
def round_off_is_possible():
    """The right formula in float32 against autograd in float32, ten seeds each: random images and
    pieces of a photograph with pixels of 0 to 1, and 8-bit grays with hardly any texture under
    the same constants."""
    difference = apart(right_ssim, ssim_gradient)
    usual = [difference(in_float32(case)) for name in (RANDOM, PHOTO) for case in cases()[name]]
    bright = [difference(in_float32(textured(200.0, 0.05, seed))) for seed in SEEDS]
    return Finding(
        trials={
            "pixels of 0 to 1: rounding alone makes 1e-4": max(usual) > 1e-4,
            "8-bit grays near 200, hardly any texture: rounding alone makes 1e-4": min(bright)
            > 1e-4,
        },
        figures={
            "difference by rounding, pixels of 0 to 1": span(usual),
            "difference by rounding, 8-bit grays near 200": span(bright),
        },
        condition="the pixels run to 255 under constants made for 1, on images with hardly any "
        "texture",
        explanation=f"On pixels of 0 to 1 rounding makes {span(usual)}, far less than the thread "
        f"reports. On 8-bit grays with hardly any texture, under the same constants, it makes "
        f"{span(bright)}. So the possibility was worth a test, which is what he proposes next; in "
        "this thread the cause was another one.",
    )


@claim(
    "1.11",
    "Over many steps, rounding errors can add up, and may be magnified.",
    place="Post 3 (K. Frank), paragraph 1, sentence 2",
    says=CAN,
    reading="Of computations in general; tried on plain arithmetic and on the thread's own "
    "variance, the mean of squares minus the square of the mean.",
    concept="floats",
    expected=HOLDS,
)
def amplified_round_off():
    """Sixty pixelwise operations in float32 against float64; the variance as posted at growing
    offsets against the definition in float64. Ten seeds each."""
    eps = torch.finfo(SINGLE).eps
    accumulated = []
    amplified = {offset: [] for offset in (0.0, 10.0, 1000.0)}
    for seed in SEEDS:
        start = uniform(1000, dtype=SINGLE, seed=seed) + 1
        in_single, in_double = start, start.double()
        for _ in range(20):
            in_single, in_double = ((z * 1.1) / 1.3 + 0.2 for z in (in_single, in_double))
        accumulated.append(relative_error(in_single, in_double) / eps)
        texture = 0.1 * normal(1, 24, 24, seed=seed)
        for offset, found in amplified.items():
            x = (offset + texture).float()
            computed = formula.one_pass_moments(x, x, Window()).sigma_x2
            true = formula.moments(x.double(), x.double(), Window()).sigma_x2
            found.append(relative_error(computed, true) / eps)
    return Finding(
        trials={
            "accumulated: 60 operations leave more than half an epsilon": min(accumulated) > 0.5,
            "amplified: the variance at an offset of 1000 is off by more than 1000 epsilon": min(
                amplified[1000.0]
            )
            > 1000,
        },
        figures={"error in epsilons, 60 pixelwise operations": span(accumulated)}
        | {f"error in epsilons, variance at {show(k)}": span(v) for k, v in amplified.items()},
        explanation=f"Sixty operations leave {span(accumulated)} epsilon. One subtraction, "
        f"E[x²] - μ², leaves {span(amplified[0.0])} without an offset, {span(amplified[10.0])} at "
        f"10 and {span(amplified[1000.0])} at 1000, where it has no correct digit left.",
    )


@claim(
    "1.12",
    "A difference that shrinks by orders of magnitude in double precision was probably rounding.",
    place="Post 3 (K. Frank), paragraph 2, sentences 1 and 2",
    says=IS,
    reading="As a test: it should tell rounding from a mistake. So a right formula's difference "
    "should drop, a wrong formula's should not.",
    concept="autograd",
    expected=HOLDS,
)
def precision_test():
    """The largest difference from autograd in float32 over that in float64: three wrong formulas of
    the thread and two right ones, on the 4 x 4 images, random pairs and pieces of a photograph;
    and the right one on 8-bit grays where rounding makes a large difference."""
    wrong, right = [], []
    for group in cases().values():
        for case in group:
            for by_hand, truth in (
                (first_attempt, ssim_gradient),
                (second_attempt, luminance_gradient),
                (third_attempt, luminance_gradient),
            ):
                gaps = [apart(by_hand, truth)(c) for c in (in_float32(case), case)]
                wrong.append(gaps[0] / gaps[1])
            for by_hand, truth in (
                (right_ssim, ssim_gradient),
                (right_luminance, luminance_gradient),
            ):
                gaps = [apart(by_hand, truth)(c) for c in (in_float32(case), case)]
                right.append(gaps[0] / gaps[1])
    grays = [textured(200.0, 0.05, seed) for seed in SEEDS]
    rounding = apart(right_ssim, ssim_gradient)
    on_grays = [rounding(in_float32(case)) / rounding(case) for case in grays]
    apart_by_it = [ratio > 1e3 for ratio in right + on_grays]
    apart_by_it += [abs(ratio - 1) < 0.01 for ratio in wrong]
    return Finding(
        trials={
            "right formulas: it drops a thousandfold or more": min(right) > 1e3,
            "8-bit grays, where rounding makes it large: it drops a thousandfold or more": min(
                on_grays
            )
            > 1e3,
            "the thread's three wrong formulas: it stays within 1 %": all(
                abs(ratio - 1) < 0.01 for ratio in wrong
            ),
        },
        figures={
            "single over double, right formulas": span(right),
            "single over double, right formula on 8-bit grays": span(on_grays),
            "single over double, wrong formulas": span(wrong),
        },
        explanation=f"What is rounding drops by a factor of {span([*right, *on_grays])}; what is "
        f"a mistake stays, with a ratio of {span(wrong)}. In {sum(apart_by_it)} of "
        f"{len(apart_by_it)} cases the test tells the two apart.",
    )


# ------------------------------------------------------------------------------------------------
# Post 4: the second attempt


@claim(
    "1.13",
    "Another precision changed nothing, so the trouble is not a numerical one.",
    place="Post 4 (Janusch), sentences 2 and 4",
    says=IS,
    reading="The first attempt's difference from autograd should be the same in single and double "
    "precision, and a right formula's should be gone in both.",
    concept="autograd",
    expected=HOLDS,
)
def not_numerical():
    """The first attempt and the right formula against autograd in float32 and in float64: his 4 x 4
    images, ten random pairs and ten pieces of a photograph."""
    gaps = [
        measured(apart(by_hand, ssim_gradient), dtype)
        for by_hand in (first_attempt, right_ssim)
        for dtype in (SINGLE, DOUBLE)
    ]
    single_gap, double_gap, right_single, right_double = map(every, gaps)
    ratios = [a / b for a, b in zip(single_gap, double_gap, strict=True)]
    gone = [a / b for a, b in zip(right_single, single_gap, strict=True)]
    return Finding(
        trials={
            "the difference is the same in both, within 1 %": all(
                abs(r - 1) < 0.01 for r in ratios
            ),
            "the right formula leaves less than 1 % of it, in single precision": max(gone) < 0.01,
        },
        figures={
            "single over double": span(ratios),
            "right formula over his, single precision": span(gone),
            "difference of the right formula, float64": span(right_double),
        },
        explanation=f"The ratio of the two differences is {span(ratios)}, and with the right "
        f"formula at most {show(100 * max(gone))} % of the difference is left in single precision. "
        "He drew the right conclusion from the test, and went on to compare partial gradients, "
        "which is the way to find the place.",
    )


def by_mu_as_posted(case: Case) -> Tensor:
    """The quotient rule of post 4: the derivative of l by μ."""
    of = parts(case)
    return (2 * of.m.mu_y * of.b - of.a * 2 * of.m.mu_x) / of.b**2


def by_mu(case: Case) -> Tensor:
    """The gradient of the sum of l by μ, from autograd: what mu1.grad is."""
    mu_y = case.window(case.y)

    def luminance(mu):
        return (2 * mu * mu_y + C1) / (mu**2 + mu_y**2 + C1)

    return value_and_gradient(luminance, case.window(case.x))[1]


@claim(
    "1.14",
    "The quotient rule for the luminance by mu1 gives exactly what autograd gives.",
    place="Post 4 (Janusch), the first code and the sentence after it",
    says=IS,
    reading="He was comparing partial gradients, and his variable is named a derivative by mu1; so "
    "it is compared with mu1.grad, and exactly means to rounding. What becomes of it by img1 is "
    "the next claim.",
    concept="gradient",
    expected=HOLDS,
)
def quotient_rule_by_mu():
    """The posted rule against autograd's gradient of the luminance by the local mean: his 4 x 4
    images, ten random pairs and ten pieces of a photograph, both precisions."""
    in_single, in_double = (measured(off(by_mu_as_posted, by_mu), d) for d in (SINGLE, DOUBLE))

    def from_post_1(case):
        of = parts(case)
        return 2 * (of.m.mu_y - of.m.mu_x * (of.a / of.b)) / of.b

    earlier = every(measured(off(from_post_1, by_mu)))
    return Finding(
        trials=within(in_double, 1e-12, "within 1e-12 in float64")
        | within(in_single, 1e-4, "within 1e-4 in float32"),
        figures=spans("relative difference, float64", in_double)
        | spans("relative difference, float32", in_single)
        | {"relative difference of the form in post 1, float64": span(earlier)},
        explanation=f"In float64 the two differ by {span(every(in_double))}, which is rounding. "
        "The form of post 1 is the same derivative with the fraction reduced, and was as right "
        f"({span(earlier)}): the luminance was never at fault by mu1.",
    )


@claim(
    "1.15",
    "With that the luminance part of the derivative is mended.",
    place="Post 4 (Janusch), the sentence before the first code",
    says=IS,
    reading="The part is, by its name in post 1, a derivative by the image. How it is made from "
    "the derivative by mu1 is not posted, so both ways that the thread has are tried: the product "
    "with a gradient of mu1, as in post 1, and the flipped window, as in post 4's next lines.",
    concept="gradient",
    expected=CONDITIONAL,
)
def luminance_mended():
    """Both ways against autograd's gradient of the mean luminance by the image: the 4 x 4 images,
    ten random pairs and ten pieces of a photograph, in float64."""

    def by_product(case):
        return ones_scattered(case.x, case.window) * second_attempt(case)

    def by_flipped_window(case):
        return case.window.adjoint(second_attempt(case), tuple(case.x.shape[-2:]))

    product, flipped, bare = (
        measured(off(by_hand, luminance_gradient))
        for by_hand in (by_product, by_flipped_window, second_attempt)
    )
    return Finding(
        trials={
            "carried to the image by the flipped window: within 1e-12": max(every(flipped)) < 1e-12,
            "multiplied by the gradient of mu1, as in post 1: within 1 %": max(every(product))
            < 0.01,
        },
        figures=spans("relative error, flipped window", flipped)
        | spans("relative error, product", product)
        | spans("relative error, taken for the derivative by the image as it is", bare),
        condition="the derivative by mu1 is carried to the image by the flipped window, and not "
        "multiplied by a gradient of mu1",
        explanation="The last link of the chain decides. Convolved with the flipped window, the "
        f"posted derivative is right {to(every(flipped))}; multiplied as in post 1 it is "
        f"{span(every(product), 100)} % off.",
        right="The derivative by mu1 is right, the flipped window stands in the same post, and one "
        "line joins the two.",
    )


def structure_gradient(case: Case) -> Tensor:
    """What autograd gives for the sum of cs."""

    def total(z):
        of = parts(Case(z, case.y, case.window))
        return of.p / of.q

    return value_and_gradient(total, case.x)[1]


def structure_from_mended_pieces(case: Case) -> Tensor:
    """The last line of post 4 with the right gradients of the sums of p and q in it."""
    of, reach = parts(case), ones_scattered(case.x, case.window)
    back = partial(case.window.adjoint, size=tuple(case.x.shape[-2:]))
    of_p = 2 * (case.y * reach - back(of.m.mu_y))
    of_q = 2 * (case.x * reach - back(of.m.mu_x))
    return (of_p * of.q - of.p * of_q) / of.q**2


@claim(
    "1.16",
    "Something about cs_x still seems to be wrong, and he cannot find what.",
    place="Post 4 (Janusch), the sentence before the second code, and that code",
    says=IS,
    reading="A suspicion and a question, and no claim that the lines are right. Their pieces are "
    "compared with the gradients of the sums of conv(img1 · img2) and of the variance, which is "
    "what their form suggests; two of the quantities in the last line are not posted.",
    concept="gradient",
    expected=HOLDS,
)
def structure_is_wrong():
    """The posted pieces against autograd; then the right pieces in his last line; then the right
    order. The 4 x 4 images, ten random pairs and ten pieces of a photograph, in float64."""

    def product_as_posted(case):
        return attempts.sum_of_products_as_posted(case.x, case.y, case.window)

    def true_product(case):
        return value_and_gradient(lambda z: case.window(z * case.y), case.x)[1]

    def mended_product(case):
        return case.y * ones_scattered(case.x, case.window)

    def variance_as_posted(case):
        return attempts.sum_of_variances_as_posted(case.x, case.window)

    def true_variance(case):
        w = case.window
        return value_and_gradient(lambda z: w(z * z) - w(z) ** 2, case.x)[1]

    def mended_variance(case):
        x, _, w = case
        return 2 * x * ones_scattered(x, w) - 2 * w.adjoint(w(x), tuple(x.shape[-2:]))

    def in_order(case):
        return scattered(case, *structure_by_averages(parts(case)))

    product = every(measured(off(product_as_posted, true_product)))
    variance = every(measured(off(variance_as_posted, true_variance)))
    mended = every(measured(off(mended_product, true_product)))
    mended += every(measured(off(mended_variance, true_variance)))
    last_line = every(measured(off(structure_from_mended_pieces, structure_gradient)))
    right = every(measured(off(in_order, structure_gradient)))
    inside = [
        largest(variance_as_posted(case)[..., 10:-10, 10:-10])
        / largest(true_variance(case)[..., 10:-10, 10:-10])
        for case in cases()[PHOTO]
    ]
    return Finding(
        trials={
            "the piece for conv(img1 · img2) is off by more than 1 %": min(product) > 0.01,
            "the pieces for the variance are off by more than 1 %": min(variance) > 0.01,
            "with both mended, the last line is off by more than 1 %": min(last_line) > 0.01,
        },
        figures={
            "relative error, conv(img1 · img2)": span(product),
            "relative error, variance": span(variance),
            "size of the variance's pieces away from the border, over the true": span(inside),
            "largest relative error of the mended pieces": max(mended),
            "relative error of the last line with mended pieces": span(last_line),
            "largest relative error with the factors inside Wᵀ": max(right),
        },
        explanation="He was right, and it is two things. Factor and convolution have changed "
        "places: img1 times the convolved product stands where img2 times the convolved ones "
        f"belongs ({span(product, 100)} % off), and grad_part1 and grad_part2 convolve the image "
        "and multiply by mu1 where they should multiply by the image and convolve mu1, so that "
        f"they cancel away from the border (what is left is {show(max(inside))} of the true size). "
        f"Mended, the pieces are right {to(mended)}; then his last line, which divides by the map "
        f"after the sums have been taken as in post 6, is still {span(last_line, 100)} % off. With "
        f"the map's factors inside the convolution cs_x is right {to(right)}.",
        right="The quotient rule in his last line is the right one for each pixel of the map, and "
        "the flipped window is the right tool.",
    )


# ------------------------------------------------------------------------------------------------
# Post 5: reading autograd's intermediate gradients


def kept_gradients(keep: Callable[[Tensor], None]) -> list[float]:
    """The gradients of the thread's three tensors, the intermediate ones kept by the function."""
    p = torch.tensor(1.0, requires_grad=True)
    t1 = 2.0 * p
    t2 = 3.0 * t1
    keep(t1)
    keep(t2)
    t2.backward()
    return [t.grad.item() for t in (p, t1, t2) if t.grad is not None]


@claim(
    "1.17",
    "Naming the intermediate tensors and calling retain_grad() on them shows how autograd chains: "
    "6, 3 and 1 in his example.",
    place="Post 5 (K. Frank), sentence 1 and the example",
    says=IS,
    reading="As one way to see autograd's intermediate gradients, which was the question. So it is "
    "tried on the example and on the luminance that the thread is about.",
    concept="autograd",
    expected=HOLDS,
)
def retain_grad():
    """His example; then the mean luminance of the 4 x 4 images, ten random pairs and ten pieces of
    a photograph, with l, a, b and mu1 kept, against the derivatives by hand in float64."""
    example = kept_gradients(torch.Tensor.retain_grad)

    def chain(case):
        x, y, window = case
        x, mu_y = x.clone().requires_grad_(), window(y)
        mu = window(x)
        a, b = 2 * mu * mu_y + C1, mu**2 + mu_y**2 + C1
        luminance = a / b
        for tensor in (mu, a, b, luminance):
            tensor.retain_grad()
        luminance.mean().backward()
        with torch.no_grad():
            n = luminance.numel()
            of_mu = 2 * mu_y * a.grad + 2 * mu * b.grad
            by_hand = (
                (torch.full_like(luminance, 1 / n), luminance),
                (1 / (n * b), a),
                (-a / (n * b**2), b),
                (of_mu, mu),
                (window.adjoint(of_mu, tuple(x.shape[-2:])), x),
            )
            return max(relative_error(hand, tensor.grad) for hand, tensor in by_hand)

    errors = measured(chain)
    return Finding(
        trials={"the example: 6, 3 and 1": example == [6.0, 3.0, 1.0]}
        | within(errors, 1e-12, "every link of the luminance's chain, within 1e-12"),
        figures={"gradients of p, t1 and t2": example}
        | spans("largest relative difference of a link", errors),
        explanation=f"The example gives {show(example)}. On the luminance the five gradients that "
        f"it shows are those of the chain rule, {to(every(errors))}: read backwards, "
        "they say what is multiplied with what, and that Wᵀ comes last.",
    )


@claim(
    "1.18",
    "He assumes that the same can be done from C++.",
    place="Post 5 (K. Frank), the parenthesis at the end",
    says=IS,
    reading="An assumption, marked as one; the poster's code is C++. Tried on the headers that "
    "come with PyTorch, and on the operator that the C++ method calls.",
    concept="autograd",
    expected=HOLDS,
)
def retain_grad_in_cpp():
    """The installed C++ header is searched for the method; the example is run with the operator of
    the C++ dispatcher in place of Python's method."""
    header = files("torch") / "include" / "ATen" / "core" / "TensorBase.h"
    declared = "void retain_grad() const;" in header.read_text(encoding="utf8")
    example = kept_gradients(torch.ops.aten.retain_grad)
    return Finding(
        trials={
            "the method is declared for C++ tensors": declared,
            "the C++ operator keeps the gradients": example == [6.0, 3.0, 1.0],
        },
        figures={"gradients of p, t1 and t2": example, "header": header.name},
        explanation=f"{header.name} declares retain_grad() for tensors in C++, and the operator "
        f"behind it gives {show(example)} too. He assumed right.",
    )


# ------------------------------------------------------------------------------------------------
# Post 6: the third attempt


@claim(
    "1.19",
    "The way back from mu1 to the image is a convolution with the flipped window.",
    place="Post 6 (Janusch), the code, the comment above the flipped window",
    says=IS,
    reading="As in his code: an odd window, zeros around the image, half a window of padding. What "
    "is convolved may be any weights on mu1, as in his next two lines.",
    concept="gradient",
    expected=HOLDS,
)
def flipped_window():
    """Convolution with the flipped window against autograd's way back through the convolution:
    windows of 3, 5 and 11, his and random ones without any symmetry, one and three channels, random
    weights on the map, ten seeds."""
    errors = {"his window": [], "random windows": []}
    for seed in SEEDS:
        for size in (3, 5, 11):
            for channels in (1, 3):
                shape = (channels, 1, size, size)
                x = uniform(1, channels, 16, 19, seed=seed)
                upstream = normal(*x.shape, seed=seed)
                for name, weights in (
                    ("his window", window_of_the_post(size).expand(shape)),
                    ("random windows", uniform(*shape, seed=seed)),
                ):
                    convolve = partial(F.conv2d, padding=size // 2, groups=channels)
                    back = convolve(upstream, weights.flip((2, 3)))
                    true = value_and_gradient(
                        lambda z, w=weights, u=upstream, c=convolve: c(z, w) * u, x
                    )[1]
                    errors[name].append(relative_error(back, true))
    return Finding(
        trials=within(errors, 1e-12, "within 1e-12"),
        figures=spans("relative difference", errors),
        explanation=f"They agree {to(every(errors))}, for windows without symmetry too, "
        "where leaving out the flip would show. It is the adjoint Wᵀ, and all that the gradient of "
        "SSIM needs beside pixelwise factors: he had the tool in his hands.",
    )


def window_of_the_post(size: int) -> Tensor:
    """His window as he makes it: in float32, then cast to float64."""
    steps = torch.arange(size, dtype=SINGLE) - size // 2
    bell = torch.exp(-(steps**2) / (2 * 1.5**2))
    bell = bell / bell.sum()
    return torch.outer(bell, bell).double()[None, None]


@claim(
    "1.20",
    "He went over every step, and up to the quotient rule each agrees with img.grad.",
    place="Post 6 (Janusch), sentences 1 and 2, and the code",
    says=IS,
    reading="Of the three gradients that he makes before the quotient rule, each against img.grad "
    "of the sum of the map that it is named after, with the window as he makes it.",
    concept="autograd",
    expected=HOLDS,
)
def intermediate_gradients():
    """d_mu1, d_mu1_sq and d_mu1_mu2 against autograd of the sums: the 4 x 4 images with the 3 x 3
    window, and ten random pairs and pieces of a photograph with the 11 x 11 window."""
    of = {
        "d_mu1": (lambda mu, mu_y: mu, lambda mu, mu_y: torch.ones_like(mu)),
        "d_mu1_sq": (lambda mu, mu_y: mu**2, lambda mu, mu_y: 2 * mu),
        "d_mu1_mu2": (lambda mu, mu_y: mu * mu_y, lambda mu, mu_y: mu_y),
    }
    errors = {name: [] for name in of}
    for group in cases().values():
        for x, y, window in group:
            weights = window_of_the_post(window.size)
            average = partial(F.conv2d, padding=window.radius)
            mu, mu_y = average(x, weights), average(y, weights)
            for name, (forward, backward) in of.items():
                by_hand = average(backward(mu, mu_y), weights.flip((2, 3)))
                true = value_and_gradient(
                    lambda z, f=forward, a=average, w=weights, m=mu_y: f(a(z, w), m), x
                )[1]
                errors[name].append(relative_error(by_hand, true))
    return Finding(
        trials=within(errors, 1e-12, "within 1e-12"),
        figures=spans("relative difference", errors),
        explanation=f"All three are right {to(every(errors))}, on his images and on 20 "
        "others. They are gradients of sums over the map, which is what the next step would have "
        "to take into account.",
    )


def of_the_sums(case: Case) -> tuple[Tensor, Tensor]:
    """d_a and d_b of post 6."""
    mu_x, mu_y = case.window(case.x), case.window(case.y)
    size = tuple(case.x.shape[-2:])
    return 2 * case.window.adjoint(mu_y, size), 2 * case.window.adjoint(mu_x, size)


def numerator(case: Case) -> Callable[[Tensor], Tensor]:
    """a of post 6 as a function of the image."""
    mu_y = case.window(case.y)
    return lambda z: 2 * case.window(z) * mu_y + C1


def denominator(case: Case) -> Callable[[Tensor], Tensor]:
    """b of post 6 as a function of the image."""
    mu_y = case.window(case.y)
    return lambda z: case.window(z) ** 2 + mu_y**2 + C1


@claim(
    "1.21",
    "It comes apart at l_px, where the quotient rule is applied, and he doesn't see why.",
    place="Post 6 (Janusch), sentences 3 and 4",
    says=IS,
    reading="A report and a question: what goes into the quotient rule agrees with autograd, and "
    "what comes out does not.",
    concept="gradient",
    expected=HOLDS,
)
def third_attempt_diverges():
    """d_a, d_b and l_px against autograd of the sums of a and b and of the mean of l: his 4 x 4
    images, ten random pairs and ten pieces of a photograph, in float64."""

    def before(case):
        pairs = zip(of_the_sums(case), (numerator(case), denominator(case)), strict=True)
        return max(relative_error(hand, jacobian.gradient_of_sum(f, case.x)) for hand, f in pairs)

    going_in = measured(before)
    coming_out = measured(off(third_attempt, luminance_gradient))
    right = every(measured(off(right_luminance, luminance_gradient)))
    own = cases()[OF_THE_POST][0]
    true, of = luminance_gradient(own), parts(own)
    forgotten = (
        attempts.commutator(1 / of.b, 2 * of.m.mu_y)
        - attempts.commutator(of.a / of.b**2, 2 * of.m.mu_x)
    ) / true.numel()
    error = true - third_attempt(own)
    unexplained = largest(error - forgotten)
    return Finding(
        trials={
            f"{name}: d_a and d_b within 1e-12, l_px off by more than 1 %": max(values) < 1e-12
            and min(coming_out[name]) > 0.01
            for name, values in going_in.items()
        },
        figures=spans("relative difference of d_a and d_b", going_in)
        | spans("relative error of l_px", coming_out)
        | {
            "largest error of l_px, the 4 x 4 images": largest(error),
            "of it not explained by the order of Wᵀ and the factors": unexplained,
            "relative error with the factors inside Wᵀ": max(right),
        },
        explanation=f"He has found the line. d_a and d_b agree {to(every(going_in))}; "
        f"l_px, divided by the number of pixels, is off by {largest(error):.7f} on his images, "
        f"{show(100 * coming_out[OF_THE_POST][0])} % of the gradient. The reason: d_a and d_b have "
        "already been summed over the map, so that b divides the sum and not its terms; Wᵀ(μ)/b "
        f"stands where Wᵀ(μ/b) belongs. That explains the error to {show(unexplained)}, and with "
        f"the factors under the flipped window the gradient is right {to(right)}.",
    )


# ------------------------------------------------------------------------------------------------
# Post 7: gradients and Jacobians


@claim(
    "1.22",
    "The chain rule can accompany the forward pass, step by step, as Jacobian-vector products "
    "whose vectors are no gradients by the input.",
    place="Post 7 (K. Frank), paragraph 3",
    says=IS,
    reading="Forward mode: a direction is given to the image, and every step turns the tangents "
    "that arrive into its own. PyTorch's forward mode is the judge.",
    concept="autograd",
    expected=HOLDS,
)
def forward_mode():
    """The posted quotient rule, with tangents of a and b in place of d_a and d_b, against
    torch.func.jvp in a random direction: the 4 x 4 images, ten random pairs, ten pieces of a
    photograph. On the 4 x 4 images, all 16 directions against the gradient."""

    def tangent(case):
        direction = normal(*case.x.shape, seed=1)
        of, moved = parts(case), case.window(direction)
        da, db = 2 * of.m.mu_y * moved, 2 * of.m.mu_x * moved
        by_hand = (da * of.b - of.a * db) / of.b**2

        def luminance(z):
            return numerator(case)(z) / denominator(case)(z)

        return relative_error(by_hand, jacobian.jvp(luminance, case.x, direction))

    errors = measured(tangent)
    own = cases()[OF_THE_POST][0]

    def mean_luminance(z):
        return attempts.mean_luminance(z, own.y, data_range=1.0)

    basis = torch.eye(16, dtype=DOUBLE).reshape(16, *own.x.shape)
    slopes = torch.stack([jacobian.jvp(mean_luminance, own.x, v) for v in basis])
    error = relative_error(slopes.reshape(own.x.shape), luminance_gradient(own))
    misled = every(measured(off(third_attempt, luminance_gradient)))
    return Finding(
        trials=within(errors, 1e-12, "tangents of a and b: right within 1e-12")
        | {
            f"{OF_THE_POST}, one direction for each pixel: the gradient within 1e-12": error
            < 1e-12,
            "gradients by the image in place of tangents: off by more than 1 %": min(misled) > 0.01,
        },
        figures=spans("relative difference, one direction", errors)
        | {
            "relative difference of the gradient": error,
            "forward passes for it": len(basis),
            "relative error with gradients for tangents": span(misled),
        },
        explanation="With tangents in it the poster's last formula is right "
        f"{to(every(errors))}: a tangent lives on the map, as a and b do. One direction for "
        f"each of {len(basis)} pixels gives autograd's gradient to {show(error)}, in {len(basis)} "
        "forward passes where the backward pass is one.",
    )


@claim(
    "1.23",
    "Strictly, d_mu1 isn't mu1's gradient by img: only a scalar has one, and it is that of "
    "mu1.sum().",
    place="Post 7 (K. Frank), paragraph 4, sentences 2 to 5",
    says=IS,
    reading="d_mu1 as posted should be autograd's gradient of the sum, and autograd should give no "
    "gradient of a map.",
    concept="jacobian",
    expected=HOLDS,
)
def gradient_of_a_sum():
    """d_mu1 against the gradient of the sum, and autograd asked for that of mu1 itself: the 4 x 4
    images, ten random pairs and ten pieces of a photograph."""

    def sums(case):
        return relative_error(
            ones_scattered(case.x, case.window), jacobian.gradient_of_sum(case.window, case.x)
        )

    def answered(case):
        x = case.x.clone().requires_grad_()
        try:
            torch.autograd.grad(case.window(x), x)
        except RuntimeError:
            return 0.0
        return 1.0

    errors, answers = measured(sums), every(measured(answered))
    return Finding(
        trials=within(errors, 1e-12, "equal to the gradient of the sum, within 1e-12")
        | {"asked for the gradient of mu1 itself, autograd refuses": sum(answers) == 0},
        figures=spans("relative difference", errors)
        | {"maps whose gradient autograd gave": sum(answers), "maps": len(answers)},
        explanation=f"It is the gradient of mu1.sum() {to(every(errors))}, and for a map "
        f"autograd refused {len(answers)} times out of {len(answers)}: it asks for a scalar, or "
        "for weights to make one.",
    )


@claim(
    "1.24",
    "The misunderstanding may begin where d_mu1 is taken for the derivative of mu1.",
    place="Post 7 (K. Frank), paragraph 4, sentence 1",
    says=CAN,
    reading="A conjecture about the poster's chain of steps. It is borne out if his rules give "
    "the right result as soon as the derivative of mu1 is its Jacobian and no gradient of a sum.",
    concept="jacobian",
    expected=HOLDS,
)
def where_it_begins():
    """The poster's steps with the Jacobian of mu1 in place of d_mu1, summed over the map at the
    end, against autograd: the 4 x 4 images and ten random pairs of 10 x 10, 3 x 3 window."""
    own = cases()[OF_THE_POST]
    others = [random_pair(10, seed, FORUM_WINDOW) for seed in SEEDS]

    def with_the_jacobian(case):
        of, n = parts(case), case.x.numel()
        of_mu = jacobian.full_jacobian(case.window, case.x).reshape(n, n)
        a, b, mu_x, mu_y = (z.reshape(n, 1) for z in (of.a, of.b, of.m.mu_x, of.m.mu_y))
        da, db = 2 * mu_y * of_mu, 2 * mu_x * of_mu
        rule = (da * b - a * db) / b**2
        return rule.sum(0).reshape(case.x.shape) / n

    errors = {
        name: [off(with_the_jacobian, luminance_gradient)(case) for case in group]
        for name, group in ((OF_THE_POST, own), (RANDOM, others))
    }
    posted = [off(third_attempt, luminance_gradient)(case) for case in own + others]
    return Finding(
        trials=within(errors, 1e-12, "with the Jacobian for d_mu1, within 1e-12"),
        figures=spans("relative error with the Jacobian", errors)
        | {"relative error as posted": span(posted)},
        explanation=f"As posted the steps end {span(posted, 100)} % off. Where the Jacobian of mu1 "
        "is put into the same product, sum and quotient rules, and the rows are added up at the "
        f"end, the result is right {to(every(errors))}. So the conjecture fits: d_mu1 is right as "
        "the gradient of a sum, and what the rules need has been added up in it already.",
    )


@claim(
    "1.25",
    "mu1's Jacobian has shape [1, 4, 4, 1, 4, 4], as a matrix [16, 16]; d_mu1 has only the "
    "gradient's [1, 4, 4].",
    place="Post 7 (K. Frank), paragraph 6",
    says=IS,
    reading="Of the 4 x 4 images of post 6.",
    concept="jacobian",
    expected=HOLDS,
)
def jacobian_shape():
    """The Jacobian of the local mean by reverse and by forward mode, and as a matrix times the
    image."""
    x, _, window = cases()[OF_THE_POST][0]
    rows, columns = (jacobian.full_jacobian(window, x, mode=m) for m in ("reverse", "forward"))
    matrix, d_mu = rows.reshape(16, 16), ones_scattered(x, window)
    error = relative_error(matrix @ x.flatten(), window(x).flatten())
    sums = relative_error(matrix.sum(0), d_mu.flatten())
    return Finding(
        trials={
            "by reverse and by forward mode [1, 4, 4, 1, 4, 4]": tuple(rows.shape)
            == tuple(columns.shape)
            == (1, 4, 4, 1, 4, 4),
            "as a 16 x 16 matrix it is the window: times the image it is mu1, within 1e-12": error
            < 1e-12,
            "d_mu1 has [1, 4, 4]": tuple(d_mu.shape) == (1, 4, 4),
        },
        figures={
            "shape": list(rows.shape),
            "numbers in the Jacobian": rows.numel(),
            "numbers in d_mu1": d_mu.numel(),
            "relative difference of matrix times image and mu1": error,
            "relative difference of the column sums and d_mu1": sums,
        },
        explanation=f"Both modes give {list(rows.shape)}. The matrix is W itself, and times the "
        f"image it is mu1 to {show(error)}. The {d_mu.numel()} numbers of d_mu1 are its column "
        f"sums, to {show(sums)}: {rows.numel()} numbers have become {d_mu.numel()}.",
    )


@claim(
    "1.26",
    "Up to that point d_a and d_b are right, as the gradients of a.sum() and b.sum() by img.",
    place="Post 7 (K. Frank), paragraph 7",
    says=IS,
    reading="As it stands, of the code of post 6.",
    concept="jacobian",
    expected=HOLDS,
)
def gradients_of_both_sums():
    """d_a and d_b against autograd of the two sums: the 4 x 4 images, ten random pairs and ten
    pieces of a photograph, in float64."""
    errors = {}
    for place, (name, function) in enumerate((("d_a", numerator), ("d_b", denominator))):
        errors[name] = every(
            measured(
                lambda case, f=function, i=place: relative_error(
                    of_the_sums(case)[i], jacobian.gradient_of_sum(f(case), case.x)
                )
            )
        )
    return Finding(
        trials=within(errors, 1e-12, "within 1e-12"),
        figures=spans("relative difference", errors),
        explanation=f"Both agree with autograd {to(every(errors))}. The poster had "
        "checked this far, and everything up to here was right.",
    )


@claim(
    "1.27",
    "Gradients d_a and d_b hold too little to give that of l_p.sum(), so they cannot be used for "
    "it.",
    place="Post 7 (K. Frank), paragraph 8, sentence 2, and paragraph 9, sentence 3",
    says=IS,
    reading="Of any rule that is told the values of a and b at the image and the gradients of "
    "their sums, and nothing else about the two functions, as the quotient rule in post 6 is. Who "
    "knows the window too knows more.",
    concept="jacobian",
    expected=HOLDS,
)
def gradients_hold_too_little():
    """b is exchanged for a twin, whose changes happen at the mirrored map pixel: the same values at
    the image and the same gradient of the sum. If the gradient of the sum of a / b is another one,
    no rule can know it. The 4 x 4 images, ten random pairs, ten pieces of a photograph."""

    def twins(case):
        a, b, x = numerator(case), denominator(case), case.x
        at_image = b(x)

        def twin(z):
            return at_image + (b(z) - at_image).flip((-2, -1))

        known, found = [], []
        for function in (b, twin):
            known.append(jacobian.gradient_of_sum(function, x))
            found.append(jacobian.gradient_of_sum(lambda z, f=function: a(z) / f(z), x))
        same = max(relative_error(twin(x), at_image), relative_error(known[1], known[0]))
        return same, relative_error(found[1], found[0])

    pairs = {name: [twins(case) for case in group] for name, group in cases().items()}
    told = {name: [same for same, _ in group] for name, group in pairs.items()}
    asked = {name: [other for _, other in group] for name, group in pairs.items()}
    return Finding(
        trials={
            f"{name}: known the same within 1e-12, answers apart by more than 1 %": max(known)
            < 1e-12
            and min(asked[name]) > 0.01
            for name, known in told.items()
        },
        figures=spans("relative difference of what is known", told)
        | spans("relative difference of the answers", asked),
        explanation="Two functions b whose values and whose gradients of the sum agree "
        f"{to(every(told))} have gradients of the sum of a / b that differ by "
        f"{span(every(asked), 100)} %. A rule that sees only those must give one answer for both, "
        "so it is wrong for one of them at least.",
    )


@claim(
    "1.28",
    "For the forward-pass scheme that he supposes is meant, the Jacobians of a and b are needed.",
    place="Post 7 (K. Frank), paragraph 5, and paragraph 9, sentence 1",
    says=IS,
    reading="Of that scheme: the derivative by the image is carried along from step to step, and "
    "combined by the quotient rule. He does not say that every way to the gradient needs them.",
    concept="jacobian",
    expected=HOLDS,
)
def jacobians_are_needed():
    """The quotient rule with the Jacobians of a and b, and with the gradients of their sums,
    against autograd: the 4 x 4 images and ten random pairs of 10 x 10. Beside it two
    vector-Jacobian products, which go backward."""
    group = cases()[OF_THE_POST] + [random_pair(10, seed, FORUM_WINDOW) for seed in SEEDS]
    with_jacobians, with_sums, backward = [], [], []
    for case in group:
        a, b, n = numerator(case), denominator(case), case.x.numel()
        ja, jb = (jacobian.full_jacobian(f, case.x).reshape(n, n) for f in (a, b))
        at_a, at_b = (f(case.x).reshape(n, 1) for f in (a, b))
        rule = ((ja * at_b - at_a * jb) / at_b**2).sum(0).reshape(case.x.shape) / n
        true = luminance_gradient(case)
        with_jacobians.append(relative_error(rule, true))
        with_sums.append(relative_error(third_attempt(case), true))
        backward.append(relative_error(jacobian.quotient_gradient(a, b, case.x) / n, true))
    image = torch.empty(256, 256, dtype=DOUBLE, device="meta")
    full = jacobian.jacobian_bytes((256, 256), image) / 2**30
    return Finding(
        trials={
            "with the Jacobians in the quotient rule: right within 1e-12": max(with_jacobians)
            < 1e-12,
            "with gradients of sums in their place: off by more than 1 %": min(with_sums) > 0.01,
        },
        figures={
            "relative error with the Jacobians": span(with_jacobians),
            "relative error with gradients of sums": span(with_sums),
            "relative error of two vector-Jacobian products": span(backward),
            "GiB of one Jacobian, 256 x 256 image": full,
        },
        explanation=f"With the Jacobians the quotient rule is right {to(with_jacobians)}, "
        f"with gradients of sums {span(with_sums, 100)} % off. There is another scheme, which he "
        "does not speak of here: going backward, two vector-Jacobian products give the same "
        f"gradient ({to(backward)}) and form no Jacobian, which would take {show(full)} "
        "GiB for an image of 256 x 256 in float64.",
    )


@claim(
    "1.29",
    "At some input, two vector functions can differ in their Jacobians while their sums have equal "
    "gradients.",
    place="Post 7 (K. Frank), paragraph 9, sentence 2",
    says=CAN,
    reading="Of vector functions in general, so one pair is enough; tried on mu1 and on mu1 with "
    "its pixels mirrored. The pair of his script is the next claim.",
    concept="jacobian",
    expected=HOLDS,
)
def same_sums_other_jacobians():
    """mu1 and mu1 mirrored, on the 4 x 4 images and ten random pairs of 10 x 10."""
    group = cases()[OF_THE_POST] + [random_pair(10, seed, FORUM_WINDOW) for seed in SEEDS]
    gradients, jacobians = [], []
    for x, _, window in group:

        def mirrored(z, w=window):
            return w(z).flip((-2, -1))

        gradients.append(
            relative_error(*(jacobian.gradient_of_sum(f, x) for f in (mirrored, window)))
        )
        jacobians.append(
            relative_error(*(jacobian.full_jacobian(f, x) for f in (mirrored, window)))
        )
    return Finding(
        trials={
            "mu1 and mu1 mirrored: gradients of the sums equal within 1e-12, Jacobians another by "
            "more than 1 %": max(gradients) < 1e-12 and min(jacobians) > 0.01
        },
        figures={
            "relative difference of the gradients": span(gradients),
            "relative difference of the Jacobians": span(jacobians),
        },
        explanation="A sum does not know the order of its terms: mu1 and mu1 mirrored have the "
        f"same gradient of the sum ({to(gradients)}), and Jacobians that differ by "
        f"{span(jacobians, 100)} %.",
    )


#: The two functions of the thread's script, and its x.
FA, FB = jacobian.square, jacobian.ramp_times_mean
X5 = torch.arange(5.0)


def points() -> list[Tensor]:
    """The x of the script, and ten random ones."""
    return [X5, *(4 * uniform(5, seed=seed, dtype=SINGLE) for seed in SEEDS)]


def rule_on_gradients(x: Tensor) -> Tensor:
    """The product rule with the gradients of both sums in it."""
    return jacobian.gradient_of_sum(FA, x) * FB(x) + FA(x) * jacobian.gradient_of_sum(FB, x)


def product_gradient(x: Tensor) -> Tensor:
    """What autograd gives for the sum of the product."""
    return value_and_gradient(lambda z: FA(z) * FB(z), x)[1]


@claim(
    "1.30",
    "fa and fb are made so that the gradients of their sums agree at the chosen x.",
    place="Post 7 (K. Frank), the script, its first comment and the first comparison",
    says=IS,
    reading="Of x = (0, 1, 2, 3, 4), within the script's own tolerance; the comment says that it "
    "is for a specific x.",
    concept="jacobian",
    expected=HOLDS,
)
def same_gradients():
    """The gradients of both sums at that x, in float32 as in the script and in float64; beside them
    those at x + 1."""
    at = {str(d).removeprefix("torch."): X5.to(d) for d in (SINGLE, DOUBLE)}
    pairs = {name: [jacobian.gradient_of_sum(f, x) for f in (FA, FB)] for name, x in at.items()}
    elsewhere = [jacobian.gradient_of_sum(f, X5 + 1).tolist() for f in (FA, FB)]
    of_a, of_b = (g.tolist() for g in pairs["float32"])
    return Finding(
        trials={
            f"{name}: equal within 1e-6": torch.allclose(a, b, atol=1e-6)
            for name, (a, b) in pairs.items()
        },
        figures={
            "gradient of the sum of fa": of_a,
            "gradient of the sum of fb": of_b,
            "of fa, at x + 1": elsewhere[0],
            "of fb, at x + 1": elsewhere[1],
        },
        explanation=f"Both are {show(of_a)} there. At x + 1 they are {show(elsewhere[0])} and "
        f"{show(elsewhere[1])}, as one expects of a pair that is made for one x.",
    )


@claim(
    "1.31",
    "At that x the Jacobians of fa and fb are different.",
    place="Post 7 (K. Frank), the script, the second comparison",
    says=IS,
    reading="As it stands, within the script's own tolerance.",
    concept="jacobian",
    expected=HOLDS,
)
def different_jacobians():
    """Both Jacobians at the script's x."""
    ja, jb = (torch.func.jacrev(f)(X5) for f in (FA, FB))
    return Finding(
        trials={"they differ by more than 1e-6": not torch.allclose(ja, jb, atol=1e-6)},
        figures={
            "diagonal of fa's": ja.diagonal().tolist(),
            "entries of fa's that are not zero": ja.count_nonzero().item(),
            "entries of fb's that are not zero": jb.count_nonzero().item(),
            "largest difference": largest(ja - jb),
        },
        explanation=f"That of fa is diagonal, {show(ja.diagonal().tolist())}; that of fb has "
        f"{jb.count_nonzero().item()} entries of {jb.numel()} that are not zero. They differ by up "
        f"to {show(largest(ja - jb))}.",
    )


@claim(
    "1.32",
    "Summing a Jacobian's columns gives the gradient.",
    place="Post 7 (K. Frank), the script, the third and fourth comparison",
    says=IS,
    reading="The gradient of the function's sum, as everywhere in the script. Tried on its two "
    "functions, and on the maps that the thread is about.",
    concept="jacobian",
    expected=HOLDS,
)
def column_sums():
    """fa and fb at the script's x and at ten random ones; the luminance map and the SSIM map of ten
    random pairs of 8 x 8, against autograd."""
    errors = {
        name: [
            largest(torch.func.jacrev(f)(x).sum(0) - jacobian.gradient_of_sum(f, x))
            for x in points()
        ]
        for name, f in (("fa", FA), ("fb", FB))
    }
    errors |= {"the luminance map": [], "the SSIM map": []}
    for seed in SEEDS:
        case = random_pair(8, seed, FORUM_WINDOW)
        maps = {
            "the luminance map": lambda z, c=case: numerator(c)(z) / denominator(c)(z),
            "the SSIM map": lambda z, c=case: naive.one_pass(
                z, c.y, data_range=1.0, window=c.window, reduction="none"
            ),
        }
        for name, function in maps.items():
            summed = jacobian.full_jacobian(function, case.x).sum((0, 1, 2))
            true = value_and_gradient(function, case.x)[1]
            errors[name].append(relative_error(summed, true))
    return Finding(
        trials={
            "fa, at 11 points: within 1e-5": max(errors["fa"]) < 1e-5,
            "fb, at 11 points: within 1e-5": max(errors["fb"]) < 1e-5,
            "the luminance map, ten pairs: within 1e-12": max(errors["the luminance map"]) < 1e-12,
            "the SSIM map, ten pairs: within 1e-12": max(errors["the SSIM map"]) < 1e-12,
        },
        figures=spans("difference", errors),
        explanation=f"They agree {to(errors['fa'] + errors['fb'])} for the two functions in "
        f"float32, and {to(errors['the luminance map'] + errors['the SSIM map'])} for the maps in "
        "float64.",
    )


@claim(
    "1.33",
    "The product rule doesn't work for fa and fb with nothing but gradients.",
    place="Post 7 (K. Frank), the script, the comments at the last comparison but one",
    says=IS,
    reading="As the script tests it: the rule with the gradients of both sums, against autograd's "
    "gradient of the sum of the product.",
    concept="jacobian",
    expected=HOLDS,
)
def product_rule_on_gradients():
    """The rule at the script's x and at ten random ones; beside it the rule for fa times fa."""
    errors = [relative_error(rule_on_gradients(x), product_gradient(x)) for x in points()]
    pixelwise = [
        relative_error(
            2 * jacobian.gradient_of_sum(FA, x) * FA(x),
            value_and_gradient(lambda z: FA(z) * FA(z), x)[1],
        )
        for x in points()
    ]
    return Finding(
        trials={
            "at the script's x: off by more than 1 %": errors[0] > 0.01,
            "at ten random points: off by more than 1 %": min(errors[1:]) > 0.01,
        },
        figures={
            "rule on gradients": rule_on_gradients(X5).tolist(),
            "gradient": product_gradient(X5).tolist(),
            "relative error, random points": span(errors[1:]),
            "relative error of the rule for fa times fa": span(pixelwise),
        },
        explanation=f"The rule gives {show(rule_on_gradients(X5).tolist())} where the gradient is "
        f"{show(product_gradient(X5).tolist())}. It fails because each output of fb depends on "
        "every input. For a product of functions whose outputs depend on one input each, as fa "
        f"times fa, the rule agrees with autograd {to(pixelwise)}.",
    )


@claim(
    "1.34",
    "The two Jacobians, on the other hand, hold what is needed for the gradient of the product.",
    place="Post 7 (K. Frank), the script, the last comment and the last line",
    says=IS,
    reading="The last line should equal autograd's gradient of the sum of the product; the "
    "comparison itself is not in the copy of the thread that was read.",
    concept="jacobian",
    expected=HOLDS,
)
def jacobians_suffice():
    """Each function's values times the other's Jacobian, added, against autograd: at the script's x
    and at ten random ones."""

    def by_jacobians(x):
        return FB(x) @ torch.func.jacrev(FA)(x) + FA(x) @ torch.func.jacrev(FB)(x)

    errors = [relative_error(by_jacobians(x), product_gradient(x)) for x in points()]
    products = [
        relative_error(jacobian.product_gradient(FA, FB, x), product_gradient(x)) for x in points()
    ]
    return Finding(
        trials={
            "at the script's x: within 1e-6": errors[0] < 1e-6,
            "at ten random points: within 1e-6": max(errors[1:]) < 1e-6,
        },
        figures={
            "by Jacobians": by_jacobians(X5).tolist(),
            "largest relative error": max(errors),
            "largest relative error of two vector-Jacobian products": max(products),
        },
        explanation=f"It gives {show(by_jacobians(X5).tolist())}, autograd's gradient to "
        f"{show(max(errors))}. A row vector times a Jacobian, as he writes it, is a "
        "vector-Jacobian product, and one backward pass gives it without the matrix: that way "
        f"agrees with autograd {to(products)}.",
    )
