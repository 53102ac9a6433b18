"""The U-Net baseline: a picture in, a better picture out, and no look back at the data."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from invrim.errors import OptionError
from invrim.layers.scaling import nonzero
from invrim.layers.unet import NormalisedUNetwork, UNetwork
from invrim.models.base import Reconstructor
from invrim.operators import LeastSquares
from invrim.typing import Image

Sees = Literal["magnitude", "complex"]
_CLAMP = 6.0
"""Standard deviations at which fastMRI cuts the input of its U-Net."""


class UNet(Reconstructor):
    """Improve the back-projected image ``A^H d`` by fastMRI's U-Net.

    ``sees="magnitude"`` does as fastMRI does: the magnitude, each slice brought to mean 0 and standard deviation 1 and
    cut at 6, goes through the net and back to its intensity; the result is real. fastMRI's public weights fit:
    ``UNet(channels=256).net.load_state_dict(torch.load(file))``. They were trained on central 320×320 crops, for
    several coils on the root sum of squares; here the net sees the whole of ``|A^H d|``.
    ``sees="complex"`` keeps the phase: real and imaginary part go through the normalised net of `invrim.models.VarNet`.

    Parameters
    ----------
    channels, pools, dropout
        As of `invrim.layers.unet.UNetwork`; the public weights have 256 channels, 4 pools and no dropout.
    sees
        What goes into the net.

    References
    ----------
    .. [Z18] Zbontar et al., *fastMRI: an open dataset and benchmarks*, 2018.
    """

    def __init__(self, *, channels: int = 32, pools: int = 4, dropout: float = 0.0, sees: Sees = "magnitude") -> None:
        super().__init__()
        if sees not in get_args(Sees):
            raise OptionError(f"expected sees of {get_args(Sees)}, got {sees!r}. Choose one of the two.")
        self.options = {"channels": channels, "pools": pools, "dropout": dropout, "sees": sees}
        self.sees = sees
        self.net: nn.Module = (
            UNetwork(1, 1, channels, pools, dropout)
            if sees == "magnitude"
            else NormalisedUNetwork(channels, pools, dropout)
        )

    def forward(self, fidelity: LeastSquares) -> Image:
        """Reconstruct.

        Parameters
        ----------
        fidelity
            Any with slices as its images: only ``fidelity.start()`` is read, complex ``(b, y, x)``.

        Returns
        -------
        Complex images ``(b, y, x)``, real where the net sees magnitudes.
        """
        images = fidelity.start()
        if self.sees == "complex":
            improved: Image = self.net(images)
            return improved
        magnitude = self._improve(images.abs())
        return torch.complex(magnitude, torch.zeros_like(magnitude))

    def magnitude(self, _: LeastSquares, images: Image) -> Tensor:
        """Of the images as they are: the net makes it from the whole image."""
        return images.abs()

    def _improve(self, magnitude: Tensor) -> Tensor:
        mean = magnitude.mean(dim=(-2, -1), keepdim=True)
        std = magnitude.std(dim=(-2, -1), keepdim=True)
        x = ((magnitude - mean) / nonzero(std)).clamp(-_CLAMP, _CLAMP)
        y: Tensor = self.net(x[:, None])[:, 0].to(x.dtype)
        return y * std + mean
