"""What tells blocks that serve in every step which step it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrim.invertible import ExactlyInvertible, Grid, PulledBack
from invrim.layers.flow import VolumePreserving
from invrim.layers.state import per_channel, require_state
from invrim.typing import State


class StepCode(VolumePreserving, ExactlyInvertible):
    r"""Add a learned number to every channel of the memory: :math:`s_c \mapsto s_c + b_c`.

    Weights that are shared by all steps would otherwise have to find out from the state how far they are.

    Parameters
    ----------
    channels
        State channels C; state ``(b, C, ...)``.
    n_eta
        Channels of the estimate at the beginning, which are left alone.
    """

    def __init__(self, channels: int, n_eta: int) -> None:
        super().__init__()
        self.channels = channels
        self.n_eta = n_eta
        self.shift = nn.Parameter(torch.zeros(channels - n_eta))

    def forward(self, z: State, _: object = None, /) -> State:
        return z + self._code(z)

    def inverse(self, z: State, _: object = None, /) -> State:
        return z - self._code(z)

    def forward_(self, z: State, _: object = None, /) -> State:
        return z.add_(self._code(z))

    def pull_back(self, z_out: State, grad_out: State, _: object = None, /) -> PulledBack:
        return self._pulled_back(z_out.sub_(self._code(z_out).detach()), grad_out)

    def forward_exact(self, z: State, grid: Grid, _: object = None, /) -> State:
        return z.add_(self._rounded(z, grid))

    def inverse_exact(self, z: State, grid: Grid, _: object = None, /) -> State:
        return z.sub_(self._rounded(z, grid))

    def pull_back_exact(self, z_out: State, grad_out: State, grid: Grid, _: object = None, /) -> PulledBack:
        return self._pulled_back(z_out.sub_(self._rounded(z_out, grid)), grad_out)

    def _pulled_back(self, z: State, grad_out: State) -> PulledBack:
        if not self.shift.requires_grad:
            return PulledBack(z, grad_out, {})
        return PulledBack(z, grad_out, {self.shift: grad_out.transpose(0, 1).flatten(1).sum(dim=1)[self.n_eta :]})

    def _code(self, z: State) -> Tensor:
        require_state(z, self.channels)
        return per_channel(torch.cat([self.shift.new_zeros(self.n_eta), self.shift]), z)

    @torch.no_grad()
    def _rounded(self, z: State, grid: Grid) -> Tensor:
        return grid.rounded_(self._code(z))
