"""How much of k-space every sample of a trajectory stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from invrim.operators.nufft import nufft, nufft_adjoint, points_of

_TOLERANCE = 1e-6
"""Of the sums over neighbours, relative: weights need no more."""


@torch.no_grad()
def density_compensation(trajectory: Tensor, size: Sequence[int], iterations: int = 20) -> Tensor:
    r"""Weights with which ``A^H W A`` comes close to the identity, for any trajectory.

    The weights closest to that, in the Frobenius norm, share out every sample's surroundings:
    :math:`\sum_i |G_{ji}|^2 w_i = 1` for all j, where :math:`G = F F^H` says how much two samples have in common. As in
    Pipe's and Menon's iteration, every weight is divided by that sum again and again, and stays positive.

    Where samples lie closer than the points of the Cartesian grid, a weight is the area around its sample, in cells of
    that grid: the ramp of a full radial scan. A sample without neighbours weighs 1, as a line of a Cartesian scan does
    beside missing ones. ``A^H W d`` therefore looks like the image, at its scale, and gradients are like those of a
    Cartesian mask. The largest eigenvalue of ``A^H W A`` is 1 on the Cartesian grid and about 1 to 2 elsewhere, the
    most where gaps are only just too wide.

    Parameters
    ----------
    trajectory, size
        As of `invrim.operators.NonuniformFourierTransform`.
    iterations
        Each costs two nonuniform transforms of twice the size.

    Returns
    -------
    w, ``trajectory.shape[:-1]``, in the trajectory's precision. Of a stack of stars the weights of one partition serve
    for all.

    References
    ----------
    .. [Pipe99] Pipe & Menon, *Sampling density compensation in MRI: rationale and an iterative numerical solution*,
       MRM 41, 1999.
    """
    points = points_of(trajectory, size)
    lags = [2 * n - 1 for n in size]
    shared = _pairs(size).to(points.device)
    weights = torch.ones(points.shape[1], dtype=points.dtype, device=points.device)
    for _ in range(iterations):
        spread = nufft_adjoint(weights + 0j, points, lags, _TOLERANCE)
        weights = weights / nufft(shared * spread, points, _TOLERANCE).real
    return weights.reshape(trajectory.shape[:-1]).to(trajectory.dtype)


def _pairs(size: Sequence[int]) -> Tensor:
    """How many pairs of an image's pixels lie so far apart, over the number of pixels squared, for every lag."""
    pairs = torch.ones((), dtype=torch.double)
    for n in size:
        pairs = pairs[..., None] * (n - torch.arange(1 - n, n).abs())
    return pairs / math.prod(size) ** 2
