"""A chain of invertible steps, itself invertible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from invrim.errors import OptionError
from invrim.invertible.base import Invertible, PulledBack
from invrim.invertible.engine import invert_to_learn

Backprop = Literal["store", "invert"]


class InvertibleChain(Invertible):
    """Apply invertible steps in order, and choose how the chain is differentiated.

    Parameters
    ----------
    steps
        The steps, first to last. One step may occur several times (shared weights), and a step may be a chain.
    backprop
        ``"store"`` is plain autograd: every activation is kept. ``"invert"`` keeps the final state only and walks back
        by inversion; memory does not grow with the number of steps, time is up to 4/3 of ``"store"``.
        The outermost chain decides for the chains inside it.
    """

    def __init__(self, steps: Sequence[Invertible], *, backprop: Backprop = "invert") -> None:
        super().__init__()
        if backprop not in get_args(Backprop):
            raise OptionError(f"expected backprop 'store' or 'invert', got {backprop!r}. Choose one of the two.")
        self.steps = nn.ModuleList(steps)
        self.backprop = backprop

    def forward(self, z: Tensor, context: object = None, /) -> Tensor:
        if self.backprop == "invert" and torch.is_grad_enabled():
            return invert_to_learn(list(self.flattened()), z, context)
        for step in self.flattened():
            z = step(z, context)
        return z

    def inverse(self, z: Tensor, context: object = None, /) -> Tensor:
        for step in reversed(list(self.flattened())):
            z = step.inverse(z, context)
        return z

    def pull_back(self, z_out: Tensor, grad_out: Tensor, context: object = None, /) -> PulledBack:
        gradients: dict[Tensor, Tensor] = {}
        z, grad = z_out, grad_out
        for step in reversed(list(self.flattened())):
            z, grad, new = step.pull_back(z, grad, context)
            for tensor, value in new.items():
                gradients[tensor] = gradients[tensor] + value if tensor in gradients else value
        return PulledBack(z, grad, gradients)

    def flattened(self) -> Iterator[Invertible]:
        """Iterate over the steps with nested chains resolved into theirs."""
        for step in self.steps:
            assert isinstance(step, Invertible)
            if isinstance(step, InvertibleChain):
                yield from step.flattened()
            else:
                yield step

    @torch.no_grad()
    def drift(self, z: Tensor, context: object = None, /) -> float:
        """Relative round-trip error ``||inverse(forward(z)) - z|| / ||z||``; of a state of zeros, over its output's."""
        out = self(z, context)
        error = float(torch.linalg.vector_norm(self.inverse(out, context) - z))
        size = float(torch.linalg.vector_norm(z)) or float(torch.linalg.vector_norm(out))
        return error / size if error > 0 else 0.0
