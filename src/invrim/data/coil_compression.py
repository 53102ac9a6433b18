"""Coil compression: fewer virtual coils that see nearly all that many real ones do."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.data.calibration import calibration_region, require_slices
from invrim.data.prewhitening import mix_coils
from invrim.errors import OptionError
from invrim.operators.fourier import fft_centred, ifft_centred

METHODS = ("svd", "geometric")
_WIDTH = 24
"""Most lines around the centre that calibrate: nearly all energy is there."""


def compress_coils(kspace: Tensor, coils: int, mask: Tensor | None = None, *, method: str = "geometric") -> Tensor:
    """Make ``coils`` virtual coils of those that measured.

    The virtual coils are orthonormal combinations, so that white noise stays white (prewhiten first); those chosen hold
    the most energy of the calibration lines. One set of combinations serves all slices.

    Parameters
    ----------
    kspace
        Complex ``(b, coil, ky, kx)``, zero where not sampled.
    coils
        Of the result, at most as many as there are.
    mask
        As of `invrim.data.coil_maps.maps_from_calibration`.
    method
        ``"svd"`` combines coils alike everywhere. ``"geometric"`` combines them anew at every position y along the
        readout, where fewer coils suffice, and turns neighbours alike, so that virtual coils are smooth.

    Returns
    -------
    Complex ``(b, coils, ky, kx)``, strongest first (of ``"geometric"`` at the position with the most energy).

    Raises
    ------
    OptionError
        An impossible number of coils, another method, or ``"geometric"`` without a readout in the plane.
    DataError
        The centre was not measured.

    References
    ----------
    .. [Huang08] Huang et al., *A software channel compression technique for faster reconstruction with many channels*,
       MRI 26, 2008.
    .. [Zhang13] Zhang, Pauly, Vasanawala & Lustig, *Coil compression for accelerated imaging with Cartesian sampling*,
       MRM 69, 2013.
    """
    require_slices(kspace)
    if method not in METHODS:
        raise OptionError(f"expected coil compression by {' or '.join(METHODS)}, got {method!r}. Choose one of these.")
    rows, columns = calibration_region((kspace.shape[-2], kspace.shape[-1]), mask, _WIDTH)
    if method == "svd":
        return mix_coils(svd_matrix(kspace[..., rows, columns].transpose(0, 1).flatten(1), coils), kspace)
    if mask is not None and mask.ndim == 2:
        raise OptionError(
            "expected a readout in the plane for geometric compression, got two phase encodings. "
            "Use method='svd', or `geometric_matrices` along the slices."
        )
    # One-dimensional transforms: the readout is the second to last axis.
    hybrid = ifft_centred(kspace.transpose(-2, -1), 1).permute(3, 1, 0, 2)
    matrices = geometric_matrices(hybrid[..., columns].flatten(2), coils)
    compressed = torch.einsum("yvc,ycbx->bvxy", matrices, hybrid)
    return fft_centred(compressed, 1).transpose(-2, -1)


def svd_matrix(samples: Tensor, coils: int) -> Tensor:
    """Return the combinations ``(coils, coil)``, orthonormal, that hold the most energy of ``(coil, samples)``."""
    return _strongest(_energy(samples), coils).to(samples.dtype)


def geometric_matrices(samples: Tensor, coils: int, window: int = 5) -> Tensor:
    """Return the combinations that hold the most energy at every position along a readout, neighbours alike.

    For a volume with two phase encodings, whose slices are such positions, they are
    ``geometric_matrices(kspace.flatten(2), coils)``.

    Parameters
    ----------
    samples
        Complex ``(y, coil, samples)``: positions along the readout in the image, k-space along all other axes.
    coils
        Of the result.
    window
        Positions, odd, whose energies are summed: the combinations change smoothly and follow no noise.

    Returns
    -------
    Complex ``(y, coils, coil)``, each with orthonormal rows.
    """
    energy = _energy(samples)
    total = energy.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)
    matrices = _strongest(_sliding_sum(energy, window), coils)
    start = int(total.argmax())
    for step, stop in ((1, len(matrices)), (-1, -1)):
        for y in range(start + step, stop, step):
            matrices[y] = _turned_like(matrices[y - step], matrices[y])
    return matrices.to(samples.dtype)


def _energy(samples: Tensor) -> Tensor:
    """``(..., coil, coil)`` of ``(..., coil, samples)``, scaled to 1 at most: a scanner's numbers may be small."""
    wide = samples.to(torch.complex128)
    wide = wide / wide.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return wide @ wide.mH


def _strongest(energy: Tensor, coils: int) -> Tensor:
    if not 1 <= coils <= energy.shape[-1]:
        raise OptionError(f"expected 1 to {energy.shape[-1]} virtual coils, got {coils}. Choose as many as there are.")
    vectors = torch.linalg.eigh(energy).eigenvectors
    return vectors.flip(-1)[..., :coils].mH


def _turned_like(neighbour: Tensor, matrix: Tensor) -> Tensor:
    """The combinations of the same virtual coils that come closest to the neighbour's: orthogonal Procrustes."""
    left, _, right = torch.linalg.svd(neighbour @ matrix.mH)
    return left @ right @ matrix


def _sliding_sum(energy: Tensor, window: int) -> Tensor:
    if window < 1 or window % 2 == 0:
        raise OptionError(f"expected an odd window of at least 1 position, got {window}. Use e.g. 5.")
    beyond = energy.new_zeros(window // 2, *energy.shape[1:])
    return torch.cat([beyond, energy, beyond]).unfold(0, window, 1).sum(dim=-1)
