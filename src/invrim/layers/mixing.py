"""Orthogonal mixing of channels by Householder reflections."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrim.errors import OptionError


class OrthogonalMixing(nn.Module):
    r"""An orthogonal matrix :math:`U = H_1 \cdots H_K`, :math:`H_k = I - 2 v_k v_k^T / v_k^T v_k`, split by rows.

    The first ``channels // 2`` rows, :math:`U_L`, read from the state; the rest, :math:`U_R`, write to it. The two
    spaces are orthogonal, :math:`U_L U_R^T = 0`: what is written cannot change what is read.

    Parameters
    ----------
    channels
        State channels C, at least 2.
    n_reflections
        K; parameters ``vectors`` are ``(K, C)``, standard normal at the start [P19]_.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 3.1.
    """

    def __init__(self, channels: int, n_reflections: int = 3) -> None:
        super().__init__()
        if channels < 2 or n_reflections < 1:
            raise OptionError(
                f"expected at least 2 channels and 1 reflection, got {channels} and {n_reflections}. Use more of them."
            )
        self.vectors = nn.Parameter(torch.randn(n_reflections, channels))

    @property
    def n_read(self) -> int:
        """Rows of :math:`U_L`."""
        return self.vectors.shape[1] // 2

    def matrix(self) -> Tensor:
        """Build U ``(C, C)`` in the precision of the parameters, differentiably.

        Reflections multiply in float64: a float32 product is not orthogonal enough and would dominate the inversion
        error of deep chains.
        """
        vectors = self.vectors.double()
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        u = torch.eye(vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
        for v in vectors:
            u = u - 2 * torch.outer(u @ v, v)
        return u.to(self.vectors.dtype)

    def split(self) -> tuple[Tensor, Tensor]:
        """Return the rows that read, ``(C // 2, C)``, and the rows that write, ``(C - C // 2, C)``."""
        u = self.matrix()
        return u[: self.n_read], u[self.n_read :]


def mix(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply a matrix ``(rows, c)`` to the channels of ``(b, c, ...)``: a 1×1 convolution without bias."""
    # Not torch.matmul: it would fold batch and space into one axis, which copies the state.
    return torch.bmm(matrix.expand(len(x), *matrix.shape), x.flatten(2)).unflatten(2, x.shape[2:])


def mix_into_(z: Tensor, matrix: Tensor, x: Tensor, *, sign: float = 1.0) -> Tensor:
    """Add ``sign * mix(matrix, x)`` to ``z`` in place, without a tensor in between where ``z`` is contiguous."""
    if not z.is_contiguous():
        return z.add_(mix(matrix, x), alpha=sign)
    z.view(*z.shape[:2], -1).baddbmm_(matrix.expand(len(x), *matrix.shape), x.flatten(2), alpha=sign)
    return z


def correlate(a: Tensor, b: Tensor) -> Tensor:
    """Sum of outer products of channels over batch and space, ``(b, p, ...), (b, q, ...) -> (p, q)``."""
    return torch.bmm(a.flatten(2), b.flatten(2).mT).sum(dim=0)
