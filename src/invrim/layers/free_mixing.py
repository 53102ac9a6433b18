"""Mixing of channels by a matrix that is free to lose its orthogonality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrim.errors import InvrimError
from invrim.layers.flow import Flow
from invrim.layers.mixing import mix
from invrim.layers.state import full_precision, require_state
from invrim.typing import State


class FreeMixing(Flow):
    """A 1×1 convolution without bias: ``z -> W z`` for every voxel, W learned entry by entry.

    Starts as a random rotation. Training may let the condition number of W grow, and with it the error of the inverse;
    `OrthogonalMixing` keeps it at 1.

    Parameters
    ----------
    channels
        State channels C; state ``(b, C, ...)``, any number of axes. ``weight`` is ``(C, C)``.

    References
    ----------
    .. [Kingma18] Kingma & Dhariwal, *Glow: generative flow with invertible 1×1 convolutions*, NeurIPS 2018,
       section 3.2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.double))
        rotation[0] *= torch.linalg.det(rotation).sign()
        # Contiguous, which what QR returns is not: fused optimisers pair a parameter with its gradient by memory order.
        self.weight = nn.Parameter(rotation.to(torch.get_default_dtype()).contiguous())

    def forward(self, z: State, _: object = None, /) -> State:
        require_state(z, len(self.weight))
        with full_precision(z):
            return mix(self.weight, z)

    def inverse(self, z: State, _: object = None, /) -> State:
        require_state(z, len(self.weight))
        with full_precision(z):
            return mix(self._inverse_weight().to(z.dtype), z)

    def log_determinant(self, z: State, _: object = None, /) -> Tensor:
        log_determinant = torch.linalg.slogdet(self.weight.double()).logabsdet
        return (log_determinant * z[0, 0].numel()).to(z.dtype).expand(len(z))

    def _inverse_weight(self) -> Tensor:
        # In float64, as `OrthogonalMixing` builds its matrix: what is left is the error of applying it.
        try:
            return torch.linalg.inv(self.weight.double())
        except torch.linalg.LinAlgError as error:
            raise InvrimError(
                f"expected an invertible mixing matrix, got a singular one ({error}). "
                f"Train with a smaller step size, or use OrthogonalMixing."
            ) from error
