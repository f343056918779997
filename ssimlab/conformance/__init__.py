"""A catalogue of cases on which SSIM functions go wrong, to be tried on any SSIM function.

``run(fn)`` gives a report on one function, ``compare({name: fn})`` a table of several, and
``python -m ssimlab conformance kornia`` the same in a terminal, with exit code 1 for a miss. The
package needs torch alone, and each library only where it is asked for.

The oracle is :func:`ssimlab.reference.ssim` in float64 on the inputs as they are after rounding to
the case's dtype, with the window and padding that the function declares; its gradient is
autograd's. Where the oracle refuses its arguments, an error is the right answer and a number is
wrong. A value may be off by 5e-5 and a gradient by a hundredth of itself (somewhat more where the
result itself is in half precision): rounding passes, faults do not. The last group of cases
shows what goes wrong after the function has returned, in a root, a power, a logarithm or a
``where``; it is reported and never counted.
"""

from .cases import CASES, Case
from .judge import Outcome, Row
from .report import Comparison, Report
from .runs import compare, run
from .subjects import LIBRARIES, SUBJECTS, Subject, from_complement, from_dssim, subject

__all__ = [
    "CASES",
    "LIBRARIES",
    "SUBJECTS",
    "Case",
    "Comparison",
    "Outcome",
    "Report",
    "Row",
    "Subject",
    "compare",
    "from_complement",
    "from_dssim",
    "run",
    "subject",
]
