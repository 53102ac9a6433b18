"""Gradients of a reversible block's mixing, summed over the parts in which it is evaluated."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.layers.mixing import OrthogonalMixing


class MixingGradients:
    r"""Backpropagate through U in :math:`x + U_R^T G(U_L x)`, part by part of the space.

    To be used without gradient mode, but for its construction.
    """

    def __init__(self, mixing: OrthogonalMixing) -> None:
        self._vectors = mixing.vectors
        with torch.enable_grad():
            self.factors = mixing.factors()
            self.read, self.write = self.factors.rows()
        self._of_read: list[Tensor] = []
        self._of_write: list[Tensor] = []

    def behind(self, g: Tensor, grad: Tensor) -> Tensor:
        """Gradient of the output ``g`` of G on a part, given that of the block's output there."""
        if not self._vectors.requires_grad:
            return self.write.of(grad)
        grad_g, found = self.write.of_with_gradients(grad, g)
        self._of_write = _sum(self._of_write, found)
        return grad_g

    def before_(self, z: Tensor, grad: Tensor, grad_h: Tensor) -> Tensor:
        """Turn the gradient of the block's output into that of its input, given the input ``z`` and the gradient of
        :math:`U_L z`, in place."""
        if not self._vectors.requires_grad:
            return self.read.transpose_into_(grad, grad_h)
        found = self.read.transpose_into_with_gradients_(grad, z, grad_h)
        self._of_read = _sum(self._of_read, found)
        return grad

    def gradients(self) -> dict[Tensor, Tensor]:
        """Gradient of the reflections, if they are trainable, of all parts so far."""
        if not self._vectors.requires_grad:
            return {}
        sources = (*self.read.sources, *self.write.sources)
        (grad,) = torch.autograd.grad(sources, (self._vectors,), [*self._of_read, *self._of_write])
        return {self._vectors: grad}


def _sum(totals: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
    """Add to totals, in place; none so far are zeros."""
    return [total.add_(grad) for total, grad in zip(totals, grads, strict=True)] if totals else grads
