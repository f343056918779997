"""Claims of the article "Why are NaN values appearing in PyTorch loss calculations?"."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ssimlab.lab import pitfalls, remedies

from .measuring import largest, nans, nonfinite, normal, value_and_gradient
from .registry import Finding, Verdict, claims_of, show

HOLDS, CONDITIONAL, FALSE = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.FALSE
INF = math.inf

claim = claims_of("article-loss-nan")

#: The article's skewed logits, and the target of its simple loss.
LOGITS, TARGET = torch.tensor([[1.0, 1000.0]]), torch.tensor([[0.0, 1.0]])


def article_ratio(x):
    """The article's CustomRatio: x over the difference of x and its copy."""
    return pitfalls.naive_ratio(x, x - x.clone())


@claim(
    "3.1",
    "The ratio x / (x - x.clone()) at x = 2 prints tensor([nan]).",
    kind="example",
    concept="losses",
    expected=FALSE,
)
def ratio_is_nan():
    """The first example with its own number, and at 0 and inf."""
    value, gradient = value_and_gradient(article_ratio, torch.tensor([2.0]))
    elsewhere = {x: article_ratio(torch.tensor([x])).item() for x in (0.0, -2.0, INF)}
    undefined = [show(x) for x, v in elsewhere.items() if math.isnan(v)]
    guarded, slope = value_and_gradient(
        lambda x: pitfalls.guarded_ratio(x, x - x.clone(), fill=0.0), torch.tensor([2.0])
    )
    return Finding(
        trials={"x = 2: the value is NaN": math.isnan(value)},
        figures={"value at 2": value, "gradient at 2": gradient.item()}
        | {f"value at {show(x)}": v for x, v in elsewhere.items()}
        | {"guarded value at 2": guarded, "guarded gradient at 2": slope.item()},
        explanation=f"It prints {show(value)}: 2 / 0 is infinite, not undefined. The value is NaN "
        f"for {' and '.join(undefined)} of the others tried, where it is 0/0 or inf - inf. The "
        f"gradient at 2 is {show(gradient.item())}, by inf - inf.",
    )


@claim(
    "3.2",
    "The softmax of (1, 1000) is exactly (0, 1).",
    kind="example",
    concept="floats",
    expected=HOLDS,
)
def skewed_softmax():
    """The article's softmax, and the gap from which it is exactly zero in four dtypes."""
    probabilities = F.softmax(LOGITS, dim=1).flatten().tolist()

    def gap(dtype):
        gaps = torch.arange(0, 800, 0.1, dtype=torch.float64)
        pairs = torch.stack((-gaps, torch.zeros_like(gaps)), dim=1).to(dtype)
        zero = F.softmax(pairs, dim=1)[:, 0] == 0
        return round(gaps[zero][0].item(), 1)

    dtypes = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    gaps = {str(dtype).removeprefix("torch."): gap(dtype) for dtype in dtypes}
    return Finding(
        trials={"(1, 1000), float32": probabilities == [0.0, 1.0]},
        figures={"softmax": probabilities}
        | {f"gap from which it is zero, {name}": value for name, value in gaps.items()},
        explanation=f"It is {show(probabilities)}. A gap of {show(gaps['float32'])} is enough in "
        f"float32, {show(gaps['float16'])} in float16, and {show(gaps['float64'])} in float64.",
    )


@claim(
    "3.3",
    "Zero fed into the logarithm returns NaN.",
    kind="cause",
    concept="floats",
    expected=FALSE,
)
def log_of_zero():
    """The article's log(softmax), and log of 0 and of -1."""
    printed = torch.log(F.softmax(LOGITS, dim=1)).flatten().tolist()
    zero, negative = torch.log(torch.tensor([0.0, -1.0])).tolist()
    return Finding(
        trials={
            "log(0)": math.isnan(zero),
            "log(softmax(1, 1000))": any(map(math.isnan, printed)),
        },
        figures={"log(0)": zero, "log(-1)": negative, "log(softmax(1, 1000))": printed},
        explanation=f"log 0 is {show(zero)}: a limit, not undefined, and torch.isnan does not see "
        f"it. NaN is what log(-1) is ({show(negative)}). The article's own printed output, "
        f"{show(printed)}, has no NaN.",
    )


@claim(
    "3.4",
    "The loss -log_probs * target of these logits is [[nan, -0.]].",
    kind="example",
    concept="losses",
    expected=HOLDS,
)
def skewed_loss():
    """The second example with its own numbers, by softmax then log, and by log-softmax."""
    x = LOGITS.clone().requires_grad_()
    terms = pitfalls.softmax_then_log(x, TARGET)
    (gradient,) = torch.autograd.grad(terms.sum(), x)
    printed = terms.detach().flatten().tolist()
    sound = pitfalls.cross_entropy(LOGITS, TARGET).flatten().tolist()
    return Finding(
        trials={
            "the first entry is NaN": math.isnan(printed[0]),
            "the second is -0": printed[1] == 0 and math.copysign(1, printed[1]) == -1,
        },
        figures={
            "loss": str(terms.tolist()),
            "gradient": gradient.flatten().tolist(),
            "loss by log-softmax": sound,
        },
        explanation="inf · 0 is NaN, and the gradient is "
        f"{show(gradient.flatten().tolist())}. By log-softmax the loss is {show(sound)}.",
    )


@claim(
    "3.5",
    "A small epsilon added inside the logarithm prevents many of these situations.",
    kind="remedy",
    concept="losses",
    expected=CONDITIONAL,
)
def epsilon_in_log():
    """Five ε with the right class the improbable one: is the value finite, the gradient right?"""
    tried = {e: remedies.epsilon_in_log(e) for e in (1e-8, 1e-12, 1e-38, 1e-45, 1e-46)}
    true_value = tried[1e-8]["true_value"]
    return Finding(
        trials={f"ε = {show(e)}: finite loss": math.isfinite(m["value"]) for e, m in tried.items()}
        | {
            f"ε = {show(e)}: a gradient that is not zero or NaN": abs(m["gradient_right_class"]) > 0
            for e, m in tried.items()
        },
        figures={f"loss, ε = {show(e)}": m["value"] for e, m in tried.items()}
        | {
            f"gradient of the right class, ε = {show(e)}": m["gradient_right_class"]
            for e, m in tried.items()
        }
        | {"true loss": true_value, "true gradient": tried[1e-8]["true_gradient_right_class"]},
        condition="a finite value is all you ask, and ε is not below the smallest float",
        explanation="The value becomes finite and arbitrary: "
        f"{show(tried[1e-8]['value'])} for 1e-8, {show(tried[1e-38]['value'])} for 1e-38, where "
        f"the loss is {show(true_value)}. The gradient is "
        f"{show(tried[1e-8]['gradient_right_class'])} where it should be "
        f"{show(tried[1e-8]['true_gradient_right_class'])}: the model never learns of its "
        "mistake. cross_entropy needs no ε.",
    )


@claim(
    "3.6",
    "With values at or near zero, later multiplications may still return NaN.",
    kind="cause",
    concept="floats",
    expected=CONDITIONAL,
)
def multiplications():
    """Products of a zero or a small number with what the logarithm makes of it."""
    products = {
        "0 · log 0": 0.0 * torch.log(torch.tensor(0.0)).item(),
        "0 · log(0 + 1e-8)": 0.0 * torch.log(torch.tensor(0.0) + 1e-8).item(),
        "1e-45 · log 1e-45": (torch.tensor(1e-45) * torch.log(torch.tensor(1e-45))).item(),
        "1e-30 · 1e-30 · log": (torch.tensor(1e-30) ** 2 * torch.log(torch.tensor(1e-30))).item(),
        "1e-30 · 1e-30, then its log": (
            torch.tensor(1e-30) ** 2 * torch.log(torch.tensor(1e-30) ** 2)
        ).item(),
    }
    return Finding(
        trials={name: math.isnan(value) for name, value in products.items()},
        figures=products,
        condition="the number is exactly zero, or becomes so, and meets an infinity",
        explanation="Zero times infinity is the only NaN here: 0 · log 0 is "
        f"{show(products['0 · log 0'])}, and the square of 1e-30 underflows to zero, so its own "
        f"product is {show(products['1e-30 · 1e-30, then its log'])}. Small numbers that stay "
        "above zero do no harm, and with an ε in the logarithm nor does zero.",
    )


@claim(
    "3.7",
    "1.5 squared fifty times is infinite.",
    kind="example",
    concept="floats",
    expected=HOLDS,
)
def squared_fifty_times():
    """The third example with its own number, and at which squaring other starts overflow."""

    def last_finite(start, dtype=torch.float32):
        x = torch.tensor(start, dtype=dtype)
        for times in range(1, 51):
            x = x * x
            if x.isinf():
                return times
        return 0

    value, gradient = value_and_gradient(pitfalls.repeated_squaring, torch.tensor([1.5]))
    below = value_and_gradient(pitfalls.repeated_squaring, torch.tensor([0.99]))
    next_to_one = 1 + 2.0**-23
    logarithm, slope = value_and_gradient(pitfalls.log_repeated_squaring, torch.tensor([1.5]))
    return Finding(
        trials={"1.5, float32": value == INF},
        figures={
            "value": value,
            "gradient": gradient.item(),
            "squaring that overflows, float32": last_finite(1.5),
            "squaring that overflows, float64": last_finite(1.5, torch.float64),
            "squaring that overflows, 1 + 2⁻²³": last_finite(next_to_one),
            "value for 0.99": below[0],
            "gradient for 0.99": below[1].item(),
            "its logarithm": logarithm,
            "gradient of the logarithm": slope.item(),
        },
        explanation=f"It is infinite from squaring {last_finite(1.5)} on "
        f"({last_finite(1.5, torch.float64)} in float64), with a gradient of "
        f"{show(gradient.item())}. The next float above 1 takes {last_finite(next_to_one)}; 0.99 "
        f"ends at {show(below[0])}. In logarithms the product is {show(logarithm)}, with the "
        f"gradient {show(slope.item())}.",
    )


@claim(
    "3.8",
    "The logarithm of inf is inf, and times 0 NaN.",
    kind="example",
    concept="floats",
    expected=HOLDS,
)
def log_of_infinity():
    """The rest of the third example."""
    output = pitfalls.repeated_squaring(torch.tensor([1.5]))
    logarithm = torch.log(output)
    loss = (logarithm * 0).item()
    sound = (pitfalls.log_repeated_squaring(torch.tensor([1.5])) * 0).item()
    return Finding(
        trials={"log(inf) is inf": logarithm.item() == INF, "inf · 0 is NaN": math.isnan(loss)},
        figures={"log(inf)": logarithm.item(), "times 0": loss, "in logarithms, times 0": sound},
        explanation=f"They are {show(logarithm.item())} and {show(loss)}. In the log domain the "
        f"same loss is {show(sound)}, since nothing was infinite.",
    )


@claim(
    "3.9",
    "Gradient clipping alleviates overflow and underflow of gradients.",
    kind="remedy",
    concept="training",
    expected=CONDITIONAL,
)
def clipping_alleviates():
    """Clipping by norm of a large, a tiny, an infinite and an undefined gradient."""
    sets = {
        "large: 1000, 1": [1000.0, 1.0],
        "tiny: 1e-30, 1e-30": [1e-30, 1e-30],
        "overflowed: inf, 1": [INF, 1.0],
        "undefined: NaN, 1": [math.nan, 1.0],
    }
    after = {name: remedies.clip_by_norm(gradients) for name, gradients in sets.items()}

    def helped(name):
        result = after[name]
        return all(map(math.isfinite, result)) and 0.1 < math.hypot(*result) < 1.1

    return Finding(
        trials={f"{name}: finite, of norm near 1": helped(name) for name in sets},
        figures=after,
        condition="the gradients are finite and large",
        explanation=f"A large gradient becomes {show(after['large: 1000, 1'])}. A tiny one stays "
        f"as it is. After an overflow it is too late: {show(after['overflowed: inf, 1'])}, and "
        f"after a NaN: {show(after['undefined: NaN, 1'])}.",
    )


@claim(
    "3.10",
    "torch.isnan on intermediate tensors tracks where the trouble is introduced.",
    kind="method",
    concept="protocol",
    expected=CONDITIONAL,
)
def isnan_tracks():
    """The article's three examples: where isnan first fires, and where isfinite does."""
    x = torch.tensor([2.0])
    probabilities = F.softmax(LOGITS, dim=1)
    squared = pitfalls.repeated_squaring(torch.tensor([1.5]))
    chains = {
        "ratio": [("difference", x - x.clone()), ("ratio", article_ratio(x))],
        "softmax": [
            ("softmax", probabilities),
            ("log", probabilities.log()),
            ("loss", -probabilities.log() * TARGET),
        ],
        "squaring": [
            ("squares", squared),
            ("log", squared.log()),
            ("loss", squared.log() * 0),
        ],
        "root of -1": [("root", torch.sqrt(torch.tensor([-1.0])))],
    }

    def first(check):
        return {
            name: next((step for step, value in steps if check(value)), "never")
            for name, steps in chains.items()
        }

    by_isnan, by_isfinite = first(nans), first(nonfinite)
    return Finding(
        trials={
            f"{name}: isnan fires at the step that first goes wrong": by_isnan[name]
            == by_isfinite[name]
            for name in chains
        },
        figures={f"isnan first fires, {name}": step for name, step in by_isnan.items()}
        | {f"isfinite first fails, {name}": step for name, step in by_isfinite.items()},
        condition="the trouble begins as NaN; where it begins as inf, isfinite is what sees it",
        explanation="isnan passes over inf. In the article's examples it fires at: ratio "
        f"{by_isnan['ratio']}, softmax {by_isnan['softmax']}, squaring {by_isnan['squaring']}; "
        f"the trouble begins at: {by_isfinite['ratio']}, {by_isfinite['softmax']}, "
        f"{by_isfinite['squaring']}. Use torch.isfinite.",
    )


@claim(
    "3.11",
    "float has limits: beyond them results become infinite, too close to zero they become zero.",
    kind="cause",
    concept="floats",
    expected=HOLDS,
)
def limits_of_float():
    """The largest and smallest numbers of four dtypes, and one step beyond."""
    trials, figures = {}, {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        name, limits = str(dtype).removeprefix("torch."), torch.finfo(dtype)
        top = torch.tensor(limits.max, dtype=dtype)
        bottom = torch.tensor(0.0, dtype=dtype).nextafter(torch.tensor(1.0, dtype=dtype))
        trials[f"{name}: 2 · largest is inf"] = bool((top * 2).isinf())
        trials[f"{name}: smallest / 2 is 0"] = bool(bottom / 2 == 0)
        figures[f"largest, {name}"] = top.item()
        figures[f"smallest above zero, {name}"] = bottom.item()
    return Finding(
        trials=trials,
        figures=figures,
        explanation=f"float32 ends at {show(figures['largest, float32'])} and begins at "
        f"{show(figures['smallest above zero, float32'])}; float16 at "
        f"{show(figures['largest, float16'])} and "
        f"{show(figures['smallest above zero, float16'])}.",
    )


@claim(
    "3.12",
    "The appearance of NaN typically is not random.",
    kind="cause",
    concept="protocol",
    expected=HOLDS,
)
def not_random():
    """A small network fed one bad input, trained five times: when does it turn NaN?"""

    def first_nan():
        generator = torch.Generator().manual_seed(0)
        weights = (0.3 * torch.randn(4, 4, generator=generator)).requires_grad_()
        batches = torch.rand(30, 8, 4, generator=generator)
        batches[17, 2] = 0.0
        for step, batch in enumerate(batches):
            out = (batch @ weights).tanh()
            loss = torch.sqrt((out**2).sum(1)).mean()
            (gradient,) = torch.autograd.grad(loss, weights)
            weights = (weights - 0.01 * gradient).detach().requires_grad_()
            if nonfinite(gradient):
                return step
        return -1

    steps = [first_nan() for _ in range(5)]
    return Finding(
        trials={
            "five runs turn NaN at the same step": len(set(steps)) == 1 and steps[0] >= 0,
            "it is the step of the bad input": steps[0] == 17,
        },
        figures={"steps": steps},
        explanation=f"In five runs the NaN comes at steps {show(steps)}: the sample of zeros is "
        "in that batch, and the root of zero has no finite slope. The same input gives the same "
        "NaN, so save the batch and you can have it again.",
    )


@claim(
    "3.13",
    "Probabilities are between zero and one, but may evaluate to precisely zero.",
    kind="behavior",
    concept="floats",
    expected=HOLDS,
)
def probabilities_of_softmax():
    """A thousand softmaxes of widely spread logits in three dtypes."""
    trials, figures = {}, {}
    logits = 100 * normal(1000, 10, seed=3)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        p = F.softmax(logits.to(dtype), dim=1)
        trials[f"{name}: all in [0, 1]"] = bool(((p >= 0) & (p <= 1)).all())
        trials[f"{name}: some exactly 0"] = bool((p == 0).any())
        figures[f"share that is exactly 0, {name}"] = (p == 0).double().mean().item()
        figures[f"share that is exactly 1, {name}"] = (p == 1).double().mean().item()
    return Finding(
        trials=trials,
        figures=figures,
        explanation="All are in [0, 1]; "
        f"{show(100 * figures['share that is exactly 0, float32'])} % are exactly 0 in float32 "
        f"and {show(100 * figures['share that is exactly 0, float16'])} % in float16.",
    )


@claim(
    "3.14",
    "x - x.clone() typically evaluates to zero.",
    kind="example",
    concept="floats",
    expected=CONDITIONAL,
)
def difference_from_a_copy():
    """The denominator of the ratio for ordinary, extreme and non-finite numbers."""
    numbers = (2.0, 0.0, -1e-45, 3e38, INF, math.nan)
    differences = {x: (torch.tensor(x) - torch.tensor(x).clone()).item() for x in numbers}
    return Finding(
        trials={f"x = {show(x)}": value == 0 for x, value in differences.items()},
        figures={f"x - x.clone() at {show(x)}": value for x, value in differences.items()},
        condition="x is finite",
        explanation="It is exactly zero for every finite x, and "
        f"{show(differences[INF])} for an infinite one.",
    )


@claim(
    "3.15",
    "Once made, NaN propagates and renders the training ineffective.",
    kind="cause",
    concept="protocol",
    expected=HOLDS,
)
def nan_spreads():
    """One NaN sample in one batch of a two-layer network, and what is left a step later."""

    def train(optimizer_class):
        generator = torch.Generator().manual_seed(0)
        first = (0.3 * torch.randn(5, 7, generator=generator)).requires_grad_()
        second = (0.3 * torch.randn(7, 1, generator=generator)).requires_grad_()
        optimizer = optimizer_class([first, second], lr=0.01)
        for step in range(6):
            batch = torch.rand(16, 5, generator=generator)
            if step == 2:
                batch[3] = math.nan
            optimizer.zero_grad()
            ((batch @ first).tanh() @ second).square().mean().backward()
            optimizer.step()
        return nans(first) + nans(second), first.numel() + second.numel()

    spoiled = {cls.__name__: train(cls) for cls in (torch.optim.SGD, torch.optim.Adam)}
    return Finding(
        trials={
            f"{name}: every weight is NaN": bad == count for name, (bad, count) in spoiled.items()
        },
        figures={f"NaN weights of {count}, {name}": bad for name, (bad, count) in spoiled.items()},
        explanation="One sample in one batch of 16 makes the mean NaN, with it every gradient, "
        f"and after the step {spoiled['SGD'][0]} of {spoiled['SGD'][1]} weights; no later batch "
        "can heal them.",
    )


@claim(
    "3.16",
    "A denominator that gets very close to zero makes a ratio loss go NaN.",
    kind="cause",
    concept="losses",
    expected=CONDITIONAL,
)
def denominator_near_zero():
    """Ratios over ever smaller denominators: values and gradients."""
    cases = {
        "1 / 1e-20": (1.0, 1e-20),
        "1 / 1e-45": (1.0, 1e-45),
        "1e-45 / 1e-45": (1e-45, 1e-45),
        "1 / 0": (1.0, 0.0),
        "0 / 0": (0.0, 0.0),
    }
    values, slopes = {}, {}
    for name, (above, below) in cases.items():
        values[name], slope = value_and_gradient(
            lambda d, n=above: pitfalls.naive_ratio(torch.full_like(d, n), d), torch.tensor([below])
        )
        slopes[name] = slope.item()
    return Finding(
        trials={f"{name} is NaN": math.isnan(value) for name, value in values.items()},
        figures={name: value for name, value in values.items()}
        | {f"gradient by the denominator, {name}": value for name, value in slopes.items()},
        condition="numerator and denominator are both exactly zero; near zero it is large or inf",
        explanation=f"1 / 1e-20 is {show(values['1 / 1e-20'])}, 1 / 1e-45 overflows to "
        f"{show(values['1 / 1e-45'])}, and only 0 / 0 is {show(values['0 / 0'])}. The gradient "
        f"is worse off: at 1e-20 it is {show(slopes['1 / 1e-20'])} already.",
    )


@claim(
    "3.17",
    "Numerical trouble accumulates with prolonged training.",
    kind="cause",
    concept="training",
    expected=CONDITIONAL,
)
def prolonged_training():
    """A weight multiplied by its own growth, and a loss that is well conditioned, 2000 steps."""

    def run(gradient_of, steps=2000):
        w = torch.tensor(1.5)
        for step in range(steps):
            w = w - 0.01 * gradient_of(w)
            if not torch.isfinite(w):
                return step
        return -1

    growing = run(lambda w: -w, 10_000)
    settled = run(lambda w: w - 0.5)
    reference_weight = 1.5
    weight = torch.tensor(1.5)
    for _ in range(2000):
        reference_weight -= 0.01 * (reference_weight - 0.5)
        weight = weight - 0.01 * (weight - 0.5)
    drift = largest(weight.double() - reference_weight)
    return Finding(
        trials={
            "a value that grows by 1 % a step overflows": growing > 0,
            "rounding errors of a settled training add up beyond 1e-5": drift > 1e-5,
        },
        figures={
            "step at which the growing weight overflows": growing,
            "step at which the settled weight does (-1 is never)": settled,
            "rounding error of the settled weight after 2000 steps": drift,
        },
        condition="something grows at each step; rounding itself does not pile up where training "
        "settles",
        explanation=f"A value that grows by 1 % a step overflows at step {growing}. A "
        f"weight that settles is off by {show(drift)} after 2000 "
        "steps: each step corrects the last one's rounding.",
    )
