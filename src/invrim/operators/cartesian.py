"""The data fidelity of Cartesian k-space, with coil maps or without."""

from __future__ import annotations

from torch import Tensor

from invrim.operators.fidelity import LeastSquares
from invrim.operators.fourier import FourierTransform
from invrim.operators.mri import CartesianMRI, SamplingMask
from invrim.typing import KSpace


def cartesian_fidelity(kspace: KSpace, mask: Tensor, maps: Tensor | None = None) -> LeastSquares:
    """Least squares between measured and predicted k-space.

    Parameters
    ----------
    kspace
        d, complex ``(b, coil, [kz,] ky, kx)``, zero where not sampled.
    mask
        As of `CartesianMRI`.
    maps
        As of `CartesianMRI`. The images are then ``(b, [z,] y, x)``. None: a single coil's image as it is, with its
        phase, and several coils' images each by itself, ``(b, coil, [z,] y, x)``.
    """
    ndim = kspace.ndim - 2
    if maps is None and kspace.shape[1] > 1:
        return LeastSquares(SamplingMask(mask) @ FourierTransform(ndim), kspace)
    return LeastSquares(CartesianMRI(mask, maps, ndim), kspace)
