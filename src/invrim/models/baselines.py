"""What an i-RIM is compared with, behind the same call ``model(fidelity)``."""

from __future__ import annotations

from torch import nn

from invrim.operators import LeastSquares
from invrim.typing import Image


class ZeroFilled(nn.Module):
    """The back-projected data ``A^H d``: what is there before anything is reconstructed."""

    def forward(self, fidelity: LeastSquares) -> Image:
        return fidelity.start()
