"""Where the first NaN or infinity of a computation came from.

>>> from ssimlab.trace import first_nonfinite
>>> trace = first_nonfinite(lambda x: torch.sqrt(x).sum(), torch.zeros(3))
>>> trace.phase, trace.operation, trace.cause
('backward', 'sqrt', 'derivative of sqrt at 0 (division by zero)')

The package needs torch alone and knows nothing of SSIM.
"""

from .cause import Spread
from .lines import Line
from .report import Trace
from .tracer import first_nonfinite

__all__ = ["Line", "Spread", "Trace", "first_nonfinite"]
