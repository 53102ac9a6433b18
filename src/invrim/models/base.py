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
    images: int = 1
    """Complex images that the fidelity takes at once; several are the coils', each by itself."""
    coil_images: bool = False
    """Whether so many images come out, and not one: the result is then ``(b, images, [z,] y, x)``."""
    coil_maps: bool = True
    """Whether the fidelity comes with coil maps, as files are trained on and reconstructed."""
    metadata: int = 0
    """How many numbers that are known of the scan the model reads."""

    def magnitude(self, fidelity: LeastSquares, images: Image) -> Tensor:
        """As of `Solver`; of a result that is every coil's image, the root sum of squares."""
        return torch.linalg.vector_norm(images, dim=1) if self.coil_images else super().magnitude(fidelity, images)


def reconstruct(model: Solver, fidelity: LeastSquares, metadata: Tensor, *, every_step: bool = False) -> Image:
    """Call a model on a fidelity, and with the metadata ``(b, n)`` if it is one that reads them.

    ``every_step`` asks models that have steps for the estimates after each, ``(steps, b, ...)``.
    """
    reads = isinstance(model, Reconstructor) and model.metadata > 0
    told: dict[str, Any] = {"metadata": metadata} if reads else {}
    images: Image = model(fidelity, **told, every_step=True) if every_step else model(fidelity, **told)
    return images


def coils_in_words(n: int) -> str:
    """``"1 coil"``, ``"15 coils"``."""
    return f"{n} coil{'s' if n > 1 else ''}"
