"""One step of Glow."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from invrim.invertible import PulledBack
from invrim.layers.actnorm import ActNorm
from invrim.layers.affine import AffineCoupling, Scale
from invrim.layers.coupling import Half
from invrim.layers.flow import Flow
from invrim.layers.free_mixing import FreeMixing
from invrim.layers.residual import ResidualNet
from invrim.typing import State


class GlowStep(Flow):
    """Normalise, mix freely, couple affinely: `ActNorm`, `FreeMixing` and `AffineCoupling` as one step.

    All three inverses divide. Meant for comparison with `ReversibleBlock`. The norm starts as the identity; fit a chain
    to data step by step before training::

        for step in steps:
            step.initialise(z)
            z = step(z)

    Parameters
    ----------
    channels, hidden, stride, ndim, update, scale
        As of `AffineCoupling`; ``scale`` is Glow's ``"sigmoid"`` or ``"exp"``.

    References
    ----------
    .. [Kingma18] Kingma & Dhariwal, *Glow: generative flow with invertible 1×1 convolutions*, NeurIPS 2018, section 3.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        stride: int | Sequence[int] = 1,
        *,
        ndim: int = 2,
        update: Half = "second",
        scale: Scale = "sigmoid",
    ) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.mixing = FreeMixing(channels)
        self.coupling = AffineCoupling(channels, hidden, stride, ndim=ndim, update=update, scale=scale)

    @property
    def net(self) -> ResidualNet:
        """The net of the coupling."""
        return self.coupling.net

    def forward(self, z: State, _: object = None, /) -> State:
        z = self.mixing(self.norm(z))
        return self.coupling(z)

    def inverse(self, z: State, _: object = None, /) -> State:
        return self.norm.inverse(self.mixing.inverse(self.coupling.inverse(z)))

    def pull_back(self, z_out: State, grad_out: State, _: object = None, /) -> PulledBack:
        """Undo the step and differentiate it with one evaluation of the net."""
        z, grad, gradients = self.coupling.pull_back(z_out, grad_out)
        for part in (self.mixing, self.norm):
            z, grad, new = part.pull_back(z, grad)
            gradients |= new
        return PulledBack(z, grad, gradients)

    def log_determinant(self, z: State, _: object = None, /) -> Tensor:
        """Sum those of the three parts; costs one evaluation of the net."""
        total = z.new_zeros(len(z))
        for part in (self.norm, self.mixing, self.coupling):
            total = total + part.log_determinant(z)
            z = part(z)
        return total

    def initialise(self, z: State) -> None:
        """Fit the norm to the batch ``z``, the input of this step."""
        self.norm.initialise(z)
