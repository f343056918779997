"""Running the catalogue on one function or on several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..window import Window
from .cases import Case, chosen
from .judge import judge
from .report import Comparison, Report
from .subjects import LIBRARIES, Subject, subject

#: The oracle refuses images smaller than the window, and what is refused cannot be judged.
LARGEST_WINDOW = 11


def run(
    fn: Callable[..., object] | Subject | str,
    cases: Iterable[Case | str] | None = None,
    *,
    window: Window | None = None,
    device: str = "cpu",
) -> Report:
    """Try one SSIM function on the catalogue.

    Args:
        fn: takes ``(x, y, data_range=…)``, images of shape (N, C, H, W), and returns their mean
            SSIM; or a :class:`Subject`, which says more about it; or a name: a library
            ("kornia"), a form ("naive.one_pass"), or "package.module:function".
        cases: slugs or cases; None is the whole catalogue.
        window: the window and padding that fn computes with. The oracle uses the same, so that
            a convention is not counted as a fault. None is the published one.
        device: where the images are put, such as "cuda".

    Returns:
        Report: a row for each case, with outcome, truth and what was obtained.

    Raises:
        TypeError, ValueError: an argument is unknown, or fn returns something else than one
            number.
        ImportError: the named package is not installed.
    """
    under_test = subject(fn, window=window)
    size = under_test.window.size
    if size > LARGEST_WINDOW:
        raise ValueError(
            f"the images of the catalogue are made for windows of up to {LARGEST_WINDOW} x "
            f"{LARGEST_WINDOW} pixels, not {size} x {size}: configure fn with a smaller window"
        )
    rows = tuple(judge(case, under_test, device) for case in chosen(cases))
    return Report(under_test, rows, device)


def compare(
    functions: Mapping[str, Callable[..., object] | Subject | str] | Iterable[str] = LIBRARIES,
    cases: Iterable[Case | str] | None = None,
    *,
    device: str = "cpu",
) -> Comparison:
    """Try several functions on the same cases: library x failure.

    Args:
        functions: what :func:`run` takes, by the names that the columns shall have; or names
            alone.
        cases, device: as for :func:`run`.

    Returns:
        Comparison: a table with a row for each case and a column for each function.

    Raises:
        As :func:`run`; ValueError if there are no functions.
    """
    if not isinstance(functions, Mapping):
        names = (functions,) if isinstance(functions, str) else functions
        functions = {name: name for name in names}
    if not functions:
        raise ValueError("functions is empty: name one at least")
    selected = chosen(cases)
    return Comparison({name: run(fn, selected, device=device) for name, fn in functions.items()})
