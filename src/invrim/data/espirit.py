"""ESPIRiT: coil sensitivities as eigenvectors of what the calibration data allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from invrim.data.eigenvectors import CHUNK_ENTRIES, largest_eigenvectors
from invrim.errors import DataError, OptionError, ShapeError


def espirit_maps(
    kspace: Tensor,
    *,
    calibration: int | Sequence[slice] = 24,
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.9,
    ramp: float = 0.05,
) -> Tensor:
    """Estimate coil maps from the null space of a calibration region.

    Every patch of k-space lies in the span of the patches of the calibration region. Back in the image that is one
    small matrix a pixel, of which the sensitivities there are the eigenvector with eigenvalue 1. Where no signal
    calibrates, the eigenvalue is smaller and the maps are faded out.

    One decomposition of ``coil kernel^n`` squared numbers an image, then ``(2 kernel - 1)^n`` sums and ten products of
    ``coil x coil`` matrices a pixel. The matrices exist for a few rows at a time.

    Parameters
    ----------
    kspace
        Complex ``(b, coil, [kz,] ky, kx)``.
    calibration
        Width of the fully sampled region around ``n // 2``, or where it lies along each axis.
    kernel
        Width of a patch.
    threshold
        Singular values below this share of the largest belong to noise.
    crop, ramp
        Maps are 0 where the eigenvalue is at most ``crop``, have unit root sum of squares where it is at least
        ``crop + ramp``, and rise smoothly between. ``ramp=0`` cuts hard.

    Returns
    -------
    Tensor
        Complex ``(b, coil, [z,] y, x)``, of the k-space's type. The phase common to all coils is not defined
        by the method: here one of the largest is real at every pixel.

    Raises
    ------
    DataError
        The calibration region holds no patch.
    OptionError
        A parameter that makes no maps.

    References
    ----------
    .. [Uecker14] Uecker et al., *ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI*, MRM 71, 2014.
    """
    if kspace.ndim not in (4, 5):
        raise ShapeError(f"expected k-space (b, coil, [kz,] ky, kx), got {tuple(kspace.shape)}. Add the missing axes.")
    _require_options(kernel, threshold, crop, ramp)
    inside = _region(kspace.shape[2:], calibration, kernel)
    region = kspace[(slice(None), slice(None), *inside)]
    return torch.stack([_maps(_kernels(each, kernel, threshold), kspace.shape[2:], crop, ramp) for each in region]).to(
        kspace.dtype
    )


def _region(size: Sequence[int], calibration: int | Sequence[slice], kernel: int) -> list[slice]:
    if isinstance(calibration, int):
        starts = [max(n // 2 - calibration // 2, 0) for n in size]
        region = [slice(start, min(start + calibration, n)) for start, n in zip(starts, size, strict=True)]
    else:
        region = list(calibration)
    widths = tuple(part.stop - part.start for part in region)
    if len(region) != len(size) or min(widths) < kernel:
        raise DataError(
            f"expected a calibration region at least as wide as a patch, {kernel} along {len(size)} axes, got "
            f"{widths}. Sample more of the centre, choose smaller patches, or estimate the maps by another method."
        )
    return region


def _kernels(region: Tensor, kernel: int, threshold: float) -> Tensor:
    """Correlate the patches that span the calibration region's.

    Returns
    -------
    Complex ``(coil, coil, 2 kernel - 1, ...)``: the k-space, around zero frequency, of the matrices in the image.
    """
    coils, ndim = len(region), region.ndim - 1
    patches = region
    for axis in range(1, ndim + 1):
        patches = patches.unfold(axis, kernel, 1)
    patches = patches.movedim(0, ndim).flatten(0, ndim - 1).flatten(1)
    # In double precision, since the product squares the ratio of the singular values.
    patches = patches.to(torch.complex128).conj()
    power, basis = torch.linalg.eigh(patches.mH @ patches)
    basis = basis[:, power > threshold**2 * power[-1].clamp_min(torch.finfo(power.dtype).tiny)]
    span = (basis @ basis.mH).reshape(coils, *[kernel] * ndim, coils, *[kernel] * ndim)
    return _summed_by_distance(span, kernel, ndim) / kernel**ndim


def _summed_by_distance(span: Tensor, kernel: int, ndim: int) -> Tensor:
    """Sum ``(coil, p..., coil, q...)`` over all places p, q of equal difference ``p - q``."""
    coils = len(span)
    span = span.movedim(ndim + 1, 1)
    summed = span.new_zeros(coils, coils, *[2 * kernel - 1] * ndim)
    for number, place in enumerate(product(range(kernel), repeat=ndim)):
        summed_at = [slice(kernel - 1 - q, 2 * kernel - 1 - q) for q in place]
        summed[(slice(None), slice(None), *summed_at)] += span.flatten(-ndim)[..., number]
    return summed.to(torch.complex64)


def _maps(kernels: Tensor, size: Sequence[int], crop: float, ramp: float) -> Tensor:
    """Transform the kernels to the image, a few rows at a time, and take eigenvectors there, ``(coil, [z,] y, x)``."""
    coils = len(kernels)
    lines = kernels.permute(*range(2, kernels.ndim), 0, 1)
    for axis, n in enumerate(size[1:], start=1):
        lines = torch.tensordot(_waves(n, lines), lines, dims=([1], [axis])).movedim(0, axis)
    waves = _waves(size[0], lines)
    rows = max(1, CHUNK_ENTRIES // (math.prod(size[1:]) * coils**2))
    maps = [_faded(torch.tensordot(some, lines, dims=1), crop, ramp) for some in waves.split(rows)]
    return torch.cat(maps).movedim(-1, 0)


def _waves(n: int, like: Tensor) -> Tensor:
    """Values at every pixel of what lies at the ``len(like)`` places around zero frequency, ``(n, places)``."""
    places = len(like) // 2
    frequency = torch.arange(-places, places + 1, dtype=torch.float64, device=like.device)
    pixel = torch.arange(n, dtype=torch.float64, device=like.device) - n // 2
    return torch.exp(2j * math.pi / n * torch.outer(pixel, frequency)).to(like.dtype)


def _faded(matrices: Tensor, crop: float, ramp: float) -> Tensor:
    """Largest eigenvectors ``(..., coil)`` of ``(..., coil, coil)``, faded by their eigenvalues."""
    vectors, eigenvalues = largest_eigenvectors(matrices)
    return vectors * _weight(eigenvalues, crop, ramp).unsqueeze(-1)


def _weight(eigenvalue: Tensor, crop: float, ramp: float) -> Tensor:
    """0 up to ``crop``, 1 from ``crop + ramp``, a cubic with flat ends between."""
    if ramp == 0:
        return (eigenvalue > crop).to(eigenvalue.dtype)
    share = ((eigenvalue - crop) / ramp).clamp(0, 1)
    return share**2 * (3 - 2 * share)


def _require_options(kernel: int, threshold: float, crop: float, ramp: float) -> None:
    if kernel < 2 or not 0 <= threshold < 1 or not 0 <= crop < 1 or not 0 <= ramp <= 1 - crop:
        raise OptionError(
            f"expected kernel >= 2, 0 <= threshold < 1, 0 <= crop < 1 and 0 <= ramp <= 1 - crop, got {kernel}, "
            f"{threshold:g}, {crop:g} and {ramp:g}. Correct them, or keep the defaults."
        )
