"""How much an operator amplifies, and the same operator with that taken out."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.operators.base import LinearOperator


class Scaled(LinearOperator):
    """``factor * A``. Scale the data by the same factor, and the image stays as it is."""

    def __init__(self, operator: LinearOperator, factor: float) -> None:
        super().__init__()
        self.operator = operator
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.factor * self.operator.adjoint(y)

    def normal(self, x: Tensor) -> Tensor:
        return self.factor**2 * self.operator.normal(x)


@torch.no_grad()
def operator_norm(operator: LinearOperator, like: Tensor, iterations: int = 30) -> float:
    """Estimate the largest singular value by power iteration, from below.

    Parameters
    ----------
    operator
        A.
    like
        Images that A takes; only their shape, dtype and device matter. Of a batch, the largest value counts.
    iterations
        Applications of ``A^H A``; the default leaves an error of about a percent.
    """
    generator = torch.Generator(like.device).manual_seed(0)
    x = torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)
    for _ in range(iterations):
        x = operator.normal(x / torch.linalg.vector_norm(x))
    return float(torch.linalg.vector_norm(x).sqrt())


def normalised(operator: LinearOperator, like: Tensor) -> Scaled:
    """Scale an operator to norm 1, so that the gradients that a model reads are of the size of its images."""
    return Scaled(operator, 1 / operator_norm(operator, like))
