"""The affine coupling of real-NVP and Glow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invrim.errors import OptionError
from invrim.layers.coupling import Coupling, Half
from invrim.layers.state import per_channel
from invrim.typing import State

Scale = Literal["exp", "sigmoid", "tanh"]


class AffineCoupling(Coupling):
    r"""Scale and shift half of the channels by what a net makes of the other: :math:`(a, b) \mapsto (a, e^s b + t)`.

    The inverse divides by the scale: where that is small, round-off grows, and along a chain it grows geometrically.
    Meant for comparison; `ReversibleBlock` never divides.

    Parameters
    ----------
    channels, hidden, stride, ndim, update
        As of `Coupling`. The net is as wide at its end as two additive ones.
    scale
        How the net's output r becomes the scale. ``"exp"``: :math:`e^r`. ``"sigmoid"``: :math:`\sigma(r + 2)`, 0.88 at
        r = 0, as in Glow's released code. ``"tanh"``: :math:`e^{\beta \tanh r}`, as in real-NVP, with :math:`\beta`
        learned for each channel (``bound``, 1 at the start).

    References
    ----------
    .. [Dinh17] Dinh et al., *Density estimation using real NVP*, ICLR 2017, sections 3.2 and 4.1.
    .. [Kingma18] Kingma & Dhariwal, *Glow: generative flow with invertible 1×1 convolutions*, NeurIPS 2018, table 1.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        stride: int | Sequence[int] = 1,
        *,
        ndim: int = 2,
        update: Half = "second",
        scale: Scale = "tanh",
    ) -> None:
        super().__init__(channels, hidden, stride, ndim=ndim, update=update, outputs=2)
        if scale not in get_args(Scale):
            raise OptionError(f"expected scale 'exp', 'sigmoid' or 'tanh', got {scale!r}. Choose one of the three.")
        self.scale = scale
        self.bound = nn.Parameter(torch.ones(self.n_updated)) if scale == "tanh" else None

    def log_determinant(self, z: State, _: object = None, /) -> Tensor:
        """Sum the logarithms of the scales; costs one evaluation of the net."""
        read, _half = self._split(z)
        log_scale, _shift = self._log_scale_and_shift(self._say(read))
        return log_scale.flatten(1).sum(dim=1)

    def _change(self, half: Tensor, said: Tensor) -> Tensor:
        log_scale, shift = self._log_scale_and_shift(said)
        return half * log_scale.exp() + shift

    def _restore(self, half: Tensor, said: Tensor) -> Tensor:
        # Divided by the very number that multiplied: exp(-s) would be rounded once more.
        log_scale, shift = self._log_scale_and_shift(said)
        return (half - shift) / log_scale.exp()

    def _log_scale_and_shift(self, said: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = said.chunk(2, dim=1)
        if self.bound is not None:
            return per_channel(self.bound, raw) * raw.tanh(), shift
        return (F.logsigmoid(raw + 2) if self.scale == "sigmoid" else raw), shift
