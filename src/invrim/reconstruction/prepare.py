"""From measured k-space to the data fidelity that a solver takes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.coil_maps import estimate_maps
from invrim.data.gridding import maps_from_trajectory
from invrim.data.header import Header
from invrim.data.mask_kinds import mask_of_file
from invrim.data.scan import common_mask
from invrim.errors import DataError, OptionError, about
from invrim.operators import (
    LeastSquares,
    cartesian_fidelity,
    density_compensation,
    noncartesian_fidelity,
    slab_fidelity,
)


def sampling_mask(header: Header, acceleration: float | None = None) -> Tensor:
    """Lines or points to reconstruct from, bool: all that were measured, or some of a fully sampled file's.

    Parameters
    ----------
    header
        Of the file; its name seeds the mask, so that every run and every machine draws the same.
    acceleration
        Undersample a fully sampled file by random columns, or, of two phase encodings, by random points; None uses
        everything that was measured.

    Returns
    -------
    Tensor
        ``(kx,)``, or ``(ky, kx)`` of two phase encodings.

    Raises
    ------
    OptionError
        If the file is already undersampled, or too little of it would be left.
    """
    if acceleration is None:
        return header.sampled
    if not header.is_cartesian:
        raise OptionError(
            f"{header.name}: expected a scan on a grid to undersample, got one along a trajectory. "
            f"Leave the acceleration out, or readouts of the file."
        )
    if header.mask is not None:
        raise OptionError(
            f"{header.name}: expected a fully sampled file to undersample, got one with a mask. "
            f"Leave the acceleration out."
        )
    mask = mask_of_file(header.matrix, header.phase_encodes, acceleration, header.name) & header.sampled
    if not mask[tuple(n // 2 for n in mask.shape)]:
        lines = " x ".join(map(str, mask.shape))
        raise OptionError(
            f"{header.name}: expected an acceleration that leaves zero frequency among {lines} phase encodings, got "
            f"{acceleration:g}. Use less, e.g. 4 or 8."
        )
    return mask


def undersampled(acquisition: Acquisition, mask: Tensor) -> Acquisition:
    """Keep only the masked lines or points; where slices differ, of each what was measured of it.

    What was measured along a trajectory is kept as it is.
    """
    if acquisition.trajectory is not None:
        return acquisition
    own = acquisition.mask
    kept = own & mask if own is not None and own.ndim == 3 else mask
    return replace(acquisition, kspace=acquisition.kspace * kept.reshape(-1, 1, *_grid(kept)), mask=kept)


def _grid(mask: Tensor) -> tuple[int, int]:
    """Axes ``(ky or 1, kx)`` of a mask, whatever its form."""
    return (1 if mask.ndim == 1 else mask.shape[-2]), mask.shape[-1]


def fidelity_of(
    acquisition: Acquisition, *, coil_maps: bool = True, slab: bool = False, maps: str = "calibration"
) -> LeastSquares:
    """Least squares for a stack of slices, as one batch or as one slab.

    Parameters
    ----------
    acquisition
        ``b`` slices; if every slice has a trajectory of its own, only one.
    coil_maps
        Estimate maps, of a single coil too, from their own calibration lines. Else every coil's image is by itself, for
        models with as many images as coils.
    slab
        One volume ``(1, b, y, x)``, for models in 3D, instead of ``b`` images.
    maps
        How coil maps are estimated, a method of `invrim.data.coil_maps.estimate_maps`.
    """
    if acquisition.trajectory is not None:
        return _fidelity_along(acquisition, acquisition.trajectory, maps if coil_maps else None, slab=slab)
    kspace, sampled = acquisition.kspace, acquisition.mask
    mask = torch.ones(kspace.shape[-1]) if sampled is None else sampled.float()
    shaped = mask.reshape(-1, 1, *_grid(mask))
    with about(acquisition.name):
        found = _maps_of_slices(kspace, sampled, maps) if coil_maps else None
    if slab:
        if len(shaped) > 1:
            raise DataError(
                f"{acquisition.name}: expected one mask for all slices of a slab, got one for each. Use 2D weights."
            )
        return slab_fidelity(_as_volume(kspace), shaped.unsqueeze(2), None if found is None else _as_volume(found))
    return cartesian_fidelity(kspace, shaped, found)


def _maps_of_slices(kspace: Tensor, sampled: Tensor | None, method: str) -> Tensor:
    """Coil maps ``(b, coil, y, x)``: of slices with masks of their own each by itself, zeros of one without data."""
    if sampled is None or sampled.ndim < 3:
        return estimate_maps(kspace, sampled, method)
    found = [
        estimate_maps(one, common_mask(mask), method) if mask.any() else torch.zeros_like(one)
        for one, mask in zip(kspace.split(1), sampled.split(1), strict=True)
    ]
    return torch.cat(found)


def _fidelity_along(acquisition: Acquisition, trajectory: Tensor, method: str | None, *, slab: bool) -> LeastSquares:
    """Without a method, without coil maps."""
    if slab or len(trajectory) > 1:
        raise DataError(
            f"{acquisition.name}: expected slices with one trajectory, got {'a slab' if slab else len(trajectory)}. "
            f"Use 2D weights, and one slice at a time where trajectories differ."
        )
    size = acquisition.image_size or ()
    weights = density_compensation(trajectory[0], size)
    with about(acquisition.name):
        kspace = acquisition.kspace
        maps = None if method is None else maps_from_trajectory(kspace, trajectory[0], size, weights, method)
        return noncartesian_fidelity(kspace, trajectory[0], size, maps, weights)


def _as_volume(stack: Tensor) -> Tensor:
    """Order ``(z, coil, y, x)`` as ``(1, coil, z, y, x)``."""
    return stack.transpose(0, 1).unsqueeze(0)
