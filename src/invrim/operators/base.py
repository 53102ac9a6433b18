"""What every measurement is: a linear map with an adjoint."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class LinearOperator(nn.Module, ABC):
    """A linear map ``A`` from images to measurements.

    A subclass writes `forward` and `adjoint`; they must satisfy ``<A x, y> = <x, A^H y>`` with the inner product
    ``sum(conj(a) * b)``, which `invrim.testing.assert_adjoint` checks. Operators compose: ``A @ B`` applies B first.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply ``A``."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply ``A^H``."""

    def normal(self, x: Tensor) -> Tensor:
        """Apply ``A^H A``; override where this is cheaper than one after the other."""
        return self.adjoint(self(x))

    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        return Composition(self, other)


class Composition(LinearOperator):
    """``outer @ inner``: inner first, then outer."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        super().__init__()
        self.outer = outer
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def normal(self, x: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.normal(self.inner(x)))
