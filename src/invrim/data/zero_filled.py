"""Acquisitions of formats that know no mask: k-space on a grid, zero where nothing was measured."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.sampling_pattern import sampling_pattern, volume_pattern
from invrim.data.volumes import acquisition_of_volume, kspace_of_volume
from invrim.errors import DataError


def acquisition_of_grid(name: str, kspace: Tensor) -> Acquisition:
    """Find what was measured, and stack everything into slices.

    Parameters
    ----------
    name
        File name, with its suffix.
    kspace
        Complex64 ``(volume, slice, coil, kz, ky, kx)``. With one kz, ky is the readout and kx the phase encoding. With
        several kz is the readout, and ky and kx are two phase encodings; slices are then further volumes.

    Raises
    ------
    DataError
        An axis is empty, samples are NaN, Inf or all zero, or a volume's readout has gaps.
    """
    if not kspace.numel():
        raise DataError(f"expected k-space, got an array without samples, {tuple(kspace.shape)}. Write it again.")
    if not torch.isfinite(torch.view_as_real(kspace)).all():
        raise DataError("expected finite k-space, got NaN or Inf. Set its bad samples to zero.")
    if kspace.shape[3] == 1:
        stack = kspace[:, :, :, 0].flatten(0, 1)
        return Acquisition(name=name, kspace=stack, mask=sampling_pattern(stack), volumes=len(kspace))
    volumes = [_volume(name, volume) for volume in kspace.flatten(0, 1)]
    masks = torch.stack([volume.mask for volume in volumes if volume.mask is not None])
    alike = bool((masks == masks[:1]).all())
    return Acquisition(
        name=name,
        kspace=torch.cat([volume.kspace for volume in volumes]),
        mask=None if masks.all() else masks[0] if alike else masks.repeat_interleave(kspace.shape[3], dim=0),
        attributes=volumes[0].attributes,
        volumes=len(volumes),
    )


def grid_of_acquisition(acquisition: Acquisition) -> Tensor:
    """Return the ``(volume, slice, coil, kz, ky, kx)`` of which `acquisition_of_grid` makes the same again.

    Zero where the mask is false. Two phase encodings are transformed along the readout, to what the scanner measured.
    """
    mask, kspace = acquisition.mask, acquisition.kspace
    if mask is not None:
        rows = mask.shape[-2] if mask.ndim > 1 else 1
        kspace = kspace * mask.reshape(-1, 1, rows, mask.shape[-1]).to(kspace.device)
    if acquisition.attributes.get("phase_encodes") == 2:
        return kspace_of_volume(replace(acquisition, kspace=kspace))[:, None]
    return kspace.unflatten(0, (acquisition.volumes, -1))[:, :, :, None]


def require_cartesian(acquisition: Acquisition, kind: str) -> None:
    """Refuse a trajectory, of which a grid, be it in memory or in ``kind``, says nothing."""
    if acquisition.trajectory is not None:
        raise DataError(
            f"{acquisition.name}: expected k-space on a grid for {kind}, got samples along a trajectory. Write .npz."
        )


def _volume(name: str, kspace: Tensor) -> Acquisition:
    return acquisition_of_volume(name, kspace, volume_pattern(kspace))
