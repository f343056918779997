"""What somebody who uses the package might write: it has to pass a strict type checker."""

import torch
from torch import Tensor, nn

import ssimlab
from ssimlab import MixedLoss, Scales, SSIMLoss, Window, gradient, reference
from ssimlab.trace import Trace, first_nonfinite


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.loss = MixedLoss(ssimlab.dissimilarity, 0.2, data_range=1.0)

    def step(self, noisy: Tensor, clean: Tensor) -> Tensor:
        value: Tensor = self.loss(self.layer(noisy), clean)
        value.backward()  # pyright: ignore[reportUnknownMemberType] (torch's own)
        return value.detach()


def scores(x: Tensor, y: Tensor) -> list[float]:
    window = Window(7, sigma=None, padding="reflect")
    exact = reference.ssim(x, y, data_range=1.0, window=window)
    multi = ssimlab.ms_ssim(x, y, data_range=1.0, window=window, scales=Scales((0.3, 0.7)))
    slope = gradient.ssim_gradient(x, y, data_range=1.0, wrt="y", upstream=torch.ones(()))
    dssim: Tensor = SSIMLoss(11, reduction="mean")(x, y)
    return [float(value) for value in (exact, multi, slope.abs().sum(), dssim)]


def culprit(x: Tensor) -> str:
    found: Trace | None = first_nonfinite(torch.sqrt, x)
    return "" if found is None else f"{found.operation}: {found.cause}"


def test_the_script_does_what_it_says() -> None:
    x, y = torch.rand(2, 1, 3, 32, 32).unbind(0)
    assert Denoiser().step(x, y) > 0
    assert all(value == value for value in scores(x, y))
    assert culprit(torch.zeros(2, 2)).startswith("sqrt: ")
