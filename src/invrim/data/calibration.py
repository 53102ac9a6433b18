"""The fully sampled centre of k-space, from which a scan calibrates itself."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.data.mask_planes import calibration_block
from invrim.data.masks import calibration_lines
from invrim.errors import DataError, ShapeError
from invrim.operators.fourier import ifft_centred

_SHORTEST = 3
"""Fewer calibration lines than zero frequency and its neighbours say nothing about how several coils differ."""
_MOST_LINES = 32
"""Sensitivities are smooth: more of k-space would add anatomy and noise to the maps."""
_READOUT_SHARE = 2
"""The readout is fully sampled, so the window may be this much longer there; still longer gains nothing."""


def low_resolution(kspace: Tensor, mask: Tensor | None = None) -> Tensor:
    """Make every coil's image from the fully sampled centre of k-space alone.

    The centre is windowed, so that its sharp edge does not ring, and transformed.

    Parameters
    ----------
    kspace
        Complex ``(b, coil, ky, kx)``, zero where not sampled.
    mask
        As of `invrim.data.coil_maps.maps_from_calibration`.

    Returns
    -------
    Complex ``(b, coil, y, x)``.

    Raises
    ------
    DataError
        The centre was not measured, or fewer than 3 lines, or 3 x 3 points, calibrate several coils.
    """
    require_slices(kspace)
    rows, columns = kspace.shape[-2:]
    half_rows, half = _half_widths((rows, columns), mask, shortest=1 if kspace.shape[1] == 1 else _SHORTEST)
    window = torch.outer(_window(rows, half_rows), _window(columns, half)).to(kspace.device)
    return ifft_centred(kspace * window)


def calibration_region(size: tuple[int, int], mask: Tensor | None, width: int) -> list[slice]:
    """Where k-space is fully sampled around its centre, at most ``width`` wide, along ``(ky, kx)``.

    ``mask`` as of `low_resolution`; of a plane of points it is the largest block that is symmetric about the centre.
    """
    around = [slice(max(n // 2 - width // 2, 0), n // 2 - width // 2 + width) for n in size]
    if mask is None:
        sampled = [slice(0, n) for n in size]
    elif mask.ndim == 1:
        sampled = [slice(0, size[0]), calibration_lines(mask)]
    else:
        half = calibration_block(mask)
        sampled = [slice(n // 2 - h, n // 2 + h + 1) for n, h in zip(size, half, strict=True)]
    return [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(around, sampled, strict=True)]


def require_slices(kspace: Tensor) -> None:
    """Refuse what has other axes than ``(b, coil, ky, kx)``."""
    if kspace.ndim != 4:
        raise ShapeError(f"expected k-space (b, coil, ky, kx), got {tuple(kspace.shape)}. Add the missing axes.")


def _half_widths(size: tuple[int, int], mask: Tensor | None, shortest: int) -> tuple[int, int]:
    """Samples on either side of zero frequency: a window that is not symmetric would tilt the maps' phase."""
    if mask is not None and mask.ndim == 2:
        return _half_block(mask, shortest)
    rows, columns = size
    centre = slice(0, columns) if mask is None else calibration_lines(mask)
    half = min(columns // 2 - centre.start, centre.stop - 1 - columns // 2)
    if 2 * half + 1 < shortest:
        raise DataError(
            f"expected at least {shortest} calibration lines around the centre of k-space, got {2 * half + 1}. "
            f"Sample more centre lines, or give coil maps."
        )
    half = min(half, _MOST_LINES // 2)
    return min(rows // 2, _READOUT_SHARE * max(half, round(half * rows / columns), 1)), half


def _half_block(mask: Tensor, shortest: int) -> tuple[int, int]:
    half_rows, half = calibration_block(mask)
    if 2 * min(half_rows, half) + 1 < shortest:
        raise DataError(
            f"expected at least {shortest} x {shortest} calibration points around the centre of k-space, got "
            f"{2 * half_rows + 1} x {2 * half + 1}. Sample more of the centre, or give coil maps."
        )
    return min(half_rows, _MOST_LINES // 2), min(half, _MOST_LINES // 2)


def _window(n: int, half: int) -> Tensor:
    """Cosine over the ``2 half + 1`` samples around ``n // 2``, not quite zero at its ends.

    Of a box, cosine, Hamming, Hann and squared Hann it gives the smallest error of the maps at 9 lines.
    """
    k = torch.arange(n) - n // 2
    return torch.where(k.abs() <= half, torch.cos(0.5 * torch.pi * k / (half + 1)), torch.zeros(n))
