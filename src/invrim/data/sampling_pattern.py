"""What was measured, found from k-space itself: formats without a mask fill the rest with zeros."""

from __future__ import annotations

from torch import Tensor

from invrim.errors import DataError

_FULL = 0.9
"""Share of samples that are not zero from which on all were measured: single samples of integers, or of a phantom, are
zero by chance."""


def sampling_pattern(kspace: Tensor) -> Tensor | None:
    """Find the measured lines or points of slices ``(slices, coil, ky, kx)`` that are zero where nothing was measured.

    Lines that are there count as whole if nine tenths of their samples are not zero, and so does a grid of the rows and
    columns that are. A slice without any signal was measured as the others were.

    Returns
    -------
    Tensor or None
        As `invrim.data.acquisition.Acquisition.mask`: bool ``(kx,)`` where whole lines are missing, else points
        ``(ky, kx)``; with the slices before them where these differ. None where nothing is missing.

    Raises
    ------
    DataError
        Every sample is zero.
    """
    points = (kspace != 0).any(dim=1)
    filled = points.flatten(1).any(dim=1)
    if not filled.any():
        raise DataError("expected k-space, got zeros alone. Give the file of the scan itself.")
    points = _without_chance(points)
    points[~filled] = points.any(dim=0)
    if points.all():
        return None
    lines = points.any(dim=1)
    if (points == lines[:, None]).all():
        return lines[0] if (lines == lines[:1]).all() else lines[:, None]
    return points[0] if (points == points[:1]).all() else points


def volume_pattern(kspace: Tensor) -> Tensor:
    """Find the measured points, bool ``(ky, kx)``, of a volume ``(coil, readout, ky, kx)`` of two phase encodings.

    Raises
    ------
    DataError
        Along the readout samples are missing too, so that it cannot be transformed back; or all are zero.
    """
    sampled = (kspace != 0).any(dim=0)
    points = sampled.flatten(1).any(dim=0).reshape(sampled.shape[1:])
    if not points.any():
        raise DataError("expected k-space, got zeros alone. Give the file of the scan itself.")
    share = float(sampled[:, points].float().mean())
    if share < _FULL:
        raise DataError(
            f"expected a readout that is fully sampled, got {share:.0%} of its samples for the measured phase "
            f"encodings. Name or reorder the axes so that the readout is the one without gaps."
        )
    return points


def _without_chance(points: Tensor) -> Tensor:
    """Mark all points of a slice's rows and columns where nearly all are."""
    grid = points.any(dim=2, keepdim=True) & points.any(dim=1, keepdim=True)
    measured, of = points.flatten(1).sum(dim=1), grid.flatten(1).sum(dim=1)
    whole = (measured >= _FULL * of)[:, None, None]
    return points | (grid & whole)
