"""What was measured, found from k-space itself: formats without a mask fill the rest with zeros."""

from __future__ import annotations

from torch import Tensor


def sampling_pattern(kspace: Tensor) -> Tensor | None:
    """Find the measured lines or points of slices ``(slices, coil, ky, kx)`` that are zero where nothing was measured.

    Returns
    -------
    Tensor or None
        As `invrim.data.acquisition.Acquisition.mask`: bool ``(kx,)`` where whole lines are missing, else points
        ``(ky, kx)``; with the slices before them where these differ. None where nothing is missing.
    """
    points = (kspace != 0).any(dim=1)
    if points.all():
        return None
    lines = points.any(dim=1)
    if (points == lines[:, None]).all():
        return lines[0] if (lines == lines[:1]).all() else lines[:, None]
    return points[0] if (points == points[:1]).all() else points
