"""Instruments that see real images, for models that think in complex ones."""

import torch
from torch import Tensor

from invrim.operators.base import LinearOperator


class RealPart(LinearOperator):
    """Take the real part: ``A @ RealPart()`` is an instrument for real images that any model here can drive.

    What the model makes of the imaginary part is free: the data say nothing of it, its gradient is zero. The operator
    is linear over the real numbers only; its adjoint belongs to the inner product ``re sum(conj(a) * b)``.

    Complex images ``(b, ...)`` in, real ones out.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.real

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.complex(y, torch.zeros_like(y))
