"""What every model that learns has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from invrim.operators import LeastSquares
from invrim.typing import Image


class Reconstructor(nn.Module, ABC):
    """A learned solver: a data fidelity in, complex images ``(b, [z,] y, x)`` out.

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

    @abstractmethod
    def forward(self, fidelity: LeastSquares, /) -> Image:
        """Reconstruct."""


def reconstruct(model: nn.Module, fidelity: LeastSquares, metadata: Tensor, *, every_step: bool = False) -> Image:
    """Call a model on a fidelity, and with the metadata ``(b, n)`` if it is one that reads them.

    ``every_step`` asks models that have steps for the estimates after each, ``(steps, b, ...)``.
    """
    reads = isinstance(model, Reconstructor) and model.metadata > 0
    told: dict[str, Any] = {"metadata": metadata} if reads else {}
    images: Image = model(fidelity, **told, every_step=True) if every_step else model(fidelity, **told)
    return images


def magnitudes(images: Image, model: nn.Module) -> Tensor:
    """Magnitude ``(b, [z,] y, x)`` of a model's result; where that is every coil's image, the root sum of squares."""
    by_coil = isinstance(model, Reconstructor) and model.coil_images
    return torch.linalg.vector_norm(images, dim=1) if by_coil else images.abs()


def coils_in_words(n: int) -> str:
    """``"1 coil"``, ``"15 coils"``."""
    return f"{n} coil{'s' if n > 1 else ''}"
