"""Prewhitening: virtual coils whose noise is equal and independent, from a scan of noise alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.errors import DataError, ShapeError, about

_SAMPLES_PER_COIL = 10
"""With n of them the noise of a combination of coils is known to about sqrt(1 / n), here to a third."""
_LEAST_INDEPENDENCE = 1e-6
"""Smallest eigenvalue of the correlations of coils' noise, of which the mean is 1: below, a coil repeats others."""


def noise_covariance(noise: Tensor) -> Tensor:
    """Covariance of the coils' noise, complex128 ``(coil, coil)``: the mean of ``n n^H``.

    Parameters
    ----------
    noise
        Complex ``(coil, samples)``, of a scan without excitation.

    Raises
    ------
    DataError
        Fewer than 10 samples a coil, or numbers that are not finite.
    """
    if noise.ndim != 2:
        raise ShapeError(f"expected noise (coil, samples), got {tuple(noise.shape)}. Flatten all but the coils.")
    coils, samples = noise.shape
    if samples < _SAMPLES_PER_COIL * coils:
        raise DataError(
            f"expected at least {_SAMPLES_PER_COIL * coils} noise samples for {coils} coils, got {samples}. "
            f"Give a longer noise scan, or reconstruct without prewhitening."
        )
    if not noise.isfinite().all():
        raise DataError("expected finite noise, got NaN or infinity. Reconstruct without prewhitening.")
    # Squares of a scanner's numbers may be too small for float32.
    wide = noise.to(torch.complex128)
    return wide @ wide.mH / samples


def whitening_matrix(covariance: Tensor) -> Tensor:
    """The matrix that makes noise white: real and imaginary part of every coil have variance 1, and none correlates.

    It is ``sqrt(2) L^-1`` with the Cholesky factor of ``covariance = L L^H``, lower triangular: the first coil is only
    scaled, and coil ``n`` becomes a combination of the first ``n``.

    Parameters
    ----------
    covariance
        Complex ``(coil, coil)``, of `noise_covariance`.

    Returns
    -------
    Complex128 ``(coil, coil)``.

    Raises
    ------
    DataError
        A coil without noise, or whose noise is a combination of others'.

    References
    ----------
    .. [Pruessmann01] Pruessmann et al., *Advances in sensitivity encoding with arbitrary k-space trajectories*, MRM 46,
       2001, appendix: decorrelation of receivers by the Cholesky factor.
    """
    level = covariance.diagonal().real.sqrt()
    if not (level > 0).all():
        silent = ", ".join(str(n) for n in (~(level > 0)).nonzero().flatten().tolist())
        raise DataError(
            f"expected noise from every coil, got none from coil {silent}. Leave it out, or reconstruct without "
            f"prewhitening."
        )
    correlation = covariance / torch.outer(level, level)
    smallest = float(torch.linalg.eigvalsh(correlation)[0])
    if smallest < _LEAST_INDEPENDENCE:
        raise DataError(
            f"expected coils with noise of their own, got a singular covariance (smallest eigenvalue of the "
            f"correlations {smallest:.1e}). Leave out coils that repeat others, or reconstruct without prewhitening."
        )
    # Of the correlations, which are well scaled also where coils' gains are not.
    factor = torch.linalg.cholesky(correlation)
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    return 2**0.5 * torch.linalg.solve_triangular(factor, identity, upper=False) / level


def mix_coils(matrix: Tensor, kspace: Tensor) -> Tensor:
    """Make virtual coils, ``(..., virtual, y, x)`` of ``(..., coil, y, x)``, by a matrix ``(virtual, coil)``."""
    return torch.einsum("vc,...cyx->...vyx", matrix.to(kspace), kspace)


def scaled_whitening_matrix(noise: Tensor) -> Tensor:
    """The whitening matrix in units as near the scanner's as can be, complex64 ``(coil, coil)``.

    It is multiplied by the root mean square of the coils' noise levels, so that the noise of a root sum of squares
    keeps its power. Where noise is white already it is the identity; else intensities follow the signal-to-noise
    ratio: coils with little noise gain weight and others lose it.

    Raises
    ------
    DataError
        The noise is no base for it, see `noise_covariance` and `whitening_matrix`.
    """
    covariance = noise_covariance(noise)
    # Half of the power is the real part's.
    level = (covariance.diagonal().real.mean() / 2).sqrt()
    return (whitening_matrix(covariance) * level).to(torch.complex64)


def prewhitened(acquisition: Acquisition, matrix: Tensor | None = None) -> Acquisition:
    """Whiten k-space and noise.

    Parameters
    ----------
    acquisition
        Without noise, or of one coil, it is returned as it is.
    matrix
        `scaled_whitening_matrix` of its noise, where it is there already.
    """
    noise = acquisition.noise
    coils = acquisition.kspace.shape[1]
    if noise is None or coils == 1:
        return acquisition
    with about(acquisition.name):
        if len(noise) != coils:
            raise ShapeError(f"expected noise of {coils} coils, got {len(noise)}. Give that of the scan's coils.")
        matrix = scaled_whitening_matrix(noise) if matrix is None else matrix
    return replace(acquisition, kspace=mix_coils(matrix, acquisition.kspace), noise=matrix @ noise)
