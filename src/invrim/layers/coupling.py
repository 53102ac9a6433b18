"""What all couplings of the two halves of the channels share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from invrim.errors import OptionError
from invrim.invertible import PulledBack, trainable, vector_jacobian
from invrim.layers.flow import Flow
from invrim.layers.residual import ResidualNet
from invrim.layers.state import require_state
from invrim.typing import State

Half = Literal["first", "second"]


class Coupling(Flow):
    """Change one half of the channels, entry by entry, by what a net reads in the other half.

    What is read stays as it is, so that the net says the same on the way back: undoing the step and differentiating
    it share one evaluation. A subclass says how an entry is changed and restored.

    Parameters
    ----------
    channels
        State channels C, at least 2; the first half has ``C // 2``. State ``(b, C, ...)``.
    hidden, stride, ndim
        Of the `ResidualNet`; ``net.scale_output(gain)`` with a small gain starts the step near the identity.
    update
        The half that is changed; alternate it along a chain.
    outputs
        What the net says about every entry: so many numbers.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        stride: int | Sequence[int],
        *,
        ndim: int,
        update: Half,
        outputs: int,
    ) -> None:
        super().__init__()
        if channels < 2 or update not in get_args(Half):
            raise OptionError(
                f"expected at least 2 channels and update 'first' or 'second', got {channels} and {update!r}. "
                f"Correct them."
            )
        self.channels = channels
        self.ndim = ndim
        self.update = update
        self.n_updated = channels // 2 if update == "first" else channels - channels // 2
        self.net = ResidualNet(channels - self.n_updated, hidden, outputs * self.n_updated, stride, ndim=ndim)

    def forward(self, z: State, _: object = None, /) -> State:
        read, half = self._split(z)
        return self._join(read, self._change(half, self._say(read)))

    def inverse(self, z: State, _: object = None, /) -> State:
        read, half = self._split(z)
        return self._join(read, self._restore(half, self._say(read)))

    def pull_back(self, z_out: State, grad_out: State, _: object = None, /) -> PulledBack:
        """Undo the step and differentiate it with one evaluation of the net."""
        (read, changed), (grad_read, grad_changed) = self._split(z_out), self._split(grad_out)
        with torch.enable_grad():
            read = read.detach().requires_grad_()
            said = self._say(read)
        with torch.no_grad():
            half = self._restore(changed, said)
        with torch.enable_grad():
            again = self._change(half.requires_grad_(), said)
        gradients = vector_jacobian(again, [read, half, *trainable(self)], grad_changed)
        with torch.no_grad():
            grad = self._join(grad_read + gradients.pop(read), gradients.pop(half))
            return PulledBack(self._join(read, half), grad, gradients)

    @abstractmethod
    def _change(self, half: Tensor, said: Tensor) -> Tensor:
        """Change the half ``(b, n, ...)`` as the net's output ``(b, outputs * n, ...)`` says."""

    @abstractmethod
    def _restore(self, half: Tensor, said: Tensor) -> Tensor:
        """Undo `_change`."""

    def _say(self, read: Tensor) -> Tensor:
        # The net may run in bf16 under autocast. What follows is arithmetic entry by entry, left alone by it.
        said: Tensor = self.net(read)
        return said.to(read.dtype)

    def _split(self, z: State) -> tuple[Tensor, Tensor]:
        """Return the half that is read and the half that is changed."""
        require_state(z, self.channels, self.ndim)
        first, second = z.tensor_split((self.channels // 2,), dim=1)
        return (second, first) if self.update == "first" else (first, second)

    def _join(self, read: Tensor, half: Tensor) -> State:
        return torch.cat([half, read] if self.update == "first" else [read, half], dim=1)
