"""Everyday losses at their edges, against mpmath; and what the popular remedies do."""

import math

import mpmath
import pytest
import torch

from ssimlab.lab import pitfalls, remedies

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
INF, NAN = math.inf, math.nan
mpmath.mp.dps = 60


def edges(dtype):
    """Zero, subnormals, one and its neighbors, ordinary and huge numbers, and both infinities."""
    limits = torch.finfo(dtype)
    smallest = torch.tensor(0.0, dtype=dtype).nextafter(torch.tensor(1.0, dtype=dtype)).item()
    sizes = [0.0, smallest, limits.tiny, 1e-3, 1 - limits.eps, 1.0, 1 + limits.eps, 3.0, 20.0]
    sizes += [90.0, 800.0, limits.max, INF]
    return [sign * size for size in sizes for sign in (1, -1)]


def result_dtype(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


def value_and_gradient(fn, *numbers, dtype):
    """fn at numbers, each a tensor of one element; and its gradient by the first."""
    tensors = [torch.tensor([x], dtype=dtype) for x in numbers]
    tensors[0].requires_grad_()
    value = fn(*tensors)
    assert value.dtype == result_dtype(dtype)
    (gradient,) = torch.autograd.grad(value.sum(), tensors[0])
    assert gradient.dtype == dtype
    return value.item(), gradient.item()


def is_close(obtained, exact, dtype, *, ulps=4, terms=0.0):
    """Equal to within a few ulp of the dtype, counting overflow and the spacing of subnormals.

    ``terms`` is the size of the terms whose difference the result is, where they may cancel.
    """
    limits = torch.finfo(dtype)
    if isinstance(exact, float) and math.isnan(exact):
        return math.isnan(obtained)
    # What lies less than half an ulp above the largest number is rounded down to it.
    if abs(exact) >= mpmath.mpf(limits.max) * (1 + mpmath.mpf(limits.eps) / 4):
        return math.isinf(obtained) and (obtained > 0) == (exact > 0)
    spacing = limits.tiny * limits.eps
    error = abs(mpmath.mpf(obtained) - mpmath.mpf(exact)) if math.isfinite(obtained) else INF
    return error <= ulps * (limits.eps * max(abs(mpmath.mpf(exact)), terms) + spacing)


def rounded(number, dtype):
    """The number as the dtype holds it, exactly."""
    return torch.tensor(number, dtype=dtype).item()


def exact_log_prob(z, t):
    if math.isinf(z):
        wrong = (z > 0 and t < 1) or (z < 0 and t > 0)
        p = 1.0 if z > 0 else 0.0
        return (INF if wrong else 0.0), p - t
    z, t = mpmath.mpf(z), mpmath.mpf(t)
    loss = t * mpmath.log1p(mpmath.exp(-z)) + (1 - t) * mpmath.log1p(mpmath.exp(z))
    # p - t without cancellation, so that it is right for every z.
    return loss, -t / (1 + mpmath.exp(z)) + (1 - t) / (1 + mpmath.exp(-z))


def assert_right(obtained, exact, dtype, what, *, terms=0.0):
    value, gradient = obtained
    assert is_close(value, exact[0], result_dtype(dtype)), f"{what}: value {value}, not {exact[0]}"
    close = is_close(gradient, exact[1], dtype, terms=terms)
    assert close, f"{what}: gradient {gradient}, not {exact[1]}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("target", [0.0, 0.25, 1.0])
def test_the_loss_by_logits_is_right_at_every_edge(dtype, target):
    for z in edges(dtype):
        obtained = value_and_gradient(pitfalls.log_prob_loss, z, target, dtype=dtype)
        exact = exact_log_prob(rounded(z, dtype), target)
        # By the logit the gradient is p - t, whose terms may cancel unless t is 0 or 1.
        terms = target if target < 1 else 0.0
        assert_right(obtained, exact, dtype, f"z = {z}", terms=terms)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("right", [0, 1])
def test_cross_entropy_is_right_at_every_edge(dtype, right):
    target = torch.tensor([float(right == 0), float(right == 1)], dtype=dtype)
    for z in edges(dtype):
        if z == INF:
            continue
        logits = torch.tensor([1.0, z], dtype=dtype, requires_grad=True)
        loss = pitfalls.cross_entropy(logits, target).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        # Two classes are one logit, z - 1, and the loss of its target.
        gap = mpmath.mpf(rounded(z, dtype)) - 1 if math.isfinite(z) else z
        exact = exact_log_prob(gap, float(right))
        assert loss.dtype == result_dtype(dtype)
        obtained = loss.item(), gradient[1].item()
        # log-softmax rounds z - log Σ exp z to the size of its terms, here at least 1.
        limits = torch.finfo(result_dtype(dtype))
        if math.isfinite(obtained[0]) and abs(exact[0]) < 1:
            assert abs(obtained[0] - float(exact[0])) < 4 * limits.eps
            assert abs(obtained[1] - float(exact[1])) < 4 * torch.finfo(dtype).eps
        else:
            assert_right(obtained, exact, dtype, f"z = {z}")


def test_a_logit_of_infinity_has_no_softmax():
    logits, target = torch.tensor([INF, 0.0]), torch.tensor([1.0, 0.0])
    assert pitfalls.cross_entropy(logits, target).isnan().any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("target", [-1.0, 1.0])
def test_the_hinge_is_right_at_every_edge(dtype, target):
    for p in edges(dtype):
        margin = target * rounded(p, dtype)
        short = mpmath.mpf(1) - margin if math.isfinite(margin) else -margin
        exact = (short, -target) if short > 0 else (0.0, 0.0)
        obtained = value_and_gradient(pitfalls.hinge, p, target, dtype=dtype)
        assert_right(obtained, exact, dtype, f"p = {p}")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("target", [-1.0, 1.0])
def test_the_smooth_hinge_is_right_at_every_edge(dtype, target):
    for p in edges(dtype):
        margin = target * rounded(p, dtype)
        short = mpmath.mpf(1) - margin if math.isfinite(margin) else -margin
        if short <= 0:
            exact = (0.0, 0.0)
        elif short < 1:
            exact = (short**2 / 2, -target * short)
        else:
            exact = (short - 0.5, -target)
        obtained = value_and_gradient(pitfalls.smooth_hinge, p, target, dtype=dtype)
        assert_right(obtained, exact, dtype, f"p = {p}")


def test_both_hinges_are_one_function_away_from_the_corner():
    predicted = torch.linspace(-3, 3, 50, dtype=torch.float64)
    target = torch.ones_like(predicted)
    assert pitfalls.hinge_by_max(predicted, target) == pitfalls.hinge(predicted, target)
    at_the_tie = torch.ones(1, requires_grad=True)
    slopes = [
        torch.autograd.grad(f(at_the_tie, torch.ones(1)), at_the_tie)[0].item()
        for f in (pitfalls.hinge_by_max, pitfalls.hinge)
    ]
    assert slopes == [-0.5, 0.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("numerator", [0.0, 1.0, -3.0])
def test_the_guarded_ratio_is_right_at_every_edge(dtype, numerator):
    for d in edges(dtype):
        exact_d = rounded(d, dtype)
        if exact_d == 0:
            exact = (7.0, 0.0)
        elif math.isinf(exact_d):
            exact = (0.0, 0.0)
        else:
            below = mpmath.mpf(exact_d)
            exact = (numerator / below, -numerator / below**2)
        value, gradient = value_and_gradient(
            lambda d: pitfalls.guarded_ratio(torch.full_like(d, numerator), d, fill=7.0),
            d,
            dtype=dtype,
        )
        assert is_close(value, exact[0], result_dtype(dtype)), f"d = {d}: {value}"
        # Where n/d itself overflows, n/d² is computed from an infinity.
        if math.isfinite(value):
            assert is_close(gradient, exact[1], dtype, ulps=8), f"d = {d}: {gradient}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("times", [1, 5, 50])
def test_the_log_of_repeated_squaring_is_right_at_every_edge(dtype, times):
    for x in edges(dtype):
        exact_x = rounded(x, dtype)
        obtained = value_and_gradient(
            lambda x: pitfalls.log_repeated_squaring(x, times), x, dtype=dtype
        )
        if exact_x == 0:
            assert obtained[0] == -INF
            continue
        if math.isinf(exact_x):
            exact = (INF, 0.0)
        else:
            power, exact_x = mpmath.mpf(2) ** times, mpmath.mpf(exact_x)
            exact = (power * mpmath.log(abs(exact_x)), power / exact_x)
        assert_right(obtained, exact, dtype, f"x = {x}")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_double_where_has_the_functions_own_gradient_and_zero_elsewhere(dtype):
    x = torch.tensor([0.0, -1.0, 4.0, 0.25], dtype=dtype, requires_grad=True)
    value = pitfalls.double_where(x > 0, torch.sqrt, x, harmless=1.0, otherwise=0.0)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert value.tolist() == [0.0, 0.0, 2.0, 0.5]
    assert gradient.tolist() == [0.0, 0.0, 0.25, 1.0]
    once = pitfalls.single_where(x > 0, torch.sqrt, x, otherwise=0.0)
    (trapped,) = torch.autograd.grad(once.sum(), x)
    assert once.tolist() == value.tolist()
    assert trapped.isnan().tolist() == [True, True, False, False]


def test_the_naive_forms_fail_where_their_twins_do_not():
    one, zero = torch.ones(1), torch.zeros(1)
    assert pitfalls.naive_log_prob_loss(one, one).isnan()
    assert pitfalls.clamped_log_prob_loss(one, one).isnan()
    skewed, target = torch.tensor([[1.0, 1000.0]]), torch.tensor([[0.0, 1.0]])
    assert pitfalls.softmax_then_log(skewed, target).isnan().tolist() == [[True, False]]
    assert pitfalls.cross_entropy(skewed, target).tolist() == [[0.0, 0.0]]
    assert pitfalls.naive_ratio(one, zero).item() == INF
    assert pitfalls.naive_ratio(zero, zero).isnan()
    assert pitfalls.repeated_squaring(torch.tensor([1.5])).item() == INF
    assert set(pitfalls.TWINS) | set(pitfalls.TWINS.values()) <= set(vars(pitfalls))


def test_a_mean_of_the_largest_numbers_does_not_overflow():
    largest = torch.full((4,), torch.finfo(torch.float32).max)
    assert pitfalls.hinge(-largest, torch.ones(4)).item() == largest[0].item()
    assert pitfalls.hinge_by_max(-largest, torch.ones(4)).item() == INF


def test_naive_and_sound_agree_where_both_are_fine():
    z = torch.linspace(-5, 5, 21, dtype=torch.float64)
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    torch.testing.assert_close(
        pitfalls.log_prob_loss(z, t), pitfalls.naive_log_prob_loss(torch.sigmoid(z), t)
    )
    logits, target = z.reshape(7, 3), torch.eye(3, dtype=torch.float64).repeat(3, 1)[:7]
    torch.testing.assert_close(
        pitfalls.cross_entropy(logits, target), pitfalls.softmax_then_log(logits, target)
    )
    torch.testing.assert_close(
        pitfalls.log_repeated_squaring(z, 3), pitfalls.repeated_squaring(z, 3).log()
    )
    torch.testing.assert_close(
        pitfalls.guarded_ratio(z, t + 1, fill=0.0), pitfalls.naive_ratio(z, t + 1)
    )


@pytest.mark.parametrize(
    "loss",
    [pitfalls.log_prob_loss, pitfalls.hinge, pitfalls.smooth_hinge],
    ids=lambda f: f.__name__,
)
def test_sound_losses_pass_gradcheck_in_both_arguments(loss):
    predicted = torch.tensor([-3.0, -0.4, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0.1, 0.9, 0.5, 0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (predicted, target))


def test_nan_in_is_nan_out():
    bad, good = torch.tensor([NAN, 1.0]), torch.tensor([1.0, 0.0])
    assert pitfalls.log_prob_loss(bad, good).isnan()
    assert pitfalls.hinge(bad, good).isnan()
    assert pitfalls.cross_entropy(bad, good).isnan().any()
    assert pitfalls.guarded_ratio(bad, good + 1, fill=0.0).isnan().tolist() == [True, False]
    assert pitfalls.log_repeated_squaring(bad).isnan().tolist() == [True, False]


PAIRED = [name for name in pitfalls.TWINS if name not in ("repeated_squaring", "single_where")]


@pytest.mark.parametrize("name", [*PAIRED, "log_prob_loss", "cross_entropy", "hinge"])
@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        ([1.0], torch.ones(1), TypeError, "must be a torch tensor, not list: torch.as_tensor"),
        (torch.ones(1).int(), torch.ones(1), TypeError, r"torch.int32, but .* pass \w+.float\(\)"),
        (torch.ones(2), torch.ones(1), ValueError, r"same shape, not \(2,\) and \(1,\)"),
        (torch.ones(1), torch.ones(1).double(), TypeError, "same dtype, not torch.float32 and"),
    ],
)
def test_bad_input_is_refused_with_advice(name, first, second, error, message):
    with pytest.raises(error, match=message):
        getattr(pitfalls, name)(first, second)


@pytest.mark.parametrize("times", [0, 128])
def test_a_power_that_the_dtype_cannot_hold_is_refused(times):
    with pytest.raises(ValueError, match=r"times must be from 1 to 127 for torch.float32"):
        pitfalls.log_repeated_squaring(torch.ones(1), times)
    assert pitfalls.log_repeated_squaring(torch.ones(1), 127).item() == 0


# ------------------------------------------------------------------------------------------------
# Remedies


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [(torch.float64, -53), (torch.float32, -24), (torch.bfloat16, -8), (torch.float16, -11)],
    ids=str,
)
def test_the_smallest_clamp_is_half_the_ulp_below_one(dtype, exponent):
    epsilon = remedies.smallest_clamp(dtype)
    assert epsilon == 2.0**exponent
    assert remedies.clamped_probabilities(dtype, epsilon)["high"] < 1
    assert remedies.clamped_probabilities(dtype, epsilon / 2)["high"] == 1


def test_a_clamp_that_works_has_a_dead_gradient():
    figures = remedies.clamped_probabilities(torch.float32, 1e-6)
    assert math.isfinite(figures["loss_when_right"])
    assert math.isfinite(figures["loss_when_wrong"])
    assert figures["gradient_when_wrong"] == 0
    assert figures["gradient_at_logit_minus_20"] == figures["gradient_at_logit_20"] == 0
    assert figures["sound_at_logit_minus_20"] == pytest.approx(-1)
    assert figures["sound_at_logit_20"] == pytest.approx(1)


def test_a_clamp_below_the_ulp_leaves_nan():
    figures = remedies.clamped_probabilities(torch.float32, 1e-8)
    assert figures["high"] == 1
    assert math.isnan(figures["loss_when_right"])
    assert math.isnan(figures["gradient_at_logit_20"])


@pytest.mark.parametrize("epsilon", [1e-8, 1e-12, 1e-38])
def test_an_epsilon_in_the_log_is_finite_wrong_and_dead(epsilon):
    figures = remedies.epsilon_in_log(epsilon)
    assert figures["value"] == pytest.approx(-math.log(epsilon), rel=1e-6)
    assert figures["true_value"] == 999
    assert figures["gradient_right_class"] == figures["gradient_wrong_class"] == 0
    assert figures["true_gradient_right_class"] == -1
    assert figures["true_gradient_wrong_class"] == 1


@pytest.mark.parametrize(
    ("epsilon", "dtype"), [(1e-46, torch.float32), (1e-8, torch.float16)], ids=str
)
def test_an_epsilon_that_the_dtype_cannot_hold_is_no_epsilon(epsilon, dtype):
    figures = remedies.epsilon_in_log(epsilon, dtype)
    assert figures["epsilon_plus_zero"] == 0
    assert figures["value"] == INF
    assert math.isnan(figures["gradient_right_class"])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_where_leaves_nan_and_two_do_not(dtype):
    figures = remedies.where_around_a_root(dtype)
    assert figures["value_once"] == figures["value_twice"] == figures["gradient_twice"] == 0
    assert math.isnan(figures["gradient_once"])
    assert figures["gradient_elsewhere"] == 0.25


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nan_to_num_on_the_loss_leaves_the_gradient_nan(dtype):
    figures = remedies.nan_replaced(dtype)
    assert figures["value"] == 0
    assert math.isnan(figures["gradient"])
    assert figures["nan_becomes"] == 0
    assert figures["inf_becomes"] == torch.finfo(dtype).max


def test_clipping_by_norm_spreads_nan_and_zeroes_what_an_inf_leaves():
    assert all(map(math.isnan, remedies.clip_by_norm([NAN, 1.0, 2.0])))
    first, *others = remedies.clip_by_norm([INF, 1.0, 2.0])
    assert math.isnan(first)
    assert others == [0.0, 0.0]
    assert remedies.clip_by_norm([1e20, 1e20]) == [0.0, 0.0]
    assert math.hypot(*remedies.clip_by_norm([300.0, 400.0])) == pytest.approx(1, rel=1e-5)


def test_clipping_by_value_keeps_nan_bounds_inf_and_turns_the_direction():
    nan, inf, negative, small = remedies.clip_by_value([NAN, INF, -5.0, 0.5])
    assert math.isnan(nan)
    assert (inf, negative, small) == (1.0, -1.0, 0.5)


def test_anomaly_mode_misses_inf_and_blames_the_wrong_operation():
    assert remedies.anomaly_mode() == {
        "NaN gradient of 0 · sqrt(x)": "SqrtBackward0",
        "infinite gradient of sqrt(x)": "silent",
        "division by zero, 1 / x²": "PowBackward0",
        "NaN value, backward not run": "silent",
        "NaN that relu replaces by 0": "PowBackward0",
    }
    assert not torch.is_anomaly_enabled()


def test_isnan_does_not_see_infinity_and_isfinite_does():
    seen = remedies.isnan_against_isfinite()
    assert seen["isnan"] == [True, False, False, False]
    assert seen["not_isfinite"] == [True, True, True, False]


def test_every_popular_remedy_is_measured():
    assert set(remedies.REMEDIES) == {
        "clamp",
        "eps",
        "where",
        "nan_to_num",
        "clip by norm",
        "clip by value",
        "anomaly mode",
        "isnan",
    }
