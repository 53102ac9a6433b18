"""Adaptive combination: coil sensitivities from how the coils' images vary together around every pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from invrim.data.calibration import low_resolution
from invrim.data.eigenvectors import CHUNK_ENTRIES, largest_eigenvectors
from invrim.errors import OptionError


def adaptive_maps(kspace: Tensor, mask: Tensor | None = None, *, block: int = 7) -> Tensor:
    """Estimate coil maps as the matched filter of every pixel's neighbourhood.

    The map is the largest eigenvector of the coils' covariance over a block around the pixel, in the images that the
    fully sampled centre of k-space makes. In time ten products of ``coil x coil`` matrices a pixel, which exist for a
    few rows at a time.

    Parameters
    ----------
    kspace, mask
        As of `invrim.data.coil_maps.maps_from_calibration`.
    block
        Width of the neighbourhood in pixels, odd. 1 gives every coil's image divided by their root sum of squares.

    Returns
    -------
    Tensor
        Complex ``(b, coil, y, x)`` with unit root sum of squares, 0 where there is no signal at all. The phase common
        to all coils is not defined by the method: here one of the largest is real at every pixel.

    References
    ----------
    .. [Walsh00] Walsh, Gmitro & Marcellin, *Adaptive reconstruction of phased array MR imagery*, MRM 43, 2000.
    """
    if block < 1 or block % 2 == 0:
        raise OptionError(f"expected an odd block of at least 1 pixel, got {block}. Use e.g. 7.")
    images = low_resolution(kspace, mask)
    # Only ratios matter, and the squares of a scanner's numbers may be too small for float32.
    images = images / images.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(images.real.dtype).tiny)
    return torch.stack([_maps(each, block) for each in images])


def _maps(images: Tensor, block: int) -> Tensor:
    coils, rows, columns = images.shape
    chunk = max(block, CHUNK_ENTRIES // (columns * coils**2))
    padded = F.pad(images, (0, 0, block // 2, block // 2))
    parts = [padded[:, start : start + chunk + block - 1] for start in range(0, rows, chunk)]
    return torch.cat([largest_eigenvectors(_covariance(part, block))[0] for part in parts]).movedim(-1, 0)


def _covariance(images: Tensor, block: int) -> Tensor:
    """Sum over blocks, ``(y - block + 1, x, coil, coil)``; beyond left and right there is nothing."""
    pixels = F.pad(images, (block // 2, block // 2)).permute(1, 2, 0)
    products = pixels.unsqueeze(-1) * pixels.conj().unsqueeze(-2)
    return _sliding_sum(_sliding_sum(products, block, dim=0), block, dim=1)


def _sliding_sum(x: Tensor, width: int, dim: int) -> Tensor:
    count = x.shape[dim] - width + 1
    total = x.narrow(dim, 0, count).clone()
    for shift in range(1, width):
        total += x.narrow(dim, shift, count)
    return total
