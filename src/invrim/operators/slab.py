"""Slabs: neighbouring slices that were measured alike, as one problem in three dimensions."""

from __future__ import annotations

from torch import Tensor

from invrim.errors import ShapeError
from invrim.operators.cartesian import cartesian_fidelity
from invrim.operators.fidelity import LeastSquares
from invrim.operators.fourier import along_axis, fft_centred
from invrim.typing import KSpace

_Z = -3


def slab_fidelity(kspace: KSpace, mask: Tensor, maps: Tensor | None = None) -> LeastSquares:
    """Least squares of slabs whose slices were Fourier-encoded one by one, with one mask for all of a slab.

    A unitary transform along z makes a volume's k-space of the stack. It changes no distance, and it cannot be told
    from the measurement of a volume whose mask is constant along kz; the normal operator leaves it out again.
    The same holds for a volume with two phase encodings whose readout, transformed back, is z.

    Parameters
    ----------
    kspace
        ``(b, coil, z, ky, kx)``, every slice's own two-dimensional transform.
    mask
        ``(b or 1, 1, 1, ky or 1, kx or 1)``: the same for all slices.
    maps
        Coil sensitivities ``(b or 1, coil, z, y, x)``. None: a single coil's image as it is, several coils' each by
        itself.

    Returns
    -------
    Fidelity of images ``(b, z, y, x)``, of several coils without maps ``(b, coil, z, y, x)``; its data are the k-space
    of the volume.
    """
    if kspace.ndim != 5 or mask.ndim != 5 or mask.shape[_Z] != 1:
        raise ShapeError(
            f"expected k-space (b, coil, z, ky, kx) and a mask (b, 1, 1, ky, kx) for all slices, got "
            f"{tuple(kspace.shape)} and {tuple(mask.shape)}. Add missing axes; undersample a slab's slices alike."
        )
    return cartesian_fidelity(encode_slices(kspace), mask, maps)


def encode_slices(kspace: KSpace) -> KSpace:
    """Transform ``(b, coil, z, ky, kx)`` along z, slices to a volume's k-space."""
    return along_axis(fft_centred, kspace, _Z)
