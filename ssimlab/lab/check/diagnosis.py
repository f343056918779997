"""What a function's failures have in common: a known mistake, float32, or at least a pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from .pairs import ImagePair
from .ssim_mistakes import SSIM_MISTAKES
from .trial import TOLERANCE, Diagnosis, Quantity, Trial


def diagnose(
    quantity: Quantity,
    trials: list[Trial],
    try_case: Callable[[ImagePair], torch.Tensor | None],
) -> Diagnosis:
    """The explanation of the smallest failing trial that holds for all the others.

    Args:
        quantity: what was computed.
        trials: all trials, passed and failed, at least one of them failed.
        try_case: runs the reader's function on another case.
    """
    failed = [trial for trial in trials if not trial.passed]
    if failed[0].fault:
        return failed[0].fault
    compared = [trial for trial in trials if trial.fault is None]
    pairs = (a.together_with(b) for a, b in quantity.combinations())
    return (
        _vanished(compared)
        or _known_mistake(quantity, quantity.mistakes, compared)
        or _float32(quantity, compared, try_case)
        or _not_finite(compared)
        or _known_mistake(quantity, filter(None, pairs), compared)
        or Diagnosis(None, " ".join(_patterns(compared)))
    )


def _known_mistake(quantity, candidates, trials):
    """The candidate whose values are the reader's in every case, the closest if several are."""
    found = [(fit, m) for m in candidates if (fit := _fit(quantity, m, trials)) is not None]
    if not found:
        return None
    # min keeps the first of equals, and the catalogue lists the commoner mistake first.
    residual, mistake = min(found, key=lambda pair: pair[0])
    explanation = mistake.advice
    if mistake in SSIM_MISTAKES:
        explanation = quantity.preface + explanation
    if residual > TOLERANCE:
        explanation += f" (It fits to {residual:.0e}, so something smaller is off too.)"
    return Diagnosis(mistake.name, explanation)


def _fit(quantity, mistake, trials):
    """How far the values are from the mistake's own, or None if it does not explain them.

    A mistake explains the values if it gives the same to the tolerance, in the passed cases as in
    the failed; or if, in several cases, it leaves a thousandth of the error or less, as it does
    where the window was made in float32 besides.
    """
    residuals, errors, noises = [], [], []
    recipe = mistake.recipe
    # The failed cases first: they decide soonest.
    for trial in sorted(trials, key=lambda trial: trial.passed):
        case = trial.case
        if mistake.undefined_when_flat and case.flat:
            continue
        try:
            predicted = quantity.predicted(recipe, case)
        except (RuntimeError, ValueError):
            return None  # this mistake cannot be made here: an image too small, a map too large
        if predicted.shape != trial.expected.shape:
            return None
        residual = quantity.distance(case, trial.obtained, predicted)
        error = quantity.distance(case, trial.expected, predicted)
        # Not "residual > ...": a residual that is not a number explains nothing.
        if not residual <= 1e-3 * error + case.float32_noise:
            return None
        residuals.append(residual)
        errors.append(error)
        noises.append(case.float32_noise)
    worst = max(residuals, default=float("inf"))
    exact = worst <= TOLERANCE and max(errors) > 1e3 * TOLERANCE
    telling = sum(error > 100 * noise for error, noise in zip(errors, noises, strict=True))
    return max(worst, TOLERANCE) if exact or telling >= 3 else None


def _float32(quantity, trials, try_case):
    """Errors of float32's size, and evidence that rounding is their cause."""
    if not all(trial.error <= 64 * trial.case.float32_noise for trial in trials):
        return None
    telling = [t for t in trials if not t.passed and not torch.equal(t.case.x, t.case.y)]
    if not telling:
        return None
    trial, case = telling[0], telling[0].case
    if all(torch.equal(t.obtained, t.obtained.float().double()) for t in trials):
        kind = trial.dtype if trial.dtype != torch.float64 else torch.float32
        return Diagnosis(
            f"computed in {str(kind).removeprefix('torch.')}",
            "The images are float64 and the result is not. Keep the dtype of x in every step: the "
            "check compares more digits than float32 has.",
        )
    if _same(try_case(_changed(case, lambda image: image.float().double())), trial.obtained):
        return Diagnosis(
            "computed in float32",
            "Rounding the images to float32 beforehand changes nothing, so your function rounds "
            "them itself. Keep the dtype of x in every step.",
        )
    # Rounded weights and constants change S by a factor near 1 in each of its parts: equal images
    # still score 1 exactly, and images four times as bright with four times the range the same as
    # before. Neither is so if something is added, such as an epsilon, or all is multiplied.
    twin = replace(case, y=case.x)
    larger = replace(_changed(case, lambda image: 4 * image), data_range=4 * case.data_range)
    of_twins = try_case(twin)
    exact_for_twins = (
        of_twins is not None and quantity.distance(twin, of_twins, quantity.expected(twin)) < 1e-12
    )
    scaled = trial.obtained * 4.0**quantity.degree
    multiplied = trial.obtained.ndim > 0 and _ratio(trial) is not None
    if exact_for_twins and not multiplied and _same(try_case(larger), scaled):
        return Diagnosis(
            "weights or constants with too few digits",
            "The errors have the size of float32's rounding, although equal images and scaled "
            "images are treated exactly: the weights of the window, or the constants, are right to "
            "about seven digits. torch.arange(11.0) and torch.tensor([0.5]) are float32 unless you "
            "say dtype=torch.float64, and converting them later does not bring the digits back.",
        )
    return None


def _changed(case, change):
    return replace(case, x=change(case.x), y=change(case.y))


def _same(a, b):
    return a is not None and torch.allclose(a, b, rtol=1e-13, atol=0)


def _not_finite(trials):
    spoiled = [trial for trial in trials if not bool(trial.obtained.isfinite().all())]
    if not spoiled:
        return None
    if all(trial.case.flat for trial in spoiled) and all(
        trial.passed or trial in spoiled for trial in trials
    ):
        return Diagnosis(
            "not finite on constant images",
            "Elsewhere your function is right. Where an image is constant its variance is zero, or "
            "by rounding less: a square root of it has an infinite derivative or no value, and a "
            "division by it is 0/0. The form (2 σxy + C2) / (σx² + σy² + C2) needs neither.",
        )
    return Diagnosis(
        "not finite",
        "The result holds NaN or infinity although the images are finite: look for a division by "
        "zero, the square root of a negative variance, or values never filled in.",
    )


def _vanished(trials):
    """For gradients: zero wherever the right one is not."""
    if any(trial.obtained.count_nonzero() for trial in trials) or trials[0].expected.ndim == 0:
        return None
    return Diagnosis(
        "the gradient is zero everywhere",
        "Something cut x off from the result: detach, .data, no_grad, a rounding, or gradients "
        "read from another tensor than the one that was differentiated.",
    )


_KINDS = (
    ("the images are constant", lambda case: case.flat),
    ("data_range is not 1", lambda case: case.data_range != 1),
    ("there are several images or channels", lambda case: case.x[..., 0, 0].numel() > 1),
    ("rows and columns differ in number", lambda case: case.shape[-1] != case.shape[-2]),
    ("the mean is far above the contrast", lambda case: case.float32_noise > 1e-5),
)


def _patterns(trials):
    """Sentences on which cases fail, how the values are related, and where the error sits."""
    failed = [trial for trial in trials if not trial.passed]
    for phrase, holds in _KINDS:
        if all(trial.passed != holds(trial.case) for trial in trials):
            yield f"It fails where {phrase}, and only there."
    worst = max(failed, key=lambda trial: trial.error)
    yield f'The largest error, {worst.error:.1e}, is in the case "{worst.case.name}".'
    ratios = [ratio for trial in failed if (ratio := _ratio(trial)) is not None]
    if len(ratios) == len(failed) and max(ratios) - min(ratios) <= 1e-3 * abs(ratios[0] - 1):
        yield f"It is {ratios[0]:.9g} times the expected value wherever it fails."
    elif trials[0].expected.ndim == 0:
        yield from _offset(failed)
    else:
        yield from _where(failed[-1])
    if all(trial.error < 64 * trial.case.float32_noise for trial in failed):
        yield (
            "The errors are as small as float32's rounding: look for an epsilon, or for weights "
            "made in float32."
        )


def _ratio(trial):
    """Obtained over expected, if that is the same for all pixels."""
    obtained, expected = trial.obtained.flatten(), trial.expected.flatten()
    square = expected @ expected
    if square == 0:
        return None
    ratio = float(obtained @ expected / square)
    left = (obtained - ratio * expected).abs().max()
    return ratio if left <= 1e-3 * abs(ratio - 1) * expected.abs().max() else None


def _offset(failed):
    offsets = [float(trial.obtained - trial.expected) for trial in failed]
    if len(offsets) > 1 and max(offsets) - min(offsets) <= 1e-3 * abs(offsets[0]):
        yield f"It differs from the expected value by {offsets[0]:.6g} wherever it fails."
    elif len(offsets) > 1 and min(offsets) > 0:
        yield "It is always too large."
    elif len(offsets) > 1 and max(offsets) < 0:
        yield "It is always too small."


def _where(trial):
    """Border or interior, and the angle between the two gradients, in one failing case."""
    obtained, expected = trial.obtained, trial.expected
    name = f'In the case "{trial.case.name}"'
    ratio = _ratio(trial)
    if ratio is not None:
        yield f"{name} it is {ratio:.9g} times the expected gradient at every pixel."
        return
    wrong = (obtained - expected).abs() > TOLERANCE * expected.abs().max()
    reach = trial.case.window.size - 1
    rows, columns = (slice(reach, n - reach) for n in expected.shape[-2:])
    inside = torch.zeros_like(wrong)
    inside[..., rows, columns] = True
    if inside.any() and not inside.all():
        if not wrong[inside].any():
            yield f"{name} it is right inside and wrong within {reach} pixels of the border."
        elif not wrong[~inside].any():
            yield f"{name} it is right near the border and wrong inside."
    lengths = obtained.norm() * expected.norm()
    if lengths > 0:
        cosine = float((obtained * expected).sum() / lengths)
        yield f"{name} the cosine of the angle between the two gradients is {cosine:.4f}."
