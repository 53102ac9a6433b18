"""What every model that learns has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from invrim.operators import LeastSquares
from invrim.typing import Image


class Reconstructor(nn.Module, ABC):
    """A learned solver: a data fidelity in, complex images ``(b, [z,] y, x)`` out.

    A subclass sets ``options``, the keyword arguments that build it again; JSON must be able to hold them.
    """

    options: dict[str, Any]

    @abstractmethod
    def forward(self, fidelity: LeastSquares, /) -> Image:
        """Reconstruct."""
