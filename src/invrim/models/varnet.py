"""The end-to-end variational network: unrolled k-space steps with coil maps that are learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrim.errors import OptionError
from invrim.layers.scaling import nonzero
from invrim.layers.unet import NormalisedUNetwork
from invrim.models.base import Reconstructor
from invrim.models.cartesian import calibration_block, cartesian_slices
from invrim.operators import CoilMaps, FourierTransform, LeastSquares, LinearOperator, SamplingMask, ifft_centred
from invrim.typing import Image, KSpace


class VarNet(Reconstructor):
    r"""Refine k-space by cascades of soft data consistency and a U-Net, on coil maps from a net of their own.

    With the maps S from the calibration lines, each cascade makes
    :math:`k \leftarrow k - w P (k - d) - F S \, G(S^H F^H k)`, with its own weight w and its own net G. Coil maps in
    the fidelity are not used. Training memory grows with the cascades. Tensors are named and shaped as those of
    fastMRI's ``VarNet``, so that ``load_state_dict`` takes its public weights as they are.

    Parameters
    ----------
    cascades
        Their number.
    channels, pools
        Of every cascade's net, see `invrim.layers.unet.UNetwork`.
    map_channels, map_pools
        Of the net that finishes the coil maps.

    References
    ----------
    .. [Sriram20] Sriram et al., *End-to-end variational networks for accelerated MRI reconstruction*, MICCAI 2020.
    """

    def __init__(
        self, *, cascades: int = 12, channels: int = 18, pools: int = 4, map_channels: int = 8, map_pools: int = 4
    ) -> None:
        super().__init__()
        if cascades < 1:
            raise OptionError(f"expected at least one cascade, got {cascades}. Raise it.")
        self.options = {
            "cascades": cascades,
            "channels": channels,
            "pools": pools,
            "map_channels": map_channels,
            "map_pools": map_pools,
        }
        self.sens_net = SensitivityNet(map_channels, map_pools)
        self.cascades = nn.ModuleList(Cascade(channels, pools) for _ in range(cascades))

    def forward(self, fidelity: LeastSquares) -> Image:
        """Reconstruct.

        Parameters
        ----------
        fidelity
            Least squares of a `CartesianMRI` of slices with a mask of lines; data ``(b, coil, ky, kx)``.

        Returns
        -------
        Complex images ``(b, y, x)``: the magnitude is the root sum of squares over coils, as published, the phase
        that of the coils combined by the learned maps.

        Raises
        ------
        OptionError
            If the measurement is not of this kind.
        DataError
            If zero frequency was not measured.
        """
        sampling = cartesian_slices(fidelity).sampling
        measured = sampling.adjoint(fidelity.data)
        maps = CoilMaps(self.sens_net(measured, sampling.mask))
        encoding = FourierTransform(2) @ maps
        kspace = measured
        for cascade in self.cascades:
            kspace = cascade(kspace, measured, sampling, encoding)
        coils = ifft_centred(kspace)
        return torch.polar(torch.linalg.vector_norm(coils, dim=1), maps.adjoint(coils).angle())

    def magnitude(self, _: LeastSquares, images: Image) -> Tensor:
        """Of the images as they are: that is the root sum of squares over coils already."""
        return images.abs()


class SensitivityNet(nn.Module):
    """Coil maps of unit root sum of squares: a U-Net for each coil's image of low resolution."""

    def __init__(self, channels: int, pools: int) -> None:
        super().__init__()
        self.norm_unet = NormalisedUNetwork(channels, pools)

    def forward(self, kspace: KSpace, mask: Tensor) -> Tensor:
        """Map measured k-space ``(b, coil, ky, kx)`` and its mask of lines to maps ``(b, coil, y, x)``."""
        blurred = ifft_centred(calibration_block(mask) * kspace)
        maps: Tensor = self.norm_unet(blurred.flatten(0, 1)).view_as(blurred)
        return maps / nonzero(torch.linalg.vector_norm(maps, dim=1, keepdim=True))


class Cascade(nn.Module):
    """One step in k-space."""

    def __init__(self, channels: int, pools: int) -> None:
        super().__init__()
        self.model = NormalisedUNetwork(channels, pools)
        self.dc_weight = nn.Parameter(torch.ones(1))

    def forward(self, kspace: KSpace, measured: KSpace, sampling: SamplingMask, encoding: LinearOperator) -> KSpace:
        inconsistency = sampling(kspace - measured)
        return kspace - self.dc_weight * inconsistency - encoding(self.model(encoding.adjoint(kspace)))
