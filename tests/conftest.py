"""How every test is run: with one thread, and with the same examples of hypothesis each time.

``HYPOTHESIS_PROFILE=thorough python -m pytest tests/test_properties.py`` looks longer, and at
other examples.
"""

import os

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

from ssimlab import kernels

# The images are small, and pytest-xdist has a process for each core already.
torch.set_num_threads(1)

# The machine may be slow: no test says anything about time.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile(
    "repeatable", derandomize=True, database=None, max_examples=20, print_blob=False, **PATIENT
)
settings.register_profile("thorough", max_examples=500, print_blob=True, **PATIENT)
# tools/mutants.py asks only whether there is a counterexample, not for the smallest.
settings.register_profile(
    "unshrunk", settings.get_profile("repeatable"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(params=["kernel", "eager", "traced"])
def every_backend(request, monkeypatch):
    """Run a test once for each form that "auto" may take, wherever the images allow it."""
    choose = kernels.choose

    def chosen(backend, *pair):
        name = choose(backend, *pair)
        if backend != "auto" or name == "traced" or request.param == "kernel":
            return name
        return choose("eager", *pair) if request.param == "eager" else "traced"

    monkeypatch.setattr(kernels, "choose", chosen)
