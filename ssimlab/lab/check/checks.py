"""The two checks: what each asks of a function, and what it holds the function against."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from ... import reference
from ...gradient import ssim_gradient
from ...window import Window
from .diagnosis import diagnose
from .gradient_mistakes import CHAIN_RULE_MISTAKES
from .pairs import make_pairs
from .recipe import Recipe
from .result import Result
from .ssim_mistakes import CONVENTIONS, SSIM_MISTAKES
from .trial import Diagnosis, Quantity, run_case


def ssim(fn: Callable[..., object], *, window: Window = Window(), ndim: int = 4) -> Result:
    """Check a function that computes the mean SSIM of two images.

    Args:
        fn: called as ``fn(x, y, data_range=L)`` with float64 tensors and a number; returns the
            mean of the SSIM map over everything as one number (a float, or a tensor or array of
            one element).
        window: the window that ``fn`` is meant to use; the default is the published one, 11 x 11,
            Gaussian, sigma 1.5, without padding.
        ndim: 4 if ``fn`` takes batches (N, C, H, W), 3 for (C, H, W), 2 for one image (H, W).

    Returns:
        Result: print it, or leave it as the last line of a cell; ``.passed`` is for assertions.

    Raises:
        TypeError, ValueError: an argument is not as described above. What ``fn`` raises is shown
            in the result.

    Source: Wang et al. (2004); the expected values are those of :func:`ssimlab.reference.ssim`.
    """
    return _check(_SSIM, fn, window, ndim)


def gradient(fn: Callable[..., object], *, window: Window = Window(), ndim: int = 4) -> Result:
    """Check a function that computes the gradient of the mean SSIM by its first image.

    Args:
        fn: called as ``fn(x, y, data_range=L)`` with float64 tensors and a number; returns
            ∂ mean(SSIM) / ∂x as a tensor or array of the shape of x.
        window: the window of the SSIM that is differentiated, with its padding; the default is
            the published one, 11 x 11, Gaussian, sigma 1.5, without padding. The forum thread's
            is ``ssimlab.attempts.FORUM_WINDOW``.
        ndim: 4 if ``fn`` takes batches (N, C, H, W), 3 for (C, H, W), 2 for one image (H, W).

    Returns:
        Result: print it, or leave it as the last line of a cell; ``.passed`` is for assertions.

    Raises:
        TypeError, ValueError: an argument is not as described above. What ``fn`` raises is shown
            in the result.

    Source: equation :eq:`eq-ssim-gradient`, by :func:`ssimlab.gradient.ssim_gradient`.
    """
    return _check(_GRADIENT, fn, window, ndim)


_SSIM = Quantity(
    name="ssim",
    expected=lambda case: reference.ssim(
        case.x, case.y, data_range=case.data_range, window=case.window
    ),
    predicted=Recipe.ssim,
    mistakes=SSIM_MISTAKES,
    combinations=lambda: itertools.combinations(CONVENTIONS, 2),
    scale=lambda case: 1.0,
    degree=0,
    preface="",
)

_GRADIENT = Quantity(
    name="gradient",
    expected=lambda case: ssim_gradient(
        case.x, case.y, data_range=case.data_range, window=case.window
    ),
    predicted=Recipe.gradient,
    mistakes=CHAIN_RULE_MISTAKES + SSIM_MISTAKES,
    # Two mistakes in SSIM are the business of the other check, and so is its window.
    combinations=lambda: itertools.product(
        CHAIN_RULE_MISTAKES, (m for m in CONVENTIONS if m.changes.keys() <= {"constants", "reduce"})
    ),
    # A pixel has a share of 1 / (number of pixels) in the mean, and data_range is its unit.
    scale=lambda case: 1 / (case.data_range * case.x.numel()),
    degree=-1,
    preface="This is the gradient of something that is not the mean SSIM. ",
)


def _check(quantity, fn, window, ndim):
    if not callable(fn):
        raise TypeError(
            f"fn must be a function of (x, y, data_range=...), not {type(fn).__name__}: pass the "
            "function itself and not what it returns"
        )
    if not isinstance(window, Window):
        raise TypeError(
            f"window must be a ssimlab.Window, not {window!r}: for example "
            'Window(size=3, sigma=1.5, padding="zero")'
        )
    if ndim not in (2, 3, 4):
        raise ValueError(
            f"ndim must be 4 for (N, C, H, W), 3 for (C, H, W) or 2 for (H, W), not {ndim!r}"
        )
    trials = [run_case(quantity, fn, case) for case in make_pairs(window, ndim)]
    failed = [trial for trial in trials if not trial.passed]
    if not failed:
        worst = max(trials, key=lambda trial: trial.error)
        return Result(quantity.name, True, trials, worst, Diagnosis(None, ""))
    diagnosis = diagnose(quantity, trials, lambda case: run_case(quantity, fn, case).obtained)
    return Result(quantity.name, False, trials, failed[0], diagnosis)
