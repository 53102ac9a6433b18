"""A small restoration task, and the network that learns it: a chain of invertible layers and a linear head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invrim.invertible import Invertible, InvertibleChain
from stability_study.contestants import CHANNELS

SIZE = 16
NOISE = 0.1
"""Standard deviation, for images of standard deviation 1."""
RECTANGLES = 3
BLUR = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
Batch = tuple[Tensor, Tensor]
"""Blurred noisy images and the sharp ones, ``(b, CHANNELS, SIZE, SIZE)`` each."""


def draw_batch(count: int, seed: int) -> Batch:
    """Draw images of rectangles.

    Every channel is an image of its own, so that none is a copy of another and none is zero: the kindest state there
    is to layers that normalise channels.
    """
    generator = torch.Generator().manual_seed(seed)
    sharp = torch.zeros(count, CHANNELS, SIZE, SIZE)
    for _ in range(RECTANGLES):
        inside = _interval(count, generator)[..., :, None] & _interval(count, generator)[..., None, :]
        sharp += inside * torch.randn(count, CHANNELS, 1, 1, generator=generator)
    sharp = (sharp - sharp.mean()) / sharp.std()
    kernel = torch.outer(BLUR, BLUR).expand(CHANNELS, 1, 5, 5)
    blurred = F.conv2d(F.pad(sharp, (2, 2, 2, 2), mode="reflect"), kernel, groups=CHANNELS)
    return blurred + NOISE * torch.randn(sharp.shape, generator=generator), sharp


def _interval(count: int, generator: torch.Generator) -> Tensor:
    """Mark a random run of at least 4 pixels along an axis, ``(count, CHANNELS, SIZE)``."""
    shape = (count, CHANNELS, 1)
    start = torch.randint(0, SIZE - 4, shape, generator=generator)
    length = torch.randint(4, SIZE // 2 + 4, shape, generator=generator)
    pixel = torch.arange(SIZE)
    return (pixel >= start) & (pixel < start + length)


class Network(nn.Module):
    """A chain and a linear head over all channels, which starts as the best one for the untrained chain.

    Free mixing turns the channels in every step: with the head at its best all layers start on a par.
    """

    def __init__(self, steps: list[Invertible], batch: Batch) -> None:
        super().__init__()
        self.chain = InvertibleChain(steps)
        z, sharp = batch
        with torch.no_grad():
            self.head = nn.Parameter(_best_head(_pixels(self.chain(z)).double(), _pixels(sharp).double()).float())

    def loss(self, out: Tensor, sharp: Tensor) -> Tensor:
        """Mean squared error of what the head makes of the chain's output."""
        with torch.autocast("cpu", enabled=False):
            return F.mse_loss(F.conv2d(out, self.head[..., None, None]), sharp)


def _best_head(out: Tensor, sharp: Tensor) -> Tensor:
    if not out.isfinite().all():  # nothing to fit: the loss will say so
        return torch.zeros(CHANNELS, CHANNELS, dtype=torch.double)
    return torch.linalg.lstsq(out, sharp).solution.mT


def _pixels(z: Tensor) -> Tensor:
    """``(b, c, y, x) -> (b * y * x, c)``."""
    return z.movedim(1, -1).flatten(0, -2)
