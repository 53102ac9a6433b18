"""What all models have in common, and those that learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from invrim.operators import CartesianMRI, LeastSquares
from invrim.typing import Image


class Solver(nn.Module, ABC):
    """A data fidelity in, complex images ``(b, [z,] y, x)`` out, whether learned or not."""

    @abstractmethod
    def forward(self, fidelity: LeastSquares, /) -> Image:
        """Reconstruct."""

    def magnitude(self, fidelity: LeastSquares, images: Image) -> Tensor:
        """Return what is looked at and scored, ``(b, [z,] y, x)``, of the ``images`` that `forward` made.

        Of one coil the magnitude. Of several, the root sum of squares over coils, as in fastMRI's targets, of the
        images as each coil sees them; what was measured stays as it was measured.
        """
        operator = fidelity.operator
        if isinstance(operator, CartesianMRI) and operator.n_coils > 1:
            return torch.linalg.vector_norm(operator.complete(images, fidelity.data), dim=1)
        return images.abs()


class Reconstructor(Solver):
    """A solver that learns.

    A subclass sets ``options``, the keyword arguments that build it again; JSON must be able to hold them.
    """

    options: dict[str, Any]
