"""Claims of the article "Why are NaN values appearing in PyTorch loss calculations?"."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ssimlab.lab import pitfalls, remedies
from ssimlab.trace import first_nonfinite

from .measuring import nans, nonfinite, normal, relative_error, uniform, value_and_gradient
from .registry import Finding, Says, Verdict, claims_of, show

CONDITIONAL, FALSE, HOLDS = Verdict.CONDITIONAL, Verdict.FALSE, Verdict.HOLDS
CAN, IS = Says.CAN, Says.IS
INF = math.inf

claim = claims_of("article-loss-nan")

#: The article's own first: what torch takes where no dtype is named.
DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}

#: How many seeds are tried where chance plays a part.
RUNS = 10

#: The article's skewed logits, and the target of its simple loss.
LOGITS, TARGET = torch.tensor([[1.0, 1000.0]]), torch.tensor([[0.0, 1.0]])


def article_ratio(x: Tensor) -> Tensor:
    """The article's CustomRatio: x over the difference of x and its copy."""
    return pitfalls.naive_ratio(x, x - x.clone())


def skewed_terms(logits: Tensor) -> Tensor:
    """The article's simple loss, for its target."""
    return pitfalls.softmax_then_log(logits, TARGET.to(logits.dtype))


def squared_log(x: Tensor) -> Tensor:
    """The article's third example: fifty squarings, a logarithm, times zero."""
    return torch.log(pitfalls.repeated_squaring(x)) * 0


def number(value: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor of one element, as the article's inputs are."""
    return torch.tensor([value], dtype=dtype)


# ------------------------------------------------------------------------------------------------
# Paragraphs 1 and 2: what NaN means


def is_infinite(*operands: float) -> bool:
    """Whether all of these are infinite."""
    return all(map(math.isinf, operands))


#: Operations, and where mathematics gives them no value: not even an infinite limit.
BINARY: dict[str, tuple[Callable, Callable[[float, float], bool]]] = {
    "a + b": (operator.add, lambda a, b: is_infinite(a, b) and a == -b),
    "a - b": (operator.sub, lambda a, b: is_infinite(a, b) and a == b),
    "a · b": (operator.mul, lambda a, b: {abs(a), abs(b)} == {0, INF}),
    "a / b": (operator.truediv, lambda a, b: a == b == 0 or is_infinite(a, b)),
}
UNARY: dict[str, tuple[Callable, Callable[[float], bool]]] = {
    "log a": (torch.log, lambda a: a < 0),
    "√a": (torch.sqrt, lambda a: a < 0),
    "exp a": (torch.exp, lambda a: False),
    "sin a": (torch.sin, lambda a: is_infinite(a)),
}


@claim(
    "3.1",
    "NaN in a loss typically comes of operations that have no defined result.",
    place="Paragraph 1, sentence 1",
    says=IS,
    reading="Of operations on numbers and infinities: those that give NaN are those for which "
    "mathematics has no value. A NaN that is already in the data is what the word typically leaves "
    "room for.",
    concept="floats",
    expected=HOLDS,
)
def undefined_results():
    """Eight operations on zeros, ordinary, extreme and infinite numbers of both signs, in all
    pairs and four dtypes: whether each NaN is at operands for which the result is undefined."""
    trials, calculations, found = {}, 0, 0
    for name, dtype in DTYPES.items():
        limits = torch.finfo(dtype)
        sizes = (0.0, limits.smallest_normal, 1.0, 2.0, limits.max, INF)
        operands = [sign * size for size in sizes for sign in (1, -1)]
        settled = True
        for table, count in ((BINARY, 2), (UNARY, 1)):
            for (apply, is_undefined), given in product(
                table.values(), product(operands, repeat=count)
            ):
                is_nan = bool(apply(*(torch.tensor(x, dtype=dtype) for x in given)).isnan())
                settled &= is_undefined(*given) or not is_nan
                found, calculations = found + is_nan, calculations + 1
        trials[f"{name}: every NaN is at operands without a defined result"] = settled
    return Finding(
        trials=trials,
        figures={"calculations": calculations, "of these NaN": found},
        explanation=f"Of {calculations:,} calculations {found} are NaN, and every one of them is "
        "a case that mathematics leaves undefined: ∞ - ∞, 0 · ∞, 0/0, ∞/∞, the logarithm or root "
        "of a negative number, the sine of ∞. Overflow alone, or a number other than 0 divided by "
        "0, gives an infinity, one step before NaN.",
    )


@claim(
    "3.2",
    "The frequent sources are division by zero, logarithms of zero or less, and numbers so large "
    "or so small that they overflow or underflow.",
    place="Paragraph 1, sentence 2; the same list as advice in paragraph 9, sentence 4",
    says=CAN,
    reading="The article says often: each of the items can make a loss NaN on finite inputs. How "
    "often it is the cause cannot be measured here.",
    concept="losses",
    expected=HOLDS,
)
def usual_sources():
    """One small loss for each item, on finite inputs, in four dtypes; for underflow two inputs."""

    def entropy(p):
        return -(p * p.log()).sum()

    def written_out(z):
        return -(z.exp() / z.exp().sum()).log().sum()

    def in_its_direction(v):
        return (v / v.square().sum()).sum()

    cases = {
        "division by zero, the mean over an empty mask": (lambda m: m.sum() / m.sum(), [0.0, 0.0]),
        "logarithm of zero, the entropy of a certain prediction": (entropy, [1.0, 0.0]),
        "logarithm of a negative number, a score below zero": (lambda s: -s.log().sum(), [-0.5]),
        "overflow, a softmax written out": (written_out, [1.0, 1000.0]),
        "underflow, a vector of length 1e-30 over its square": (in_its_direction, [1e-30, 0.0]),
        "underflow, a vector of length 1e-4 over its square": (in_its_direction, [1e-4, 0.0]),
    }
    values = {
        f"{what}, {name}": loss(torch.tensor(given, dtype=dtype)).item()
        for what, (loss, given) in cases.items()
        for name, dtype in DTYPES.items()
    }
    undefined = {what: math.isnan(value) for what, value in values.items()}
    *others, short, longer = cases
    everywhere = [what for what in others if all(undefined[f"{what}, {name}"] for name in DTYPES)]

    def dtypes_with_nan(what):
        return ", ".join(name for name in DTYPES if undefined[f"{what}, {name}"])

    return Finding(
        trials={f"{what}: NaN": came for what, came in undefined.items()},
        figures=values,
        explanation=f"Each item makes a loss NaN, {len(everywhere)} of the first {len(others)} in "
        "all four dtypes. How small is too small depends on the dtype: a vector divided by its "
        f"squared length is NaN at a length of 1e-30 in {dtypes_with_nan(short)}, and at 1e-4 in "
        f"{dtypes_with_nan(longer)}.",
    )


def divided_by_its_sum(model, batch, target, faulty):
    """A layer that divides each sample by its sum; the faulty batch has a sample of zeros."""
    if faulty:
        batch = torch.cat((batch[1:], torch.zeros_like(batch[:1])))
    return (model(batch / batch.sum(1, keepdim=True)) - target).square().mean()


def over_a_mask(model, batch, target, faulty):
    """A mean over the samples that a mask selects; the faulty batch's mask selects none."""
    mask = torch.zeros_like(target) if faulty else torch.ones_like(target)
    return (mask * (model(batch) - target).square()).sum() / mask.sum()


def distance_at_zero(model, batch, target, faulty):
    """Distances, zero replaced by ``where``; the faulty batch has one target that is met."""
    answers = model(batch)
    if faulty:
        target = torch.cat((answers[:1].detach(), target[1:]))
    squares = (answers - target).square()
    return pitfalls.single_where(squares > 0, torch.sqrt, squares, otherwise=0.0).mean()


FAULTS = {
    "0/0 in a layer": divided_by_its_sum,
    "0/0 in the loss": over_a_mask,
    "0 · ∞ in the gradient alone": distance_at_zero,
}


def after_one_fault(loss_of, optimizer, activation, *, skipping=False) -> int:
    """Of ten networks trained on ten batches, the third faulty: how many answer only NaN after."""
    silenced = 0
    for seed in range(RUNS):
        weights = [
            (0.5 * normal(*shape, seed=seed, dtype=torch.float32)).requires_grad_()
            for shape in ((5, 7), (7, 1))
        ]

        def model(x, weights=weights):
            return (activation(x @ weights[0]) @ weights[1]).squeeze(1)

        batches = uniform(10, 16, 5, seed=100 + seed, dtype=torch.float32)
        steps_of = optimizer(weights, lr=0.01)
        for step, batch in enumerate(batches):
            steps_of.zero_grad()
            loss_of(model, batch, batch.mean(1), step == 2).backward()
            gradients = [w.grad for w in weights if w.grad is not None]
            if not (skipping and any(map(nonfinite, gradients))):
                steps_of.step()
        silenced += nans(model(batches[0])) == 16
    return silenced


@claim(
    "3.3",
    "Undefined values that arise in the network or in the loss will spread, and make training "
    "ineffective.",
    place="Paragraph 2, sentence 2",
    says=IS,
    reading="One faulty batch in ordinary training, with an optimizer that takes every step: after "
    "some more batches, all of them sound, the network answers nothing but NaN.",
    concept="protocol",
    expected=HOLDS,
)
def nan_spreads():
    """Ten networks of two layers, with tanh or relu, by SGD and by Adam; one faulty batch of ten,
    whose NaN arises in a layer, in the loss, or only in the gradient."""
    optimizers = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}
    activations = {"tanh": torch.tanh, "relu": torch.relu}
    silenced = {
        f"{what}, {named}, {kind}": after_one_fault(loss_of, optimizer, activation)
        for what, loss_of in FAULTS.items()
        for named, activation in activations.items()
        for kind, optimizer in optimizers.items()
    }
    guarded = after_one_fault(over_a_mask, torch.optim.SGD, torch.tanh, skipping=True)
    return Finding(
        trials={
            f"{what}: all ten networks answer only NaN": count == RUNS
            for what, count in silenced.items()
        },
        figures={f"networks of ten that answer only NaN, {w}": n for w, n in silenced.items()}
        | {"the same where a step with such a gradient is skipped": guarded},
        explanation=f"In each of the {len(silenced)} settings {min(silenced.values())} of {RUNS} "
        "networks answer nothing but NaN after one faulty batch, although seven sound ones "
        "follow: NaN in the loss is NaN in the gradient, and from there in the weights. It was so "
        "even where the loss itself stayed finite. What stops it is a guard that looks at the "
        f"gradient and skips the step, as loss scalers do ({guarded} of {RUNS} lost).",
    )


def norm_of_outputs(x: Tensor, weights: Tensor) -> Tensor:
    """A loss with a fault: the root of a sum of squares has no finite slope at zero."""
    return (x @ weights).tanh().square().sum(1).sqrt().mean()


def first_bad_step(batches, seed: int) -> int:
    """The step at which training by ``norm_of_outputs`` first has a gradient not finite, or -1."""
    weights = 0.3 * normal(4, 4, seed=seed, dtype=torch.float32)
    for step, batch in enumerate(batches):
        _, gradient = value_and_gradient(lambda w, b=batch: norm_of_outputs(b, w), weights)
        if nonfinite(gradient):
            return step
        weights = weights - 0.01 * gradient
    return -1


def runs_away(seed: int, rate: float) -> bool:
    """Whether a linear model ends in numbers that are not finite at this learning rate."""
    x, weights = uniform(64, 4, seed=seed, dtype=torch.float32), torch.zeros(4)
    for _ in range(200):
        _, slope = value_and_gradient(lambda w: (x @ w - x.sum(1)).square().mean(), weights)
        weights = weights - rate * slope
    return nonfinite(weights) > 0


@claim(
    "3.4",
    "NaN typically does not come by chance: it is a sign that something is amiss in the data or in "
    "the model.",
    place="Paragraph 2, sentence 3",
    says=IS,
    reading="Where there is a fault, NaN comes whatever the random numbers are, and at the place "
    "of the fault; where there is none, it does not come.",
    concept="protocol",
    expected=HOLDS,
)
def not_random():
    """Ten trainings with other weights and other orders of the data: with one bad sample among 64
    and without it, all repeated; with a learning rate far too large and with an ordinary one."""

    def samples(seed: int, spoiled: bool) -> tuple[list[int], Tensor]:
        order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
        data = uniform(64, 4, seed=seed, dtype=torch.float32) + 0.1
        if spoiled:
            data[0] = 0.0
        return order.tolist(), data[order]

    def first_bad(seed: int, spoiled: bool) -> int:
        return first_bad_step(samples(seed, spoiled)[1].split(8), seed)

    steps = [first_bad(seed, True) for seed in range(RUNS)]
    drawn = [samples(seed, True)[0].index(0) // 8 for seed in range(RUNS)]
    at_the_sample = sum(a == b for a, b in zip(steps, drawn, strict=True))
    without = sum(first_bad(seed, False) >= 0 for seed in range(RUNS))
    again = [first_bad(seed, True) for seed in range(RUNS)]
    too_fast, ordinary = (sum(runs_away(s, rate) for s in range(RUNS)) for rate in (100.0, 0.1))
    chance = []
    for seed in range(RUNS):
        kept = uniform(100, 8, 4, seed=seed) < 0.5
        batches = (uniform(100, 8, 4, seed=100 + seed) + 0.1) * kept
        chance.append(first_bad_step(batches.float(), seed))
    return Finding(
        trials={
            "a bad sample: in all ten at the very step that draws it": at_the_sample == RUNS,
            "the same data without that sample: in none of ten": without == 0,
            "repeated with the same seeds: the same steps": again == steps,
            "a learning rate of 100: in all ten": too_fast == RUNS,
            "a learning rate of 0.1: in none of ten": ordinary == 0,
        },
        figures={
            "steps, a bad sample": steps,
            "of ten at the step that draws it": at_the_sample,
            "of ten without that sample": without,
            "of ten at a rate of 100": too_fast,
            "of ten at a rate of 0.1": ordinary,
            "steps, inputs dropped at random": chance,
        },
        explanation=f"In {at_the_sample} of {RUNS} orders of the data the NaN comes at the step "
        f"that draws the bad sample, and without it in {without}; a learning rate of 100 ends in "
        f"{too_fast} of {RUNS}, one of 0.1 in {ordinary}. Chance may choose the moment: where "
        "inputs are dropped at random before a norm, ten seeds give steps "
        f"{min(chance)} to {max(chance)}. The fault, a norm of zero, is the same in all.",
    )


# ------------------------------------------------------------------------------------------------
# Paragraph 3, and example 1: division by zero


@claim(
    "3.5",
    "Because precision is limited, the denominator of a ratio in a loss might turn out zero or "
    "very near it.",
    place="Paragraph 3, sentence 3",
    says=CAN,
    reading="There are denominators that are not zero in exact arithmetic and are computed as "
    "zero, and the ratio is then not finite. It was tried with formulas that are in use.",
    concept="floats",
    expected=HOLDS,
)
def denominators_by_rounding():
    """A variance by E[x²] - μ² of nearly flat images, a squared length, and a difference, in
    float32; then ratios over ever smaller denominators, with their gradients."""
    flat = (0.5 + 1e-5 * normal(200, 64, seed=1)).float()
    variance = flat.square().mean(1) - flat.mean(1).square()
    true = flat.double().var(1, correction=0)
    contrast = (flat - flat.mean(1, keepdim=True)) / variance.sqrt()[:, None]
    short = torch.tensor([1e-30, 0.0])
    direction = short / short.square().sum().sqrt()
    one = torch.tensor(1.0)
    difference = (one + 1e-8) - one
    values, slopes = {}, {}
    for below in (1e-10, 1e-20, 1e-45, 0.0):
        values[below], slope = value_and_gradient(
            lambda d: pitfalls.naive_ratio(torch.ones_like(d), d), number(below)
        )
        slopes[below] = slope.item()
    zero, negative = int((variance == 0).sum()), int((variance < 0).sum())
    lost = int((~contrast.isfinite()).any(1).sum())
    return Finding(
        trials={
            "the variance of some nearly flat images is computed as zero": zero > 0,
            "and they divided by its root are not finite": lost >= zero > 0,
            "the length of a vector of length 1e-30 is computed as zero": bool(
                short.square().sum() == 0
            ),
            "and the vector divided by it has a NaN": nans(direction) > 0,
            "(1 + 1e-8) - 1 is computed as zero": difference.item() == 0,
        },
        figures={
            "nearly flat images": len(flat),
            "their true variance, the smallest": true.min().item(),
            "computed as zero": zero,
            "computed as negative": negative,
            "images not finite after dividing by the root": lost,
            "the short vector divided by its length": direction.tolist(),
        }
        | {f"1 / {show(below)}": value for below, value in values.items()}
        | {f"gradient of 1 / d at {show(below)}": slope for below, slope in slopes.items()},
        explanation=f"Of {len(flat)} nearly flat images, with variances of at least "
        f"{show(true.min().item())}, {zero} get a variance of exactly zero and {negative} a "
        "negative one, and a vector of length 1e-30 gets the length 0. A denominator that is "
        f"merely small gives a large quotient, and its gradient goes first: at 1e-20 the quotient "
        f"is {show(values[1e-20])} and the slope {show(slopes[1e-20])}.",
    )


@claim(
    "3.6",
    "Layers that divide, and custom implementations, are often open to division by zero as well.",
    place="Paragraph 3, sentence 4",
    says=CAN,
    reading="Such layers, written as one would at first, give NaN on finite inputs that occur: a "
    "sample of zeros or of one constant, a mask that lets nothing through. Torch's own layers were "
    "tried beside them.",
    concept="losses",
    expected=HOLDS,
)
def division_layers():
    """Five layers that divide, written out, and four of torch's, on inputs of zeros, of constants,
    or wholly masked: value and gradient."""
    zeros, constant = torch.zeros(1, 4), torch.full((1, 4), 0.5)
    masked = torch.full((1, 4), -INF)
    by_hand = {
        "a vector divided by its length, zeros": (lambda x: x / x.norm(dim=1), zeros),
        "less its mean, by its deviation, constant": (
            lambda x: (x - x.mean()) / x.std(),
            constant,
        ),
        "stretched from least to most, constant": (
            lambda x: (x - x.min()) / (x.max() - x.min()),
            constant,
        ),
        "weights divided by their sum, zeros": (lambda x: x / x.sum(), zeros),
        "a softmax written out, wholly masked": (lambda x: x.exp() / x.exp().sum(), masked),
    }
    of_torch = {
        "torch's normalize, zeros": (F.normalize, zeros),
        "torch's layer_norm, constant": (lambda x: F.layer_norm(x, (4,)), constant),
        "torch's cosine_similarity, zeros": (lambda x: F.cosine_similarity(x, zeros), zeros),
        "torch's softmax, wholly masked": (lambda x: torch.softmax(x, dim=1), masked),
    }

    def spoiled(layer, x):
        value, gradient = layer(x), value_and_gradient(layer, x)[1]
        return [nans(value), nans(gradient)]

    counts = {name: spoiled(*case) for name, case in (by_hand | of_torch).items()}
    hit = sum(sum(counts[name]) > 0 for name in by_hand)
    sound = [name for name in of_torch if sum(counts[name]) == 0]
    return Finding(
        trials={f"{name}: NaN": sum(count) > 0 for name, count in counts.items()},
        figures={f"NaN in value and gradient, {name}": count for name, count in counts.items()},
        condition="nothing guards the denominator",
        explanation=f"Of the layers written out {hit} of {len(by_hand)} give NaN. Of torch's "
        f"{len(of_torch)} layers {len(sound)} do not, since they add an ε or floor the "
        "denominator; its softmax of a row that is wholly masked is 0/0 like the one written out.",
    )


@claim(
    "3.7",
    "The module that divides 2 by the difference of 2 and its copy gives NaN.",
    place="Example 1, the comment on the printed output",
    says=IS,
    reading="The printed output for the article's own input, in float32 as printed; and in three "
    "other dtypes.",
    concept="losses",
    expected=FALSE,
)
def ratio_is_nan():
    """The first example with its own number, in float32 and in three other dtypes; beside it other
    inputs, and the gradient."""
    printed = {name: article_ratio(number(2.0, dtype)).item() for name, dtype in DTYPES.items()}
    _, gradient = value_and_gradient(article_ratio, number(2.0))
    elsewhere = {x: article_ratio(number(x)).item() for x in (-2.0, 0.0, INF, -INF)}
    undefined = [show(x) for x, value in elsewhere.items() if math.isnan(value)]
    return Finding(
        trials={f"2 in {name}: NaN": math.isnan(value) for name, value in printed.items()},
        figures={f"output at 2, {name}": value for name, value in printed.items()}
        | {"gradient at 2": gradient.item()}
        | {f"output at {show(x)}": value for x, value in elsewhere.items()},
        explanation=f"It prints {show(printed['float32'])}, in all four dtypes: a number other "
        "than zero divided by zero is infinite, and NaN is what 0/0 gives. Of the other inputs "
        f"tried, {', '.join(undefined)} give NaN. The gradient at 2 is {show(gradient.item())}, "
        "since the two ways to the denominator bring -∞ and +∞, which are added.",
        right="The denominator is exactly zero, as the article intends, and NaN is only one step "
        f"away: the gradient at 2 is {show(gradient.item())} already, and with 0 in the place of 2 "
        "the output is as printed. What the article draws from the example, that such steps "
        "can end in NaN in a larger model, is borne out (claim 3.8).",
    )


@claim(
    "3.8",
    "In a larger model, steps like this one can end in NaN, although the input looks valid.",
    place="The paragraph after example 1, sentences 2 and 3",
    says=CAN,
    reading="The ratio of example 1 with more layers behind it, or with its gradient. That the "
    "input is innocent was checked in all three examples: finite, and the first number that is "
    "not finite made by an operation of the model.",
    concept="losses",
    expected=HOLDS,
)
def intermediate_calculations():
    """The ratio of three finite numbers, followed by one of five layers, and its gradient; then a
    tracer on the article's three examples."""
    x = torch.tensor([2.0, 3.0, -1.0])
    ratios = article_ratio(x)
    signs = torch.tensor([1.0, -1.0, 1.0])
    behind = {
        "a linear layer with weights of both signs": ratios @ signs,
        "a softmax": torch.softmax(ratios, dim=0),
        "a layer norm": F.layer_norm(ratios, (3,)),
        "less its mean": ratios - ratios.mean(),
        "a tanh": torch.tanh(ratios),
    }
    _, gradient = value_and_gradient(article_ratio, x)
    examples = {
        "the ratio": (article_ratio, number(2.0)),
        "the skewed softmax": (skewed_terms, LOGITS),
        "the fifty squarings": (squared_log, number(1.5)),
    }
    first = {name: first_nonfinite(loss, given) for name, (loss, given) in examples.items()}
    return Finding(
        trials={f"the ratio, then {name}: NaN": nans(v) > 0 for name, v in behind.items()}
        | {"the gradient of the ratio: NaN": nans(gradient) == 3}
        | {
            f"{name}: the input is finite, the model makes the first bad number": trace is not None
            and trace.phase == "forward"
            for name, trace in first.items()
        },
        figures={"input": x.tolist(), "ratios": ratios.tolist()}
        | {f"then {name}": value.tolist() for name, value in behind.items()}
        | {"gradient of the ratio": gradient.tolist()}
        | {f"first bad number, {name}": trace.title for name, trace in first.items() if trace},
        condition="the infinity of the ratio meets another infinity or a zero",
        explanation=f"The ratios themselves are {show(ratios.tolist())}. A linear layer, a softmax "
        "or a normalization behind them makes NaN of these infinities, and so does the ratio's "
        f"own backward pass; a tanh makes {show(behind['a tanh'].tolist())}. In all three of the "
        "article's examples the input is finite and an operation of the model makes the first bad "
        "number.",
    )


# ------------------------------------------------------------------------------------------------
# Example 2: the logarithm of a softmax


@claim(
    "3.9",
    "Zero and negative numbers have no logarithm.",
    place="The paragraph before example 2, sentence 2",
    says=IS,
    reading="Of the real logarithm, as mathematics has it; in code it shows as something that is "
    "not a finite number, or as an error.",
    concept="floats",
    expected=HOLDS,
)
def logarithm_undefined():
    """Torch's logarithm of zero and of negative numbers in four dtypes, and Python's."""
    operands = (0.0, -1e-3, -1.0, -1000.0)
    results = {
        name: torch.log(torch.tensor(operands, dtype=dtype)) for name, dtype in DTYPES.items()
    }

    def refused(x):
        try:
            math.log(x)
        except ValueError as error:
            return str(error)
        return "nothing"

    errors = {x: refused(x) for x in (0.0, -1.0)}
    return Finding(
        trials={
            f"{name}: no finite number for any of them": nonfinite(value) == len(operands)
            for name, value in results.items()
        }
        | {f"Python's logarithm of {show(x)}: an error": e != "nothing" for x, e in errors.items()},
        figures={"operands": list(operands)}
        | {f"torch's logarithms, {name}": value.tolist() for name, value in results.items()}
        | {f"Python's error for {show(x)}": error for x, error in errors.items()},
        explanation="Python refuses both. Torch keeps the two apart: "
        f"{show(results['float32'][0].item())} for zero, which is the limit from above, and "
        f"{show(results['float32'][1].item())} for negative numbers.",
    )


@claim(
    "3.10",
    "What a model puts out as a probability is usually sure to lie from zero to one.",
    place="The paragraph before example 2, sentence 3",
    says=IS,
    reading="Of what softmax and sigmoid, the usual last layers, make of finite logits, ends "
    "included, after rounding too.",
    concept="floats",
    expected=HOLDS,
)
def probabilities_in_range():
    """Softmax and sigmoid of random logits of four sizes, ten seeds, in four dtypes."""
    functions = {"softmax": lambda z: torch.softmax(z, dim=-1), "sigmoid": torch.sigmoid}
    logits = torch.stack(
        [
            size * normal(200, 10, seed=seed)
            for seed in range(RUNS)
            for size in (0.1, 1.0, 100.0, 1e4)
        ]
    )
    trials: dict[str, bool] = {}
    figures: dict[str, object] = {"probabilities tried, each": logits.numel()}
    for kind, function in functions.items():
        for name, dtype in DTYPES.items():
            p = function(logits.to(dtype))
            trials[f"{kind}, {name}: all from 0 to 1"] = bool(((p >= 0) & (p <= 1)).all())
            figures[f"least and most, {kind}, {name}"] = [p.min().item(), p.max().item()]
    return Finding(
        trials=trials,
        figures=figures,
        explanation=f"None of {logits.numel():,} probabilities lies outside, in any dtype. Both "
        "ends are reached, which is what the next claim is about.",
    )


@claim(
    "3.11",
    "For lack of precision a softmax may give exactly zero, or something so small that it counts "
    "as zero.",
    place="The paragraph before example 2, sentence 4; the paragraph after it, sentence 1",
    says=CAN,
    reading="The softmax of finite logits is positive in exact arithmetic; some come out as zero. "
    "Counting as zero: its square, or its product with another of its size, is zero.",
    concept="floats",
    expected=HOLDS,
)
def probabilities_become_zero():
    """Softmax of random logits of two spreads in four dtypes, ten seeds, against the positive
    numbers that the log-softmax in float64 says they are."""
    trials, figures = {}, {}
    for spread in (10.0, 100.0):
        z = spread * torch.cat([normal(200, 10, seed=seed) for seed in range(RUNS)])
        assert F.log_softmax(z, dim=1).isfinite().all()  # so none of them is zero
        for name, dtype in DTYPES.items():
            p = F.softmax(z.to(dtype), dim=1)
            what = f"{name}, logits of spread {show(spread)}"
            zero, squared = ((q == 0).double().mean().item() for q in (p, p * p))
            trials[f"{what}: some exactly zero"] = zero > 0
            trials[f"{what}: more whose square is zero"] = squared > zero
            figures[f"share that is exactly zero, {what}"] = zero
            figures[f"share whose square is zero, {what}"] = squared

    def share(dtype, spread):
        return figures[f"share that is exactly zero, {dtype}, logits of spread {spread}"]

    return Finding(
        trials=trials,
        figures=figures,
        condition="a logit lies far below the largest for its dtype",
        explanation=f"With logits of spread 100, {share('float32', 100):.0%} are exactly zero in "
        f"float32, {share('float16', 100):.0%} in float16 and {share('float64', 100):.0%} in "
        f"float64. With a spread of 10 it is {share('float32', 10):.0%} in float32 and "
        f"{share('float16', 10):.0%} in float16.",
    )


@claim(
    "3.12",
    "A probability of zero, or one that counts as zero, gives NaN when its logarithm is taken.",
    place="The paragraph before example 2, sentence 5",
    says=IS,
    reading="The sentence speaks of what the logarithm itself returns, so that is what was looked "
    "at. What comes of it in the loss is claim 3.15.",
    concept="floats",
    expected=FALSE,
)
def log_of_zero():
    """Torch's logarithm of 0 and of the smallest number above it in four dtypes, and of the
    article's softmax; beside them log(-1), and 0 · log 0 with its gradient."""
    zeros, smallest = {}, {}
    for name, dtype in DTYPES.items():
        nothing = torch.zeros((), dtype=dtype)
        zeros[name] = nothing.log().item()
        smallest[name] = nothing.nextafter(torch.ones_like(nothing)).log().item()
    printed = torch.log(F.softmax(LOGITS, dim=1)).flatten().tolist()
    value, gradient = value_and_gradient(lambda p: p * p.log(), number(0.0))
    return Finding(
        trials={f"log 0 in {name}: NaN": math.isnan(v) for name, v in zeros.items()}
        | {
            f"log of the smallest number above zero, {name}: NaN": math.isnan(v)
            for name, v in smallest.items()
        }
        | {"the example's logarithms: a NaN among them": any(map(math.isnan, printed))},
        figures={f"log 0, {name}": v for name, v in zeros.items()}
        | {f"log of the smallest number above zero, {name}": v for name, v in smallest.items()}
        | {
            "the example's logarithms": printed,
            "log(-1)": number(-1.0).log().item(),
            "0 · log 0": value,
            "gradient of p log p at 0": gradient.item(),
        },
        explanation=f"log 0 is {show(zeros['float32'])} in every dtype, which torch.isnan does not "
        "see, and the smallest number above zero has an ordinary logarithm "
        f"({show(smallest['float32'])} in float32). It is multiplying that makes the NaN: 0 · log "
        f"0 is {show(value)}.",
        right="It takes only one more operation: in the loss that follows the result is NaN. The "
        "article knows the difference: the output that it prints for this line has -inf, and the "
        "paragraph after the example says negative infinity. Of numbers below zero the sentence "
        "would be true.",
    )


@claim(
    "3.13",
    "The softmax of 1 and 1000 is exactly 0 and 1.",
    place="Example 2, the comment on the first output; the paragraph after it, sentence 1",
    says=IS,
    reading="The numbers that are printed, in float32 as printed, and in three other dtypes.",
    concept="floats",
    expected=HOLDS,
)
def skewed_softmax():
    """The article's softmax in four dtypes, and the gap of the logits from which it is zero."""
    outputs = {
        name: F.softmax(LOGITS.to(dtype), dim=1).flatten().tolist()
        for name, dtype in DTYPES.items()
    }

    def gap(dtype):
        gaps = torch.arange(0, 800, 0.1, dtype=torch.float64)
        pairs = torch.stack((-gaps, torch.zeros_like(gaps)), dim=1).to(dtype)
        return round(gaps[F.softmax(pairs, dim=1)[:, 0] == 0][0].item(), 1)

    gaps = {name: gap(dtype) for name, dtype in DTYPES.items()}
    return Finding(
        trials={f"{name}: 0 and 1": output == [0, 1] for name, output in outputs.items()},
        figures={f"softmax, {name}": output for name, output in outputs.items()}
        | {f"gap from which it is zero, {name}": value for name, value in gaps.items()},
        explanation=f"It is {show(outputs['float32'])} in all four dtypes. The gap of 999 is far "
        f"more than it takes: {show(gaps['float32'])} is enough in float32, "
        f"{show(gaps['float16'])} in float16, {show(gaps['float64'])} in float64.",
    )


@claim(
    "3.14",
    "The logarithms of these two probabilities are minus infinity and 0.",
    place="Example 2, the comment on the second output; the paragraph after it, sentence 1",
    says=IS,
    reading="The numbers that are printed, in float32 as printed, and in three other dtypes.",
    concept="floats",
    expected=HOLDS,
)
def skewed_logarithms():
    """The article's logarithms in four dtypes; beside them the log-softmax in one step."""
    outputs = {
        name: F.softmax(LOGITS.to(dtype), dim=1).log().flatten().tolist()
        for name, dtype in DTYPES.items()
    }
    at_once = F.log_softmax(LOGITS, dim=1).flatten().tolist()
    return Finding(
        trials={f"{name}: -inf and 0": output == [-INF, 0] for name, output in outputs.items()},
        figures={f"logarithms, {name}": output for name, output in outputs.items()}
        | {"by log-softmax": at_once},
        explanation=f"They are {show(outputs['float32'])} in all four dtypes. Taken in one step, "
        f"as log-softmax, they are {show(at_once)}.",
    )


@claim(
    "3.15",
    "Minus infinity times the target's zero makes the loss of the first class NaN; that of the "
    "second is -0.",
    place="Example 2, the comments on the logarithm and on the last output; the paragraph after "
    "it, sentence 2",
    says=IS,
    reading="The numbers that are printed, in float32 as printed, and in three other dtypes. The "
    "comment that the logarithm of zero causes NaN was read as: in the end.",
    concept="losses",
    expected=HOLDS,
)
def skewed_loss():
    """The second example with its own numbers in four dtypes; beside it its gradient, and the loss
    by log-softmax."""
    losses = {
        name: skewed_terms(LOGITS.to(dtype)).flatten().tolist() for name, dtype in DTYPES.items()
    }

    def as_printed(first, second):
        return math.isnan(first) and second == 0 and math.copysign(1, second) == -1

    _, gradient = value_and_gradient(skewed_terms, LOGITS)
    sound = pitfalls.cross_entropy(LOGITS, TARGET).flatten().tolist()
    return Finding(
        trials={f"{name}: NaN and -0": as_printed(*loss) for name, loss in losses.items()},
        figures={f"loss, {name}": str(loss) for name, loss in losses.items()}
        | {"gradient, float32": gradient.flatten().tolist(), "loss by log-softmax": sound},
        explanation="∞ · 0 is NaN, in all four dtypes; the prediction was certain and right. The "
        f"gradient is {show(gradient.flatten().tolist())}. By log-softmax, as torch's "
        f"cross_entropy has it, the loss is {show(sound)}.",
    )


@claim(
    "3.16",
    "A small ε added to what the logarithm is taken of can prevent much of this.",
    place="The paragraph after example 2, sentence 3",
    says=CAN,
    reading="With an ε the loss and its gradient are finite where they were NaN: in the article's "
    "example, and in batches of confident predictions.",
    concept="losses",
    expected=HOLDS,
)
def epsilon_in_log():
    """The article's example and ten batches of 64 confident predictions, with three ε in four
    dtypes; then what the ε costs where the prediction is certain and wrong."""
    batches = []
    for seed in range(RUNS):
        logits = 100 * normal(64, 10, seed=seed)
        batches.append((logits, F.one_hot(logits.argmax(1), 10).double()))

    def finite(z, t, epsilon):
        value, gradient = value_and_gradient(
            lambda logits: pitfalls.softmax_then_log(logits, t, epsilon=epsilon), z
        )
        return math.isfinite(value) and nonfinite(gradient) == 0

    example, counts = {}, {}
    for name, dtype in DTYPES.items():
        for epsilon in (0.0, 1e-8, 1e-12, 1e-46):
            how = f"{name}, ε = {show(epsilon)}"
            example[how] = finite(LOGITS.to(dtype), TARGET.to(dtype), epsilon)
            counts[how] = sum(finite(z.to(dtype), t.to(dtype), epsilon) for z, t in batches)
    price = remedies.epsilon_in_log(1e-8)
    with_epsilon = [how for how in counts if not how.endswith("ε = 0")]
    return Finding(
        trials={f"the example, {how}: finite": example[how] for how in with_epsilon}
        | {f"ten batches, {how}: all finite": counts[how] == RUNS for how in with_epsilon},
        figures={f"batches of ten that are finite, {how}": n for how, n in counts.items()}
        | {
            "certain and wrong, ε = 1e-8: loss": price["value"],
            "true loss": price["true_value"],
            "gradient of the right class": price["gradient_right_class"],
            "true gradient": price["true_gradient_right_class"],
        },
        condition="the dtype can hold the ε",
        explanation=f"In float32 {counts['float32, ε = 0']} of {RUNS} batches are finite without "
        f"an ε and {counts['float32, ε = 1e-8']} with 1e-8; in float16, where 1e-8 is zero, it is "
        f"{counts['float16, ε = 1e-8']}. The price is paid where the prediction is certain and "
        f"wrong: there the loss is {show(price['value'])} instead of {show(price['true_value'])} "
        f"and the gradient {show(price['gradient_right_class'])} instead of "
        f"{show(price['true_gradient_right_class'])}. Torch's cross_entropy, which takes the "
        "logits, needs no ε and pays no such price.",
        right="With an ε that the dtype can hold, every NaN of this kind that was tried is gone.",
    )


@claim(
    "3.17",
    "Even so, with values at zero or very near it, a series of multiplications might end in NaN.",
    place="The paragraph after example 2, sentence 4",
    says=CAN,
    reading="Even so: with an ε in the logarithm. Products of many small probabilities, and the "
    "products that the backward pass makes, were tried.",
    concept="floats",
    expected=HOLDS,
)
def multiplications():
    """With ε = 1e-8 in the logarithm: products of twenty small probabilities, alone and divided by
    their sum; scaled losses with a tiny ε; single products, in float32 and float16."""
    likelihoods = 0.01 * uniform(RUNS, 3, 20, dtype=torch.float32)
    products = likelihoods.prod(2)
    shares = products / products.sum(1, keepdim=True)

    def scaled(epsilon):
        return value_and_gradient(
            lambda z: 1000 * pitfalls.softmax_then_log(z, 1 - TARGET, epsilon=epsilon), LOGITS
        )[1]

    p = torch.tensor([0.0, 1e-45, 1e-30])
    half = torch.zeros(1, dtype=torch.float16)
    results = {
        "products of twenty small probabilities, divided by their sum": (shares + 1e-8).log(),
        "a loss times 1000, its gradient, ε = 1e-38": scaled(1e-38),
        "a loss times 1000, its gradient, ε = 1e-8": scaled(1e-8),
        "products of twenty small probabilities, not divided": (products + 1e-8).log(),
        "p · log(p + ε) at 0 in float16, where ε = 1e-8 is 0": half * (half + 1e-8).log(),
        "p · log(p + ε) at 0, 1e-45 and 1e-30": p * (p + 1e-8).log(),
    }
    counts = {name: nans(value) for name, value in results.items()}
    return Finding(
        trials={f"{name}: NaN": count > 0 for name, count in counts.items()},
        figures={f"NaN, {name}": count for name, count in counts.items()}
        | {"products of twenty that are zero, of 30": int((products == 0).sum())},
        condition="a product has left the range of the dtype, and the zero or infinity that it has "
        "become meets another",
        explanation="Twenty small probabilities multiplied give "
        f"{int((products == 0).sum())} zeros of {products.numel()}, and divided by their sum "
        f"{nans(shares)} NaN, which the ε in the logarithm does not mend. The gradient of a "
        "logarithm with ε = 1e-38 overflows when the loss is scaled by 1000, and meets a zero. "
        "Small numbers do no harm as long as they stay above zero.",
    )


# ------------------------------------------------------------------------------------------------
# The paragraph before example 3: the range of numbers


@claim(
    "3.18",
    "A float has a limited range: what exceeds it becomes infinite, and what is too close to zero "
    "underflows.",
    place="The paragraph before example 3, sentences 2 and 3",
    says=IS,
    reading="Sums, products and quotients that go beyond the largest or below the smallest number "
    "of the dtype, under torch's usual rounding.",
    concept="floats",
    expected=HOLDS,
)
def limits_of_float():
    """One step beyond the largest and the smallest number of four dtypes, by several operations."""
    trials, figures = {}, {}
    for name, dtype in DTYPES.items():
        top = torch.tensor(torch.finfo(dtype).max, dtype=dtype)
        bottom = torch.zeros_like(top).nextafter(torch.ones_like(top))
        beyond = torch.stack((2 * top, top + top, -top - top, top * top, top / 0.5))
        below = torch.stack((bottom / 2, bottom * bottom, bottom / top, -bottom / 4))
        trials[f"{name}: five results beyond the largest number are infinite"] = bool(
            beyond.isinf().all()
        )
        trials[f"{name}: four results below the smallest are zero"] = bool((below == 0).all())
        figures[f"largest, {name}"] = top.item()
        figures[f"smallest above zero, {name}"] = bottom.item()
        figures[f"smallest with full precision, {name}"] = torch.finfo(dtype).smallest_normal
    return Finding(
        trials=trials,
        figures=figures,
        explanation=f"float32 ends at {show(figures['largest, float32'])} and begins at "
        f"{show(figures['smallest above zero, float32'])}; float16 at "
        f"{show(figures['largest, float16'])} and "
        f"{show(figures['smallest above zero, float16'])}. Towards zero the loss is gradual: below "
        f"{show(figures['smallest with full precision, float32'])} float32 has fewer and fewer "
        "digits, and then none.",
    )


def deep_outputs(activation: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    """What ten random layers of width 32 put out; their weights keep the size of the numbers."""
    x = normal(16, 32, seed=seed, dtype=torch.float32)
    for layer in range(10):
        weights = normal(32, 32, seed=1000 * (layer + 1) + seed, dtype=torch.float32)
        x = activation(x @ weights * 32**-0.5)
    return x


@claim(
    "3.19",
    "Overflow and underflow are particularly common with activations that can take extreme values.",
    place="The paragraph before example 3, sentence 4, the first of the two cases",
    says=IS,
    reading="The same random networks with such activations (exponential, square, bell curve) and "
    "with tame ones: more of the former should overflow, or put out zeros.",
    concept="losses",
    expected=HOLDS,
)
def extreme_activations():
    """Ten networks of ten layers with each of six activations, the same weights for all: how many
    put out numbers that are not finite, and how many exact zeros where the function has none."""
    activations = {
        "exp": torch.exp,
        "square": torch.square,
        "bell curve exp(-100 x²)": lambda x: torch.exp(-100 * x.square()),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softplus": F.softplus,
    }
    outputs = {
        name: [deep_outputs(activation, seed) for seed in range(RUNS)]
        for name, activation in activations.items()
    }
    over = {name: sum(nonfinite(x) > 0 for x in given) for name, given in outputs.items()}
    under = {name: sum(bool((x == 0).any()) for x in given) for name, given in outputs.items()}
    tame = ("tanh", "sigmoid", "softplus")

    def beyond(name):
        return over[name] + under[name]

    return Finding(
        trials={
            f"{name}: more networks out of range than with {other}": beyond(name) > beyond(other)
            for name in activations
            if name not in tame
            for other in tame
        },
        figures={f"networks of ten that overflow, {name}": n for name, n in over.items()}
        | {f"networks of ten with outputs of exactly zero, {name}": n for name, n in under.items()},
        explanation=f"Of {RUNS} networks {over['exp']} overflow with the exponential, and "
        f"{over['square'] + under['square']} leave the range with the square; with tanh, sigmoid "
        f"and softplus it is {max(map(beyond, tame))}. The bell curve underflows to zero in "
        f"{under['bell curve exp(-100 x²)']}.",
    )


@claim(
    "3.20",
    "Overflow and underflow are also common where gradients grow or shrink too much going back.",
    place="The paragraph before example 3, sentence 4, the second of the two cases",
    says=IS,
    reading="Gradients that grow or shrink by a factor at each layer leave the range of the dtype "
    "after enough layers; gradients that keep their size do not.",
    concept="training",
    expected=HOLDS,
)
def gradients_out_of_range():
    """Back through 300 steps of a linear recurrence, ten seeds: a rotation that grows by half,
    shrinks by half or keeps the size at each step; in float32 and bfloat16."""

    def at_the_start(factor, seed, dtype):
        rotation, _ = torch.linalg.qr(normal(8, 8, seed=seed))
        step = (factor * rotation).to(dtype)
        gradient = normal(8, seed=100 + seed).to(dtype)
        for _ in range(300):
            gradient = step.T @ gradient
        return gradient

    counts = {}
    for name in ("float32", "bfloat16"):
        for factor in (1.5, 0.5, 1.0):
            gradients = [at_the_start(factor, s, DTYPES[name]) for s in range(RUNS)]
            counts[name, factor] = (
                sum(nonfinite(g) > 0 for g in gradients),
                sum(bool((g == 0).all()) for g in gradients),
            )
    return Finding(
        trials={
            f"{name}, {said}: all ten {came}": counts[name, factor][which] == RUNS
            for name in ("float32", "bfloat16")
            for factor, said, came, which in (
                (1.5, "growing", "overflow", 0),
                (0.5, "shrinking", "vanish", 1),
            )
        }
        | {
            f"{name}, keeping its size: none leaves the range": counts[name, 1.0] == (0, 0)
            for name in ("float32", "bfloat16")
        },
        figures={
            f"of ten that overflow and that vanish, {name}, factor {show(factor)}": list(count)
            for (name, factor), count in counts.items()
        },
        explanation="Where each step multiplies a gradient by 1.5, "
        f"{counts['float32', 1.5][0]} of {RUNS} overflow in float32 within 300 steps; by 0.5, "
        f"{counts['float32', 0.5][1]} become exactly zero; by 1, "
        f"{sum(counts['float32', 1.0])}.",
    )


@claim(
    "3.21",
    "Clipping the gradient, a common technique, alleviates this.",
    place="The paragraph before example 3, sentence 5",
    says=IS,
    reading="This: the sentence before it, gradients that overflow or underflow because they are "
    "too large or too small. Clipping by norm, the usual one, at 1, and by value. A NaN, of which "
    "the sentence does not speak, was not held against it.",
    concept="training",
    expected=CONDITIONAL,
)
def clipping_alleviates():
    """Clipping by norm and by value of a large, a very large, an infinite and a tiny gradient."""
    sets = {
        "large: 1000 and 1": [1000.0, 1.0],
        "very large: 1e19 and 1": [1e19, 1.0],
        "overflowed: inf and 1": [INF, 1.0],
        "tiny: 1e-30 and 1e-30": [1e-30, 1e-30],
    }
    ways = {"by norm": remedies.clip_by_norm, "by value": remedies.clip_by_value}
    after = {
        (name, way): clip(gradients)
        for name, gradients in sets.items()
        for way, clip in ways.items()
    }

    def usable(gradients):
        return all(map(math.isfinite, gradients)) and 0.1 < math.hypot(*gradients) < 2

    undefined = {way: clip([math.nan, 1.0]) for way, clip in ways.items()}
    overflowed = after["overflowed: inf and 1", "by norm"]
    return Finding(
        trials={
            f"{name}, {way}: then finite, with a norm from 0.1 to 2": usable(came)
            for (name, way), came in after.items()
        },
        figures={f"{name}, {way}": came for (name, way), came in after.items()}
        | {f"NaN and 1, {way}": came for way, came in undefined.items()},
        condition="the gradient is too large, and still finite or clipped by value",
        explanation="A gradient of 1000 and 1 becomes "
        f"{show(after['large: 1000 and 1', 'by norm'])} by norm. One that has overflowed becomes "
        f"{show(overflowed)} by norm, since ∞ is multiplied by 1/∞ = 0, and "
        f"{show(after['overflowed: inf and 1', 'by value'])} by value. A tiny one stays "
        f"{show(after['tiny: 1e-30 and 1e-30', 'by norm'])}, because clipping only ever shortens.",
        right="Gradients that are too large are what clipping is for, and those it mends; in "
        "training it can keep them from ever overflowing, as claim 3.27 shows.",
    )


# ------------------------------------------------------------------------------------------------
# Example 3: an overflow, and what becomes of it


@claim(
    "3.22",
    "1.5 squared fifty times over is infinite.",
    place="Example 3, the comment on the first output",
    says=IS,
    reading="The printed output, in float32 as printed, and in three other dtypes.",
    concept="floats",
    expected=HOLDS,
)
def squared_fifty_times():
    """The third example with its own number in four dtypes; at which squaring it overflows; its
    gradient, and the same product in logarithms."""

    def overflows_at(dtype):
        x = torch.tensor(1.5, dtype=dtype)
        return next(n for n in range(1, 51) if pitfalls.repeated_squaring(x, n).isinf())

    at = {name: overflows_at(dtype) for name, dtype in DTYPES.items()}
    outputs = {
        name: pitfalls.repeated_squaring(number(1.5, dtype)).item()
        for name, dtype in DTYPES.items()
    }
    _, gradient = value_and_gradient(pitfalls.repeated_squaring, number(1.5))
    logarithm, slope = value_and_gradient(pitfalls.log_repeated_squaring, number(1.5))
    return Finding(
        trials={f"{name}: infinite": value == INF for name, value in outputs.items()},
        figures={f"output, {name}": value for name, value in outputs.items()}
        | {f"squaring that overflows, {name}": n for name, n in at.items()}
        | {
            "gradient": gradient.item(),
            "logarithm of the product": logarithm,
            "its gradient": slope.item(),
        },
        explanation=f"It is infinite from squaring {at['float32']} on in float32, "
        f"{at['float64']} in float64 and {at['float16']} in float16, and so is its gradient "
        f"({show(gradient.item())}). Kept as a logarithm the product is {show(logarithm)}, with a "
        f"gradient of {show(slope.item())}.",
    )


@claim(
    "3.23",
    "Even a small start can grow to infinity by simple repeated multiplication.",
    place="The paragraph after example 3, sentence 1",
    says=CAN,
    reading="Small as 1.5 is: a few units at most. The article's fifty squarings, from other "
    "starts; and multiplying by the start itself.",
    concept="floats",
    expected=HOLDS,
)
def small_starts():
    """Fifty squarings of six starts in float32, and 300 multiplications by the start."""
    starts = (2.0, 1.5, 1.01, 1 + 2.0**-23, 1.0, 0.99)
    squared = {x: pitfalls.repeated_squaring(number(x)).item() for x in starts}
    multiplied = {x: number(x).repeat(300).prod().item() for x in (1.5, 1.01)}
    return Finding(
        trials={f"{x:.8g} squared fifty times: infinite": v == INF for x, v in squared.items()}
        | {
            f"{x} multiplied by itself 300 times: infinite": v == INF for x, v in multiplied.items()
        },
        figures={f"{x:.8g} squared fifty times": value for x, value in squared.items()}
        | {f"product of 300 factors of {x}": value for x, value in multiplied.items()},
        condition="the start is above 1",
        explanation="Fifty squarings take every start above 1 to infinity, even the very next "
        f"float32, {1 + 2.0**-23:.8g}; 1 stays {show(squared[1.0])}, and 0.99 ends at "
        f"{show(squared[0.99])}. By plain multiplication it takes longer: 300 factors of 1.5 are "
        f"{show(multiplied[1.5])}, and 300 of 1.01 are {show(multiplied[1.01])}.",
    )


@claim(
    "3.24",
    "The logarithm of infinity is infinite; times zero, as could happen in a loss, that is NaN.",
    place="Example 3, the comments on the second and third output; the paragraph after it, "
    "sentence 2",
    says=IS,
    reading="The printed outputs, in float32 as printed, and in three other dtypes; and that a "
    "loss multiplies by zero, tried with a term whose weight is zero.",
    concept="losses",
    expected=HOLDS,
)
def log_of_infinity():
    """The rest of the third example in four dtypes; a loss with a term of weight zero; the same
    loss in logarithms."""
    logarithms, losses = {}, {}
    for name, dtype in DTYPES.items():
        output = pitfalls.repeated_squaring(number(1.5, dtype))
        logarithms[name] = output.log().item()
        losses[name] = squared_log(number(1.5, dtype)).item()
    terms, weights = torch.tensor([0.3, INF]), torch.tensor([1.0, 0.0])
    weighted = (weights * terms).sum().item()
    sound = (pitfalls.log_repeated_squaring(number(1.5)) * 0).item()
    return Finding(
        trials={f"{name}: its logarithm is infinite": v == INF for name, v in logarithms.items()}
        | {f"{name}: times zero it is NaN": math.isnan(v) for name, v in losses.items()}
        | {"a loss of two terms, an infinite one weighted by zero: NaN": math.isnan(weighted)},
        figures={f"logarithm, {name}": value for name, value in logarithms.items()}
        | {f"times zero, {name}": value for name, value in losses.items()}
        | {"loss of two terms": weighted, "in logarithms throughout, times zero": sound},
        explanation=f"They are {show(logarithms['float32'])} and {show(losses['float32'])} in all "
        "four dtypes. A term of the loss that is switched off by a weight of zero makes it "
        f"{show(weighted)} when the term is infinite. In logarithms throughout, nothing is "
        f"infinite and the example's loss is {show(sound)}.",
    )


def deep_error(depth: int, seed: int) -> float:
    """The relative error of a random network of so many layers in float32."""
    x = normal(8, 32, seed=seed)
    short = x.float()
    for layer in range(depth):
        weights = normal(32, 32, seed=1000 * (layer + 1) + seed).float() * 32**-0.5
        short, x = torch.relu(short @ weights), torch.relu(x @ weights.double())
    return relative_error(short, x)


@claim(
    "3.25",
    "Numerical trouble can build up in complex networks, most of all over a long training.",
    place="The paragraph after example 3, sentence 3",
    says=CAN,
    reading="An error or a size that grows with the number of layers, or of steps. Several "
    "mechanisms were tried, among them one that corrects itself.",
    concept="training",
    expected=HOLDS,
)
def troubles_build_up():
    """The rounding of networks of 1 and of 30 layers, ten seeds; a weight that grows by 1 % a
    step; running sums of losses; a weight that settles, in float32 and bfloat16."""
    shallow, deep = ([deep_error(depth, s) for s in range(RUNS)] for depth in (1, 30))

    def overflow_step(growth):
        weight = torch.tensor(1.5)
        for step in range(20_000):
            if weight.isinf():
                return step
            weight = weight * growth
        return -1

    def settling(dtype, steps):
        weight, exact = torch.tensor(1.5, dtype=dtype), 1.5
        for _ in range(steps):
            weight, exact = weight - 0.01 * (weight - 0.5), exact - 0.01 * (exact - 0.5)
        return abs(weight.item() - exact)

    def running_sum_error(count):
        losses = torch.full((count,), 0.1)
        # NumPy adds one after the other, in the dtype, as a loop does; torch's sum is cleverer.
        return abs(float(losses.numpy().cumsum()[-1]) / (count * losses[0].item()) - 1)

    step = overflow_step(1.01)
    summed = {count: running_sum_error(count) for count in (1_000, 1_000_000)}
    drift = {
        (name, steps): settling(DTYPES[name], steps)
        for name in ("float32", "bfloat16")
        for steps in (20, 2_000, 20_000)
    }
    return Finding(
        trials={
            "rounding, 30 layers against 1: more than twice as large in all ten networks": all(
                b > 2 * a for a, b in zip(shallow, deep, strict=True)
            ),
            "a weight that grows by 1 % a step: infinite in the end": step > 0,
            "a running sum: relative error of a million terms over ten times that of a thousand": (
                summed[1_000_000] > 10 * summed[1_000]
            ),
        }
        | {
            f"a weight that settles, {name}, {late:,} steps against {early:,}: twice as far off": (
                drift[name, late] > 2 * drift[name, early]
            )
            for name in ("float32", "bfloat16")
            for early, late in ((20, 2_000), (2_000, 20_000))
        },
        figures={
            "relative error of ten networks, 1 layer, least and most": [min(shallow), max(shallow)],
            "relative error of ten networks, 30 layers, least and most": [min(deep), max(deep)],
            "step at which the growing weight is infinite": step,
        }
        | {f"relative error of a running sum of {n:,} losses": e for n, e in summed.items()}
        | {f"error of a settling weight, {name}, {n:,} steps": e for (name, n), e in drift.items()},
        condition="a size or an error grows at each step, or is added up",
        explanation=f"The rounding of ten networks is at most {show(max(shallow))} with one layer "
        f"and at least {show(min(deep))} with 30; a weight that grows by 1 % a step is infinite at "
        f"step {step:,}; a running sum in float32 is off by {summed[1_000]:.4%} after a thousand "
        f"losses and by {summed[1_000_000]:.2%} after a million. Rounding that each step corrects "
        f"stops growing: a float32 weight that settles is off by {show(drift['float32', 2_000])} "
        f"after 2,000 steps and by {show(drift['float32', 20_000])} after 20,000. In bfloat16 the "
        "last steps are too small to count, and it stays off by "
        f"{show(drift['bfloat16', 20_000])}.",
    )


# ------------------------------------------------------------------------------------------------
# Paragraph 9: finding it


@claim(
    "3.26",
    "By torch.isnan and functions like it on intermediate results one can find where NaN comes in.",
    place="Paragraph 9, sentence 3",
    says=CAN,
    reading="isnan for the step at which the first NaN is; isfinite, one of the functions like it, "
    "for the step at which the first number is that is not finite.",
    concept="protocol",
    expected=HOLDS,
)
def isnan_tracks():
    """The article's three examples and a root of a negative number, step by step, under isnan and
    under isfinite; then ten chains of ten steps with a fault at a random step."""
    x, probabilities = number(2.0), F.softmax(LOGITS, dim=1)
    squared = pitfalls.repeated_squaring(number(1.5))
    chains = {
        "the ratio": {
            "difference": x - x.clone(),
            "ratio": article_ratio(x),
            "gradient": value_and_gradient(article_ratio, x)[1],
        },
        "the skewed softmax": {
            "softmax": probabilities,
            "logarithm": probabilities.log(),
            "loss": skewed_terms(LOGITS),
        },
        "the fifty squarings": {
            "squares": squared,
            "logarithm": squared.log(),
            "loss": squared_log(number(1.5)),
        },
        "the root of -1": {"root": number(-1.0).sqrt(), "its square": number(-1.0).sqrt() ** 2},
    }
    made = {
        "the ratio": ("gradient", "ratio"),
        "the skewed softmax": ("loss", "logarithm"),
        "the fifty squarings": ("loss", "squares"),
        "the root of -1": ("root", "root"),
    }

    def first(check, steps):
        return next((step for step, value in steps.items() if check(value)), "nowhere")

    found = {name: (first(nans, s), first(nonfinite, s)) for name, s in chains.items()}
    hits = 0
    for seed in range(RUNS):
        fault = int(10 * uniform(1, seed=seed))
        value, steps = uniform(16, seed=100 + seed), {}
        for step in range(10):
            value = (value - 10).log() if step == fault else torch.tanh(value + 0.1 * step)
            steps[step] = value
        hits += first(nans, steps) == fault
    return Finding(
        trials={
            f"{name}: isnan first at the step that makes NaN, {made[name][0]}": at == made[name][0]
            for name, (at, _) in found.items()
        }
        | {
            f"{name}: isfinite first at the step where it begins, {made[name][1]}": at
            == made[name][1]
            for name, (_, at) in found.items()
        }
        | {"ten chains with a fault at random: isnan at the fault in all": hits == RUNS},
        figures={f"isnan first at, {name}": at for name, (at, _) in found.items()}
        | {f"isfinite first at, {name}": at for name, (_, at) in found.items()}
        | {"random chains of ten in which isnan finds the fault": hits},
        explanation="isnan finds the step at which NaN appears, every time. Where an infinity "
        "came first, as in all three of the article's examples, that step is a consequence, and "
        "isfinite finds the cause: the ratio, the logarithm, the squarings. The ratio has no NaN "
        "at all until the gradient.",
        condition="the intermediate results include the gradient, and isfinite is among the "
        "functions if an infinity came first",
    )


def recurrent_training(seed: int, clip: float | None, *, faulty: bool = False) -> bool:
    """Whether a recurrent model of 40 steps is finite after 60 updates by SGD.

    Its first weights grow the state by a fifth at each step, so that the gradients are large.
    """
    rotation, _ = torch.linalg.qr(normal(6, 6, seed=seed))
    weights = (1.2 * rotation).float().requires_grad_()
    steps_of = torch.optim.SGD([weights], lr=0.01)
    for step in range(60):
        state = normal(8, 6, seed=1000 * seed + step, dtype=torch.float32)
        for _ in range(40):
            state = state @ weights
        loss = state.square().mean()
        if faulty and step == 30:
            loss = loss + 0 * (0 * weights.sum()).sqrt()
        steps_of.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([weights], clip)
        steps_of.step()
    return nonfinite(weights.detach()) == 0


@claim(
    "3.27",
    "Gradient clipping can help to keep training numerically stable.",
    place="Paragraph 9, sentence 5",
    says=CAN,
    reading="The article says that it helps to prevent: there should be trainings that fail "
    "without clipping and not with it, otherwise the same.",
    concept="training",
    expected=HOLDS,
)
def clipping_helps():
    """Ten recurrent models whose gradients are large, trained by SGD without clipping and with the
    norm clipped at 1 and at 0.1; then the same with one undefined gradient on the way."""
    counts = {
        clip: sum(recurrent_training(s, clip) for s in range(RUNS)) for clip in (None, 1.0, 0.1)
    }
    faulty = sum(recurrent_training(s, 1.0, faulty=True) for s in range(RUNS))
    return Finding(
        trials={
            f"large gradients: all ten finite with clipping at {show(clip)}, none without": (
                counts[clip] == RUNS and counts[None] == 0
            )
            for clip in (1.0, 0.1)
        }
        | {"one NaN among the gradients: all ten finite with clipping": faulty == RUNS},
        figures={
            "finite in the end of ten, no clipping": counts[None],
            "clipped at 1": counts[1.0],
            "clipped at 0.1": counts[0.1],
            "clipped at 1, one gradient NaN": faulty,
        },
        condition="what threatens is gradients that are too large; a gradient that is NaN already "
        "passes through",
        explanation=f"Of {RUNS} models {counts[None]} end with finite weights without clipping, "
        f"{counts[1.0]} with the norm clipped at 1. With a single NaN among the gradients it is "
        f"{faulty}: what is undefined has no length to be clipped.",
    )


@claim(
    "3.28",
    "Small tests with known results often bring problems of a custom layer to light before full "
    "training does.",
    place="Paragraph 9, sentences 6 and 7",
    says=CAN,
    reading="A few inputs at the edges whose result is known show the fault of a loss or layer, "
    "where ordinary random data show nothing. The article's own examples and a few relatives.",
    concept="protocol",
    expected=HOLDS,
)
def isolated_tests():
    """Six faulty losses and a sound one: two or three cases with a known value and gradient, and
    ten batches of ordinary random numbers beside them."""

    def log_prob(z):
        return pitfalls.naive_log_prob_loss(torch.sigmoid(z), (z > 0).to(z.dtype))

    def clamped(z):
        t = (z > 0).to(z.dtype)
        return pitfalls.clamped_log_prob_loss(torch.sigmoid(z), t, epsilon=1e-8)

    def classes(z):
        return pitfalls.softmax_then_log(z, F.one_hot(z.argmax(-1), z.shape[-1]).to(z.dtype))

    def length(x):
        return pitfalls.single_where(x > 0, torch.sqrt, x, otherwise=0.0)

    def share(x):
        return pitfalls.naive_ratio(x, x.sum().expand_as(x))

    def power(x):
        return pitfalls.repeated_squaring(x, 8)

    def hinge(p):
        return pitfalls.hinge_by_max(p, torch.ones_like(p))

    # For each a case, its value (None: any that is finite), and what ordinary data look like.
    tests = {
        "log-probabilities, certain and right": (log_prob, [-200.0, 200.0], 0.0, normal),
        "the same, clamped at 1e-8": (clamped, [-200.0, 200.0], 0.0, normal),
        "logarithm of a softmax, certain and right": (classes, [1.0, 1000.0], 0.0, normal),
        "where around a root, at 0": (length, [0.0, 4.0], 2.0, uniform),
        "shares of a sum, zeros": (share, [0.0, 0.0], None, uniform),
        "eight squarings of 1.5": (power, [1.5], None, uniform),
    }

    def fails(loss, given, expected=None):
        value, gradient = value_and_gradient(loss, given)
        wrong = expected is not None and not math.isclose(value, expected, abs_tol=1e-5)
        return wrong or not math.isfinite(value) or nonfinite(gradient) > 0

    sound = not fails(hinge, torch.tensor([0.0, 1.0, 2.0]), 1 / 3)
    caught, by_chance = {}, {}
    for name, (loss, case, expected, ordinary) in tests.items():
        caught[name] = fails(loss, torch.tensor(case), expected)
        by_chance[name] = sum(
            fails(loss, ordinary(64, seed=seed, dtype=torch.float32)) for seed in range(RUNS)
        )
    shown = sum(caught.values())
    return Finding(
        trials={
            f"{name}: shown by the test and by none of ten ordinary batches": hit
            and by_chance[name] == 0
            for name, hit in caught.items()
        }
        | {"a hinge, which has no fault: passes its test": sound},
        figures={f"shown by the test, {name}": hit for name, hit in caught.items()}
        | {f"ordinary batches of ten that show it, {name}": n for name, n in by_chance.items()},
        condition="the cases include the edges",
        explanation=f"Of the {len(tests)} faults the small tests show {shown}, and ten batches of "
        f"ordinary numbers {sum(n > 0 for n in by_chance.values())}. What makes them strong is "
        "the choice of cases: zeros, certain predictions, and numbers at the end of the range.",
    )
