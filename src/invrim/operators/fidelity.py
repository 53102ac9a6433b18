"""How well an image explains the data: all that a model ever sees of an instrument."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from invrim.errors import ShapeError
from invrim.operators.base import LinearOperator
from invrim.typing import Image


class DataFidelity(Protocol):
    """D(d, A x): a value and its gradient, nothing else.

    For complex x the gradient is the one that autograd gives, ``dD/d(re x) + i dD/d(im x)``;
    `invrim.testing.assert_gradient` checks it.
    """

    def value(self, x: Image) -> Tensor:
        """Return one number per batch entry, ``(b,)``."""

    def gradient(self, x: Image) -> Image:
        """Return the gradient of ``value(x).sum()``, same shape as ``x``."""


class LeastSquares(nn.Module):
    r"""Gaussian noise: :math:`D = \frac{1}{2} \| A x - d \|^2` with gradient :math:`A^H (A x - d)`.

    The back-projection :math:`A^H d` is computed once, here; a gradient then costs one normal operator.

    Parameters
    ----------
    operator
        A.
    data
        d, as ``operator(x)`` returns it.
    """

    data: Tensor
    back_projection: Tensor

    def __init__(self, operator: LinearOperator, data: Tensor) -> None:
        super().__init__()
        self.operator = operator
        self.register_buffer("data", data)
        self.register_buffer("back_projection", operator.adjoint(data))

    def value(self, x: Image) -> Tensor:
        predicted = self.operator(x)
        if predicted.shape != self.data.shape:
            raise ShapeError(
                f"expected data {tuple(predicted.shape)} as the operator makes them, got {tuple(self.data.shape)}. "
                f"Check the mask, the coil maps and the batch."
            )
        return 0.5 * (predicted - self.data).abs().square().flatten(1).sum(dim=1)

    def gradient(self, x: Image) -> Image:
        if x.shape != self.back_projection.shape:
            raise ShapeError(
                f"expected images {tuple(self.back_projection.shape)} as the data make them, got {tuple(x.shape)}. "
                f"Check the batch and the size."
            )
        return self.operator.normal(x) - self.back_projection

    def start(self) -> Image:
        """Return the back-projected data ``A^H d``, the image that a reconstruction starts from."""
        return self.back_projection


class Rescaled(nn.Module):
    """The fidelity of data in other units: an image ``x`` here is ``scale * x`` there, one scale per batch entry.

    Value and gradient are those of least squares on data divided by ``scale``, so that a model sees intensities near
    1 whatever the scanner's.
    """

    scale: Tensor

    def __init__(self, fidelity: DataFidelity, scale: Tensor) -> None:
        super().__init__()
        self.fidelity = fidelity
        self.register_buffer("scale", scale)

    def value(self, x: Image) -> Tensor:
        return self.fidelity.value(self._broadcast(x) * x) / self.scale**2

    def gradient(self, x: Image) -> Image:
        scale = self._broadcast(x)
        return self.fidelity.gradient(scale * x) / scale

    def _broadcast(self, x: Image) -> Tensor:
        return self.scale.reshape(-1, *(1,) * (x.ndim - 1))
