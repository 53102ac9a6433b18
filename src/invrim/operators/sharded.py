"""The physics of a part of a volume that is divided along its readout."""

from __future__ import annotations

from torch import Tensor

from invrim.errors import ShapeError
from invrim.operators.cartesian import cartesian_fidelity
from invrim.operators.fidelity import LeastSquares
from invrim.operators.fourier import along_axis, fft_centred, ifft_centred
from invrim.sharding import Shard
from invrim.typing import KSpace


def shard_fidelity(kspace: KSpace, mask: Tensor, maps: Tensor | None = None, *, shard: Shard) -> LeastSquares:
    """Least squares of this process's rows, from the k-space of the whole volume; no process asks another.

    Along a fully sampled readout the inverse transform comes first, and leaves rows that know nothing of each other.
    Those of the part are then transformed forth among themselves, a unitary map that changes no distance and that the
    normal operator leaves out again: what remains is a smaller volume of the same instrument. The values of all
    processes add up to that of the whole; gradients are the rows of its gradient.

    For one process to read only its part: where files hold positions along the readout, as of volumes with two phase
    encodings, `slab_fidelity` of these slices is the same.

    Parameters
    ----------
    kspace
        d, complex ``(b, coil, [kz,] ky, kx)``, zero where not sampled.
    mask
        As of `CartesianMRI`, of size 1 along the shard's axis.
    maps
        As of `CartesianMRI`, of the whole volume. None: as for `cartesian_fidelity`.
    shard
        Who has which rows.
    """
    dim = shard.dim
    if mask.ndim != kspace.ndim or mask.shape[dim] != 1:
        raise ShapeError(
            f"expected a mask of {kspace.ndim} axes that is the same along axis {dim}, of size 1 there, got "
            f"{tuple(mask.shape)}. Shard along the readout, by dim."
        )
    if kspace.shape[dim] < 2 or (maps is not None and maps.shape[dim] != kspace.shape[dim]):
        sizes = tuple(kspace.shape), None if maps is None else tuple(maps.shape)
        raise ShapeError(
            f"expected k-space and coil maps of one size along axis {dim}, got {sizes}. Estimate the maps at its size."
        )
    rows = shard.cut(along_axis(ifft_centred, kspace, dim))
    part = along_axis(fft_centred, rows, dim).contiguous()
    return cartesian_fidelity(part, mask, None if maps is None else shard.cut(maps).clone())
