"""Inversion bit for bit: states on a grid of fixed-point numbers, where adding and subtracting leave no round-off."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invrim.errors import OptionError
from invrim.invertible.base import Invertible, PulledBack, differentiate
from invrim.invertible.randomness import rewind

_SUMMED_AT_ONCE = 2**17
"""Numbers, in `fingerprint`."""


@dataclass(frozen=True)
class Grid:
    """Multiples of ``2**-bits``, held in a floating-point tensor.

    Sums of such numbers are exact, and so can be undone, while they stay below `limit`.
    """

    bits: int
    limit: float
    """Magnitude from which the tensor's own precision is coarser than the grid."""

    @classmethod
    def of(cls, dtype: torch.dtype) -> Grid:
        """Choose the grid for a state: float32 holds values below 256 to 8e-6, float64 below two million to 1e-10."""
        grids = {torch.float32: cls(16, 2.0**8), torch.float64: cls(32, 2.0**21)}
        if dtype not in grids:
            raise OptionError(
                f"expected a float32 or float64 state for backprop='exact', got {dtype}. Convert the state; the nets "
                f"inside may be bfloat16 by autocast."
            )
        return grids[dtype]

    def enter(self, z: Tensor) -> Tensor:
        """Round a state to the grid, into a tensor of its own; its gradient passes straight through."""
        return _StraightThrough.apply(z, self) if torch.is_grad_enabled() else self.nearest(z)

    def nearest(self, z: Tensor) -> Tensor:
        """Round a state, into a new tensor. Negative zeros become plain ones: inversion would not bring them back."""
        return self.rounded_(z.clone()).add_(0.0)

    def rounded_(self, update: Tensor) -> Tensor:
        """Round an update to the grid, overwriting it."""
        return update.mul_(2.0**self.bits).round_().mul_(2.0**-self.bits)


class ExactlyInvertible(Invertible):
    """A step that can also be undone bit for bit, on states of a `Grid`.

    A subclass composes its map of additions ``part += rounded(f(rest))``, each of which is undone by subtracting the
    same. The methods may overwrite their arguments; ``f`` must give the same bits on every evaluation.
    """

    @abstractmethod
    def forward_exact(self, z: Tensor, grid: Grid, context: object = None, /) -> Tensor:
        """Map a state of the grid to one."""

    @abstractmethod
    def inverse_exact(self, z: Tensor, grid: Grid, context: object = None, /) -> Tensor:
        """Undo `forward_exact`, bit for bit."""

    def pull_back_exact(self, z_out: Tensor, grad_out: Tensor, grid: Grid, context: object = None, /) -> PulledBack:
        """Do what `pull_back` does, with the exact input; gradients are those of the map without rounding.

        This default inverts, then recomputes `forward` with a graph: two evaluations.
        """
        with torch.no_grad():
            z = self.inverse_exact(z_out, grid, context)
        rewind()
        return differentiate(self, z, grad_out, context)


def fingerprint(z: Tensor) -> Tensor:
    """Sum the bits of a state as integers: a number that tells two states apart, for one pass over one of them."""
    # In parts: the sum of all bits at once would first copy them as 64-bit numbers, two states.
    parts = z.contiguous().view(torch.int32).flatten().split(_SUMMED_AT_ONCE)
    return torch.stack([part.sum(dtype=torch.int64) for part in parts]).sum()


class _StraightThrough(torch.autograd.Function):
    """Rounding to a grid whose gradient is taken as the identity's."""

    @staticmethod
    def forward(_: Any, z: Tensor, grid: Grid) -> Tensor:
        return grid.nearest(z)

    @staticmethod
    def backward(_: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0], None
