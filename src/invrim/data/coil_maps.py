"""Coil sensitivities from the calibration lines of the scan itself."""

import torch
from torch import Tensor

from invrim.data.calibration import low_resolution


def maps_from_calibration(kspace: Tensor, mask: Tensor | None = None) -> Tensor:
    """Estimate coil maps from the fully sampled centre of k-space.

    The centre is windowed, so that its sharp edge does not ring, transformed, and every coil's low-resolution image
    divided by their root sum of squares. One transform in time, two copies of the k-space in memory.

    The map of a single coil is the slowly varying phase of the object: with it the image is nearly real, its k-space
    nearly conjugate-symmetric, and every measured line says something about the one opposite.
    It takes what lines there are: from a single one, the phase is constant along x.

    Of two phase encodings a block of points calibrates instead, along both axes.

    Parameters
    ----------
    kspace
        Complex ``(b, coil, ky, kx)``, zero where not sampled.
    mask
        Sampled lines ``(kx,)``, or points ``(ky, kx)``; None where all were. The block of lines around its centre
        calibrates; along the readout twice as many samples are used, scaled by the matrix. Of points it is the
        largest block around the centre.

    Returns
    -------
    Tensor
        Complex ``(b, coil, y, x)`` with unit root sum of squares, 0 where there is no signal at all. The maps carry
        the smooth phase of the object, so the combined image is nearly real.

    Raises
    ------
    DataError
        The centre was not measured, or fewer than 3 lines, or 3 x 3 points, calibrate several coils.

    References
    ----------
    .. [McKenzie02] McKenzie et al., *Self-calibrating parallel imaging with automatic coil sensitivity extraction*,
       MRM 47, 2002.
    .. [Noll91] Noll et al., *Homodyne detection in magnetic resonance imaging*, IEEE TMI 10, 1991.
    """
    images = low_resolution(kspace, mask)
    rss = torch.linalg.vector_norm(images, dim=1, keepdim=True)
    return torch.where(rss > 0, images / rss.clamp_min(torch.finfo(rss.dtype).tiny), torch.zeros_like(images))
