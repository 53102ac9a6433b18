"""Samples of a trajectory brought to the Cartesian grid, for what is known only there: coil maps from the centre."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invrim.data.coil_maps import estimate_maps
from invrim.errors import ShapeError
from invrim.operators import NonuniformFourierTransform, density_compensation, fft_centred
from invrim.typing import KSpace


def maps_from_trajectory(
    kspace: KSpace,
    trajectory: Tensor,
    size: Sequence[int],
    weights: Tensor | None = None,
    method: str = "calibration",
) -> Tensor:
    """Estimate coil maps from the centre of k-space, where spokes and spirals leave no gaps.

    The k-space that `gridded` makes calibrates as a Cartesian one does in `estimate_maps`, as far from the
    centre as every point of the grid has a sample next to it.

    Parameters
    ----------
    kspace
        Complex ``(b, coil, *trajectory.shape[:-1])``, as it was measured.
    trajectory
        ``(..., 2)`` as of `invrim.NonCartesianMRI`.
    size
        ``(y, x)``.
    weights
        Of `invrim.operators.density_compensation`, where they are there already.
    method
        As of `invrim.data.coil_maps.estimate_maps`.

    Returns
    -------
    As of `estimate_maps`, ``(b, coil, y, x)``.
    """
    if len(size) != 2 or trajectory.shape[-1] != 2 or kspace.ndim != trajectory.ndim + 1:
        raise ShapeError(
            f"expected slices, that is k-space (b, coil, ...), a trajectory (..., 2) and a size (y, x), got "
            f"{tuple(kspace.shape)}, {tuple(trajectory.shape)} and {tuple(size)}. Add missing axes; of a stack of "
            f"stars, transform along kz first."
        )
    return estimate_maps(gridded(kspace, trajectory, size, weights), calibration_square(trajectory, size), method)


def gridded(kspace: KSpace, trajectory: Tensor, size: Sequence[int], weights: Tensor | None = None) -> KSpace:
    """Return the Cartesian k-space ``(b, coil, ky, kx)`` of every coil's density-compensated adjoint."""
    weights = density_compensation(trajectory, size) if weights is None else weights
    fourier = NonuniformFourierTransform(trajectory, size, weights)
    return fft_centred(fourier.adjoint(fourier.weigh(kspace)), len(size))


def near_samples(trajectory: Tensor, size: Sequence[int]) -> Tensor:
    """Mark the points of the grid that are the nearest one to some sample, bool ``(ky, kx)``."""
    n = torch.tensor(size, device=trajectory.device)
    nearest = (trajectory.reshape(-1, len(size)) * n).round().long() + n // 2
    inside = nearest[((nearest >= 0) & (nearest < n)).all(dim=1)]
    near = torch.zeros(*size, dtype=torch.bool, device=trajectory.device)
    near[inside.unbind(dim=1)] = True
    return near


def calibration_square(trajectory: Tensor, size: Sequence[int]) -> Tensor:
    """Mark the square about the largest disc around the centre in which every point of the grid has a sample near it.

    Returns
    -------
    Bool ``(ky, kx)``, a mask for `invrim.data.coil_maps.estimate_maps`, whose window hardly looks at corners.
    """
    missed = ~near_samples(trajectory, size)
    y, x = torch.meshgrid(*(torch.arange(k, device=trajectory.device) - k // 2 for k in size), indexing="ij")
    distance = torch.hypot(y.float(), x.float())
    radius = distance[missed].min() if missed.any() else distance.max() + 1
    return torch.maximum(y.abs(), x.abs()) < radius
