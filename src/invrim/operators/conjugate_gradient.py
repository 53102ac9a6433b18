"""Least squares without a prior: conjugate gradients, stopped early."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from invrim.operators.fidelity import DataFidelity
from invrim.typing import Image

_CONVERGED = 1e-5
"""Norm of the residual, relative to the first one, below which float32 has nothing left to add."""


def conjugate_gradient(
    fidelity: DataFidelity, like: Image, iterations: int, *, total: Callable[[Tensor], Tensor] = lambda part: part
) -> Image:
    r"""Minimise a quadratic fidelity from an image of zeros by at most so many conjugate-gradient iterations.

    On coil data this is CG-SENSE; stopping early is what keeps its noise down. Where ``A A^H = 1``, as for a single
    coil on a Cartesian grid, the first iteration ends at ``A^H d``. Only gradients are asked for, since
    :math:`A^H A p = \nabla D(p) - \nabla D(0)`. The result can be differentiated.

    Parameters
    ----------
    fidelity
        D, quadratic in x, such as `LeastSquares`.
    like
        Image of the solution's shape ``(b, ...)``, dtype and device; its values do not matter.
    iterations
        Largest number of iterations; an entry of the batch that has converged is left alone.
    total
        Makes an inner product of that over this process's part of the images, see `invrim.sharding.Shard.total`.

    References
    ----------
    .. [Pruessmann01] Pruessmann et al., *Advances in sensitivity encoding with arbitrary k-space trajectories*,
       MRM 46, 2001.
    """
    x = torch.zeros_like(like)
    back_projection = -fidelity.gradient(x)
    residual = direction = back_projection
    energy = first = total(_inner(residual, residual))
    for _ in range(iterations):
        is_active = energy > _CONVERGED**2 * first
        if not is_active.any():
            break
        normal = fidelity.gradient(direction) + back_projection
        step = _ratio(energy, total(_inner(direction, normal)), is_active)
        x = x + step * direction
        residual = residual - step * normal
        before, energy = energy, total(_inner(residual, residual))
        direction = residual + _ratio(energy, before, is_active) * direction
    return x


def _inner(a: Image, b: Image) -> Tensor:
    """Real inner product of every entry of the batch, ``(b, 1, ...)``."""
    axes = tuple(range(1, a.ndim))
    return (a.conj() * b).real.sum(dim=axes, keepdim=True)


def _ratio(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """``a / b`` in some entries, 0 in the others, which may divide by zero: their gradients must not be NaN."""
    return torch.where(where, a / torch.where(where, b, 1.0), 0.0)
