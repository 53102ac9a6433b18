"""The layers that compete: all with the same residual net, each in chains of any depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from invrim.invertible import ExactlyInvertible, Invertible
from invrim.layers import AdditiveCoupling, AffineCoupling, GlowStep, ReversibleBlock

CHANNELS = 8
HIDDEN = 8
OURS = "orthogonal"


@dataclass(frozen=True)
class Contestant:
    """A kind of layer and how a chain of it starts."""

    label: str
    make: Callable[[int], Invertible]
    """Number in the chain -> layer."""
    fitted: bool = False
    """Whether the norms are fitted to data before training, one step after the other."""

    @property
    def has_exact(self) -> bool:
        """Whether ``backprop="exact"`` is defined for it."""
        return isinstance(self.make(0), ExactlyInvertible)


def _block(_: int) -> Invertible:
    return ReversibleBlock(CHANNELS, HIDDEN)


def _alternating(layer: Callable[..., Invertible], number: int) -> Invertible:
    return layer(CHANNELS, HIDDEN, update=("second", "first")[number % 2])


def _glow(number: int, scale: str) -> Invertible:
    return _alternating(partial(GlowStep, scale=scale), number)


CONTESTANTS = {
    OURS: Contestant("orthogonal mixing, additive (ours)", _block),
    "additive": Contestant("additive, no mixing", partial(_alternating, AdditiveCoupling)),
    "real-nvp": Contestant("real-NVP", partial(_alternating, partial(AffineCoupling, scale="tanh"))),
    "glow-exp": Contestant("Glow exp", partial(_glow, scale="exp")),
    "glow-exp-fitted": Contestant("Glow exp, ActNorm fitted", partial(_glow, scale="exp"), fitted=True),
    "glow-sigmoid": Contestant("Glow sigmoid", partial(_glow, scale="sigmoid")),
    "glow-sigmoid-fitted": Contestant("Glow sigmoid, ActNorm fitted", partial(_glow, scale="sigmoid"), fitted=True),
}


def make_steps(contestant: Contestant, depth: int, seed: int, z: Tensor, gain: float) -> list[Invertible]:
    """Build unshared layers: norms fitted to the batch ``z``, the last convolution of the nets scaled by ``gain``."""
    torch.manual_seed(seed)
    steps = [contestant.make(number) for number in range(depth)]
    with torch.no_grad():
        for step in steps:
            step.net.scale_output(gain)
            if contestant.fitted:
                step.initialise(z)
                z = step(z)
    return steps
