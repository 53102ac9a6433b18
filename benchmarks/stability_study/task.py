"""A small restoration task, and the network that learns it: a chain of invertible layers and a linear head.

Smooth random images are each measured twice, with noise. What one pixel says of itself, a linear readout finds: the
mean of its two measurements, shrunk. What its neighbours say has to be learned by the chain, and can be in a hundred
updates, so that "does it train" has an answer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invrim.invertible import Invertible, InvertibleChain
from stability_study.contestants import CHANNELS

SIZE = 16
IMAGES = CHANNELS // 2
NOISE = 0.5
"""Standard deviation, for images of standard deviation 1."""
DECAY = 2.0
"""Amplitudes fall with this power of the frequency: between photographs, about 1, and what looks merely blurred."""
FITTED = 64
"""States that norms and readouts are fitted to, four images in each."""
FITTED_SEED = 1_000_000
VALIDATED = 8
"""States that losses are read on; no training sees them."""
VALIDATION_SEED = 1_000_001
Batch = tuple[Tensor, Tensor]
"""Measurements ``(b, CHANNELS, SIZE, SIZE)`` and the images that were measured, ``(b, IMAGES, SIZE, SIZE)``."""


def draw_batch(count: int, seed: int) -> Batch:
    """Draw images and measure each twice, in the first and in the second half of the channels.

    No two channels are alike and none is zero: the kindest state there is to layers that normalise channels.
    """
    generator = torch.Generator().manual_seed(seed)
    frequency = SIZE * torch.hypot(torch.fft.fftfreq(SIZE)[:, None], torch.fft.rfftfreq(SIZE))
    amplitude = torch.where(frequency > 0, frequency.clamp(min=1) ** -DECAY, 0.0)  # no mean
    white = torch.randn(count, IMAGES, SIZE, SIZE, generator=generator)
    clean = torch.fft.irfft2(amplitude * torch.fft.rfft2(white), s=(SIZE, SIZE))
    clean = clean / clean.std(dim=(-2, -1), keepdim=True)
    noise = torch.randn(count, CHANNELS, SIZE, SIZE, generator=generator)
    return torch.cat([clean, clean], dim=1) + NOISE * noise, clean


def fitted_batch() -> Batch:
    """Draw what norms and readouts are fitted to."""
    return draw_batch(FITTED, FITTED_SEED)


def validation_batch() -> Batch:
    """Draw what losses are read on."""
    return draw_batch(VALIDATED, VALIDATION_SEED)


def readout_loss() -> float:
    """Mean squared error of the best linear readout of the measurements themselves: what a chain has to beat."""
    return Network([], fitted_batch()).loss(*validation_batch()).item()


class Network(nn.Module):
    """A chain and a linear head over all channels, which starts as the best readout of the untrained chain.

    Free mixing turns the channels in every step: with the head at its best all layers start on a par.
    """

    def __init__(self, steps: list[Invertible], batch: Batch) -> None:
        super().__init__()
        self.chain = InvertibleChain(steps)
        z, clean = batch
        with torch.no_grad():
            self.head = nn.Parameter(_best_head(_pixels(self.chain(z)).double(), _pixels(clean).double()).float())

    def loss(self, out: Tensor, clean: Tensor) -> Tensor:
        """Mean squared error of what the head makes of the chain's output."""
        with torch.autocast("cpu", enabled=False):
            return F.mse_loss(F.conv2d(out, self.head[..., None, None]), clean)


def _best_head(out: Tensor, clean: Tensor) -> Tensor:
    if not out.isfinite().all():  # nothing to fit: the loss will say so
        return torch.zeros(IMAGES, CHANNELS, dtype=torch.double)
    return torch.linalg.lstsq(out, clean).solution.mT


def _pixels(z: Tensor) -> Tensor:
    """``(b, c, y, x) -> (b * y * x, c)``."""
    return z.movedim(1, -1).flatten(0, -2)
