"""Orthogonal mixing of channels by Householder reflections."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from invrim.errors import OptionError

_FACTORED_FROM = 64
"""Channels from which two thin products are faster than one square one. Measured on a CPU, applied to a state of
128x128: up to 32 channels they are not, at 64 they take 0.6 of its time, at 96 and more less than half."""


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

    def factors(self) -> Factors:
        """Build U as one update of the identity, differentiably.

        In float64: what float32 made of the reflections would not be orthogonal enough, and would dominate the
        inversion error of deep chains.
        """
        v = self.vectors.double()
        v = v / torch.linalg.vector_norm(v, dim=1, keepdim=True)
        # The product of reflections in compact WY form: I - V^T T V, where T^-1 is V V^T above the diagonal, 1/2 on it.
        inverse = (v @ v.mT).triu(1) + torch.full_like(v[:, 0], 0.5).diag()
        return Factors(torch.linalg.solve_triangular(inverse, v.mT, upper=True, left=False), v, self.vectors.dtype)

    def matrix(self) -> Tensor:
        """Build U ``(C, C)`` in the precision of the parameters, differentiably."""
        return self.factors().matrix()


class Factors(NamedTuple):
    """An orthogonal matrix as ``I - left right``."""

    left: Tensor
    """``(C, K)``, in float64."""
    right: Tensor
    """``(K, C)``, in float64."""
    dtype: torch.dtype
    """Of the matrix."""

    def matrix(self) -> Tensor:
        """Multiply out to U ``(C, C)``."""
        eye = torch.eye(len(self.left), dtype=self.left.dtype, device=self.left.device)
        return (eye - self.left @ self.right).to(self.dtype)

    def split(self) -> tuple[Tensor, Tensor]:
        """Return the rows that read, ``(C // 2, C)``, and the rows that write, ``(C - C // 2, C)``."""
        read, write = self.matrix().tensor_split([len(self.left) // 2])
        return read, write

    def rows(self) -> tuple[Rows, Rows]:
        """Return the rows that read and the rows that write in the form in which they are applied fastest."""
        channels = len(self.left)
        if channels < _FACTORED_FROM:
            read, write = self.split()
            return DenseRows(read), DenseRows(write)
        left, right = self.left.to(self.dtype), self.right.to(self.dtype)
        halves = slice(channels // 2), slice(channels // 2, channels)
        read_rows, write_rows = (FactoredRows(half, left[half], right) for half in halves)
        return read_rows, write_rows


class Rows(ABC):
    """Some rows of an orthogonal matrix, applied to the channels of states without a graph."""

    sources: tuple[Tensor, ...]
    """What the rows are made of, with its graph."""

    @abstractmethod
    def of(self, z: Tensor) -> Tensor:
        """Apply the rows, ``(b, C, ...) -> (b, rows, ...)``."""

    @abstractmethod
    def transpose_into_(self, z: Tensor, x: Tensor, *, sign: int = 1) -> Tensor:
        """Add ``sign`` times the transposed rows of ``x`` ``(b, rows, ...)`` to ``z`` ``(b, C, ...)``, in place."""

    @abstractmethod
    def of_with_gradients(self, z: Tensor, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Apply the rows, and give the gradients of ``sum(x * self.of(z))`` for the sources, which share a product."""

    @abstractmethod
    def transpose_into_with_gradients_(self, total: Tensor, z: Tensor, x: Tensor) -> list[Tensor]:
        """Add the transposed rows of ``x`` to ``total``, and give the gradients of ``sum(x * self.of(z))``."""


class DenseRows(Rows):
    """Rows written out, ``(rows, C)``."""

    def __init__(self, matrix: Tensor) -> None:
        self.sources = (matrix,)
        self.matrix = matrix.detach()

    def of(self, z: Tensor) -> Tensor:
        return mix(self.matrix, z)

    def transpose_into_(self, z: Tensor, x: Tensor, *, sign: int = 1) -> Tensor:
        return mix_into_(z, self.matrix.mT, x, sign=sign)

    def of_with_gradients(self, z: Tensor, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.of(z), [correlate(x, z)]

    def transpose_into_with_gradients_(self, total: Tensor, z: Tensor, x: Tensor) -> list[Tensor]:
        self.transpose_into_(total, x)
        return [correlate(x, z)]


class FactoredRows(Rows):
    """Rows as ``I[half] - left right``: what they cost does not grow with the square of the channels."""

    def __init__(self, half: slice, left: Tensor, right: Tensor) -> None:
        self.sources = (left, right)
        self.half = half
        self.left = left.detach()
        self.right = right.detach()

    def of(self, z: Tensor) -> Tensor:
        return self._of(z, self._inner(z))

    def transpose_into_(self, z: Tensor, x: Tensor, *, sign: int = 1) -> Tensor:
        return self._transpose_into_(z, x, self._outer(x), sign)

    def of_with_gradients(self, z: Tensor, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        inner = self._inner(z)
        return self._of(z, inner), _gradients(x, z, inner, self._outer(x))

    def transpose_into_with_gradients_(self, total: Tensor, z: Tensor, x: Tensor) -> list[Tensor]:
        outer = self._outer(x)
        self._transpose_into_(total, x, outer, 1)
        return _gradients(x, z, self._inner(z), outer)

    def _of(self, z: Tensor, inner: Tensor) -> Tensor:
        half = voxels(z[:, self.half])
        return torch.baddbmm(half, each(self.left, z), voxels(inner), alpha=-1).view(half.shape[:2] + z.shape[2:])

    def _transpose_into_(self, z: Tensor, x: Tensor, outer: Tensor, sign: int) -> Tensor:
        z[:, self.half].add_(x, alpha=sign)
        return mix_into_(z, self.right.mT, outer, sign=-sign)

    def _inner(self, z: Tensor) -> Tensor:
        return mix(self.right, z)

    def _outer(self, x: Tensor) -> Tensor:
        return mix(self.left.mT, x)


def _gradients(x: Tensor, z: Tensor, inner: Tensor, outer: Tensor) -> list[Tensor]:
    """Of factored rows; half the time of the outer products of all channels, at 64 of them."""
    return [-correlate(x, inner), -correlate(outer, z)]


def mix(matrix: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a matrix ``(rows, c)`` to the channels of ``(b, c, ...)``: a 1×1 convolution."""
    # Not torch.matmul: it would fold batch and space into one axis, which copies the state.
    operands = each(matrix, x), voxels(x)
    mixed = torch.bmm(*operands) if bias is None else torch.baddbmm(bias.view(-1, 1), *operands)
    return mixed.reshape(x.shape[0], matrix.shape[0], *x.shape[2:])


def mix_into_(z: Tensor, matrix: Tensor, x: Tensor, *, sign: float = 1.0) -> Tensor:
    """Add ``sign * mix(matrix, x)`` to ``z`` in place, without a tensor in between where space lies in one piece."""
    if not _is_one_piece(z):
        return z.add_(mix(matrix, x), alpha=sign)
    voxels(z).baddbmm_(each(matrix, x), voxels(x), alpha=sign)
    return z


def _is_one_piece(z: Tensor) -> bool:
    """Whether the voxels of a channel of ``(b, c, ...)`` lie one after another, so that `voxels` is a view."""
    sizes, strides = z.shape[2:], z.stride()[2:]
    return all(step == n * finer for step, n, finer in zip(strides, sizes[1:], strides[1:], strict=False))


def correlate(a: Tensor, b: Tensor) -> Tensor:
    """Sum of outer products of channels over batch and space, ``(b, p, ...), (b, q, ...) -> (p, q)``."""
    return sum_of_batch(torch.bmm(voxels(a), voxels(b).transpose(1, 2)))


def sum_of_batch(x: Tensor) -> Tensor:
    return x.squeeze(0) if x.shape[0] == 1 else x.sum(dim=0)


def voxels(x: Tensor) -> Tensor:
    """Take space as one axis, ``(b, c, ...) -> (b, c, voxels)``."""
    batch, channels, *space = x.shape
    return x.reshape(batch, channels, prod(space))  # not flatten, which knows no batch of gradients


def each(matrix: Tensor, x: Tensor) -> Tensor:
    """One view of the matrix for every entry of the batch."""
    return matrix.expand(x.shape[0], -1, -1)
