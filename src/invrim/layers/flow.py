"""Invertible maps that know by how much they change volume."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from invrim.invertible import Invertible
from invrim.typing import State


class Flow(Invertible):
    """An invertible map with the logarithm of its Jacobian determinant.

    A subclass writes `forward`, `inverse` and `log_determinant`.
    """

    @abstractmethod
    def log_determinant(self, z: State, context: object = None, /) -> Tensor:
        r"""Return :math:`\log |\det \partial F / \partial z|` at the input ``z``, one number a sample, ``(b,)``."""


class VolumePreserving(Flow):
    """A map whose Jacobian determinant is 1 or -1 wherever it is taken."""

    def log_determinant(self, z: State, _: object = None, /) -> Tensor:
        return z.new_zeros(len(z))
