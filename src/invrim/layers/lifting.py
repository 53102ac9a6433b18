"""The reversible block's update as additions of one part of the channels to the other, for exact inversion."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invrim.layers.mixing import mix


class Lifting(NamedTuple):
    r"""Coordinates in which :math:`x + U_R^T g` leaves some channels alone.

    Channels are divided into ``written`` ones, as many as U_R has rows, and ``read`` ones. The range of
    :math:`U_R^T` is the graph of ``slope`` over the written channels, so that ``x_read - slope x_written`` does not
    change when the block writes. Hence three additions make up the block, each undone by a subtraction:

    1. ``x_read -= slope x_written``
    2. ``x_written += basis G(reader x_read)``
    3. ``x_read += slope x_written``
    """

    read: Tensor
    """Channel numbers ``(L,)``."""
    written: Tensor
    """Channel numbers ``(R,)``."""
    slope: Tensor
    """``(L, R)``."""
    reader: Tensor
    """``(L, L)``: of states that step 1 has sheared it makes what U_L does."""
    basis: Tensor
    """``(R, R)``, rows of U_R^T."""

    def shift(self, z: Tensor) -> Tensor:
        """What steps 1 and 3 add to the read channels or take from them, ``(b, C, ...) -> (b, L, ...)``."""
        return mix(self.slope, z.index_select(1, self.written))

    def input(self, z: Tensor) -> Tensor:
        """The input of G, of a sheared state, ``(b, C, ...) -> (b, L, ...)``."""
        return mix(self.reader, z.index_select(1, self.read))


@torch.no_grad()
def lift(u_read: Tensor, u_write: Tensor) -> Lifting:
    """Lift the block of the rows ``u_read`` ``(L, C)`` and ``u_write`` ``(R, C)`` of an orthogonal matrix.

    Written channels are the pivots of a row-pivoted LU factorisation of ``u_write.mT``, which keeps the slopes small.
    Computed in float64, for one factorisation of a C×R matrix.
    """
    u_read, u_write, dtype = u_read.double(), u_write.double(), u_read.dtype
    rows = u_write.shape[0]
    permutation, lower, _ = torch.linalg.lu(u_write.mT)
    order = permutation.mT.argmax(dim=1)
    written, read = order[:rows], order[rows:]
    # U_R^T = P (L1; L2) (upper), so that the read rows are L2 L1^-1 times the written ones.
    slope = torch.linalg.solve_triangular(lower[:rows], lower[rows:], upper=False, left=False, unitriangular=True)
    return Lifting(
        read=read,
        written=written,
        slope=slope.to(dtype),
        reader=u_read[:, read].to(dtype),
        basis=u_write[:, written].mT.to(dtype),
    )
