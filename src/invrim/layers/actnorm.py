"""Normalisation of channels that can be undone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrim.layers.flow import Flow
from invrim.layers.state import per_channel, require_state
from invrim.typing import State

_NO_SPREAD = 1e-6
"""Glow's released code adds this to every standard deviation. Below it a channel counts as constant here and is not
scaled: memory that is still zero would be magnified a million times."""


class ActNorm(Flow):
    r"""Scale and shift every channel by numbers of its own: :math:`z_c \mapsto e^{s_c} z_c + b_c`.

    Starts as the identity; `initialise` fits it to data. The inverse divides by the scale.

    Parameters
    ----------
    channels
        State channels C; state ``(b, C, ...)``, any number of axes.

    References
    ----------
    .. [Kingma18] Kingma & Dhariwal, *Glow: generative flow with invertible 1×1 convolutions*, NeurIPS 2018,
       section 3.1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, z: State, _: object = None, /) -> State:
        require_state(z, len(self.shift))
        return z * per_channel(self.log_scale.exp(), z) + per_channel(self.shift, z)

    def inverse(self, z: State, _: object = None, /) -> State:
        require_state(z, len(self.shift))
        return (z - per_channel(self.shift, z)) / per_channel(self.log_scale.exp(), z)

    def log_determinant(self, z: State, _: object = None, /) -> Tensor:
        return (self.log_scale.sum() * z[0, 0].numel()).expand(len(z))

    @torch.no_grad()
    def initialise(self, z: State) -> None:
        """Make the output for the batch ``z`` have mean 0 and variance 1 in every channel that is not constant."""
        require_state(z, len(self.shift))
        std, mean = torch.std_mean(z.transpose(0, 1).flatten(1), dim=1, correction=0)
        std = torch.where(std > _NO_SPREAD, std, torch.ones_like(std))
        self.log_scale.copy_(-std.log())
        self.shift.copy_(-mean / std)
