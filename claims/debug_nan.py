"""Claims of the article "How can I debug NaN loss … when implementing a custom loss function?"."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ssimlab.lab import pitfalls, remedies, timing

from .measuring import largest, nans, nonfinite, normal, peer, uniform, value_and_gradient
from .registry import Finding, Says, Verdict, claims_of, show

CONDITIONAL, FALSE, HOLDS = Verdict.CONDITIONAL, Verdict.FALSE, Verdict.HOLDS
UNSEEN = Verdict.UNSEEN
CAN, IS = Says.CAN, Says.IS
INF = math.inf

claim = claims_of("article-debug-nan")

Loss = Callable[[Tensor, Tensor], Tensor]

#: The article's own first: what torch takes where no dtype is named.
DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}

#: How many seeds are tried where chance plays a part.
RUNS = 10

#: In the article's code.
EPSILON = 1e-8


# ------------------------------------------------------------------------------------------------
# The article's examples


def article_probabilities(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """The article's predicted probabilities and target labels."""
    predicted = torch.tensor([[0.0, 1.0], [0.0001, 0.9999]], dtype=dtype)
    return predicted, torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=dtype)


def article_hinge() -> tuple[Tensor, Tensor]:
    """The article's predictions and targets for the hinge."""
    return torch.tensor([10.0, -20.0]), torch.tensor([1.0, -1.0])


def clamped(epsilon: float) -> Loss:
    """The article's improved log-probability loss."""
    return lambda p, t: pitfalls.clamped_log_prob_loss(p, t, epsilon=epsilon)


def epsilon_added(epsilon: float) -> Loss:
    """The other remedy that it names: ε added to what the logarithm is taken of."""
    return lambda p, t: -(t * torch.log(p + epsilon) + (1 - t) * torch.log(1 - p + epsilon)).mean()


def hinge_by_relu(predicted: Tensor, target: Tensor) -> Tensor:
    """The article's improved hinge: unlike ``pitfalls.hinge`` it adds up before it divides."""
    return F.relu(1.0 - target * predicted).mean()


HINGES = {"max": pitfalls.hinge_by_max, "relu": hinge_by_relu}


def of_the_example(loss_of: Loss, dtype: torch.dtype = torch.float32) -> tuple[float, Tensor]:
    """A log-probability loss and its gradient for the article's predictions."""
    p, t = article_probabilities(dtype)
    return value_and_gradient(lambda q: loss_of(q, t), p)


def slopes(loss_of: Loss, products: list[float], dtype: torch.dtype = torch.float32) -> list[float]:
    """How steep a hinge is, for one sample, where target times prediction is each of these.

    Measured with both targets; the larger is given, in size.
    """
    target = torch.tensor([1.0, -1.0], dtype=dtype)
    steepness = []
    for product in products:
        _, gradient = value_and_gradient(lambda p: loss_of(p, target), product * target)
        steepness.append(2 * largest(gradient))  # the mean over two samples halves it
    return steepness


def far_out(dtype: torch.dtype) -> list[float]:
    """Products of target and prediction, up to nearly the largest number of the dtype."""
    far = 0.9 * torch.finfo(dtype).max
    return [product for product in (10.0, 1e4, 1e10, 1e20, 1e30) if product < far] + [far]


def hinges_part() -> tuple[float, float]:
    """Over 200 random batches of 50: the largest difference of both hinges, and of the slopes."""
    differences = []
    for seed in range(200):
        predicted = 3 * normal(50, seed=seed, dtype=torch.float32)
        target = normal(50, seed=1000 + seed, dtype=torch.float32).sign()
        (one, slope), (other, other_slope) = (
            value_and_gradient(lambda p, f=f, t=target: f(p, t), predicted) for f in HINGES.values()
        )
        differences.append((abs(one - other), 50 * largest(slope - other_slope)))
    losses, gradients = zip(*differences, strict=True)
    return max(losses), max(gradients)


# ------------------------------------------------------------------------------------------------
# Small models that learn


def points(wrong: float = 0.0, *, stretched: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Ten sets of 64 points of the plane, and on which side of a line each lies: 0 or 1.

    Returns:
        The points, (10, 64, 2); the sides as they are told, of which a share is ``wrong`` and
        those points ``stretched``; and as they are.
    """
    x = torch.stack([normal(64, 2, seed=seed, dtype=torch.float32) for seed in range(RUNS)])
    mistaken = torch.stack([uniform(64, seed=100 + seed) < wrong for seed in range(RUNS)])
    sides = (x.sum(dim=-1) > 0).float()
    x = torch.where(mistaken[..., None], stretched * x, x)
    return x, torch.where(mistaken, 1 - sides, sides), sides


def training(
    loss_of: Loss,
    x: Tensor,
    targets: Tensor,
    *,
    steps: int,
    optimizer: type[torch.optim.Optimizer] = torch.optim.Adam,
    rate: float = 0.1,
    start: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Ten linear models that learn side by side: their outputs, losses and weights, step by step.

    No model sees another one's points, weights or NaN.
    """
    weights = torch.zeros(RUNS, 2, 1) if start is None else start.clone()
    weights.requires_grad_()
    stepper = optimizer([weights], lr=rate)  # pyright: ignore[reportCallIssue]
    for _ in range(steps):
        outputs = (x @ weights).squeeze(-1)
        losses = torch.vmap(loss_of)(outputs, targets)
        yield outputs.detach(), losses.detach(), weights.detach().squeeze(-1).clone()
        stepper.zero_grad()
        losses.sum().backward()
        stepper.step()


def naive_by_logits(z: Tensor, t: Tensor) -> Tensor:
    """The naive log-probability loss of a network that ends in a sigmoid."""
    return pitfalls.naive_log_prob_loss(torch.sigmoid(z), t)


def gradient_by_logits(loss_of: Callable[[Tensor], Tensor]) -> tuple[float, Tensor]:
    """The softmax of the lower of two logits that lie 95 apart, and the gradient of its loss."""
    logits = torch.tensor([-95.0, 0.0])
    _, gradient = value_and_gradient(lambda z: loss_of(torch.softmax(z, dim=0)[0]), logits)
    return torch.softmax(logits, dim=0)[0].item(), gradient


# ------------------------------------------------------------------------------------------------
# The logarithm of a probability


@claim(
    "2.1",
    "The naive log-probability loss on the example is likely NaN, or something huge.",
    place="Example 1, the comment on the line that computes the loss",
    says=CAN,
    reading="NaN, or a loss above 1,000, from the article's four probabilities as they are "
    "printed. The article says likely; it was run in other dtypes too.",
    concept="losses",
    expected=HOLDS,
)
def naive_log_probability():
    """The first example, with its own numbers, in float32 as printed and in three other dtypes."""
    loss, gradient = of_the_example(pitfalls.naive_log_prob_loss)
    elsewhere = {
        name: of_the_example(pitfalls.naive_log_prob_loss, dtype)[0]
        for name, dtype in DTYPES.items()
        if name != "float32"
    }
    p, t = article_probabilities()
    second_row = pitfalls.naive_log_prob_loss(p[1], t[1]).item()
    return Finding(
        trials={"as printed, in float32: NaN, or above 1,000": math.isnan(loss) or loss > 1000}
        | {
            f"in {name}: NaN, or above 1,000": math.isnan(value) or value > 1000
            for name, value in elsewhere.items()
        },
        figures={"loss": loss, "gradient": gradient.flatten().tolist()}
        | {f"loss in {name}": value for name, value in elsewhere.items()}
        | {"loss of the second row alone": second_row},
        explanation=f"The loss is {show(loss)} in all four dtypes, as the article expects. It "
        "comes from the first row, certain and right: there 0 meets log 0. The "
        f"second row, as wrong as can be, has a loss of {show(second_row)} by itself.",
    )


@claim(
    "2.2",
    "With its default ε the improved loss is stable on the example.",
    place="Example 2, the comment above its usage",
    says=IS,
    reading="Value and gradient are finite when the example is run as printed. Printed it "
    "computes in float32, which torch takes where nothing else is asked for.",
    concept="losses",
    expected=FALSE,
)
def improved_log_probability():
    """The second example, with its own numbers; then in other dtypes, and with a larger ε."""
    loss, gradient = of_the_example(clamped(EPSILON))
    by_dtype = {name: of_the_example(clamped(EPSILON), dtype)[0] for name, dtype in DTYPES.items()}
    # 1 - ε is halfway between 1 and the number below it, and is rounded up.
    too_small = remedies.smallest_clamp() / 2
    at, above = (of_the_example(clamped(e))[0] for e in (too_small, 1.01 * too_small))
    larger, larger_gradient = of_the_example(clamped(1e-7))
    return Finding(
        trials={
            "as printed: the loss is finite": math.isfinite(loss),
            "as printed: every entry of the gradient is finite": nonfinite(gradient) == 0,
        },
        figures={"loss": loss, "gradient": gradient.flatten().tolist()}
        | {f"loss in {name}": value for name, value in by_dtype.items()}
        | {
            f"loss in float32, ε = {show(too_small)}": at,
            "loss in float32, ε 1 % above that": above,
            "loss in float32, ε = 1e-7": larger,
            "gradient in float32, ε = 1e-7": larger_gradient.flatten().tolist(),
        },
        explanation=f"As printed the loss is {show(loss)}. In float32 the number 1 - 1e-8 is "
        "rounded to 1, so the prediction of 1 stays 1, and (1 - 1) · log(1 - 1) is 0 times minus "
        f"infinity. The same lines give {show(by_dtype['float64'])} in float64; in float32 they "
        f"give {show(larger)} with ε = 1e-7, and any ε above {show(too_small)} will do.",
        right="Clamping before the logarithm is the right idea, and its lower bound works: the "
        "prediction of 0, NaN in the naive loss, is mended. Only this ε is too small for float32 "
        "on the upper side, and nothing warns of that.",
    )


@claim(
    "2.3",
    "A clamp sees to it that the logarithm is never given anything outside ε to 1 - ε, so never 0.",
    place="The paragraph before example 2, sentence 1, and the paragraph after it, sentence 1; "
    "the comment on the clamp in between",
    says=IS,
    reading="With the article's ε = 1e-8, a probability of 0 becomes larger than 0 and one of 1 "
    "smaller than 1: that is what the logarithms of p and of 1 - p need. Whether the interval "
    "includes its ends was not held against it.",
    concept="floats",
    expected=CONDITIONAL,
)
def clamp_bounds():
    """0 and 1 clamped with the default ε in four dtypes, and in float32 with ε = 1e-7."""
    tried = [(name, EPSILON) for name in DTYPES] + [("float32", 1e-7)]
    trials, figures = {}, {}
    for name, epsilon in tried:
        ends = remedies.clamped_probabilities(DTYPES[name], epsilon)
        with_this = f"{name}, ε = {show(epsilon)}"
        trials[f"{with_this}: 0 becomes larger than 0"] = ends["low"] > 0
        trials[f"{with_this}: 1 becomes smaller than 1"] = ends["high"] < 1
        figures[f"1 - what 1 becomes, {with_this}"] = 1 - ends["high"]
        figures[f"what 0 becomes, {with_this}"] = ends["low"]
    needed = {name: remedies.smallest_clamp(dtype) / 2 for name, dtype in DTYPES.items()}
    return Finding(
        trials=trials,
        figures=figures
        | {f"ε has to be above, {name}": epsilon for name, epsilon in needed.items()},
        condition="the dtype can tell 1 - ε from 1 and ε from 0, as float64 can for the default "
        "of 1e-8",
        explanation="Both bounds work in float64, and in float32 with ε = 1e-7. With the default "
        "of 1e-8 the lower bound works in float32 and the upper does not: 1 - 1e-8 is rounded to "
        f"1. For the upper bound ε has to be above {show(needed['float32'])} in float32, "
        f"{show(needed['float16'])} in float16 and {show(needed['bfloat16'])} in bfloat16.",
        right="On paper the sentence is exact, and a clamp never returns a number outside the "
        "bounds that it holds. It is the bound that rounding has moved to 1.",
    )


@claim(
    "2.4",
    "The clamp rules out undefined results, which makes the loss far more stable.",
    place="The paragraph after example 2, sentence 2",
    says=IS,
    reading="Where the naive loss is NaN, the clamped one is finite, value and gradient. It was "
    "tried on the article's example and on batches of saturated predictions, with the article's "
    "ε and with a larger one.",
    concept="losses",
    expected=CONDITIONAL,
)
def clamping_is_stable():
    """The article's example, and ten batches of 64 saturated sigmoids whose targets match but for
    a few, and ten with zeros only; ε = 1e-8 in float32 and float64, ε = 1e-7 in float32.
    """
    both_ends, only_zeros = [], []
    for seed in range(RUNS):
        z = 30 * normal(64, seed=seed)
        t = ((z > 0) != (uniform(64, seed=100 + seed) < 0.1)).double()
        both_ends.append((torch.sigmoid(z), t))
        only_zeros.append((torch.sigmoid(-10 * z.abs()), t))

    def sound(batches: list[tuple[Tensor, Tensor]], loss_of: Loss, dtype: torch.dtype) -> int:
        results = (
            value_and_gradient(lambda q, t=t: loss_of(q, t.to(dtype)), p.to(dtype))
            for p, t in batches
        )
        return sum(math.isfinite(v) and not nonfinite(g) for v, g in results)

    naive = [
        sound(batches, pitfalls.naive_log_prob_loss, torch.float32)
        for batches in (both_ends, only_zeros)
    ]
    tried = {
        "float32, ε = 1e-8": (clamped(EPSILON), torch.float32),
        "float64, ε = 1e-8": (clamped(EPSILON), torch.float64),
        "float32, ε = 1e-7": (clamped(1e-7), torch.float32),
    }
    counts = {name: sound(both_ends, *how) for name, how in tried.items()}
    zeros = sound(only_zeros, clamped(EPSILON), torch.float32)
    examples = {name: of_the_example(*how)[0] for name, how in tried.items()}
    wrong = remedies.clamped_probabilities(torch.float32, 1e-7)
    return Finding(
        trials={f"the example, {name}: finite": math.isfinite(v) for name, v in examples.items()}
        | {f"ten batches, {name}: all finite": count == RUNS for name, count in counts.items()}
        | {"ten batches with zeros and no ones, float32, ε = 1e-8: all finite": zeros == RUNS},
        figures={f"loss of the example, {name}": value for name, value in examples.items()}
        | {f"batches of ten that are finite, {name}": count for name, count in counts.items()}
        | {
            "batches of ten that are finite, naive, float32": naive[0],
            "batches with zeros and no ones that are finite, float32, ε = 1e-8": zeros,
            "batches with zeros and no ones that are finite, naive, float32": naive[1],
            "gradient at a logit of -20 for a target of 1": wrong["gradient_at_logit_minus_20"],
            "by the loss that takes logits": wrong["sound_at_logit_minus_20"],
        },
        condition="ε is large enough for the dtype: 1e-8 is for float64, and float32 needs more "
        f"than {show(remedies.smallest_clamp() / 2)}",
        explanation=f"Of ten batches of float32 predictions that are saturated at both ends, "
        f"{naive[0]} are finite by the naive loss, {counts['float32, ε = 1e-8']} with the clamp "
        f"and ε = 1e-8, and {counts['float32, ε = 1e-7']} with ε = 1e-7; of ten with zeros only, "
        f"{naive[1]} by the naive loss and {zeros} with ε = 1e-8. The price is that where the "
        "clamp acts the gradient is exactly zero: by a logit of -20 for a target of 1 it is "
        f"{show(wrong['gradient_at_logit_minus_20'])}, and "
        f"{show(wrong['sound_at_logit_minus_20'])} by the loss that takes logits, so a prediction "
        "that is certain and wrong no longer learns.",
        right="With an ε that the dtype can hold it is just as the article says: what was NaN "
        "is finite, in value and gradient, in every batch tried.",
    )


@claim(
    "2.5",
    "Alternatively torch's binary cross-entropy on logits can be used.",
    place="The paragraph after example 1, sentence 3",
    says=CAN,
    reading="On logits whose probabilities are the article's (0 and 1 stand for logits of ∓200, "
    "which float32 rounds to them) loss and gradient are finite and right.",
    concept="losses",
    expected=HOLDS,
)
def with_logits():
    """The article's example as logits, in four dtypes, against float64; then ∓200, certain and
    wrong.
    """
    _, t = article_probabilities(torch.float64)
    near = math.log(0.0001 / 0.9999)
    z = torch.tensor([[-200.0, 200.0], [near, -near]], dtype=torch.float64)
    true = (z.clamp(min=0) - z * t + torch.log1p(torch.exp(-z.abs()))).mean().item()
    losses, slopes_of = {}, {}
    for name, dtype in DTYPES.items():
        losses[name], gradient = value_and_gradient(
            lambda q, dtype=dtype: F.binary_cross_entropy_with_logits(q, t.to(dtype)), z.to(dtype)
        )
        slopes_of[name] = largest(4 * gradient.double() - (torch.sigmoid(z) - t))
    wrong = torch.tensor([-200.0, 200.0]), torch.tensor([1.0, 0.0])
    loss, gradient = value_and_gradient(
        lambda q: F.binary_cross_entropy_with_logits(q, wrong[1]), wrong[0]
    )
    return Finding(
        trials={
            f"the example, in {name}: loss and slopes right to 1 %": abs(value / true - 1) < 0.01
            and slopes_of[name] < 0.01
            for name, value in losses.items()
        }
        | {
            "certain and wrong: the loss is 200": loss == 200.0,
            "certain and wrong: the gradient is ∓1/2": gradient.tolist() == [-0.5, 0.5],
        },
        figures={f"loss of the example, {name}": value for name, value in losses.items()}
        | {f"largest error of a slope, {name}": off for name, off in slopes_of.items()}
        | {
            "true loss of the example": true,
            "loss at ∓200, certain and wrong": loss,
            "gradient there": gradient.tolist(),
        },
        explanation=f"The example's loss is {show(losses['float32'])} in float32, where the true "
        f"value is {show(true)}. At logits of ∓200, certain and wrong, the loss is {show(loss)} "
        f"and the gradient {show(gradient.tolist())}, as they should be.",
        right="Of the two remedies in that sentence this is the stronger: it needs no ε, and the "
        "gradient stays alive however wrong the prediction is.",
    )


@claim(
    "2.6",
    "Torch's documentation of autograd and of the losses often teaches numerically stable forms.",
    place="Paragraph 12, the recommendations, sentence 1",
    says=CAN,
    reading="Often: some of those pages say how a loss is kept finite, and what they recommend is "
    "sound. The text of a page is the class's docstring, searched for words such as stability, "
    "underflow, infinite or log(0).",
    concept="losses",
    expected=HOLDS,
)
def documented_stability():
    """The docstrings of all of torch's loss classes searched for words about numerical range;
    then two of them followed, on certain and wrong predictions.
    """
    words = re.compile(r"\bstab|underflow|overflow|infinite|explod|log ?\(0\)")
    pages = {
        name: getattr(torch.nn, name).__doc__ or ""
        for name in dir(torch.nn)
        if name.endswith("Loss")
    }
    speaking = [name for name, text in pages.items() if words.search(text)]
    named = ("BCELoss", "BCEWithLogitsLoss", "KLDivLoss", "PoissonNLLLoss", "L1Loss")
    anomaly = torch.autograd.detect_anomaly.__doc__ or ""
    p, z, t = torch.tensor([0.0, 1.0]), torch.tensor([-200.0, 200.0]), torch.tensor([1.0, 0.0])
    by_logits = torch.nn.BCEWithLogitsLoss()(z, t).item()
    floored, gradient = value_and_gradient(lambda q: torch.nn.BCELoss()(q, t), p)
    return Finding(
        trials={f"{name}'s page speaks of it": name in speaking for name in named}
        | {
            "autograd's page on anomalies speaks of NaN": "nan" in anomaly,
            "BCEWithLogitsLoss at ∓200 is 200, as it should be": by_logits == 200,
            "BCELoss at probabilities of 0 and 1 is finite, as its page says": math.isfinite(
                floored
            )
            and nonfinite(gradient) == 0,
        },
        figures={
            "pages of losses": len(pages),
            "pages that speak of it": speaking,
            "BCEWithLogitsLoss at ∓200": by_logits,
            "BCELoss at 0 and 1, certain and wrong": floored,
            "its gradient": gradient.tolist(),
        },
        explanation=f"{len(speaking)} of {len(pages)} pages do. That of BCEWithLogitsLoss explains "
        f"the trick that keeps it right ({show(by_logits)} at logits of ∓200), that of BCELoss "
        "its floor of -100 under the logarithm, which keeps it finite: "
        f"{show(floored)} at probabilities of 0 and 1, whatever the logits were, with slopes of up "
        f"to {show(largest(gradient))}.",
    )


@claim(
    "2.7",
    "Going backward, a clamp costs less than handling the extremes by if and else.",
    place="The paragraph after example 2, sentence 3",
    says=IS,
    reading="The time of the backward pass alone, through a clamp and through an if-else for each "
    "element, since a tensor of several elements has no single truth value to branch on. For 4 "
    "elements, where both take nearly the same time, a tie was not held against it.",
    concept="losses",
    expected=HOLDS,
)
def clamp_or_if():
    """Backward through clamp, through an if-else over the elements, and through torch.where, in
    turn for seven rounds; the article's four probabilities, and a hundred and a thousand of
    which a sixth is out of bounds. Times differ from run to run.
    """
    low, high = torch.tensor(EPSILON), torch.tensor(1 - EPSILON)

    def by_if(q: Tensor) -> Tensor:
        return torch.stack([low if e < low else high if e > high else e for e in q])

    forms = {
        "clamp": lambda q: q.clamp(low.item(), high.item()),
        "if-else": by_if,
        "where": lambda q: torch.where(q < low, low, torch.where(q > high, high, q)),
    }
    inputs = {
        4: article_probabilities()[0].flatten(),
        100: 1.2 * uniform(100, dtype=torch.float32) - 0.1,
        1000: 1.2 * uniform(1000, dtype=torch.float32) - 0.1,
    }
    ranges, typical, times, apart = {}, {}, {}, 0.0
    for count, p in inputs.items():
        x = p.clone().requires_grad_()
        results = {name: form(x) for name, form in forms.items()}
        ones = torch.ones_like(p)

        def backward(y: Tensor, x: Tensor = x, ones: Tensor = ones) -> Tensor:
            return torch.autograd.grad(y, x, ones, retain_graph=True)[0]

        gradients = {name: backward(y) for name, y in results.items()}
        apart = max(apart, *(largest(g - gradients["clamp"]) for g in gradients.values()))
        took = timing.race({name: lambda y=y: backward(y) for name, y in results.items()}, rounds=7)
        times |= {f"{name}, {count}": statistics.median(ms) for name, ms in took.items()}
        for name in ("if-else", "where"):
            ratios = [a / b for a, b in zip(took[name], took["clamp"], strict=True)]
            ranges[name, count] = [min(ratios), max(ratios)]
            if name == "if-else":
                typical[count] = statistics.median(ratios)
    try:
        bool(inputs[4] < low)
        refused = "nothing"
    except RuntimeError as error:
        refused = str(error)
    told = {key: f"{show(a, 2)} to {show(b, 2)}" for key, (a, b) in ranges.items()}
    return Finding(
        trials={
            "1,000 elements: clamp at least twice as fast (median round)": typical[1000] > 2,
            "the article's 4 elements: clamp not slower by more than half (median round)": (
                typical[4] > 2 / 3
            ),
        },
        figures={
            f"time of {name} / time of clamp, {count} elements, least and most": span
            for (name, count), span in ranges.items()
        }
        | {f"median milliseconds, {name} elements": ms for name, ms in times.items()}
        | {
            "largest difference of the gradients": apart,
            "an if on the whole tensor": refused,
        },
        explanation="Backward through the if-else took, from round to round, "
        f"{told['if-else', 1000]} times as long as through clamp for 1,000 elements, and "
        f"{told['if-else', 4]} times for the article's 4, where there is next to nothing to do. "
        "The gradients are the same. torch.where, which takes the whole tensor at once too, took "
        f"{told['where', 1000]} times as long as clamp for 1,000.",
    )


# ------------------------------------------------------------------------------------------------
# Where NaN comes from


@claim(
    "2.8",
    "A chief cause of NaN is dividing by zero or by almost zero, above all inside logarithms and "
    "roots.",
    place="Paragraph 2, sentence 1",
    says=CAN,
    reading="Such a division can give NaN. The divisions inside a logarithm and a root are those "
    "of their derivatives, 1/x and 1/(2√x), as the next sentence has it. How often it is the "
    "cause cannot be measured here.",
    concept="floats",
    expected=HOLDS,
)
def division_by_zero():
    """Quotients, logarithms and roots at zero and near it, values and gradients, in float32."""
    x = torch.zeros(1)
    tiny = torch.tensor([1e-30, 0.0])
    near, by_logits = gradient_by_logits(lambda p: -p.log())
    results = {
        "0/0": x / x,
        "1/0": 1 / x,
        "a vector of length 1e-30 divided by its length": tiny / tiny.square().sum().sqrt(),
        "the gradient of 0 · log x at 0": value_and_gradient(lambda v: 0 * v.log(), x)[1],
        "the gradient of 0 · √x at 0": value_and_gradient(lambda v: 0 * v.sqrt(), x)[1],
        "the gradient of log x at 0": value_and_gradient(torch.log, x)[1],
        "the gradient of √x at 0": value_and_gradient(torch.sqrt, x)[1],
        f"the gradient of log p at p = {show(near)}, by the logits of p": by_logits,
    }
    return Finding(
        trials={f"{name}: NaN": nans(value) > 0 for name, value in results.items()},
        figures={name: value.tolist() for name, value in results.items()},
        condition="the numerator is zero too, or the infinite slope of a logarithm or a root meets "
        "a zero or another infinity on its way back",
        explanation="0/0 is NaN, and so is what a logarithm or a root at 0 hands back when a zero "
        f"arrives from above. Nearly zero suffices: the probability {show(near)}, of logits that "
        "are 95 apart, is no zero, but its reciprocal overflows, and the gradient by its logit is "
        f"{show(by_logits[0].item())}. Alone, 1/0 and the slopes of log and root at 0 are "
        "infinite, one step before NaN.",
    )


@claim(
    "2.9",
    "Exponentials of unchecked large numbers may overflow to infinity, and later steps may turn "
    "that into NaN.",
    place="Paragraph 2, sentences 4 and 5",
    says=CAN,
    reading="There are exponents, of a size that logits reach, at which the exponential is "
    "infinite, and common formulas that go on from there to NaN.",
    concept="floats",
    expected=HOLDS,
)
def large_exponents():
    """The exponential just beyond the range of four dtypes; then log-sum-exp, softmax and sigmoid
    as written on paper, in float32.
    """
    beyond = {"float16": 11.1, "bfloat16": 89.0, "float32": 88.8, "float64": 710.0}
    values = {
        f"exp({show(x)}), {name}": torch.exp(torch.tensor(x, dtype=DTYPES[name])).item()
        for name, x in beyond.items()
    }
    z = torch.tensor([1000.0, 1001.0])
    value, gradient = value_and_gradient(lambda q: q.exp().sum().log(), z)
    softmax = z.exp() / z.exp().sum()
    sigmoid = (z.exp() / (1 + z.exp()))[0].item()
    below = torch.exp(torch.tensor(88.7)).item()
    return Finding(
        trials={f"{name} is infinite": math.isinf(v) for name, v in values.items()}
        | {
            "the logarithm of exp(1000) + exp(1001): its gradient is NaN": nans(gradient) == 2,
            "exp(1000) and exp(1001) divided by their sum: NaN": nans(softmax) == 2,
            "exp(1000) / (1 + exp(1000)): NaN": math.isnan(sigmoid),
        },
        figures=values
        | {
            "exp(88.7), float32": below,
            "log of the sum": value,
            "its gradient": gradient.tolist(),
            "softmax written out": softmax.tolist(),
            "sigmoid(1000) written out": sigmoid,
        },
        explanation=f"In float32 exp(88.7) is {show(below)} and exp(88.8) is "
        f"{show(values['exp(88.8), float32'])}; in float16 exp(11.1) is. Softmax and "
        "sigmoid written out are then inf/inf, which is NaN, and a log-sum-exp is infinite with a "
        "gradient of NaN.",
    )


# ------------------------------------------------------------------------------------------------
# The hinge


@claim(
    "2.10",
    "Around a product of target and prediction of 1 the naive hinge does well.",
    place="The paragraph after example 3, sentence 1",
    says=IS,
    reading="Value and gradient are right there, and a model that has margins of about that size "
    "learns. The hinge's corner at exactly 1 belongs to the hinge and was not held against it.",
    concept="losses",
    expected=HOLDS,
)
def hinge_near_the_margin():
    """Value and slope from 0.9 to 1.1 in four dtypes; then ten linear models that learn by it."""
    products = [0.9, 0.99, 1.0, 1.01, 1.1]
    trials = {}
    for name, dtype in DTYPES.items():
        p = torch.tensor(products, dtype=dtype)
        ones = torch.ones(1, dtype=dtype)
        values = torch.stack([pitfalls.hinge_by_max(v[None], ones) for v in p])
        exact = torch.equal(values.double(), (1 - p.double()).clamp(min=0))
        steep = slopes(pitfalls.hinge_by_max, products, dtype)
        right = steep[:2] == [1, 1] and 0 <= steep[2] <= 1 and steep[3:] == [0, 0]
        trials[f"{name}: value exact, slope 1 below the margin and 0 above"] = exact and right
    x, sides, _ = points()
    *_, (outputs, losses, _) = training(pitfalls.hinge_by_max, x, 2 * sides - 1, steps=200)
    correct = ((outputs > 0) == (sides > 0)).double().mean(dim=-1)
    by_max, by_relu = (slopes(form, products) for form in HINGES.values())
    return Finding(
        trials=trials
        | {
            "ten models: all finite, each right on at least 90 % of its points": nonfinite(losses)
            == 0
            and correct.min().item() >= 0.9
        },
        figures={
            "products": products,
            "slope, in size, by max": by_max,
            "slope, in size, by relu": by_relu,
            "share of points right, the worst of ten models": correct.min().item(),
            "loss, the largest of ten models": largest(losses),
        },
        explanation="Values are exact in every dtype, and ten models that learned by it are right "
        f"on at least {correct.min().item():.0%} of their points. At exactly 1 the hinge has a "
        f"corner; torch.max gives the slope {show(by_max[2])} there, which lies between those on "
        "either side and is as good as any.",
    )


@claim(
    "2.11",
    "Where target times prediction grows very large, the hinge's gradient turns to zero.",
    place="The paragraph after example 3, sentence 2, the first of the two things that the "
    "gradient may become",
    says=IS,
    reading="Very large means large and positive, as in the article's example: 10 and 20. What is "
    "said of relu in claim 2.22 is the same fact. The second half of the sentence is claim 2.15.",
    concept="losses",
    expected=HOLDS,
)
def hinge_vanishes():
    """The third example with its own numbers, and products up to the largest of four dtypes."""
    p, t = article_hinge()
    loss, gradient = value_and_gradient(lambda q: pitfalls.hinge_by_max(q, t), p)
    steepest = {
        name: max(slopes(pitfalls.hinge_by_max, [1.1, *far_out(dtype)], dtype))
        for name, dtype in DTYPES.items()
    }
    return Finding(
        trials={"the example as printed: the gradient is zero": largest(gradient) == 0}
        | {
            f"products from 1.1 to the largest {name}: the gradient is zero": steep == 0
            for name, steep in steepest.items()
        },
        figures={"loss of the example": loss, "its gradient": gradient.abs().tolist()}
        | {f"largest slope, {name}": steep for name, steep in steepest.items()},
        explanation=f"The example has a loss of {show(loss)} and a gradient of "
        f"{show(gradient.abs().tolist())}. So has every product above 1, very large or not: both "
        "predictions are right by more than the margin, and the hinge is made to leave such "
        "predictions alone. Predictions that are wrong keep their slope (claim 2.15).",
    )


@claim(
    "2.12",
    "By relu the hinge has a smoother gradient than by torch.max.",
    place="The paragraph after example 4, sentence 1, second half",
    says=IS,
    reading="Smoother: the slope jumps less where it changes, at a product of target and "
    "prediction of 1, or differs at all in favour of relu. It was compared with the article's "
    "own first form.",
    concept="losses",
    expected=FALSE,
)
def relu_is_smoother():
    """The jump of the slope across the margin in four dtypes, the article's example, and 200
    random batches of 50.
    """
    # 1/128 above and below: numbers of every dtype here.
    around = [1 - 2**-7, 1.0, 1 + 2**-7]
    steep = {
        (form, name): slopes(fn, around, dtype)
        for form, fn in HINGES.items()
        for name, dtype in DTYPES.items()
    }
    jumps = {key: below - above for key, (below, _, above) in steep.items()}
    _, apart = hinges_part()
    p, t = article_hinge()
    of_example = [value_and_gradient(lambda q, f=f: f(q, t), p)[1] for f in HINGES.values()]
    bent = slopes(pitfalls.smooth_hinge, around)
    return Finding(
        trials={
            f"{name}: the slope jumps less by relu": jumps["relu", name] < jumps["max", name]
            for name in DTYPES
        }
        | {
            "the article's example: the gradients differ": not torch.equal(*of_example),
            "200 random batches: some gradient differs": apart > 0,
        },
        figures={
            "products": around,
            "slope by max": steep["max", "float32"],
            "slope by relu": steep["relu", "float32"],
            "slope of the smooth hinge": bent,
            "largest difference of slopes over 200 batches": apart,
        },
        explanation=f"From just below the margin to just above, the slope falls by "
        f"{show(jumps['relu', 'float32'])} by relu and by {show(jumps['max', 'float32'])} by max. "
        f"Over 200 random batches the slopes differ by {show(apart)}. They part only at exactly "
        f"1, where max gives {show(steep['max', 'float32'][1])} and relu "
        f"{show(steep['relu', 'float32'][1])}.",
        right="A smoother gradient is a fair thing to want at the corner, and a hinge that is "
        "rounded there has it: between the same two products the smooth hinge's slope falls by "
        f"{show(bent[0] - bent[2])}.",
    )


@claim(
    "2.13",
    "Changing to relu relieves the gradient's trouble at extreme predictions and is more stable.",
    place="The paragraph after example 4, sentence 2; example 4, the comment above its usage",
    says=IS,
    reading="Compared with the hinge by torch.max, which it is to improve: at predictions that are "
    "very large, right or wrong, the loss or its gradient is better by relu.",
    concept="losses",
    expected=FALSE,
)
def relu_relieves():
    """Both hinges with the article's numbers and at extreme predictions, right and wrong, in four
    dtypes; better means finite where the other is not, or a smaller slope.
    """
    p, t = article_hinge()
    examples = {form: value_and_gradient(lambda q, f=fn: f(q, t), p) for form, fn in HINGES.items()}
    trials = {
        "the example as printed: loss or gradient differs": examples["max"][0]
        != examples["relu"][0]
        or not torch.equal(examples["max"][1], examples["relu"][1])
    }
    figures = {}
    for name, dtype in DTYPES.items():
        for side, sign in (("right", 1.0), ("wrong", -1.0)):
            products = [sign * product for product in far_out(dtype)]
            steep = {form: slopes(fn, products, dtype) for form, fn in HINGES.items()}
            target = torch.ones(2, dtype=dtype)
            losses = {
                form: [fn(v * target, target).item() for v in products]
                for form, fn in HINGES.items()
            }
            better = any(a < b for a, b in zip(steep["relu"], steep["max"], strict=True)) or any(
                math.isfinite(a) and not math.isfinite(b)
                for a, b in zip(losses["relu"], losses["max"], strict=True)
            )
            trials[f"{name}, {side} by 10 and up to the largest number: better by relu"] = better
            figures[f"largest slope, {name}, {side}: by max and by relu"] = [
                max(steep[form]) for form in ("max", "relu")
            ]
    by_max, by_relu = figures["largest slope, float32, wrong: by max and by relu"]
    return Finding(
        trials=trials,
        figures={
            "loss of the example, by max and by relu": [v for v, _ in examples.values()],
            "largest slope of the example, by max and by relu": [
                largest(g) for _, g in examples.values()
            ],
        }
        | figures,
        explanation="Loss and gradient are the same by both. With the article's numbers the loss "
        f"is {show(examples['relu'][0])} and the gradient zero; for predictions that are wrong, by "
        f"however much, the slope is {show(by_max)} by max and {show(by_relu)} by relu.",
        right="The hinge by relu is sound at all of these predictions, and is the usual way to "
        "write it. So was the hinge by max: there was nothing to repair.",
    )


# ------------------------------------------------------------------------------------------------
# Looking for it


def located(steps: list[tuple[str, Callable[[Tensor], Tensor]]], start: float) -> tuple[str, str]:
    """Which of these steps makes the first NaN, going forward and, by hooks, going backward."""
    value = x = torch.tensor([start], requires_grad=True)
    came_back: dict[int, bool] = {}
    forward = "none"
    values = [x]
    for name, step in steps:
        value = step(value)
        if forward == "none" and nans(value):
            forward = name
        values.append(value)
    for number, tensor in enumerate(values):
        tensor.register_hook(lambda g, number=number: came_back.update({number: nans(g) > 0}))
    values[-1].sum().backward()
    # Step i leads from value i to value i + 1, and back.
    backward = [
        name
        for i, (name, _) in enumerate(steps)
        if came_back.get(i, False) and not came_back.get(i + 1, False)
    ]
    return forward, backward[-1] if backward else "none"


@claim(
    "2.14",
    "Watching a loss's intermediate tensors with torch's debugging tools lets one find where NaN "
    "first shows.",
    place="Paragraph 3, sentences 4 and 5",
    says=IS,
    reading="Of every NaN tried, the step that makes it is named by looking at values, by hooks on "
    "gradients or by anomaly mode: all are torch's tools, and the article's last paragraph sends "
    "its reader to autograd's pages. It speaks of NaN, so infinities were not asked for.",
    concept="protocol",
    expected=HOLDS,
)
def monitoring_intermediates():
    """Seven faults, four of which are NaN going forward and three only going backward: the values
    watched, the gradients watched by hooks, and anomaly mode.
    """
    faults = {
        "0 · log x at 0": ([("log", torch.log), ("times 0", lambda v: 0 * v)], 0.0, "times 0"),
        "log x at -1": ([("log", torch.log)], -1.0, "log"),
        "exp x less itself at 1000": (
            [("exp", torch.exp), ("less itself", lambda v: v - v)],
            1000.0,
            "less itself",
        ),
        "exp x over itself at 1000": (
            [("exp", torch.exp), ("over itself", lambda v: v / v)],
            1000.0,
            "over itself",
        ),
        "0 · √x at 0": ([("root", torch.sqrt), ("times 0", lambda v: 0 * v)], 0.0, "root"),
        "1 / x² at 0": ([("square", torch.square), ("1 over", torch.reciprocal)], 0.0, "square"),
        "log(1 + exp x) at 1000": (
            [("exp", torch.exp), ("plus 1", lambda v: 1 + v), ("log", torch.log)],
            1000.0,
            "exp",
        ),
    }
    found = {name: located(steps, start) for name, (steps, start, _) in faults.items()}
    by_values = [name for name, (forward, _) in found.items() if forward != "none"]
    first = {
        name: forward if forward != "none" else backward
        for name, (forward, backward) in found.items()
    }
    blamed = remedies.anomaly_mode()
    return Finding(
        trials={
            f"{name}: the first NaN is found at '{culprit}'": first[name] == culprit
            for name, (_, _, culprit) in faults.items()
        }
        | {
            "0 · √x at 0: anomaly mode names the root": blamed["NaN gradient of 0 · sqrt(x)"]
            == "SqrtBackward0",
            "1 / x² at 0: anomaly mode names the square": blamed["division by zero, 1 / x²"]
            == "PowBackward0",
        },
        figures={
            f"{name}: step with NaN, forward and backward": list(steps)
            for name, steps in found.items()
        }
        | {f"anomaly mode: {fault}": name for fault, name in blamed.items()},
        explanation=f"All {len(faults)} are found. Looking at values finds {len(by_values)}; in "
        "the others every value of the forward pass is free of NaN, and it takes the gradients, "
        "by a hook or by anomaly mode. Look for infinities as well, with isfinite: in 0 · log x "
        "the logarithm is minus infinity one step before the NaN, and anomaly mode is "
        f"{blamed['infinite gradient of sqrt(x)']} about a gradient that is infinite.",
    )


@claim(
    "2.15",
    "At very large products of target and prediction the hinge's gradient, if not zero, explodes, "
    "and could be troublesome though the loss isn't NaN.",
    place="The paragraph after example 3, sentence 2, the second of the two things, and sentence 3",
    says=CAN,
    reading="Either … or says that there are large products at which it explodes. It was looked "
    "for at right predictions and at wrong ones, since sentence 4 speaks of 1 - target · "
    "prediction; exploding means a slope above 1, or not finite, for one sample.",
    concept="losses",
    expected=UNSEEN,
)
def hinge_explodes():
    """The article's numbers, and right and wrong predictions up to the largest of four dtypes."""
    p, t = article_hinge()
    loss, gradient = value_and_gradient(lambda q: pitfalls.hinge_by_max(q, t), p)
    steepest = {}
    for name, dtype in DTYPES.items():
        for side, sign in (("right", 1.0), ("wrong", -1.0)):
            products = [sign * product for product in far_out(dtype)]
            steepest[f"{side}, {name}"] = slopes(pitfalls.hinge_by_max, products, dtype)
    _, squared = value_and_gradient(lambda q: F.relu(1 - q).square(), torch.tensor([-1e10]))

    def explodes(steep: list[float]) -> bool:
        return any(not s <= 1 for s in steep)  # NaN is not at most 1 either

    return Finding(
        trials={"the example as printed": explodes((2 * gradient).abs().tolist())}
        | {
            f"predictions {how}, from 10 to the largest": explodes(steep)
            for how, steep in steepest.items()
        },
        figures={"loss of the example": loss, "its gradient": gradient.abs().tolist()}
        | {f"slopes, {how}": steep for how, steep in steepest.items()}
        | {"slope of the squared hinge, wrong by 1e10": largest(squared)},
        explanation="The hinge is two straight lines, so for one sample its slope is 0 or 1 in "
        "size. For wrong predictions it was "
        f"{show(max(max(s) for how, s in steepest.items() if how.startswith('wrong')))} as far as "
        "the dtype goes, which is neither vanishing nor exploding; for right ones 0.",
        right="To look at the gradients where the loss is not NaN is good advice: many a loss "
        "fails there first (claims 2.8 and 2.27). And a hinge whose slope does grow exists, the "
        f"squared one: {show(largest(squared))} for a prediction that is wrong by 1e10.",
    )


# ------------------------------------------------------------------------------------------------
# Where NaN comes from, continued


@claim(
    "2.16",
    "Huge or minute numbers that arise can be carried on through later steps and come out as NaN.",
    place="Paragraph 1, sentence 2",
    says=CAN,
    reading="There are ordinary steps by which a large number, and others by which a small one, "
    "that is still finite and not zero, becomes NaN.",
    concept="floats",
    expected=HOLDS,
)
def propagation():
    """1e30 and 1e-30 in float32, each squared and carried on in six ways."""
    steps = {
        "x² / x²": lambda x: x**2 / x**2,
        "x² - x²": lambda x: x**2 - x**2,
        "0 · log x²": lambda x: 0 * torch.log(x**2),
        "x² + 1": lambda x: x**2 + 1,
        "sigmoid(x²)": lambda x: torch.sigmoid(x**2),
        "x² / (x² + 1)": lambda x: x**2 / (x**2 + 1),
    }
    results = {
        f"{show(x)} by {name}": step(torch.tensor(x)).item()
        for x in (1e30, 1e-30)
        for name, step in steps.items()
    }
    made = {
        start: [name for name, v in results.items() if math.isnan(v) and name.startswith(start)]
        for start in ("1e30", "1e-30")
    }
    return Finding(
        trials={f"{name}: NaN": math.isnan(value) for name, value in results.items()},
        figures=results,
        condition="a later step meets inf/inf, inf - inf, 0/0 or 0 · inf",
        explanation=f"Squared, 1e30 is infinite in float32 and 1e-30 is zero. Of six ways to go on "
        f"{len(made['1e30'])} make NaN of the large number and {len(made['1e-30'])} of the small "
        "one. The others stay finite or infinite.",
    )


@claim(
    "2.17",
    "The overflow of exponentials can be avoided by log-sum-exp and by stable forms of activation "
    "functions.",
    place="Paragraph 2, sentence 6",
    says=CAN,
    reading="Where the formula as written on paper is infinite or NaN, torch's log-sum-exp, "
    "log-softmax, log-sigmoid and softplus are finite and right, value and gradient.",
    concept="floats",
    expected=HOLDS,
)
def log_sum_exp():
    """Four of torch's stable functions at arguments of up to 1000 in size, in float32, against
    float64; beside them the plain formulas.
    """
    pair = torch.tensor([1000.0, 1001.0])
    tried = {
        "logsumexp(1000, 1001)": (
            lambda q: torch.logsumexp(q, 0),
            lambda q: q.exp().sum().log(),
            pair,
        ),
        "log_softmax(1, 1000)": (
            lambda q: torch.log_softmax(q, 0)[0],
            lambda q: torch.softmax(q, 0)[0].log(),
            torch.tensor([1.0, 1000.0]),
        ),
        "logsigmoid(-200)": (
            F.logsigmoid,
            lambda q: torch.sigmoid(q).log(),
            torch.tensor([-200.0]),
        ),
        "softplus(1000)": (F.softplus, lambda q: (1 + q.exp()).log(), torch.tensor([1000.0])),
    }
    trials, figures = {}, {}
    for name, (stable, plain, z) in tried.items():
        value, gradient = value_and_gradient(stable, z)
        true, slope = value_and_gradient(stable, z.double())
        trials[f"{name}: value within 1e-6, gradient within 1e-4"] = (
            abs(value / true - 1) < 1e-6 and largest(gradient - slope) < 1e-4
        )
        figures[name] = value
        figures[f"{name}: error of the gradient"] = largest(gradient - slope)
        plainly = value_and_gradient(plain, z)
        figures[f"{name} as on paper, value and gradient"] = [plainly[0], *plainly[1].tolist()]
    check = 1001 + math.log1p(math.exp(-1))
    return Finding(
        trials=trials,
        figures=figures | {"logsumexp(1000, 1001) by hand": check},
        explanation=f"logsumexp gives {figures['logsumexp(1000, 1001)']:.3f} (by hand "
        f"{check:.3f}), and logsigmoid(-200) is {show(figures['logsigmoid(-200)'])}, where the "
        "formulas as on paper are infinite. Values are right to 1e-6; the gradient of logsumexp is "
        f"off by {show(figures['logsumexp(1000, 1001): error of the gradient'])}, since it is "
        "computed from the rounded value.",
    )


@claim(
    "2.18",
    "Scaling or clipping the values in a loss serves to keep them from growing too large or too "
    "small.",
    place="Paragraph 3, sentence 7",
    says=CAN,
    reading="The article reports what has worked for its author, so it was taken as something "
    "that can work: a value that leaves the range of its dtype stays within it when it is scaled "
    "or clipped. That the loss remains the same function is not claimed.",
    concept="losses",
    expected=HOLDS,
)
def scaling_and_clipping():
    """Exponentials, squares and logarithms at the edge of float32, scaled or clipped before the
    operation, after it, and with the article's ε.
    """

    def log_sum(q: Tensor) -> Tensor:
        return q.exp().sum().log()

    logits, tiny = torch.tensor([1000.0, 990.0, 1001.0]), torch.tensor([1e-30, 2e-30])

    def ratio(q: Tensor) -> Tensor:
        return q[0] ** 2 / q[1] ** 2

    p, t = article_probabilities()
    tried = {
        "logits of 1000 divided by 100 before exp": (lambda q: log_sum(q / 100), logits),
        "logits of 1000 clipped to 80 before exp": (lambda q: log_sum(q.clamp(max=80)), logits),
        "numbers of 1e-30 multiplied by 1e20 before they are squared": (
            lambda q: ratio(1e20 * q),
            tiny,
        ),
        "the article's probabilities clipped with ε = 1e-7": (lambda q: clamped(1e-7)(q, t), p),
        "the same with ε = 1e-8": (lambda q: clamped(EPSILON)(q, t), p),
        "the loss of logits of 1000 multiplied by 1e-3 in the end": (
            lambda q: 1e-3 * log_sum(q),
            logits,
        ),
    }
    results = {name: value_and_gradient(fn, x) for name, (fn, x) in tried.items()}
    true, true_gradient = value_and_gradient(lambda q: torch.logsumexp(q, 0), logits.double())
    clip, clip_gradient = results["logits of 1000 clipped to 80 before exp"]
    before = {"logits of 1000": value_and_gradient(log_sum, logits)[0]} | {
        "numbers of 1e-30": value_and_gradient(ratio, tiny)[0],
        "the article's probabilities": of_the_example(pitfalls.naive_log_prob_loss)[0],
    }
    return Finding(
        trials={
            f"{name}: value and gradient finite": math.isfinite(value) and nonfinite(g) == 0
            for name, (value, g) in results.items()
        },
        figures={f"value, {name}": value for name, (value, _) in results.items()}
        | {f"value, {name} as they are": value for name, value in before.items()}
        | {
            "gradient with logits clipped to 80": clip_gradient.tolist(),
            "true gradient": true_gradient.tolist(),
            "true value": true,
        },
        condition="it is done before the operation that leaves the range, and with bounds that the "
        "dtype can hold",
        explanation="Done in time it works for large and for small numbers. Scaling the finished "
        "loss comes too late "
        f"({show(results['the loss of logits of 1000 multiplied by 1e-3 in the end'][0])}). It has "
        f"a price: with logits clipped to 80 the loss is {show(clip)} and its gradient "
        f"{show(clip_gradient.tolist())}, where they are {show(true)} and "
        f"{show(true_gradient.tolist())}; that is another function.",
    )


@claim(
    "2.19",
    "To isolate the faulty calculation one often has to run with a smaller batch or with a "
    "particular input.",
    place="Paragraph 3, sentence 6",
    says=CAN,
    reading="Running on parts of a batch, down to one sample, leads to the sample that makes the "
    "loss NaN. How often it is needed cannot be measured here.",
    concept="protocol",
    expected=HOLDS,
)
def halving_the_batch():
    """Ten batches of 64 with one bad sample at random, halved until one is left: by a loss that
    is a mean over samples, and by one that also divides by the batch's standard deviation.
    """

    def by_samples(samples: Tensor) -> Tensor:
        return (samples * samples.log()).mean()

    def by_batch(samples: Tensor) -> Tensor:
        means = samples.mean(dim=1)
        variance = (means - means.mean()).square().sum() / (len(means) - 1)
        return by_samples(samples) / variance.sqrt()

    def halve(loss: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[int, int]:
        low, high, evaluations = 0, len(batch), 0
        while high - low > 1:
            middle, evaluations = (low + high) // 2, evaluations + 1
            low, high = (low, middle) if loss(batch[low:middle]).isnan() else (middle, high)
        return low, evaluations

    hits = {"mean": 0, "deviation": 0}
    evaluations = 0
    for seed in range(RUNS):
        batch = normal(64, 10, seed=seed, dtype=torch.float32).abs()
        bad = int(64 * uniform(1, seed=100 + seed))
        batch[bad, 3] = 0.0
        found, evaluations = halve(by_samples, batch)
        hits["mean"] += found == bad
        hits["deviation"] += halve(by_batch, batch)[0] == bad
    return Finding(
        trials={
            "a mean over samples: the bad one is found in all ten batches": hits["mean"] == RUNS,
            "divided by the batch's standard deviation: found in all ten": hits["deviation"]
            == RUNS,
        },
        figures={
            "found in ten, mean over samples": hits["mean"],
            "found in ten, divided by the batch's standard deviation": hits["deviation"],
            "evaluations for a batch of 64": evaluations,
        },
        condition="the loss treats each sample by itself",
        explanation=f"The bad sample is found in {hits['mean']} of {RUNS} batches, after "
        f"{evaluations} evaluations of the loss, one for each halving. Where the loss uses "
        "statistics of the batch a smaller one is another calculation: the standard deviation of "
        f"a single sample is NaN by itself, and halving ends at the right sample in "
        f"{hits['deviation']} of {RUNS}.",
    )


@claim(
    "2.20",
    "What makes a loss unsound is above all division by zero, logarithms of numbers not above "
    "zero, and roots of negative ones.",
    place="Paragraph 3, sentence 3",
    says=IS,
    reading="The list of what to look for first. Each of its items gives something that is not "
    "finite, in every dtype; that the list is complete is not claimed.",
    concept="protocol",
    expected=HOLDS,
)
def unsound_operations():
    """The items of the list in four dtypes; beside them the gradient of a root at exactly zero."""
    items = {
        "1/0": (torch.reciprocal, 0.0),
        "0/0": (lambda x: x / x, 0.0),
        "log 0": (torch.log, 0.0),
        "log(-1)": (torch.log, -1.0),
        "√(-1)": (torch.sqrt, -1.0),
    }
    results = {
        name: [fn(torch.tensor(x, dtype=dtype)).item() for dtype in DTYPES.values()]
        for name, (fn, x) in items.items()
    }
    root, slope = value_and_gradient(torch.sqrt, torch.zeros(1))
    wrong_sign = value_and_gradient(torch.log, torch.tensor([-1.0]))[1].item()
    return Finding(
        trials={
            f"{name}: not finite in any of four dtypes": not any(map(math.isfinite, values))
            for name, values in results.items()
        },
        figures={f"{name}, {', '.join(DTYPES)}": values for name, values in results.items()}
        | {
            "√0": root,
            "gradient of √x at 0": slope.item(),
            "gradient of log x at -1": wrong_sign,
        },
        explanation="1/0 and log 0 are infinite, the others NaN, in every dtype. One item more is "
        f"worth the look: a root of exactly 0 is {show(root)}, as it should be, and its gradient "
        f"{show(slope.item())}.",
    )


def square_with(backward_of: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """x² as a custom autograd function; its derivative is computed from upstream and x."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, *grad_outputs):
            (upstream,), (x,) = grad_outputs, ctx.saved_tensors
            return backward_of(upstream, x)

    return Square.apply


@claim(
    "2.21",
    "Whether derivatives are right has to be examined, most of all those of one's own "
    "torch.autograd.Function.",
    place="Paragraph 3, sentence 8",
    says=IS,
    reading="Torch does not notice a wrong derivative of a custom function by itself, and an "
    "examination does. gradcheck, which torch has for that purpose, was taken for the "
    "examination.",
    concept="gradient",
    expected=HOLDS,
)
def custom_functions():
    """x² with four derivatives, three of them wrong, run and then examined by gradcheck."""
    derivatives = {
        "half of it": lambda upstream, x: upstream * x,
        "the wrong sign": lambda upstream, x: -2 * upstream * x,
        "upstream left out": lambda upstream, x: 2 * x,
        "the right one": lambda upstream, x: 2 * upstream * x,
    }
    x = normal(5)
    trials, figures = {}, {}
    for name, derivative in derivatives.items():
        square = square_with(derivative)
        value, gradient = value_and_gradient(lambda q, f=square: f(q).mean(), x)
        passed = torch.autograd.gradcheck(
            square, (normal(5).requires_grad_(),), raise_exception=False
        )
        figures[f"{name}: gradient / true gradient"] = (gradient / (2 * x / 5)).mean().item()
        figures[f"{name}: gradcheck"] = "passes" if passed else "rejects"
        if name == "the right one":
            trials["gradcheck passes the right one"] = passed
        else:
            quiet = math.isfinite(value) and not nonfinite(gradient)
            trials[f"{name}: runs without complaint, and gradcheck rejects it"] = (
                quiet and not passed
            )
    return Finding(
        trials=trials,
        figures=figures,
        explanation="All three wrong derivatives give finite numbers and no warning, with "
        "gradients of "
        f"{show(figures['half of it: gradient / true gradient'])}, "
        f"{show(figures['the wrong sign: gradient / true gradient'])} and "
        f"{show(figures['upstream left out: gradient / true gradient'])} times the true one; "
        "torch.autograd.gradcheck, in float64, rejects them and passes the right one.",
    )


@claim(
    "2.22",
    "Where target times prediction is large, relu's gradient goes to zero, and large gradients do "
    "not arise.",
    place="The paragraph after example 4, sentence 3",
    says=IS,
    reading="Said of the hinge by relu as such: the slope is zero for large products, and nowhere "
    "above 1 for one sample. Whether it is better in this than torch.max is claim 2.13.",
    concept="losses",
    expected=HOLDS,
)
def relu_saturates():
    """The fourth example with its own numbers, and products of both signs in four dtypes."""
    p, t = article_hinge()
    loss, gradient = value_and_gradient(lambda q: hinge_by_relu(q, t), p)
    trials = {"the example as printed: the gradient is zero": largest(gradient) == 0}
    figures: dict[str, object] = {
        "loss of the example": loss,
        "its gradient": gradient.abs().tolist(),
    }
    for name, dtype in DTYPES.items():
        large = [1.1, *far_out(dtype)]
        zero = max(slopes(hinge_by_relu, large, dtype))
        steepest = max(slopes(hinge_by_relu, [0.0, *(-v for v in large)], dtype))
        by_max = max(slopes(pitfalls.hinge_by_max, [0.0, *(-v for v in large)], dtype))
        trials[f"{name}, from 1.1 to the largest number: the gradient is zero"] = zero == 0
        trials[f"{name}, predictions wrong by as much: no slope above 1"] = steepest <= 1
        figures[f"largest slope, {name}: right, wrong, wrong by max"] = [zero, steepest, by_max]
    return Finding(
        trials=trials,
        figures=figures,
        explanation="The gradient is zero for every product above 1, with the article's numbers "
        f"as well ({show(gradient.abs().tolist())}), and for one sample no slope is larger "
        "than 1. By torch.max it is the same: this is the hinge's own virtue.",
    )


@claim(
    "2.23",
    "Unconstrained, the logarithm of probabilities that are zero, or nearly so, could lead to NaN.",
    place="The paragraph after example 1, sentence 1; the comment in example 1",
    says=CAN,
    reading="There is a probability of zero, and one near zero, with which the naive loss, or its "
    "gradient by the logit that the probability comes from, is NaN.",
    concept="losses",
    expected=HOLDS,
)
def probabilities_near_zero():
    """The naive loss at 0, at the smallest float32 and at 1e-8, for both targets; then its
    gradient by two logits that are 95 apart.
    """

    def loss(p: float, t: float) -> float:
        return pitfalls.naive_log_prob_loss(torch.tensor([p]), torch.tensor([t])).item()

    values = {(p, t): loss(p, t) for p in (0.0, 1e-45, 1e-8) for t in (0.0, 1.0)}
    near, by_logits = gradient_by_logits(lambda p: pitfalls.naive_log_prob_loss(p, torch.ones(())))
    return Finding(
        trials={
            f"p = {show(p)}, target {show(t)}: the loss is NaN": math.isnan(value)
            for (p, t), value in values.items()
        }
        | {f"p = {show(near)}, target 1: the gradient by its logit is NaN": nans(by_logits) > 0},
        figures={f"loss at p = {show(p)}, target {show(t)}": v for (p, t), v in values.items()}
        | {f"gradient by two logits at p = {show(near)}": by_logits.tolist()},
        condition="p and the target are both zero, or the slope 1/p overflows",
        explanation=f"At p = 0 the loss is {show(values[0.0, 0.0])} for a target of 0, by 0 · log "
        f"0, and {show(values[0.0, 1.0])} for a target of 1. Near zero the loss itself is finite, "
        f"{show(values[1e-45, 1.0])} at the smallest float32; but its slope overflows there, and "
        f"for a probability of {show(near)}, which softmax returns for logits 95 apart, the "
        f"gradient by the logit is {show(by_logits[0].item())}.",
    )


@claim(
    "2.24",
    "Small or zero outputs become more of a problem as training goes on, since updates drive "
    "values further into unstable regions or out of them.",
    place="Paragraph 2, sentence 3",
    says=IS,
    reading="As training goes on, predicted probabilities come nearer to 0 or 1, where the naive "
    "loss breaks. That they may also be pushed away is said, so a case of it was tried as well.",
    concept="losses",
    expected=CONDITIONAL,
)
def training_drifts_to_the_edge():
    """Ten linear classifiers with the naive loss, 300 steps: separable classes with Adam and with
    SGD, and classes of which one label in five is wrong.
    """

    def edges(wrong: float, **options) -> tuple[list[Tensor], int, float]:
        """How near a probability is to 0 or 1, in each step; broken runs; steps that they took."""
        x, told, _ = points(wrong)
        nearest, lived = [], torch.zeros(RUNS)
        for z, losses, _ in training(naive_by_logits, x, told, steps=300, **options):
            nearest.append(torch.sigmoid(-z.abs()).amin(dim=-1))
            lived += losses.isfinite()
        broken = lived < 300
        steps = lived[broken].median().item() if broken.any() else math.nan
        return nearest, int(broken.sum()), steps

    adam, broken, steps = edges(0.0)
    sgd, broken_sgd, _ = edges(0.0, optimizer=torch.optim.SGD)
    mixed, broken_mixed, _ = edges(0.2)
    nearer = {
        name: int((run[-1] < 0.9 * run[len(run) // 2]).sum())
        for name, run in (("sgd", sgd), ("mixed", mixed))
    }
    return Finding(
        trials={
            "separable, Adam: in all ten runs it comes to a loss that is not finite": broken
            == RUNS,
            "separable, SGD: in all ten nearer to the edge in the end than half-way, by a tenth": (
                nearer["sgd"] == RUNS
            ),
            "one label in five wrong, Adam: in all ten nearer in the end, by a tenth": (
                nearer["mixed"] == RUNS
            ),
        },
        figures={
            "separable, Adam: runs of ten that break": broken,
            "separable, Adam: steps until then, median": steps,
            "separable, Adam: distance to the edge after 10 steps, median": adam[10]
            .median()
            .item(),
            "separable, SGD: runs nearer in the end": nearer["sgd"],
            "separable, SGD: distance half-way and in the end, median": [
                sgd[150].median().item(),
                sgd[-1].median().item(),
            ],
            "labels wrong: runs nearer in the end": nearer["mixed"],
            "labels wrong: distance half-way and in the end, median": [
                mixed[150].median().item(),
                mixed[-1].median().item(),
            ],
            "labels wrong: runs of ten that break": broken_mixed,
            "separable, SGD: runs of ten that break": broken_sgd,
        },
        condition="training keeps driving outputs outward, as it does where the classes can be "
        "told apart; where labels contradict each other the outputs settle",
        explanation=f"On separable classes {broken} of {RUNS} runs with Adam end in a loss that is "
        f"not finite, after {show(steps)} steps (median); with SGD the probabilities come nearer "
        f"to 0 and 1 in {nearer['sgd']} of {RUNS}, and {broken_sgd} break. With one label in "
        f"five wrong they settle, {show(mixed[-1].median().item())} from the edge (median), and "
        f"{broken_mixed} runs break.",
        right="The effect is real and easily missed: a loss that is fine for many steps may be "
        "broken by a model that has become good. That values may be pushed away as well the "
        "sentence says itself.",
    )


@claim(
    "2.25",
    "One can use an ε so that the logarithm is not taken at zero or close to it.",
    place="The paragraph after example 1, sentence 3",
    says=CAN,
    reading="A small number is added inside each logarithm. The article's ε = 1e-8 was taken, and "
    "its example.",
    concept="losses",
    expected=HOLDS,
)
def epsilon_inside_log():
    """log(p + ε) and log(1 - p + ε) on the article's example, ε = 1e-8, in four dtypes."""
    results = {
        name: of_the_example(epsilon_added(EPSILON), dtype) for name, dtype in DTYPES.items()
    }
    slope = value_and_gradient(lambda q: -torch.log(q + EPSILON), torch.zeros(1))[1].item()
    return Finding(
        trials={
            f"{name}: loss and gradient are finite": math.isfinite(loss) and nonfinite(g) == 0
            for name, (loss, g) in results.items()
        },
        figures={f"loss, {name}": loss for name, (loss, _) in results.items()}
        | {
            f"entries of the gradient not finite, {name}": nonfinite(g)
            for name, (_, g) in results.items()
        }
        | {"slope for a target of 1 at p = 0, float32": slope},
        condition="the dtype can tell ε from 0; float16 cannot for 1e-8",
        explanation=f"In float32 the example's loss is {show(results['float32'][0])}: added to "
        "each argument, 1e-8 works where the article's clamp with the same ε does not (claim 2.2), "
        "since 1 - 1 + 1e-8 is 1e-8. In float16 1e-8 is zero, and the loss "
        f"{show(results['float16'][0])}; bfloat16 is finite, but rounds 0.9999 to 1, hence its "
        f"{show(results['bfloat16'][0])}. At p = 0 the slope for a target of 1 is {show(slope)}, "
        "finite and steep.",
    )


@claim(
    "2.26",
    "A NaN loss in training is often a sign of numerical instability in operations of the loss "
    "itself.",
    place="Paragraph 1, sentence 1",
    says=CAN,
    reading="There are runs whose loss becomes NaN while all outputs of the model are finite, and "
    "another way to compute the same loss is finite too. How often that is the reason cannot "
    "be measured here.",
    concept="protocol",
    expected=HOLDS,
)
def instability_in_the_loss():
    """Ten linear classifiers on separable classes, by the naive loss until it breaks; and by the
    loss on logits with a NaN among the inputs.
    """

    def first_break(loss_of: Loss, x: Tensor) -> tuple[int, int, int]:
        """Runs that break; those whose outputs are finite then; and the loss by logits too."""
        broken, in_the_loss, sound = torch.zeros(3, RUNS, dtype=torch.bool)
        for z, losses, _ in training(loss_of, x, told, steps=300):
            now = ~losses.isfinite() & ~broken
            finite = now & z.isfinite().all(dim=-1)
            broken |= now
            in_the_loss |= finite
            sound |= finite & torch.vmap(pitfalls.log_prob_loss)(z, told).isfinite()
        return int(broken.sum()), int(in_the_loss.sum()), int(sound.sum())

    x, told, _ = points()
    naive = first_break(naive_by_logits, x)
    spoilt = x.clone()
    spoilt[:, 5, 0] = torch.nan
    data = first_break(pitfalls.log_prob_loss, spoilt)
    return Finding(
        trials={
            "naive loss: in runs that break, the fault is the loss's own": 0 < naive[0] == naive[2],
            "NaN among the inputs: the fault is the loss's own": data[1] > 0,
        },
        figures={
            "naive loss: runs of ten that break": naive[0],
            "naive loss: of them, with finite outputs": naive[1],
            "naive loss: of them, with a finite loss by logits": naive[2],
            "NaN among the inputs: runs of ten that break": data[0],
            "NaN among the inputs: of them, with finite outputs": data[1],
        },
        condition="the loss has an operation with an edge, such as the logarithm of a probability",
        explanation=f"With the naive loss {naive[0]} of {RUNS} runs break, and in {naive[2]} of "
        "them the model's outputs are finite and so is the same loss computed from logits: the "
        "fault is in the loss. With a NaN among the inputs the outputs are NaN already, and the "
        "loss is only where it shows.",
    )


@claim(
    "2.27",
    "Outputs or targets that are tiny or zero can make the calculation of gradients undefined.",
    place="Paragraph 2, sentence 2",
    says=CAN,
    reading="There are common losses whose gradient is NaN or infinite at an output, or for a "
    "target, of zero or nearly zero.",
    concept="losses",
    expected=HOLDS,
)
def tiny_outputs_and_targets():
    """Five losses at outputs and targets of zero and nearly zero, in float32."""
    losses: dict[str, Loss] = {
        "log-probability": pitfalls.naive_log_prob_loss,
        "root of the squared error": lambda p, t: (p - t).square().mean().sqrt(),
        "relative error": lambda p, t: ((p - t).abs() / t).mean(),
        "Kullback-Leibler": lambda p, t: (t * (t / p).log()).sum(),
        "squared error": lambda p, t: (p - t).square().mean(),
    }
    cases = [
        ("log-probability", 0.0, 0.0),
        ("log-probability", 0.0, 1.0),
        ("log-probability", 1e-40, 1.0),
        ("log-probability", 1e-20, 1.0),
        ("root of the squared error", 0.0, 0.0),
        ("relative error", 0.5, 0.0),
        ("relative error", 0.5, 1e-40),
        ("Kullback-Leibler", 0.5, 0.0),
        ("squared error", 0.0, 0.0),
    ]
    gradients = {
        f"{name}, output {show(p)}, target {show(t)}": value_and_gradient(
            lambda q, f=losses[name], t=t: f(q, torch.tensor([t])), torch.tensor([p])
        )[1].item()
        for name, p, t in cases
    }
    undefined = sum(not math.isfinite(g) for g in gradients.values())
    return Finding(
        trials={f"{name}: NaN or infinite": not math.isfinite(g) for name, g in gradients.items()},
        figures={f"gradient of {name}": g for name, g in gradients.items()},
        condition="the loss divides by such a number, or takes its logarithm or root",
        explanation=f"In {undefined} of {len(gradients)} cases the gradient is NaN or infinite, "
        "among them an output of 1e-40, whose reciprocal float32 cannot hold, and targets of 0 in "
        "a relative error. An output of 1e-20 has a gradient of "
        f"{show(gradients['log-probability, output 1e-20, target 1'])}, and the squared error "
        "does not mind zeros.",
    )


@claim(
    "2.28",
    "Predicted probabilities that nobody clips could be zero.",
    place="The paragraph before example 1, sentence 3",
    says=CAN,
    reading="Exactly zero, as a sigmoid or a softmax returns them in the dtype in which the "
    "network computes.",
    concept="floats",
    expected=HOLDS,
)
def probabilities_are_zero():
    """Sigmoid and softmax for logits of up to 1000 in size, in four dtypes."""
    trials, figures = {}, {}
    for name, dtype in DTYPES.items():
        z = torch.arange(1, 1001).to(dtype)
        zero, one = torch.sigmoid(-z) == 0, torch.sigmoid(z) == 1
        gaps = torch.stack([torch.zeros_like(z), -z], dim=-1)
        ruled_out = torch.softmax(gaps, dim=-1)[:, 1] == 0
        trials[f"{name}: a logit of -200 has a sigmoid of zero"] = bool(zero[199])
        trials[f"{name}: a logit 200 below the other has a softmax of zero"] = bool(ruled_out[199])
        figures[f"sigmoid is 0 from a logit of, {name}"] = -z[zero].min().item()
        figures[f"sigmoid is 1 from a logit of, {name}"] = z[one].min().item()
        figures[f"softmax is 0 from a gap of, {name}"] = z[ruled_out].min().item()
    return Finding(
        trials=trials,
        figures=figures,
        condition="the logits are large enough for the dtype",
        explanation="In float32 a sigmoid is exactly 0 from a logit of "
        f"{show(figures['sigmoid is 0 from a logit of, float32'])} and a softmax from a gap of "
        f"{show(figures['softmax is 0 from a gap of, float32'])}. A probability of exactly 1, for "
        "which the naive loss takes the logarithm of 1 - p, comes much sooner: from a logit of "
        f"{show(figures['sigmoid is 1 from a logit of, float32'])}.",
    )


@claim(
    "2.29",
    "Clamping is the better way to stop extremes from spreading into what is computed next.",
    place="The paragraph before example 2, sentence 2",
    says=IS,
    reading="Better than the same ε added inside the logarithm, of which the sentence before "
    "speaks: finite wherever that is, and with less extreme values or gradients where a prediction "
    "is extreme, that is, certain and wrong, or outside 0 to 1.",
    concept="losses",
    expected=CONDITIONAL,
)
def clamp_or_epsilon():
    """Both with the same ε, in float32 with 1e-8 and 1e-7 and in float64 with 1e-8: the article's
    example, a prediction that is certain and wrong, and one that has left 0 to 1.
    """
    trials, figures = {}, {}
    for name, epsilon in (("float32", EPSILON), ("float64", EPSILON), ("float32", 1e-7)):
        dtype = DTYPES[name]
        forms = {"clamp": clamped(epsilon), "added": epsilon_added(epsilon)}
        with_this = f"{name}, ε = {show(epsilon)}"

        def at(p: float, forms=forms, dtype=dtype) -> dict[str, tuple[float, Tensor]]:
            t = torch.ones(1, dtype=dtype)
            x = torch.tensor([p], dtype=dtype)
            return {f: value_and_gradient(lambda q, fn=fn: fn(q, t), x) for f, fn in forms.items()}

        example = {form: of_the_example(fn, dtype)[0] for form, fn in forms.items()}
        wrong, outside = at(0.0), at(-0.1)
        steep = {form: abs(g.item()) for form, (_, g) in wrong.items()}
        trials |= {
            f"{with_this}: the example is finite by the clamp, if it is by adding": math.isfinite(
                example["clamp"]
            )
            or not math.isfinite(example["added"]),
            f"{with_this}: 0 for a target of 1, the clamp's gradient is less than a thousandth": (
                steep["clamp"] < 1e-3 * steep["added"]
            ),
            f"{with_this}: a prediction of -0.1 is finite by the clamp and NaN by adding": (
                math.isfinite(outside["clamp"][0]) and math.isnan(outside["added"][0])
            ),
        }
        figures |= {f"example, {form}, {with_this}": value for form, value in example.items()}
        figures |= {f"gradient at 0, {form}, {with_this}": g for form, g in steep.items()}
        figures |= {f"loss at -0.1, {form}, {with_this}": v for form, (v, _) in outside.items()}
    return Finding(
        trials=trials,
        figures=figures,
        condition="ε is large enough for the dtype: in float32 above "
        f"{show(remedies.smallest_clamp() / 2)}",
        explanation="For a prediction of 0 and a target of 1 the gradient is "
        f"{show(figures['gradient at 0, added, float32, ε = 1e-8'])} where 1e-8 is added, and "
        f"{show(figures['gradient at 0, clamp, float32, ε = 1e-8'])} through the clamp; a "
        "prediction below zero is NaN by the one and finite by the other. But in float32, with "
        f"the article's ε, its example is {show(figures['example, clamp, float32, ε = 1e-8'])} by "
        f"the clamp and {show(figures['example, added, float32, ε = 1e-8'])} by adding.",
        right="The clamp does stop extreme values in both directions, which an added ε does not. "
        "It stops them by a gradient of exactly zero, so such a prediction does not learn either.",
    )


@claim(
    "2.30",
    "The gradient of a hinge contains the sign function.",
    place="The paragraph before example 3, sentence 1",
    says=IS,
    reading="The slope is -t · (1 + sign(1 - t · p)) / 2 for each sample, with target t and "
    "prediction p.",
    concept="losses",
    expected=HOLDS,
)
def hinge_has_a_sign():
    """The formula against autograd: the article's numbers, the corner, predictions of up to 1e30,
    and 200 random batches of 50; exact to 1e-7.
    """

    def off(predicted: Tensor, target: Tensor) -> float:
        _, gradient = value_and_gradient(lambda p: pitfalls.hinge_by_max(p, target), predicted)
        formula = -target * (1 + torch.sign(1 - target * predicted)) / 2
        return largest(len(predicted) * gradient - formula)

    batches = max(
        off(
            3 * normal(50, seed=seed, dtype=torch.float32),
            normal(50, seed=1000 + seed, dtype=torch.float32).sign(),
        )
        for seed in range(200)
    )
    errors = {
        "the article's numbers": off(*article_hinge()),
        "exactly at the corner": off(torch.tensor([1.0, -1.0]), torch.tensor([1.0, -1.0])),
        "predictions of 1e30, right and wrong": off(
            torch.tensor([1e30, 1e30]), torch.tensor([1.0, -1.0])
        ),
        "200 random batches": batches,
    }
    return Finding(
        trials={f"{name}: as the formula has it": error < 1e-7 for name, error in errors.items()},
        figures={f"largest error, {name}": error for name, error in errors.items()},
        explanation="Autograd's slope differs from the formula with the sign by at most "
        f"{show(max(errors.values()))}, at the corner too: sign(0) is 0, which gives the half that "
        "torch.max gives there.",
    )


@claim(
    "2.31",
    "With large values the naive hinge is potentially unstable.",
    place="Example 3, the comment above its usage",
    says=CAN,
    reading="There are values, within the range of the dtype, at which the loss or its gradient is "
    "not finite, or wrong by more than 1 %.",
    concept="losses",
    expected=HOLDS,
)
def hinge_is_unstable():
    """The example as printed, and two predictions that are both wrong, by 1e4 up to 3e38."""
    p, t = article_hinge()

    def unstable(p: Tensor) -> tuple[bool, float, list[float]]:
        loss, gradient = value_and_gradient(lambda q: pitfalls.hinge_by_max(q, t), p)
        true, slope = value_and_gradient(lambda q: pitfalls.hinge_by_max(q, t.double()), p.double())
        off = not abs(loss - true) <= 0.01 * abs(true) or not largest(gradient - slope) <= 0.01
        return off, loss, gradient.abs().tolist()

    results = {"the example as printed": unstable(p)} | {
        f"both wrong by {show(far)}": unstable(-far * t) for far in (1e4, 1e20, 1e38, 3e38)
    }
    return Finding(
        trials={f"{name}: not finite, or 1 % off": off for name, (off, _, _) in results.items()},
        figures={f"loss, {name}": loss for name, (_, loss, _) in results.items()}
        | {f"gradient in size, {name}": g for name, (_, _, g) in results.items()},
        condition="the errors of a batch add up to more than the dtype can hold, "
        f"{show(torch.finfo(torch.float32).max)} in float32",
        explanation="With the example's own numbers the loss is "
        f"{show(results['the example as printed'][1])} and the gradient zero, both right. For two "
        f"predictions that are wrong by 3e38 the loss is {show(results['both wrong by 3e38'][1])}, "
        "because the mean adds before it divides; the gradient is right even there, "
        f"{show(results['both wrong by 3e38'][2])} in size. Training does not come near such "
        "numbers unless something else has gone wrong.",
    )


def bounded(predicted: Tensor, target: Tensor) -> Tensor:
    """A hinge that no sample contributes more than 2 to."""
    return F.relu(1 - target * predicted).clamp(max=2).mean()


def fading(predicted: Tensor, target: Tensor) -> Tensor:
    """A hinge whose slope decreases smoothly as a sample lies further off."""
    return 2 * torch.tanh(F.relu(1 - target * predicted) / 2).mean()


@claim(
    "2.32",
    "A hinge in which very large shortfalls have a bounded or smoothly fading influence would be "
    "more robust.",
    place="The paragraph after example 3, sentence 4",
    says=IS,
    reading="Shortfall is 1 - target · prediction. More robust: a few points that lie far out and "
    "are labelled wrongly spoil the model less, and the loss of a far-off prediction is finite.",
    concept="losses",
    expected=HOLDS,
)
def modified_hinges():
    """Ten sets of 64 points of which about one in ten is labelled wrongly and 3, 5 or 8 times as
    far out, learned by three hinges; then two predictions that are wrong by 3e38.
    """
    forms = {"usual": pitfalls.hinge_by_max, "bounded": bounded, "fading": fading}
    modified = ("bounded", "fading")

    def misjudged(weights: Tensor) -> Tensor:
        """The share of the plane on the wrong side of a model's line: the true one is x + y = 0."""
        return (
            torch.acos(F.cosine_similarity(weights, torch.ones(2), dim=-1).clamp(-1, 1)) / math.pi
        )

    trials, figures, medians = {}, {}, {}
    for times in (3, 5, 8):
        x, told, _ = points(0.1, stretched=times)
        shares = {}
        for name, form in forms.items():
            *_, (_, _, weights) = training(form, x, 2 * told - 1, steps=200, rate=0.05)
            shares[name] = misjudged(weights)
            medians[name, times] = shares[name].median().item()
            figures[f"share misjudged, {times} times as far out, {name}, median"] = medians[
                name, times
            ]
        for name in modified:
            count = int((shares[name] < shares["usual"]).sum())
            figures[f"sets of ten with fewer misjudged, {times} times as far out, {name}"] = count
            trials[f"{name}, wrong points {times} times as far out: fewer misjudged (median)"] = (
                medians[name, times] < medians["usual", times]
            )
    far, t = torch.tensor([-3e38, 3e38]), torch.tensor([1.0, -1.0])
    losses = {name: form(far, t).item() for name, form in forms.items()}
    # The other side of it: a start that points the wrong way, and no label is wrong.
    x, _, sides = points()
    start = torch.full((RUNS, 2, 1), -20.0)
    back = {}
    for name, form in forms.items():
        *_, (_, _, weights) = training(form, x, 2 * sides - 1, steps=400, start=start)
        back[name] = misjudged(weights).median().item()
    return Finding(
        trials=trials
        | {f"{name}, wrong by 3e38: finite": math.isfinite(losses[name]) for name in modified},
        figures=figures
        | {f"loss, wrong by 3e38, {name}": value for name, value in losses.items()}
        | {f"share misjudged after a start far wrong, {name}": s for name, s in back.items()},
        explanation="With wrong points five times as far out the usual hinge misjudges "
        f"{medians['usual', 5]:.1%} of the plane (median of ten sets), the bounded one "
        f"{medians['bounded', 5]:.1%} and the fading one {medians['fading', 5]:.1%}. The price is "
        "that a prediction which is far off hardly learns: from a start that points the wrong way "
        f"they end with {back['bounded']:.0%} and {back['fading']:.0%} misjudged, the usual hinge "
        f"with {back['usual']:.0%}.",
    )


@claim(
    "2.33",
    "In the hinge relu acts much as the maximum with zeros does.",
    place="The paragraph after example 4, sentence 1, first half",
    says=IS,
    reading="Loss and slopes of the two forms agree to 1e-6, save where they have a choice: at "
    "exactly 1 any slope from 0 to 1 is a right one.",
    concept="losses",
    expected=HOLDS,
)
def relu_is_max():
    """The article's numbers, 200 random batches of 50, and the tie at exactly 1."""
    loss_apart, slope_apart = hinges_part()
    p, t = article_hinge()
    (one, slope), (other, other_slope) = (
        value_and_gradient(lambda q, f=f: f(q, t), p) for f in HINGES.values()
    )
    tie = {name: slopes(form, [1.0])[0] for name, form in HINGES.items()}
    return Finding(
        trials={
            "the article's numbers: loss and gradient agree": one == other
            and torch.equal(slope, other_slope),
            "200 random batches: losses agree to 1e-6": loss_apart <= 1e-6,
            "200 random batches: slopes agree to 1e-6": slope_apart <= 1e-6,
            "the tie: both slopes lie from 0 to 1": all(0 <= s <= 1 for s in tie.values()),
        },
        figures={
            "largest difference of losses": loss_apart,
            "largest difference of slopes": slope_apart,
        }
        | {f"slope at the tie by {name}": s for name, s in tie.items()},
        explanation=f"Over 200 batches losses differ by {show(loss_apart)} and slopes by "
        f"{show(slope_apart)}: they are one function. At a tie torch.max shares the slope in "
        f"halves ({show(tie['max'])}) and relu takes {show(tie['relu'])}.",
    )


@claim(
    "2.34",
    "Published code of custom losses can show what is done against NaN in practice.",
    place="Paragraph 12, the recommendations, sentence 3",
    says=CAN,
    reading="The article names a library for segmentation as one example of such; kornia, which "
    "this book measures anyway and which has losses of the same kind, was taken for another. Its "
    "losses are finite where the formula as written on paper is NaN.",
    concept="losses",
    expected=HOLDS,
)
def open_source_losses():
    """kornia's focal loss at logits of ±200, and its Dice loss for a class that neither image
    has, each beside the formula written out.
    """
    losses = peer("kornia.losses")
    z = torch.tensor([200.0, -200.0]).reshape(1, 1, 1, 2)
    t = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)

    def focal_on_paper(q: Tensor) -> Tensor:
        p = torch.sigmoid(q)
        terms = t * (1 - p) ** 2 * p.log() + (1 - t) * p**2 * (1 - p).log()
        return -terms.mean()

    # Two classes, the second one certainly absent.
    logits = torch.tensor([1000.0, -1000.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    labels = torch.zeros(1, 4, 4, dtype=torch.long)

    def dice_on_paper(q: Tensor) -> Tensor:
        p, own = torch.softmax(q, dim=1), F.one_hot(labels, 2).movedim(-1, 1).to(q)
        return (1 - 2 * (p * own).sum(dim=(2, 3)) / (p + own).sum(dim=(2, 3))).mean()

    results = {
        "focal loss, kornia": value_and_gradient(
            lambda q: losses.binary_focal_loss_with_logits(
                q, t, alpha=None, gamma=2.0, reduction="mean"
            ),
            z,
        ),
        "focal loss, on paper": value_and_gradient(focal_on_paper, z),
        "Dice loss, kornia": value_and_gradient(
            lambda q: losses.dice_loss(q, labels, average="macro"), logits
        ),
        "Dice loss, on paper": value_and_gradient(dice_on_paper, logits),
    }
    sound = {
        name: math.isfinite(value) and nonfinite(g) == 0 for name, (value, g) in results.items()
    }
    return Finding(
        trials={
            f"{name}: kornia's is finite where that on paper is not": sound[f"{name}, kornia"]
            and not sound[f"{name}, on paper"]
            for name in ("focal loss", "Dice loss")
        },
        figures={name: value for name, (value, _) in results.items()}
        | {
            f"entries of the gradient not finite, {name}": nonfinite(g)
            for name, (_, g) in results.items()
        },
        explanation="On paper the focal loss of certain and right predictions is "
        f"{show(results['focal loss, on paper'][0])}, in kornia, which takes log-sigmoids of the "
        f"logits, {show(results['focal loss, kornia'][0])}. The Dice loss of a class that is "
        f"nowhere is {show(results['Dice loss, on paper'][0])} on paper, by 0/0, and "
        f"{show(results['Dice loss, kornia'][0])} in kornia, which replaces the denominator "
        "before it divides.",
    )
