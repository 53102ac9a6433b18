"""From measured k-space to the data fidelity that a solver takes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.coil_maps import maps_from_calibration
from invrim.data.formats.header import Header
from invrim.data.masks import columns_of_file
from invrim.errors import OptionError, about
from invrim.operators import LeastSquares, cartesian_fidelity


def sampling_mask(header: Header, acceleration: float | None = None) -> Tensor:
    """Lines to reconstruct from, bool ``(kx,)``: all that were measured, or some of a fully sampled file's.

    Parameters
    ----------
    header
        Of the file; its name seeds the mask, so that every run and every machine draws the same.
    acceleration
        Undersample a fully sampled file by random columns; None uses everything that was measured.

    Raises
    ------
    OptionError
        If the file is already undersampled.
    """
    if acceleration is None:
        return header.sampled
    if header.mask is not None:
        raise OptionError(
            f"{header.name}: expected a fully sampled file to undersample, got one with a mask. "
            f"Leave the acceleration out."
        )
    return columns_of_file(header.matrix[1], acceleration, header.name) & header.sampled


def undersampled(acquisition: Acquisition, mask: Tensor) -> Acquisition:
    """Keep only the masked lines."""
    return replace(acquisition, kspace=acquisition.kspace * mask, mask=mask)


def fidelity_of(acquisition: Acquisition, *, coil_maps: bool = True) -> LeastSquares:
    """Least squares for a stack of slices as one batch.

    Parameters
    ----------
    acquisition
        ``b`` slices.
    coil_maps
        Estimate maps, of a single coil too, from their own calibration lines. Else every coil's image is by itself, for
        models with as many images as coils.
    """
    kspace, lines = acquisition.kspace, acquisition.mask
    mask = torch.ones(kspace.shape[-1]) if lines is None else lines.float()
    with about(acquisition.name):
        maps = maps_from_calibration(kspace, lines) if coil_maps else None
    return cartesian_fidelity(kspace, mask.reshape(1, 1, 1, -1), maps)
