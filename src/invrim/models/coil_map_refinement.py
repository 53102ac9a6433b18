"""Coil maps that learn: what the calibration lines give, finished by a net."""

from __future__ import annotations

import torch
from torch import nn

from invrim.errors import OptionError
from invrim.layers.link import to_channels, to_images
from invrim.layers.scaling import nonzero
from invrim.layers.unet import UNetwork
from invrim.models.cartesian import cartesian_slices
from invrim.operators import CartesianMRI, CoilMaps, LeastSquares


class CoilMapRefinement(nn.Module):
    """Correct the coil maps of a fidelity by a U-Net that looks at one map at a time.

    Starts as the identity. It learns from the gradient that reaches the maps through every data step of the model
    behind it, which an invertible chain hands on at constant memory, as the gradient of its context.

    Parameters
    ----------
    channels, pools
        Of the `invrim.layers.unet.UNetwork`.
    """

    def __init__(self, channels: int, pools: int) -> None:
        super().__init__()
        self.net = UNetwork(2, 2, channels, pools)
        *_, last = self.net.up_conv[-1].children()
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, fidelity: LeastSquares) -> LeastSquares:
        """Return the same measurement with maps of unit root sum of squares, ``(b, coil, y, x)``."""
        operator = cartesian_slices(fidelity)
        if not isinstance(operator.coils, CoilMaps):
            raise OptionError("expected coil maps to refine, got CartesianMRI without. Give maps, or map_channels=0.")
        given = operator.coils.maps
        # A map is about 1 / sqrt(coils) in magnitude; the net sees numbers around 1.
        size = given.shape[1] ** 0.5
        seen = to_channels(given.flatten(0, 1)[:, None] * size)
        maps = given + to_images(self.net(seen).to(seen.dtype))[:, 0].view_as(given) / size
        maps = maps / nonzero(torch.linalg.vector_norm(maps, dim=1, keepdim=True))
        return LeastSquares(CartesianMRI(operator.sampling.mask, maps), fidelity.data)
