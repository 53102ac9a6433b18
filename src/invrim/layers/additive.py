"""The additive coupling of NICE."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from invrim.layers.coupling import Coupling, Half
from invrim.layers.flow import VolumePreserving


class AdditiveCoupling(VolumePreserving, Coupling):
    r"""Add to one half of the channels what a net makes of the other: :math:`(a, b) \mapsto (a, b + G(a))`.

    `ReversibleBlock` without its orthogonal mixing. The inverse subtracts; the Jacobian determinant is 1.

    Parameters
    ----------
    channels, hidden, stride, ndim, update
        As of `Coupling`.

    References
    ----------
    .. [Dinh14] Dinh et al., *NICE: non-linear independent components estimation*, arXiv 1410.8516, section 3.2.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        stride: int | Sequence[int] = 1,
        *,
        ndim: int = 2,
        update: Half = "second",
    ) -> None:
        super().__init__(channels, hidden, stride, ndim=ndim, update=update, outputs=1)

    def _change(self, half: Tensor, said: Tensor) -> Tensor:
        return half + said

    def _restore(self, half: Tensor, said: Tensor) -> Tensor:
        return half - said
