"""Coil sensitivities from the calibration lines of the scan itself."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.data.masks import calibration_lines
from invrim.errors import DataError, ShapeError
from invrim.operators.fourier import ifft_centred

_SHORTEST = 4
"""Fewer calibration lines than this cannot tell coils apart."""


def maps_from_calibration(kspace: Tensor, mask: Tensor | None = None) -> Tensor:
    """Estimate coil maps from the fully sampled centre of k-space.

    The centre is windowed, so that its sharp edge does not ring, transformed, and every coil's low-resolution image
    divided by their root sum of squares.

    Parameters
    ----------
    kspace
        Complex ``(b, coil, ky, kx)``, zero where not sampled.
    mask
        Sampled lines ``(kx,)``; None where all were. The block of lines around its centre calibrates; along the
        readout the same number of samples is used, scaled by the matrix.

    Returns
    -------
    Complex ``(b, coil, y, x)`` with unit root sum of squares, 0 where there is no signal at all.

    Raises
    ------
    DataError
        If fewer than 4 lines calibrate.

    References
    ----------
    .. [McKenzie02] McKenzie et al., *Self-calibrating parallel imaging with automatic coil sensitivity extraction*,
       MRM 47, 2002.
    """
    if kspace.ndim != 4:
        raise ShapeError(f"expected k-space (b, coil, ky, kx), got {tuple(kspace.shape)}. Add the missing axes.")
    rows, columns = kspace.shape[-2:]
    centre = slice(0, columns) if mask is None else calibration_lines(mask)
    # The widest block that is symmetric about zero frequency: an off-centre window would tilt the maps' phase.
    half = min(columns // 2 - centre.start, centre.stop - 1 - columns // 2)
    lines = 2 * half + 1
    if lines < _SHORTEST:
        raise DataError(
            f"expected at least {_SHORTEST} calibration lines around the centre of k-space, got {lines}. "
            f"Sample more centre lines, or give coil maps."
        )
    half = min(half, _MOST_LINES // 2)
    half_rows = max(half, round(half * rows / columns))
    window = torch.outer(_window(rows, half_rows), _window(columns, half)).to(kspace.device)
    images = ifft_centred(kspace * window)
    rss = torch.linalg.vector_norm(images, dim=1, keepdim=True)
    return torch.where(rss > 0, images / rss.clamp_min(torch.finfo(rss.dtype).tiny), torch.zeros_like(images))


_MOST_LINES = 32
"""Sensitivities are smooth: more of k-space would add anatomy and noise to the maps."""


def _window(n: int, half: int) -> Tensor:
    """Hann window over the ``2 half + 1`` samples around ``n // 2``, not quite zero at its ends."""
    k = torch.arange(n) - n // 2
    return torch.where(k.abs() <= half, 0.5 + 0.5 * torch.cos(torch.pi * k / (half + 1)), torch.zeros(n))
