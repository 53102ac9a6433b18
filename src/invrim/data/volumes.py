"""Volumes with two phase encodings as stacks of slices: one slice for every position along the readout."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition, Attribute
from invrim.errors import ShapeError
from invrim.operators.fourier import fft_centred, ifft_centred


def acquisition_of_volume(
    name: str,
    kspace: Tensor,
    mask: Tensor,
    *,
    target: Tensor | None = None,
    attributes: Mapping[str, Attribute] = MappingProxyType({}),
) -> Acquisition:
    """Transform the readout of a volume's k-space back, so that its positions become slices.

    The readout is fully sampled, hence this is exact, and white noise stays white: each position along it is a
    measurement of its own, with the mask of all. The result is written, read, learned from and reconstructed like a
    stack of slices, slab by slab without the rest of the file. One transform; two copies of the k-space.

    Parameters
    ----------
    name
        File name that the acquisition will have, with its suffix.
    kspace
        Complex ``(coil, readout, ky, kx)``, Fourier-encoded along all three axes, zero where not sampled. The readout
        may be any axis of a scanner: move it there.
    mask
        Measured points, bool ``(ky, kx)``.
    target
        The image to recover ``(readout, y, x)``.
    attributes
        Whatever else is known of the scan.

    Returns
    -------
    Acquisition
        With k-space complex64 ``(readout, coil, ky, kx)`` and the attribute ``phase_encodes`` of 2.
    """
    if kspace.ndim != 4 or mask.shape != kspace.shape[-2:]:
        raise ShapeError(
            f"expected k-space (coil, readout, ky, kx) and a mask (ky, kx), got {tuple(kspace.shape)} and "
            f"{tuple(mask.shape)}. Move the fully sampled readout to the second axis."
        )
    stack = ifft_centred(kspace.permute(0, 2, 3, 1), ndim=1).permute(3, 0, 1, 2)
    return Acquisition(
        name=name,
        kspace=stack.to(torch.complex64).contiguous(),
        mask=mask,
        target=target,
        attributes={**attributes, "phase_encodes": 2},
    )


def kspace_of_volume(acquisition: Acquisition) -> Tensor:
    """Transform the slices of `acquisition_of_volume` along the readout again: what the scanner measured.

    Returns
    -------
    Complex64 ``(volume, coil, readout, ky, kx)``.
    """
    stack = acquisition.kspace.unflatten(0, (acquisition.volumes, -1))
    return fft_centred(stack.movedim(1, -1), ndim=1).movedim(-1, 2).contiguous()
