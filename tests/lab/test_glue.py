"""Numbers that a cell hands to the text of its page."""

import pytest
import torch

IPython = pytest.importorskip("IPython", reason="the extra lab is not installed")

from ssimlab.lab.glue import glue


@pytest.fixture
def displayed(monkeypatch):
    """What is handed to the notebook, as pairs of data and metadata."""
    results = []

    def display(data, *, metadata, raw):
        assert raw
        results.append((data, metadata))

    monkeypatch.setattr(IPython.display, "display", display)
    return results


def test_a_number_is_kept_under_its_name_and_shows_nothing(displayed):
    glue("score", 0.12345, "{:.2f}")
    ((data, metadata),) = displayed
    assert data == {"application/papermill.record/text/plain": "0.12"}
    assert metadata["scrapbook"]["name"] == "score"


def test_a_tensor_is_kept_as_its_number(displayed):
    glue("n", torch.tensor(3))
    assert list(displayed[0][0].values()) == ["3"]
