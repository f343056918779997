"""Claims of the article "How can I debug NaN loss … when implementing a custom loss function?"."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ssimlab.lab import pitfalls, remedies

from .measuring import largest, nans, nonfinite, normal, value_and_gradient
from .registry import Finding, Verdict, claims_of, show

HOLDS, CONDITIONAL, FALSE = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.FALSE
INF = math.inf

claim = claims_of("article-debug-nan")


def article_probabilities(dtype=torch.float32):
    """The article's predicted probabilities and target labels."""
    predicted = torch.tensor([[0.0, 1.0], [0.0001, 0.9999]], dtype=dtype)
    return predicted, torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=dtype)


def article_hinge():
    """The article's predictions and targets for the hinge."""
    return torch.tensor([10.0, -20.0]), torch.tensor([1.0, -1.0])


@claim(
    "2.1",
    "The naive log-probability loss on the example is NaN, or very large.",
    kind="example",
    concept="losses",
    expected=HOLDS,
)
def naive_log_probability():
    """The first example, with its own numbers."""
    p, t = article_probabilities()
    loss, gradient = value_and_gradient(lambda q: pitfalls.naive_log_prob_loss(q, t), p)
    return Finding(
        trials={"NaN, or above 1000": math.isnan(loss) or loss > 1000},
        figures={"loss": loss, "gradient": gradient.flatten().tolist()},
        explanation=f"The loss is {show(loss)}, by 0 · log 0 at the two entries that are certain "
        f"and right. The gradient is {show(gradient.flatten().tolist())}.",
    )


@claim(
    "2.2",
    'The "improved" loss, clamped to [1e-8, 1 - 1e-8], is stable on the same example.',
    kind="example",
    concept="losses",
    expected=FALSE,
)
def improved_log_probability():
    """The second example, with its own numbers; then in float64, and with an ε that works."""
    p, t = article_probabilities()

    def loss_of(epsilon):
        return lambda q: pitfalls.clamped_log_prob_loss(q, t.to(q.dtype), epsilon=epsilon)

    loss, gradient = value_and_gradient(loss_of(1e-8), p)
    double = value_and_gradient(loss_of(1e-8), p.double())[0]
    enough = remedies.smallest_clamp()
    repaired = value_and_gradient(loss_of(enough), p)[0]
    below = value_and_gradient(loss_of(enough / 2), p)[0]
    return Finding(
        trials={
            "as printed, float32: the loss is finite": math.isfinite(loss),
            "as printed, float32: the gradient is finite": nonfinite(gradient) == 0,
        },
        figures={
            "loss": loss,
            "gradient": gradient.flatten().tolist(),
            "loss in float64": double,
            "smallest ε that works in float32": enough,
            "loss with it": repaired,
            "loss with half of it": below,
        },
        explanation=f"The loss is {show(loss)} on its own example, labelled stable: in float32 "
        "1 - 1e-8 is 1, so the upper clamp does nothing, and (1 - 1) · log(1 - 1) is NaN. In "
        f"float64 it is {show(double)}. In float32 ε must be at least {show(enough)}.",
    )


@claim(
    "2.3",
    "Clamping keeps the logarithm's input always within (epsilon, 1 - epsilon).",
    kind="remedy",
    concept="floats",
    expected=FALSE,
)
def clamp_bounds():
    """The default ε = 1e-8 at 0 and 1, in three dtypes, and the smallest that would do."""
    inside, figures = {}, {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        measured = remedies.clamped_probabilities(dtype, 1e-8)
        inside[name] = measured["low"] > 0 and measured["high"] < 1
        figures[f"0 becomes, {name}"] = measured["low"]
        figures[f"1 becomes, {name}"] = measured["high"]
        figures[f"smallest ε that works, {name}"] = remedies.smallest_clamp(dtype)
    figures["smallest ε that works, float64"] = remedies.smallest_clamp(torch.float64)
    return Finding(
        trials={f"ε = 1e-8, {name}: 0 < p < 1": came for name, came in inside.items()},
        figures=figures,
        explanation="With the default ε = 1e-8 a probability of 1 stays "
        f"{show(figures['1 becomes, float32'])} in float32, and in float16 a probability of 0 "
        f"stays {show(figures['0 becomes, float16'])} too. The upper bound needs ε ≥ "
        f"{show(figures['smallest ε that works, float32'])} in float32, "
        f"{show(figures['smallest ε that works, float16'])} in float16 and "
        f"{show(figures['smallest ε that works, bfloat16'])} in bfloat16.",
    )


@claim(
    "2.4",
    "Clamping the probabilities makes the loss much more stable.",
    kind="remedy",
    concept="losses",
    expected=CONDITIONAL,
)
def clamping_is_stable():
    """Certain and wrong predictions, with an ε that float32 can hold: value and gradient."""
    measured = remedies.clamped_probabilities(torch.float32, 1e-7)
    p, t = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    loss, gradient = value_and_gradient(
        lambda q: pitfalls.clamped_log_prob_loss(q, t, epsilon=1e-7), p
    )
    return Finding(
        trials={
            "the loss of a certain and wrong prediction is finite": math.isfinite(loss),
            "its gradient is not zero": bool((gradient != 0).all()),
        },
        figures={"loss": loss, "gradient": gradient.tolist()} | measured,
        condition="you look at the value alone: where the clamp acts, the gradient is exactly zero",
        explanation=f"With ε = 1e-7 the loss is {show(loss)} and the gradient "
        f"{show(gradient.tolist())}: dead exactly where the model is most wrong. By a logit of "
        f"-20 for a target of 1 it is {show(measured['gradient_at_logit_minus_20'])}, where the "
        f"loss by logits has {show(measured['sound_at_logit_minus_20'])}.",
    )


@claim(
    "2.5",
    "PyTorch's binary cross-entropy with logits can be used instead.",
    kind="remedy",
    concept="losses",
    expected=HOLDS,
)
def with_logits():
    """Logits of ±200, certain and wrong."""
    z, t = torch.tensor([-200.0, 200.0]), torch.tensor([1.0, 0.0])
    loss, gradient = value_and_gradient(lambda q: F.binary_cross_entropy_with_logits(q, t), z)
    infinite = torch.tensor([INF])
    built_in = F.binary_cross_entropy_with_logits(infinite, torch.ones(1)).item()
    own = pitfalls.log_prob_loss(infinite, torch.ones(1)).item()
    return Finding(
        trials={
            "the loss is 200": loss == 200.0,
            "the gradient is alive and bounded": gradient.tolist() == [-0.5, 0.5],
        },
        figures={
            "loss": loss,
            "gradient": gradient.tolist(),
            "built-in loss at a logit of inf, target 1": built_in,
            "this project's loss there": own,
        },
        explanation=f"The loss is {show(loss)} and the gradient {show(gradient.tolist())}, which "
        "is as it should be. At an infinite logit the built-in loss is "
        f"{show(built_in)} where the limit is {show(own)}.",
    )


@claim(
    "2.6",
    "PyTorch's own losses show how to be numerically stable.",
    kind="method",
    concept="losses",
    expected=CONDITIONAL,
)
def built_in_cross_entropy():
    """F.binary_cross_entropy on certain and wrong probabilities, against the loss by logits."""
    p, t = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    loss, gradient = value_and_gradient(lambda q: F.binary_cross_entropy(q, t), p)
    z = torch.tensor([-200.0, 200.0])
    by_logits, logit_gradient = value_and_gradient(
        lambda q: F.binary_cross_entropy_with_logits(q, t), z
    )
    floored, floored_gradient = value_and_gradient(
        lambda q: F.binary_cross_entropy(torch.sigmoid(q), t), z
    )
    return Finding(
        trials={
            "finite on probabilities of exactly 0 and 1": math.isfinite(loss)
            and nonfinite(gradient) == 0,
            "the true loss at logits of ∓200, by way of a sigmoid": abs(floored - 200) < 1,
            "the true loss at logits of ∓200, by logits": abs(by_logits - 200) < 1,
        },
        figures={
            "loss at p = 0 and 1": loss,
            "gradient there": gradient.tolist(),
            "loss at ∓200 by a sigmoid": floored,
            "gradient there by the logits": floored_gradient.tolist(),
            "loss at ∓200 by logits": by_logits,
            "gradient by logits": logit_gradient.tolist(),
        },
        condition="the loss is the one that takes logits: on probabilities it is finite, not right",
        explanation="binary_cross_entropy floors the logarithm at -100, so it says "
        f"{show(loss)} for any probability of zero, with a gradient of "
        f"{show(gradient.tolist())}; through a sigmoid at logits of ∓200 it says {show(floored)} "
        f"with a gradient of {show(floored_gradient.tolist())}, where the loss is "
        f"{show(by_logits)} and the gradient {show(logit_gradient.tolist())}.",
    )


@claim(
    "2.7",
    "torch.clamp backpropagates better than an if-else for the extreme cases.",
    kind="behavior",
    concept="losses",
    expected=CONDITIONAL,
)
def clamp_or_if():
    """clamp, where and if-else on the same numbers; not timed."""
    p = torch.tensor([0.0, 0.3, 1.0])

    def by_where(q):
        return torch.where(q < 1e-6, 1e-6, torch.where(q > 1 - 1e-6, 1 - 1e-6, q))

    def by_if(q):
        return torch.stack([e if 1e-6 <= e <= 1 - 1e-6 else e.clamp(1e-6, 1 - 1e-6) for e in q])

    results = {
        name: value_and_gradient(lambda q, f=fn: f(q).log(), p)
        for name, fn in (
            ("clamp", lambda q: q.clamp(1e-6, 1 - 1e-6)),
            ("where", by_where),
            ("if-else, one by one", by_if),
        )
    }
    try:
        p if p < 1e-6 else p + 1
        refused = "nothing"
    except RuntimeError as error:
        refused = str(error)
    value, gradient = results["clamp"]
    others = [results[name] for name in results if name != "clamp"]
    return Finding(
        trials={
            "an if-else on a whole tensor is refused": refused != "nothing",
            "clamp's values or gradients differ from where's and if-else's": any(
                v != value or not torch.equal(g, gradient) for v, g in others
            ),
        },
        figures={f"gradient, {name}": g.tolist() for name, (_, g) in results.items()}
        | {"if-else on a tensor": refused},
        condition="better means possible: a tensor has no single truth value; the numbers are "
        "the same",
        explanation="An if on a tensor raises an error. Written element by element it gives what "
        f"clamp and where give, {show(gradient.tolist())}: the dead gradients are the same.",
    )


@claim(
    "2.8",
    "Zero, near-zero and negative input to logarithm, root and division gives undefined results.",
    kind="cause",
    concept="floats",
    expected=HOLDS,
)
def dangerous_operations():
    """log, sqrt and 1/x at 0, two tiny numbers and -1: values and gradients."""
    x = torch.tensor([0.0, 1e-40, 1e-20, -1.0])
    fns = {"log": torch.log, "sqrt": torch.sqrt, "1/x": torch.reciprocal}
    results = {}
    for name, fn in fns.items():
        y = x.clone().requires_grad_()
        value = fn(y)
        (gradient,) = torch.autograd.grad(value.sum(), y)
        results[name] = value.detach(), gradient
    log_value, log_gradient = results["log"]
    return Finding(
        trials={
            f"{name}: a value or gradient at 0 is not finite": bool(
                nonfinite(v[:1]) + nonfinite(g[:1])
            )
            for name, (v, g) in results.items()
        }
        | {
            f"{name}: undefined at -1": bool(v[3].isnan())
            for name, (v, _) in results.items()
            if name != "1/x"
        },
        figures={f"{name} at 0, 1e-40, 1e-20, -1": v.tolist() for name, (v, _) in results.items()}
        | {f"gradient of {name}": g.tolist() for name, (_, g) in results.items()},
        explanation="Each has an edge at zero. Their ways differ: log 0 is "
        f"{show(log_value[0].item())}, not NaN, and sqrt 0 is 0 with an infinite gradient; "
        f"log(-1) is {show(log_value[3].item())} and yet its gradient is "
        f"{show(log_gradient[3].item())}.",
    )


@claim(
    "2.9",
    "Very large exponents become infinite, and NaN if used further.",
    kind="cause",
    concept="floats",
    expected=HOLDS,
)
def large_exponents():
    """The exponential at the edge of float32, and a naive log-sum-exp."""
    below, above = torch.exp(torch.tensor([88.7, 88.8])).tolist()
    z = torch.tensor([1000.0, 1001.0])
    value, gradient = value_and_gradient(lambda q: q.exp().sum().log(), z)
    half = torch.exp(torch.tensor(11.1, dtype=torch.float16)).item()
    return Finding(
        trials={
            "exp(88.8) is infinite, float32": math.isinf(above) and math.isfinite(below),
            "log Σ exp(1000, 1001): the value is infinite": math.isinf(value),
            "and its gradient NaN": nans(gradient) == 2,
        },
        figures={
            "exp(88.7)": below,
            "exp(88.8)": above,
            "exp(11.1), float16": half,
            "log Σ exp(1000, 1001)": value,
            "its gradient": gradient.tolist(),
        },
        explanation=f"exp(88.7) is {show(below)} and exp(88.8) is {show(above)}; in float16 "
        f"exp(11.1) is. log Σ exp(1000, 1001) written out is {show(value)} with a gradient of "
        f"{show(gradient.tolist())}.",
    )


@claim(
    "2.10",
    "The hinge works well when target times prediction is close to 1.",
    kind="behavior",
    concept="losses",
    expected=CONDITIONAL,
)
def hinge_near_the_margin():
    """The gradient just below, at and just above the margin, by max and by relu."""
    p, t = torch.tensor([0.999, 1.0, 1.001]), torch.ones(3)
    by_max = value_and_gradient(lambda q: 3 * pitfalls.hinge_by_max(q, t), p)[1]
    by_relu = value_and_gradient(lambda q: 3 * pitfalls.hinge(q, t), p)[1]
    smooth = value_and_gradient(lambda q: 3 * pitfalls.smooth_hinge(q, t), p)[1]
    jump = abs(by_relu[0] - by_relu[2]).item()
    return Finding(
        trials={
            "finite at 0.999, 1 and 1.001": nonfinite(by_max) + nonfinite(by_relu) == 0,
            "max and relu agree at exactly 1": torch.equal(by_max, by_relu),
            "the gradient is continuous there": jump < 0.1,
        },
        figures={
            "gradient by max": by_max.tolist(),
            "gradient by relu": by_relu.tolist(),
            "gradient, smooth hinge": smooth.tolist(),
        },
        condition="finite is all you ask: at 1 the hinge has its corner",
        explanation=f"Around 1 the gradient is {show(by_max.tolist())} by max and "
        f"{show(by_relu.tolist())} by relu: it jumps, and at exactly 1 max gives half. A rounded "
        f"corner has {show(smooth.tolist())}.",
    )


def _hinge_gradients(loss_of):
    extremes = [s * v for v in (1e-40, 1.0, 1e10, 1e20, 3e38) for s in (1, -1)]
    return {
        value: value_and_gradient(lambda p: loss_of(p, torch.ones(1)), torch.tensor([value]))[
            1
        ].item()
        for value in extremes
    }


@claim(
    "2.11",
    "At very large target times prediction the hinge's gradient vanishes or explodes: unstable.",
    kind="cause",
    concept="losses",
    expected=FALSE,
)
def hinge_explodes():
    """The hinge's gradient from 1e-40 to 3e38 in both directions."""
    gradients = _hinge_gradients(pitfalls.hinge_by_max)
    right = [g for p, g in gradients.items() if p > 1]
    wrong = [g for p, g in gradients.items() if p < -1]
    p, t = article_hinge()
    loss, gradient = value_and_gradient(lambda q: pitfalls.hinge_by_max(q, t), p)
    return Finding(
        trials={
            "it explodes somewhere": any(abs(g) > 1 for g in gradients.values()),
            "it vanishes where the prediction is wrong": not all(wrong),
        },
        figures={f"gradient at {show(p)}": g for p, g in gradients.items()}
        | {"loss of the example": loss, "its gradient": gradient.tolist()},
        explanation="The hinge is two straight lines, so its gradient is 0 or ∓1/n: "
        f"{show(max(map(abs, wrong)))} in size for every wrong prediction down to -3e38, and "
        f"{show(max(map(abs, right)))} for every right one above the margin, as it should be. "
        f"The article's own example has a loss of {show(loss)} and a gradient of "
        f"{show(gradient.tolist())}, since both predictions are right.",
    )


@claim(
    "2.12",
    "The hinge by relu has a smoother gradient than the hinge by max.",
    kind="remedy",
    concept="losses",
    expected=FALSE,
)
def relu_is_smoother():
    """Both hinges on 200 random batches, and their jump at the margin."""
    worst_loss = worst_gradient = 0.0
    for seed in range(200):
        predicted = 3 * normal(50, seed=seed, dtype=torch.float32)
        target = normal(50, seed=1000 + seed, dtype=torch.float32).sign()
        by_max, by_relu = (
            value_and_gradient(lambda p, f=f, t=target: f(p, t), predicted)
            for f in (pitfalls.hinge_by_max, pitfalls.hinge)
        )
        worst_loss = max(worst_loss, abs(by_max[0] - by_relu[0]) / by_max[0])
        worst_gradient = max(worst_gradient, largest(by_max[1] - by_relu[1]))
    p, t = article_hinge()
    loss, gradient = value_and_gradient(lambda q: pitfalls.hinge(q, t, margin=1.0), p)
    around = torch.tensor([0.999, 1.001])
    jumps = {
        name: value_and_gradient(lambda p, f=f: 2 * f(p, torch.ones(2)), around)[1].diff().item()
        for name, f in (("max", pitfalls.hinge_by_max), ("relu", pitfalls.hinge))
    }
    return Finding(
        trials={
            "its jump at the margin is smaller": jumps["relu"] < jumps["max"],
            "the gradients differ on random batches": worst_gradient > 1e-7,
        },
        figures={
            "largest relative difference of the losses": worst_loss,
            "largest difference of the gradients": worst_gradient,
            "loss of the example by relu": loss,
            "its gradient": gradient.tolist(),
        }
        | {f"jump at the margin, {name}": jump for name, jump in jumps.items()},
        explanation="They are the same function: over 200 batches of 50 the gradients differ by "
        f"{show(worst_gradient)}, and both jump by {show(jumps['relu'])} at the margin. They part "
        "only at an exact tie.",
    )


@claim(
    "2.13",
    "relu prevents large gradients of the hinge.",
    kind="remedy",
    concept="losses",
    expected=FALSE,
)
def relu_prevents_large_gradients():
    """The largest gradients of both hinges over 78 orders of magnitude."""
    steepest = {
        name: max(abs(g) for g in _hinge_gradients(f).values())
        for name, f in (("max", pitfalls.hinge_by_max), ("relu", pitfalls.hinge))
    }
    return Finding(
        trials={"relu's largest gradient is below max's": steepest["relu"] < steepest["max"]},
        figures={f"largest gradient by {name}": value for name, value in steepest.items()},
        explanation=f"There are none to prevent: the largest is {show(steepest['max'])} by max and "
        f"{show(steepest['relu'])} by relu, at predictions of up to ±3e38.",
    )


@claim(
    "2.14",
    "PyTorch's debugging tools pinpoint where NaN first appears.",
    kind="method",
    concept="protocol",
    expected=CONDITIONAL,
)
def anomaly_mode_pinpoints():
    """Anomaly mode on five small faults."""
    blamed = remedies.anomaly_mode()
    culprit = {
        "NaN gradient of 0 · sqrt(x)": "SqrtBackward0",
        "infinite gradient of sqrt(x)": "SqrtBackward0",
        "division by zero, 1 / x²": "ReciprocalBackward0",
        "NaN value, backward not run": "log",
    }
    return Finding(
        trials={f"{fault}: blames {name}": blamed[fault] == name for fault, name in culprit.items()}
        | {
            "NaN that relu replaces by 0: no alarm": blamed["NaN that relu replaces by 0"]
            == "silent"
        },
        figures=blamed,
        condition="the fault is a NaN, made in the backward pass, by the operation at fault",
        explanation="Anomaly mode names the backward function that first returns NaN. An infinite "
        f"gradient passes ({blamed['infinite gradient of sqrt(x)']}); for 1 / x² at 0 it blames "
        f"{blamed['division by zero, 1 / x²']}, which turned the division's infinity into NaN; "
        "and it stops at a NaN that relu would have replaced by zero.",
    )


@claim(
    "2.15",
    "Choosing safe values by a condition, as torch.where does, avoids the undefined ones.",
    kind="remedy",
    concept="losses",
    expected=CONDITIONAL,
)
def where_guards():
    """A square root guarded once, and twice."""
    measured = remedies.where_around_a_root()
    return Finding(
        trials={
            "one where: the value": measured["value_once"] == 0,
            "one where: the gradient": measured["gradient_once"] == 0,
            "two: the gradient": measured["gradient_twice"] == 0,
        },
        figures=measured,
        condition="the input is replaced as well as the output: the double where",
        explanation=f"One where gives the value {show(measured['value_once'])} and the gradient "
        f"{show(measured['gradient_once'])}: the branch not taken is still differentiated, and "
        f"0 · inf is NaN. Replacing the input too gives {show(measured['gradient_twice'])}.",
    )


@claim(
    "2.16",
    "Extremely large or small numbers propagate through the computation into NaN.",
    kind="cause",
    concept="floats",
    expected=CONDITIONAL,
)
def propagation():
    """What ordinary operations make of NaN, of inf and of the smallest number."""
    operations = {
        "x + 1": lambda x: x + 1,
        "x - x": lambda x: x - x,
        "0 · x": lambda x: 0 * x,
        "1 / x": lambda x: 1 / x,
        "x / x": lambda x: x / x,
        "relu(x)": torch.relu,
        "sigmoid(x)": torch.sigmoid,
        "exp(-x)": lambda x: torch.exp(-x),
        "softmax(x, 0)": lambda x: torch.stack((x, torch.zeros(()))).softmax(0)[0],
        "where(x < 1, x, 1)": lambda x: torch.where(x < 1, x, 1.0),
    }
    seeds = {"NaN": math.nan, "inf": INF, "1e-45": 1e-45}
    became = {
        seed: [name for name, fn in operations.items() if fn(torch.tensor(value)).isnan()]
        for seed, value in seeds.items()
    }
    count = len(operations)
    return Finding(
        trials={
            f"{seed}: NaN after every operation of {count}": len(names) == count
            for seed, names in became.items()
        }
        | {f"{seed}: NaN after some operation": len(names) > 0 for seed, names in became.items()},
        figures={f"operations that make NaN of {seed}": names for seed, names in became.items()},
        condition="the number is NaN or inf and the operation is one of a few; nothing small does",
        explanation=f"NaN stays NaN through {len(became['NaN'])} of {count} operations (a "
        f"comparison drops it). Of inf {len(became['inf'])} make NaN: {', '.join(became['inf'])}. "
        f"Of the smallest number {len(became['1e-45'])} do.",
    )


@claim(
    "2.17",
    "Log-sum-exp and stable activation functions avoid the overflow.",
    kind="remedy",
    concept="floats",
    expected=HOLDS,
)
def log_sum_exp():
    """torch.logsumexp, logsigmoid and log_softmax where the plain formulas overflow."""
    z = torch.tensor([1000.0, 1001.0])
    value, gradient = value_and_gradient(lambda q: torch.logsumexp(q, 0), z)
    true = 1001 + math.log1p(math.exp(-1))
    true_gradient = torch.softmax(z.double(), 0)
    off = largest(gradient - true_gradient)
    plain = torch.log(torch.sigmoid(torch.tensor(-200.0))).item()
    sound, slope = value_and_gradient(F.logsigmoid, torch.tensor([-200.0]))
    return Finding(
        trials={
            "logsumexp(1000, 1001) to 1e-6": abs(value / true - 1) < 1e-6,
            "its gradient to 1e-4": off < 1e-4,
            "logsigmoid(-200) and its gradient": sound == -200.0 and slope.item() == 1.0,
        },
        figures={
            "logsumexp(1000, 1001)": value,
            "true value": true,
            "gradient": gradient.tolist(),
            "error of the gradient": off,
            "log(sigmoid(-200))": plain,
            "logsigmoid(-200)": sound,
        },
        explanation=f"logsumexp gives {value:.3f} with the gradient {show(gradient.tolist())} "
        f"(to {show(off)}: it is computed from the rounded value), and logsigmoid(-200) "
        f"{show(sound)} where log(sigmoid(-200)) is {show(plain)}.",
    )


@claim(
    "2.18",
    "Scaling or clipping values keeps them from becoming too large or too small.",
    kind="remedy",
    concept="losses",
    expected=CONDITIONAL,
)
def scaling_and_clipping():
    """A log-sum-exp with logits scaled, with logits clipped, and with the loss scaled."""
    z = torch.tensor([1000.0, 990.0, 1001.0])
    true, true_gradient = value_and_gradient(lambda q: torch.logsumexp(q, 0), z.double())

    def naive(q):
        return q.exp().sum().log()

    tried = {
        "the loss scaled by 1e-3": lambda q: 1e-3 * naive(q),
        "logits divided by 100": lambda q: naive(q / 100),
        "logits clipped to 80": lambda q: naive(q.clamp(max=80)),
        "logits shifted by their maximum": lambda q: naive(q - q.max()) + q.max(),
    }
    results = {name: value_and_gradient(fn, z) for name, fn in tried.items()}
    return Finding(
        trials={
            f"{name}: finite": math.isfinite(value) and nonfinite(g) == 0
            for name, (value, g) in results.items()
        }
        | {
            f"{name}: right": math.isfinite(value)
            and abs(value / true - 1) < 1e-5
            and bool(largest(g - true_gradient) < 1e-5)
            for name, (value, g) in results.items()
        },
        figures={f"value, {name}": value for name, (value, _) in results.items()}
        | {f"gradient, {name}": g.tolist() for name, (_, g) in results.items()}
        | {"true value": true, "true gradient": true_gradient.tolist()},
        condition="it comes before the overflow; and it computes the same function only if it is "
        "undone exactly",
        explanation="Scaling the loss comes too late "
        f"({show(results['the loss scaled by 1e-3'][0])}). Dividing or clipping the logits makes "
        "another function: clipped at 80 the gradient is "
        f"{show(results['logits clipped to 80'][1].tolist())} instead of "
        f"{show(true_gradient.tolist())}. Shifting by the maximum and adding it back is exact.",
    )


@claim(
    "2.19",
    "A smaller batch or specific input isolates the problematic calculation.",
    kind="method",
    concept="protocol",
    expected=HOLDS,
)
def halving_the_batch():
    """A batch of 64 with one poisoned sample, halved until one is left."""
    batch, poisoned = normal(64, 10, dtype=torch.float32).abs(), 41
    batch[poisoned, 3] = 0.0

    def loss(samples):
        return (samples * samples.log()).mean()

    low, high, evaluations = 0, len(batch), 0
    while high - low > 1:
        middle, evaluations = (low + high) // 2, evaluations + 1
        low, high = (low, middle) if loss(batch[low:middle]).isnan() else (middle, high)
    return Finding(
        trials={
            "the whole batch is NaN": bool(loss(batch).isnan()),
            "halving finds the sample": low == poisoned,
        },
        figures={"found": low, "evaluations": evaluations, "batch": len(batch)},
        explanation=f"Sample {low} of {len(batch)} is found in {evaluations} evaluations of the "
        "loss, one for each halving.",
    )


@claim(
    "2.20",
    "Monitoring intermediate tensors in the loss shows where NaN first appears.",
    kind="method",
    concept="protocol",
    expected=CONDITIONAL,
)
def monitoring_intermediates():
    """Every intermediate value of two losses: one breaks forward, one backward."""

    def watched(steps, start):
        x = value = torch.tensor([start], requires_grad=True)
        first = "none"
        for name, step in steps:
            value = step(value)
            if first == "none" and nonfinite(value):
                first = name
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return first, gradient.item()

    forward = watched([("log", torch.log), ("times 0", lambda v: 0 * v)], 0.0)
    backward = watched([("sqrt", torch.sqrt), ("times 0", lambda v: 0 * v)], 0.0)
    return Finding(
        trials={
            "0 · log(x) at 0: the log is found": forward[0] == "log",
            "0 · sqrt(x) at 0: the root is found": backward[0] == "sqrt",
        },
        figures={
            "first non-finite value of 0 · log(x)": forward[0],
            "gradient of 0 · log(x)": forward[1],
            "first non-finite value of 0 · sqrt(x)": backward[0],
            "gradient of 0 · sqrt(x)": backward[1],
        },
        condition="it is made in the forward pass: a NaN of the backward pass leaves every value "
        "finite",
        explanation=f"For 0 · log(x) the first non-finite value is that of the {forward[0]}. For "
        f"0 · sqrt(x) all values are finite (found: {backward[0]}), and the gradient is "
        f"{show(backward[1])} all the same.",
    )


class _HalvedSquare(torch.autograd.Function):
    """x², with a derivative of x where 2x is right."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, *grad_outputs):
        (upstream,), (x,) = grad_outputs, ctx.saved_tensors
        return upstream * x


@claim(
    "2.21",
    "Derivatives of custom autograd functions have to be checked for correctness.",
    kind="method",
    concept="gradient",
    expected=HOLDS,
)
def custom_functions():
    """A custom function with a wrong derivative: does it run, and does gradcheck notice?"""
    x = normal(5).requires_grad_()
    value, gradient = value_and_gradient(_HalvedSquare.apply, x)
    caught = not torch.autograd.gradcheck(_HalvedSquare.apply, (x,), raise_exception=False)
    right = torch.autograd.gradcheck(torch.square, (x,), raise_exception=False)
    return Finding(
        trials={
            "a wrong one runs without complaint": math.isfinite(value) and not nonfinite(gradient),
            "gradcheck catches it": caught,
            "and passes the right one": right,
        },
        figures={
            "gradient / true gradient": (gradient / (2 * x.detach())).mean().item(),
            "gradcheck rejects the wrong one": caught,
            "gradcheck accepts the right one": right,
        },
        explanation="A derivative that is half of what it should be gives finite numbers and no "
        "warning; torch.autograd.gradcheck in float64 tells it from the right one.",
    )


@claim(
    "2.22",
    "Where target times prediction is large, relu saturates the gradient to zero.",
    kind="behavior",
    concept="losses",
    expected=HOLDS,
)
def relu_saturates():
    """Right and large predictions, by relu and by max."""
    p, t = torch.tensor([1.5, 10.0, 1e20]), torch.ones(3)
    by_relu = value_and_gradient(lambda q: pitfalls.hinge(q, t), p)[1]
    by_max = value_and_gradient(lambda q: pitfalls.hinge_by_max(q, t), p)[1]
    return Finding(
        trials={"zero at 1.5, 10 and 1e20, by relu": largest(by_relu) == 0},
        figures={"gradient by relu": by_relu.tolist(), "gradient by max": by_max.tolist()},
        explanation=f"It is {show(by_relu.tolist())}, and {show(by_max.tolist())} by max: that is "
        "the hinge itself, not a merit of relu.",
    )


@claim(
    "2.23",
    "Probabilities equal or close to zero give NaN in the logarithm.",
    kind="cause",
    concept="losses",
    expected=CONDITIONAL,
)
def probabilities_near_zero():
    """The naive loss at p = 0 and near it, for both targets."""

    def loss(p, t):
        return pitfalls.naive_log_prob_loss(torch.tensor([p]), torch.tensor([t])).item()

    values = {(p, t): loss(p, t) for p in (0.0, 1e-45, 1e-8) for t in (0.0, 1.0)}
    return Finding(
        trials={
            f"p = {show(p)}, target {show(t)}": math.isnan(value)
            for (p, t), value in values.items()
        },
        figures={f"loss at p = {show(p)}, target {show(t)}": v for (p, t), v in values.items()},
        condition="the probability is exactly zero and its target too: 0 · log 0",
        explanation=f"At p = 0 the loss is {show(values[0.0, 0.0])} for a target of 0, where it "
        f"should be 0, and {show(values[0.0, 1.0])} for a target of 1, where that is right. The "
        f"smallest float32 already gives {show(values[1e-45, 1.0])}: close to zero is fine.",
    )


@claim(
    "2.24",
    "As training proceeds, weights are pushed toward the unstable zone.",
    kind="cause",
    concept="losses",
    expected=HOLDS,
)
def training_drifts_to_the_edge():
    """One weight on two separable samples, trained with RMSprop by the naive loss and by logits."""

    def train(loss_of):
        w = torch.full((1,), 0.1, requires_grad=True)
        optimizer = torch.optim.RMSprop([w], lr=0.1, alpha=0.9)
        x, t = torch.tensor([-1.0, 1.0]), torch.tensor([0.0, 1.0])
        for step in range(500):
            loss = loss_of(w * x, t)
            if not math.isfinite(loss.item()):
                return step, w.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return -1, w.item()

    step, weight = train(lambda z, t: pitfalls.naive_log_prob_loss(torch.sigmoid(z), t))
    sound_step, sound_weight = train(pitfalls.log_prob_loss)
    return Finding(
        trials={
            "the naive loss becomes non-finite in 500 steps": step > 0,
            "the weight had grown until then": weight > 10,
        },
        figures={
            "step of the first non-finite loss": step,
            "weight then": weight,
            "by logits: step (-1 is never)": sound_step,
            "by logits: weight after 500 steps": sound_weight,
        },
        explanation=f"The weight grows, as it should, and at step {step}, with a weight of "
        f"{show(weight)}, the sigmoid is exactly 1 and the naive loss not finite. By logits "
        f"nothing happens up to a weight of {show(sound_weight)}.",
    )


@claim(
    "2.25",
    "An epsilon inside the logarithm avoids evaluating it at zero.",
    kind="remedy",
    concept="losses",
    expected=CONDITIONAL,
)
def epsilon_inside_log():
    """log(p + ε) and log(1 - p + ε) on the article's example, ε = 1e-8, in four dtypes."""
    losses = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        p, t = article_probabilities(dtype)
        loss = -(t * torch.log(p + 1e-8) + (1 - t) * torch.log(1 - p + 1e-8)).mean()
        losses[str(dtype).removeprefix("torch.")] = loss.item()
    slope = value_and_gradient(lambda q: -torch.log(q + 1e-8), torch.zeros(1))[1].item()
    return Finding(
        trials={f"finite in {name}": math.isfinite(loss) for name, loss in losses.items()},
        figures={f"loss, {name}": loss for name, loss in losses.items()}
        | {"gradient at p = 0, float32": slope},
        condition="the dtype can hold ε beside zero: float16 cannot hold 1e-8",
        explanation="Added to each argument, ε works in float32 where the article's clamp does "
        f"not ({show(losses['float32'])}), since 1 - 1 + 1e-8 is 1e-8. In float16 1e-8 is zero "
        f"and the loss {show(losses['float16'])}. The gradient at p = 0 is {show(slope)}.",
    )
