"""The layers that a reversible block is compared with, as `make(i, channels, ndim)`: no two alike in a chain."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from invrim.layers import AdditiveCoupling, AffineCoupling, Flow, GlowStep


def _alternating(layer: Any, i: int, channels: int, ndim: int, **options: str) -> Flow:
    return layer(channels, 4 + i % 2, 1 + i % 3, ndim=ndim, update=("second", "first")[i % 2], **options)


RIVALS: dict[str, Callable[..., Flow]] = {
    "additive": partial(_alternating, AdditiveCoupling),
    "real-nvp": partial(_alternating, AffineCoupling, scale="tanh"),
    "affine-exp": partial(_alternating, AffineCoupling, scale="exp"),
    "glow-sigmoid": partial(_alternating, GlowStep, scale="sigmoid"),
    "glow-exp": partial(_alternating, GlowStep, scale="exp"),
}


@torch.no_grad()
def disturbed(layer: nn.Module, amount: float = 0.1) -> nn.Module:
    """Move every parameter off its initial value: scales of 1 and rotations hide faults."""
    for parameter in layer.parameters():
        parameter.add_(amount * torch.randn_like(parameter))
    return layer
