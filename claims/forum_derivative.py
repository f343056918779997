"""Claims of the forum thread "Analytical SSIM derivative differs from autograd computation"."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ssimlab import attempts, formula, gradient, jacobian, naive, reference
from ssimlab.attempts import FORUM_WINDOW
from ssimlab.window import Window

from .measuring import largest, normal, relative_error, uniform, value_and_gradient
from .registry import Finding, Verdict, claims_of, show

HOLDS, CONDITIONAL, FALSE = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.FALSE
#: The window of the thread's first post: 11 x 11, Gaussian, zeros around the image.
POSTED_WINDOW = Window(size=11, sigma=1.5, padding="zero")

claim = claims_of("forum-derivative")


def mean_ssim_gradient(x, y, window=POSTED_WINDOW):
    """What autograd gives for the mean SSIM, in the dtype of x."""
    return value_and_gradient(lambda z: naive.one_pass(z, y, data_range=1.0, window=window), x)[1]


def first_attempt(x, y, window=POSTED_WINDOW):
    return attempts.pixelwise(x, y, data_range=1.0, window=window)


def luminance_by_autograd():
    """The gradient of mean(l) on the thread's 4 x 4 data, by the image."""
    x, y = attempts.forum_images()
    return value_and_gradient(lambda z: attempts.mean_luminance(z, y, data_range=1.0), x)[1]


def local_mean(x):
    """μ of the thread's example: its 3 x 3 window over the image."""
    return FORUM_WINDOW(x)


@claim(
    "1.1",
    "Hand-made and automatic gradient differ by about 1e-4 at most, fairly consistently.",
    kind="example",
    concept="gradient",
    expected=HOLDS,
)
def discrepancy():
    """The first attempt against autograd on images and noisy copies, over sizes and seeds."""
    worst, relative = {}, {}
    for side in (16, 64, 128):
        for seed in (0, 1):
            x = uniform(1, 1, side, side, seed=seed)
            y = x + 0.1 * normal(1, 1, side, side, seed=seed)
            true, wrong = mean_ssim_gradient(x, y), first_attempt(x, y)
            worst[side, seed] = largest(wrong - true)
            relative[side, seed] = relative_error(wrong, true)
    return Finding(
        trials={
            f"{side} x {side}: 1e-4 within a factor of 3, and seeds within one of 2": 1e-4 / 3
            < worst[side, 0]
            < 3e-4
            and 0.5 < worst[side, 1] / worst[side, 0] < 2
            for side in (64, 128)
        },
        figures={f"largest error, {side} x {side}, seed {s}": v for (side, s), v in worst.items()}
        | {f"relative error, {side} x {side}": relative[side, 0] for side in (16, 64, 128)},
        explanation=f"The error is {show(worst[64, 0])} at 64 x 64 and {show(worst[128, 0])} at "
        f"128 x 128. It looks small because the whole gradient is: a mean over HW pixels has a "
        f"gradient of order 1/HW. Relative to it the error stays at "
        f"{show(100 * relative[64, 0])} % and {show(100 * relative[128, 0])} %.",
    )


@claim(
    "1.2",
    "The posted analytical derivative is accurate.",
    kind="formula",
    concept="gradient",
    expected=FALSE,
)
def first_attempt_is_accurate():
    """The first attempt against autograd, on random images and on the thread's data."""
    x, y = uniform(2, 1, 1, 48, 48, seed=3)
    a, b = attempts.forum_images()
    cases = {
        "random 48 x 48, window 11": (first_attempt(x, y), mean_ssim_gradient(x, y)),
        "the thread's 4 x 4 data, window 3": (
            first_attempt(a, b, FORUM_WINDOW),
            mean_ssim_gradient(a, b, FORUM_WINDOW),
        ),
    }
    error = {name: relative_error(*pair) for name, pair in cases.items()}
    wrong, true = cases["random 48 x 48, window 11"]
    correlation = F.cosine_similarity(wrong.flatten(), true.flatten(), dim=0).item()
    point = Window(size=1, padding="zero")
    off = error["random 48 x 48, window 11"]
    alone = relative_error(first_attempt(x, y, point), mean_ssim_gradient(x, y, point))
    return Finding(
        trials={f"{name}: within 1e-6": value < 1e-6 for name, value in error.items()},
        figures={f"relative error, {name}": value for name, value in error.items()}
        | {"cosine with the true gradient": correlation, "relative error, 1 x 1 window": alone},
        explanation="It is the quotient rule at one pixel, as if a map pixel saw only its own "
        f"image pixel; the adjoint of the window is missing. It is {show(100 * off)} % off on "
        f"random images, close enough in direction (cosine {show(correlation)}) to be mistaken for "
        f"rounding, and right for a 1 x 1 window ({show(alone)}).",
    )


@claim(
    "1.3",
    "For mu1.mean() the hand-made gradient and autograd's are nearly identical.",
    kind="example",
    concept="gradient",
    expected=HOLDS,
)
def gradient_of_mean_of_mu():
    """Wᵀ1 / N against autograd."""
    x, _ = attempts.forum_images()
    by_hand = FORUM_WINDOW.adjoint(torch.ones_like(x), (4, 4)) / x.numel()
    error = largest(by_hand - value_and_gradient(lambda z: FORUM_WINDOW(z).mean(), x)[1])
    return Finding(
        trials={"within 1e-12": error < 1e-12},
        figures={"largest error": error},
        explanation=f"The largest error is {show(error)}. μ is linear in the image, so its "
        "gradient is Wᵀ applied to constant weights, and nothing can be put on the wrong side "
        "of Wᵀ.",
    )


def _luminance_attempt(x, y):
    """The thread's third attempt in the dtype of x, and autograd's answer in the same dtype."""
    true = value_and_gradient(lambda z: attempts.mean_luminance(z, y, data_range=1.0), x)[1]
    posted = attempts.by_gradients_of_sums(x, y, data_range=1.0)
    right = attempts.luminance_gradient(x, y, data_range=1.0)
    return largest(posted - true), largest(right - true)


@claim(
    "1.4",
    "If the discrepancy drops by orders of magnitude in double precision, it is round-off.",
    kind="method",
    concept="autograd",
    expected=HOLDS,
)
def precision_test():
    """The test applied to a wrong formula and to the right one, on the thread's data."""
    x, y = attempts.forum_images()
    wrong32, right32 = _luminance_attempt(x.float(), y.float())
    wrong64, right64 = _luminance_attempt(x, y)
    return Finding(
        trials={
            "the wrong formula's error stays": 0.99 < wrong32 / wrong64 < 1.01,
            "the right formula's error drops a thousandfold": right32 > 1e3 * right64,
        },
        figures={
            "wrong formula, float32": wrong32,
            "wrong formula, float64": wrong64,
            "right formula, float32": right32,
            "right formula, float64": right64,
        },
        explanation=f"The wrong formula is off by {show(wrong32)} in float32 and {show(wrong64)} "
        f"in float64; the right one by {show(right32)} and {show(right64)}. The test tells a "
        "mistake from rounding.",
    )


@claim(
    "1.5",
    "With the quotient rule by mu1, the luminance part is fixed and identical to autograd.",
    kind="formula",
    concept="gradient",
    expected=CONDITIONAL,
)
def second_attempt():
    """The second attempt against the gradient by μ and against the gradient by the image."""
    x, y = attempts.forum_images()
    posted = attempts.by_local_mean(x, y, data_range=1.0)
    c1, mu_y = formula.constants(1.0).c1, FORUM_WINDOW(y)
    by_mu = value_and_gradient(
        lambda mu: ((2 * mu * mu_y + c1) / (mu**2 + mu_y**2 + c1)).mean(), FORUM_WINDOW(x)
    )[1]
    by_image = luminance_by_autograd()
    finished = FORUM_WINDOW.adjoint(posted, (4, 4))
    errors = {
        "against the gradient by mu1": relative_error(posted, by_mu),
        "against the gradient by the image": relative_error(posted, by_image),
    }
    adjoint = relative_error(finished, by_image)
    return Finding(
        trials={f"{name}, within 1e-12": error < 1e-12 for name, error in errors.items()},
        figures={f"relative error, {name}": error for name, error in errors.items()}
        | {"relative error after applying Wᵀ": adjoint},
        condition="it is compared with mu1.grad, not with img1.grad",
        explanation="The quotient rule by μ is right for μ "
        f"({show(errors['against the gradient by mu1'])}) and off by "
        f"{show(100 * errors['against the gradient by the image'])} % for the image. The last "
        f"link is missing: apply Wᵀ, and the error is {show(adjoint)}.",
    )


@claim(
    "1.6",
    "grad_direct, grad_part1 and grad_part2 are the derivatives of covariance and variance.",
    kind="formula",
    concept="gradient",
    expected=FALSE,
)
def posted_pieces():
    """The thread's pieces against autograd of ΣW(xy) and of Σσx²."""
    x, y = uniform(2, 1, 16, 16, seed=5)
    size = (16, 16)
    ones = FORUM_WINDOW.adjoint(torch.ones_like(x), size)
    true_product = value_and_gradient(lambda z: FORUM_WINDOW(z * y), x)[1]
    true_variance = value_and_gradient(lambda z: FORUM_WINDOW(z * z) - FORUM_WINDOW(z) ** 2, x)[1]
    posted = {
        "covariance part": relative_error(attempts.sum_of_products_as_posted(x, y), true_product),
        "variance part": relative_error(attempts.sum_of_variances_as_posted(x), true_variance),
    }
    right = {
        "covariance part": relative_error(y * ones, true_product),
        "variance part": relative_error(
            2 * x * ones - FORUM_WINDOW.adjoint(2 * FORUM_WINDOW(x), size), true_variance
        ),
    }
    return Finding(
        trials={f"{name}, within 1e-12": error < 1e-12 for name, error in posted.items()},
        figures={f"relative error as posted, {name}": error for name, error in posted.items()}
        | {f"relative error, right, {name}": error for name, error in right.items()},
        explanation="Factor and adjoint have changed places: x ⊙ Wᵀ(xy) stands for y ⊙ Wᵀ1 "
        f"({show(100 * posted['covariance part'])} % off), and 2 Wᵀx - 2 μ ⊙ Wᵀ1 for "
        f"2 x ⊙ Wᵀ1 - 2 Wᵀμ ({show(100 * posted['variance part'])} % off). The right ones agree "
        f"with autograd to {show(max(right.values()))}.",
    )


@claim(
    "1.7",
    "Dividing by img1.size(1) * img1.size(2) makes the gradient that of the mean.",
    kind="formula",
    concept="gradient",
    expected=CONDITIONAL,
)
def divisor_of_the_mean():
    """The divisor against the number of elements, for the shapes that an image comes in."""
    shapes = {"(1, 8, 8)": (1, 8, 8), "(3, 8, 8)": (3, 8, 8), "(1, 3, 8, 8)": (1, 3, 8, 8)}
    ratio = {}
    for name, shape in shapes.items():
        image = torch.zeros(shape)
        ratio[name] = image.numel() / (image.size(1) * image.size(2))
    return Finding(
        trials={name: value == 1 for name, value in ratio.items()},
        figures={f"elements / divisor, {name}": value for name, value in ratio.items()},
        condition="the image is (1, H, W): one channel and no batch dimension",
        explanation="The mean divides by every element. With three channels the gradient is "
        f"{show(ratio['(3, 8, 8)'])} times too large, and with a batch dimension "
        f"{show(ratio['(1, 3, 8, 8)'])} times.",
    )


@claim(
    "1.8",
    "Each intermediate gradient (d_mu1, d_mu1_sq, d_mu1_mu2) was verified against autograd.",
    kind="example",
    concept="autograd",
    expected=HOLDS,
)
def intermediate_gradients():
    """The thread's three intermediate gradients against autograd of the sums."""
    x, y = attempts.forum_images()
    mu_x, mu_y = FORUM_WINDOW(x), FORUM_WINDOW(y)
    by_hand = {
        "d_mu1": FORUM_WINDOW.adjoint(torch.ones_like(mu_x), (4, 4)),
        "d_mu1_sq": FORUM_WINDOW.adjoint(2 * mu_x, (4, 4)),
        "d_mu1_mu2": FORUM_WINDOW.adjoint(mu_y, (4, 4)),
    }
    of = {
        "d_mu1": lambda z: FORUM_WINDOW(z),
        "d_mu1_sq": lambda z: FORUM_WINDOW(z) ** 2,
        "d_mu1_mu2": lambda z: FORUM_WINDOW(z) * mu_y,
    }
    errors = {
        name: largest(by_hand[name] - value_and_gradient(fn, x)[1]) for name, fn in of.items()
    }
    return Finding(
        trials={f"{name}, within 1e-12": error < 1e-12 for name, error in errors.items()},
        figures={f"largest error, {name}": error for name, error in errors.items()},
        explanation="All three are right to rounding (largest error "
        f"{show(max(errors.values()))}), as gradients of sums. That is what they are, and what "
        "the next step forgets.",
    )


@claim(
    "1.9",
    "The quotient rule (d_a b - a d_b) / b² gives the gradient of the mean luminance.",
    kind="formula",
    concept="gradient",
    expected=FALSE,
)
def third_attempt():
    """The third attempt on the thread's data, its error, and the commutator that it is."""
    x, y = attempts.forum_images()
    true = luminance_by_autograd()
    posted = attempts.by_gradients_of_sums(x, y, data_range=1.0)
    right = attempts.luminance_gradient(x, y, data_range=1.0)
    m, c = formula.rearranged_moments(x, y, FORUM_WINDOW), formula.constants(1.0)
    a, b = 2 * m.mu_x * m.mu_y + c.c1, m.mu_x**2 + m.mu_y**2 + c.c1
    forgotten = (
        attempts.commutator(1 / b, 2 * m.mu_y) - attempts.commutator(a / b**2, 2 * m.mu_x)
    ) / x.numel()
    error = largest(posted - true)
    explained = largest((true - posted) - forgotten)
    return Finding(
        trials={"the thread's 4 x 4 data, within 1e-6": error < 1e-6},
        figures={
            "largest error": error,
            "relative error": relative_error(posted, true),
            "largest error of the right formula": largest(right - true),
            "error not explained by the commutator": explained,
        },
        explanation=f"It is off by {error:.7f}, {show(100 * relative_error(posted, true))} % of "
        "the gradient. d_a and d_b have already been summed over the map, so dividing by b "
        "weights the sum instead of its terms. The error is Wᵀ's commutator with 1/b and a/b² to "
        f"{show(explained)}; with Wᵀ outside the formula is right to "
        f"{show(largest(right - true))}.",
    )


@claim(
    "1.10",
    "Autograd may be what computes the gradient of SSIM differently.",
    kind="cause",
    concept="autograd",
    expected=FALSE,
)
def autograd_is_wrong():
    """Autograd against the closed form and against finite differences, in three paddings."""
    error, checked = {}, {}
    for padding in ("valid", "reflect", "zero"):
        window = Window(size=3, sigma=1.5, padding=padding)
        x, y = uniform(2, 2, 3, 9, 12, seed=4)
        by_hand = gradient.ssim_gradient(x, y, data_range=1.0, window=window)
        error[padding] = relative_error(by_hand, mean_ssim_gradient(x, y, window))
        small, other = (z[:1, :1, :7, :6].clone().requires_grad_() for z in (x, y))
        checked[padding] = torch.autograd.gradcheck(
            lambda a, b, w=window: reference.ssim(a, b, data_range=1.0, window=w),
            (small, other),
            raise_exception=False,
            fast_mode=True,
        )
    return Finding(
        trials={
            f"{padding}: differs from the closed form or from finite differences": error[padding]
            > 1e-10
            or not checked[padding]
            for padding in error
        },
        figures={f"relative difference, {padding}": value for padding, value in error.items()}
        | {f"gradcheck passes, {padding}": value for padding, value in checked.items()},
        explanation="Autograd agrees with the closed form to "
        f"{show(max(error.values()))} and with finite differences in every padding. The "
        "derivation was wrong, not autograd.",
    )


@claim(
    "1.11",
    "d_mu1 is not the gradient of mu1, but of mu1.sum().",
    kind="formula",
    concept="jacobian",
    expected=HOLDS,
)
def gradient_of_a_sum():
    """d_mu1 against the gradient of the sum, and beside the Jacobian."""
    x, _ = attempts.forum_images()
    d_mu = FORUM_WINDOW.adjoint(torch.ones_like(x), (4, 4))
    of_sum = jacobian.gradient_of_sum(local_mean, x)
    full = jacobian.full_jacobian(local_mean, x)
    error = largest(d_mu - of_sum)
    return Finding(
        trials={
            "equal to the gradient of the sum, to 1e-12": error < 1e-12,
            "a sixteenth of the Jacobian's numbers": d_mu.numel() * 16 == full.numel(),
        },
        figures={"largest error": error, "numbers": d_mu.numel(), "in the Jacobian": full.numel()},
        explanation=f"It equals the gradient of mu1.sum() to {show(error)}. Its {d_mu.numel()} "
        f"numbers are the column sums of the {full.numel()} of the Jacobian.",
    )


@claim(
    "1.12",
    "The Jacobian of mu1 has shape [1, 4, 4, 1, 4, 4], or 16 x 16 as a matrix.",
    kind="formula",
    concept="jacobian",
    expected=HOLDS,
)
def jacobian_shape():
    """torch.func.jacrev and jacfwd of the local mean."""
    x, _ = attempts.forum_images()
    rows = jacobian.full_jacobian(local_mean, x)
    columns = jacobian.full_jacobian(local_mean, x, mode="forward")
    matrix = rows.reshape(x.numel(), -1)
    error = largest(matrix @ x.flatten() - FORUM_WINDOW(x).flatten())
    return Finding(
        trials={
            "shape by reverse mode": tuple(rows.shape) == (1, 4, 4, 1, 4, 4),
            "shape by forward mode": tuple(columns.shape) == (1, 4, 4, 1, 4, 4),
            "as a matrix it is W": tuple(matrix.shape) == (16, 16) and error < 1e-12,
        },
        figures={
            "shape": list(rows.shape),
            "largest difference of the two modes": largest(rows - columns),
            "largest error of matrix times image": error,
        },
        explanation=f"Both modes give {list(rows.shape)}; as a 16 x 16 matrix it is W itself, "
        f"which times the image is mu1 to {show(error)}.",
    )


X5 = torch.arange(5.0)
FA, FB = jacobian.square, jacobian.ramp_times_mean


@claim(
    "1.13",
    "The gradients of two functions do not contain enough to give that of their product.",
    kind="formula",
    concept="jacobian",
    expected=HOLDS,
)
def product_rule_on_gradients():
    """The product rule with gradients of sums against autograd, at x = (0, 1, 2, 3, 4)."""
    wrong = jacobian.gradient_of_sum(FA, X5) * FB(X5) + FA(X5) * jacobian.gradient_of_sum(FB, X5)
    true = value_and_gradient(lambda x: FA(x) * FB(x), X5)[1]
    swapped = value_and_gradient(lambda x: FA(x) * FA(x), X5)[1]
    return Finding(
        trials={
            "the product rule on gradients is wrong": not torch.allclose(wrong, true, atol=1e-6),
            "equal gradients, other values: other product gradients": not torch.allclose(
                true, swapped
            ),
        },
        figures={"product rule on gradients": wrong.tolist(), "gradient": true.tolist()},
        explanation=f"The product rule on gradients gives {show(wrong.tolist())}, where the "
        f"gradient is {show(true.tolist())}.",
    )


@claim(
    "1.14",
    "fa and fb, chosen for it, have the same gradients at x = arange(5).",
    kind="example",
    concept="jacobian",
    expected=HOLDS,
)
def same_gradients():
    """The gradients of both sums at that point, and at another."""
    ga, gb = (jacobian.gradient_of_sum(f, X5) for f in (FA, FB))
    elsewhere = [jacobian.gradient_of_sum(f, X5 + 1).tolist() for f in (FA, FB)]
    return Finding(
        trials={"equal at arange(5), to 1e-6": torch.allclose(ga, gb, atol=1e-6)},
        figures={
            "gradient of fa": ga.tolist(),
            "gradient of fb": gb.tolist(),
            "fa at arange(5) + 1": elsewhere[0],
            "fb at arange(5) + 1": elsewhere[1],
        },
        explanation=f"Both are {show(ga.tolist())}, at this point only: one further it is "
        f"{show(elsewhere[0])} and {show(elsewhere[1])}.",
    )


@claim(
    "1.15",
    "fa and fb have different Jacobians there.",
    kind="example",
    concept="jacobian",
    expected=HOLDS,
)
def different_jacobians():
    """Both Jacobians at arange(5)."""
    ja, jb = (jacobian.full_jacobian(f, X5) for f in (FA, FB))
    return Finding(
        trials={"they differ": not torch.allclose(ja, jb, atol=1e-6)},
        figures={
            "diagonal of fa's": ja.diagonal().tolist(),
            "non-zeros of fa's": ja.count_nonzero().item(),
            "non-zeros of fb's": jb.count_nonzero().item(),
            "largest difference": largest(ja - jb),
        },
        explanation=f"fa's is diagonal, {show(ja.diagonal().tolist())}; fb's is dense, "
        f"{jb.count_nonzero().item()} of 25 entries, and differs by up to "
        f"{show(largest(ja - jb))}.",
    )


@claim(
    "1.16",
    "The gradient of the sum is the column sum of the Jacobian.",
    kind="formula",
    concept="jacobian",
    expected=HOLDS,
)
def column_sums():
    """Column sums against gradients, for fa, fb and the SSIM map."""
    error = {
        name: largest(jacobian.full_jacobian(f, X5).sum(0) - jacobian.gradient_of_sum(f, X5))
        for name, f in (("fa", FA), ("fb", FB))
    }
    x, y = uniform(2, 8, 8, seed=6)
    window = Window(size=3)
    full = jacobian.ssim_map_jacobian(x, y, data_range=1.0, window=window)
    direct = gradient.ssim_gradient(x, y, data_range=1.0, window=window, upstream=1.0)
    error["the SSIM map"] = largest(full.sum((0, 1)) - direct)
    return Finding(
        trials={f"{name}, to 1e-6": value < 1e-6 for name, value in error.items()},
        figures={f"largest difference, {name}": value for name, value in error.items()},
        explanation=f"They agree to {show(max(error.values()))}, for the SSIM map too.",
    )


@claim(
    "1.17",
    "The Jacobians do contain enough: fb @ jfa + fa @ jfb is the gradient.",
    kind="formula",
    concept="jacobian",
    expected=HOLDS,
)
def jacobians_suffice():
    """The thread's last line against autograd."""
    by_jacobians = FB(X5) @ jacobian.full_jacobian(FA, X5) + FA(X5) @ jacobian.full_jacobian(FB, X5)
    true = value_and_gradient(lambda x: FA(x) * FB(x), X5)[1]
    error = largest(by_jacobians - true)
    return Finding(
        trials={"equal to autograd's": torch.allclose(by_jacobians, true, atol=1e-6)},
        figures={"by Jacobians": by_jacobians.tolist(), "largest error": error},
        explanation=f"It gives {show(by_jacobians.tolist())}, autograd's gradient to "
        f"{show(error)}.",
    )


@claim(
    "1.18",
    "To apply the product or quotient rule, you need the Jacobians.",
    kind="method",
    concept="jacobian",
    expected=CONDITIONAL,
)
def jacobians_are_needed():
    """Two vector-Jacobian products against the gradient, without any Jacobian."""
    true = value_and_gradient(lambda x: FA(x) * FB(x), X5)[1]
    product = jacobian.product_gradient(FA, FB, X5)
    on_gradients = jacobian.gradient_of_sum(FA, X5) * FB(X5) + FA(X5) * jacobian.gradient_of_sum(
        FB, X5
    )
    image = torch.zeros(256, 256)
    full = jacobian.jacobian_bytes((256, 256), image)
    return Finding(
        trials={
            "gradients of the sums do not suffice": not torch.allclose(on_gradients, true),
            "nothing less than Jacobians suffices": not torch.allclose(product, true, atol=1e-5),
        },
        figures={
            "largest error of two vector-Jacobian products": largest(product - true),
            "largest error of the product rule on gradients": largest(on_gradients - true),
            "bytes of one Jacobian, 256 x 256 image": full,
        },
        condition="the alternative is gradients of sums: products of the Jacobians with one "
        "vector each are enough",
        explanation="Each Jacobian is multiplied by a vector at once, and one reverse pass gives "
        f"that product: two of them agree with autograd to {show(largest(product - true))}. The "
        f"Jacobian itself would take {show(full / 2**30)} GiB for a 256 x 256 image.",
    )


@claim(
    "1.19",
    "The demonstration script shows what it says (its printed verdicts are lost).",
    kind="example",
    concept="jacobian",
    expected=HOLDS,
)
def repaired_demonstration():
    """The script with its lost lines restored: six comparisons."""
    x = torch.arange(5.0, requires_grad=True)
    gfa, gfb = (torch.func.grad(lambda z, f=f: f(z).sum()) for f in (FA, FB))
    jfa, jfb = torch.func.jacrev(FA), torch.func.jacrev(FB)
    (FA(x) * FB(x)).sum().backward()
    grad, x = x.grad, x.detach()

    def same(a, b):
        return torch.allclose(a, b, atol=1e-6)

    printed = {
        "do gradients match?": same(gfa(x), gfb(x)),
        "do jacobians match?": same(jfa(x), jfb(x)),
        "do fa gradient and jacobian-sum match?": same(gfa(x), jfa(x).sum(0)),
        "do fb gradient and jacobian-sum match?": same(gfb(x), jfb(x).sum(0)),
        "does d_fa_fb = grad?": same(gfa(x) * FB(x) + FA(x) * gfb(x), grad),
        "does grad_fa_fb_sum = grad?": same(FB(x) @ jfa(x) + FA(x) @ jfb(x), grad),
    }
    meant = (True, False, True, True, False, True)
    return Finding(
        trials={
            f"{question} {answer}": came == answer
            for (question, came), answer in zip(printed.items(), meant, strict=True)
        },
        figures=printed,
        explanation="With the two gradient functions, requires_grad and the missing prints "
        f"restored it prints {', '.join(map(str, printed.values()))}: as the text says.",
    )


@claim(
    "1.20",
    "retain_grad() on intermediate tensors shows the gradients: 6, 3 and 1.",
    kind="method",
    concept="autograd",
    expected=HOLDS,
)
def retain_grad():
    """The thread's three tensors, with retain_grad and without."""

    def run(keep):
        p = torch.tensor(1.0, requires_grad=True)
        t1 = 2.0 * p
        t2 = 3.0 * t1
        if keep:
            t1.retain_grad()
            t2.retain_grad()
        t2.backward()
        # .grad of an intermediate tensor that does not retain it warns and is None.
        kept = [t.grad if t.retains_grad or t.is_leaf else None for t in (p, t1, t2)]
        return [None if gradient is None else gradient.item() for gradient in kept]

    kept, lost = run(True), run(False)
    return Finding(
        trials={"p, t1 and t2 have 6, 3 and 1": kept == [6.0, 3.0, 1.0]},
        figures={"with retain_grad": kept, "without": lost},
        explanation=f"With retain_grad the three are {show(kept)}; without it autograd keeps only "
        f"the leaf's, {show(lost)}.",
    )


@claim(
    "1.21",
    "A window built in float32 and cast to float64 will do for float64 work.",
    kind="method",
    concept="stable",
    expected=CONDITIONAL,
)
def window_made_in_float32():
    """The thread's window: the sum of its weights, its gradient, its variance at an offset."""
    bell = torch.tensor([math.exp(-((i - 1) ** 2) / (2 * 1.5**2)) for i in range(3)])
    bell = bell / bell.sum()
    posted = torch.outer(bell, bell).double()[None, None]
    exact = FORUM_WINDOW.weights()[None, None]
    excess = posted.sum().item() - 1
    x, y = (image[None] for image in attempts.forum_images())
    c1 = formula.constants(1.0).c1

    def mean_luminance(image, weights):
        mu_x, mu_y = (F.conv2d(z, weights, padding=1) for z in (image, y))
        return ((2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)).mean()

    gradients = [
        value_and_gradient(lambda z, w=w: mean_luminance(z, w), x)[1] for w in (posted, exact)
    ]
    bright = 1000 + 0.05 * normal(1, 1, 12, 12)

    def variance(weights):
        return F.conv2d(bright**2, weights) - F.conv2d(bright, weights) ** 2

    off = relative_error(*gradients)
    biased = largest(variance(posted) - variance(exact))
    return Finding(
        trials={
            "gradients on the thread's data, to 1e-6": off < 1e-6,
            "variance at an offset of 1000, to 1e-6": biased < 1e-6,
        },
        figures={
            "sum of the weights - 1": excess,
            "relative error of the gradient": off,
            "error of the variance at 1000": biased,
            "its true size": 0.05**2,
        },
        condition="the pixels are of order 1: E[x²] - μ² multiplies the error of the sum by μ²",
        explanation=f"The weights sum to 1 + {show(excess)}. That changes the gradient by "
        f"{show(off)}, but E[x²] - μ² at an offset of 1000 by {show(biased)}, where the variance "
        f"is {show(0.05**2)}: float64 is not enough if the window is not.",
    )


@claim(
    "1.22",
    "For the L1 loss too, hand-made and automatic gradient agree.",
    kind="example",
    concept="gradient",
    expected=HOLDS,
)
def l1_gradient():
    """sign(x - y) / N against autograd."""
    x, y = uniform(2, 1, 16, 16, seed=7)
    by_hand = (x - y).sign() / x.numel()
    error = largest(by_hand - value_and_gradient(lambda z: F.l1_loss(z, y), x)[1])
    return Finding(
        trials={"within 1e-12": error < 1e-12},
        figures={"largest error": error},
        explanation=f"They agree to {show(error)}. L1 has no window: each pixel of the loss sees "
        "one pixel of the image, so there is no adjoint to forget.",
    )


@claim(
    "1.23",
    "Rearranging the computation leaves the error roughly the same.",
    kind="method",
    concept="autograd",
    expected=HOLDS,
)
def rearranging():
    """The first attempt in another arrangement: does the error change?"""
    x, y = uniform(2, 1, 48, 48, seed=8)
    true = mean_ssim_gradient(x, y)
    m, c = formula.moments(x, y, POSTED_WINDOW), formula.constants(1.0)
    ones = POSTED_WINDOW.adjoint(torch.ones_like(x), (48, 48))
    a, b = 2 * m.mu_x * m.mu_y + c.c1, m.mu_x**2 + m.mu_y**2 + c.c1
    p, q = 2 * m.sigma_xy + c.c2, m.sigma_x2 + m.sigma_y2 + c.c2
    # The quotient rule on the one fraction ap / bq, still pixel by pixel.
    da, db = 2 * m.mu_y * ones, 2 * m.mu_x * ones
    dp, dq = 2 * (y - m.mu_y) * ones, 2 * (x - m.mu_x) * ones
    rearranged = ((da * p + a * dp) * b * q - a * p * (db * q + b * dq)) / (b * q) ** 2 / x.numel()
    errors = [largest(g - true) for g in (first_attempt(x, y), rearranged)]
    return Finding(
        trials={"the two errors agree to 1 %": abs(errors[1] / errors[0] - 1) < 0.01},
        figures={"error as posted": errors[0], "error rearranged": errors[1]},
        explanation=f"{show(errors[0])} as posted and {show(errors[1])} as one fraction: equal in "
        "exact arithmetic, so both carry the same mistake. An error that no rearrangement moves "
        "is not rounding.",
    )


@claim(
    "1.24",
    "In multi-step computations, round-off can accumulate or even be amplified.",
    kind="cause",
    concept="floats",
    expected=HOLDS,
)
def amplified_round_off():
    """The rounding of 20 pixelwise steps, and of E[x²] - μ² at growing offsets."""
    texture = 0.1 * normal(1, 24, 24, seed=9)
    eps = torch.finfo(torch.float32).eps
    amplified = {}
    for offset in (0.0, 10.0, 1000.0):
        x = (offset + texture).float()
        computed = formula.rearranged_moments(x, x, Window()).sigma_x2
        true = formula.moments(x.double(), x.double(), Window()).sigma_x2
        amplified[offset] = relative_error(computed, true) / eps
    start = uniform(1000, dtype=torch.float32) + 1
    single, double = start, start.double()
    for _ in range(20):
        single, double = (single * 1.1) / 1.3 + 0.2, (double * 1.1) / 1.3 + 0.2
    accumulated = relative_error(single, double) / eps
    return Finding(
        trials={
            "accumulated: 60 operations, beyond half an epsilon": accumulated > 0.5,
            "amplified: E[x²] - μ² at an offset of 1000": amplified[1000.0] > 1000,
        },
        figures={f"error / epsilon, offset {show(k)}": v for k, v in amplified.items()}
        | {"error / epsilon, 60 pixelwise operations": accumulated},
        explanation="Sixty pixelwise operations leave an error of "
        f"{show(accumulated)} epsilon. One subtraction, E[x²] - μ², leaves "
        f"{show(amplified[0.0])} without an offset, {show(amplified[10.0])} at 10 and "
        f"{show(amplified[1000.0])} at 1000. The general remark is right; this thread's "
        "discrepancy is something else.",
    )


@claim(
    "1.25",
    "Repeating autograd's computation exactly by hand gives identical gradients.",
    kind="method",
    concept="autograd",
    expected=CONDITIONAL,
)
def identical_gradients():
    """Bit for bit: the same graph twice; the right formula in another order."""
    x, y = uniform(2, 1, 24, 24, seed=10)
    first, second = mean_ssim_gradient(x, y), mean_ssim_gradient(x, y)
    closed = gradient.ssim_gradient(x, y, data_range=1.0, window=POSTED_WINDOW)
    equal = (closed == first).double().mean().item()
    return Finding(
        trials={
            "the same operations in the same order, bit for bit": torch.equal(first, second),
            "the closed form, bit for bit": torch.equal(closed, first),
        },
        figures={
            "entries of the closed form equal to the last bit": equal,
            "relative difference of the closed form": relative_error(closed, first),
        },
        condition="the operations and their order are the same; a right formula in another order "
        "agrees to rounding",
        explanation="The same operations give the same bits. The closed form, as right as "
        f"autograd, has {show(100 * equal)} % of its entries equal to the last bit and differs by "
        f"{show(relative_error(closed, first))}: ask for agreement to rounding, not identity.",
    )


@claim(
    "1.26",
    "The chain rule by hand moves forward by Jacobian-vector products, not gradients.",
    kind="method",
    concept="autograd",
    expected=HOLDS,
)
def forward_mode():
    """The gradient of mean(l), one Jacobian-vector product for each pixel."""
    x, y = attempts.forum_images()

    def fn(z):
        return attempts.mean_luminance(z, y, data_range=1.0)

    basis = torch.eye(16, dtype=x.dtype).reshape(16, *x.shape)
    forward = torch.stack([jacobian.jvp(fn, x, direction) for direction in basis]).reshape(x.shape)
    error = largest(forward - luminance_by_autograd())
    return Finding(
        trials={"16 forward passes give the gradient, to 1e-12": error < 1e-12},
        figures={"largest error": error, "forward passes": len(basis), "reverse passes": 1},
        explanation=f"One forward pass for each of {len(basis)} pixels gives autograd's gradient "
        f"to {show(error)}, in {len(basis)} passes where reverse mode needs one.",
    )
