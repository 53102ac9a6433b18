"""The largest eigenvector of one small matrix a pixel, for coil maps."""

from __future__ import annotations

import torch
from torch import Tensor

_SQUARINGS = 10
"""Of the matrix at a pixel: its 1024th power is the projection onto the largest eigenvector. On a real 13-coil head it
is what a full decomposition finds to 2e-6; 256th powers miss that by 0.02 where two eigenvalues are alike."""
CHUNK_ENTRIES = 2**18
"""Entries of the matrices that callers keep in memory at a time: 2 MiB, which a processor's cache holds."""


def largest_eigenvectors(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit eigenvectors and their eigenvalues.

    By squaring, which takes a fraction of the time of a full decomposition of every matrix.

    Parameters
    ----------
    matrices
        Complex ``(..., n, n)``, positive semidefinite.

    Returns
    -------
    Vectors ``(..., n)``, whose largest entry or one nearly as large is real and positive, and eigenvalues ``(...)``. Of
    zeros both are zero.
    """
    power = matrices
    for _ in range(_SQUARINGS):
        # All are positive semidefinite, so that the trace is their size.
        trace = power.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)[..., None, None]
        power = power * trace.clamp_min(torch.finfo(trace.dtype).tiny).reciprocal()
        power = power @ power
    strongest = power.diagonal(dim1=-2, dim2=-1).real.argmax(dim=-1)[..., None, None]
    vector = power.take_along_dim(strongest, dim=-1)
    length = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
    vector = vector / length.clamp_min(torch.finfo(length.dtype).tiny)
    eigenvalue = (vector.mH @ matrices @ vector).real
    return vector.squeeze(-1), eigenvalue.squeeze((-2, -1))
