"""The paper's layer: an additive coupling between orthogonal 1×1 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invrim.invertible import ExactlyInvertible, Grid, PulledBack, trainable, vector_jacobian
from invrim.layers.flow import VolumePreserving
from invrim.layers.lifting import lift
from invrim.layers.mixing import OrthogonalMixing, correlate, mix, mix_into_
from invrim.layers.residual import ResidualNet
from invrim.layers.state import full_precision, require_state


class ReversibleBlock(VolumePreserving, ExactlyInvertible):
    r"""Add to the state what a net makes of it: :math:`x \mapsto x + U_R^T G(U_L x)`, U orthogonal.

    As published the block rotates the state by U, adds :math:`G` of the left channels to the right ones, and rotates
    back. This is the same map, because :math:`U_L U_R^T = 0`, with half the work; what is not updated is never
    rotated, which keeps the inversion error of 96 blocks 40 times smaller. Its Jacobian determinant is 1.

    On a fixed-point grid the same map is three rounded additions (see `invrim.layers.lifting`), and comes back bit for
    bit if G gives equal bits for equal input.

    Parameters
    ----------
    channels
        State channels C; state ``(b, C, ...)``.
    hidden, stride, ndim
        Of the `ResidualNet` G, from ``C // 2`` to ``C - C // 2`` channels.
    n_reflections
        Householder reflections in U.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 3.1.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        stride: int | Sequence[int] = 1,
        *,
        ndim: int = 2,
        n_reflections: int = 3,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.ndim = ndim
        self.mixing = OrthogonalMixing(channels, n_reflections)
        n_read = self.mixing.n_read
        self.net = ResidualNet(n_read, hidden, channels - n_read, stride, ndim=ndim)

    def forward(self, z: Tensor, _: object = None, /) -> Tensor:
        u_read, u_write = self._split(z)
        g = self._evaluate(u_read, z)
        with full_precision(z):
            return z + mix(u_write.mT, g)

    def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
        u_read, u_write = self._split(z)
        g = self._evaluate(u_read, z)
        with full_precision(z):
            return z - mix(u_write.mT, g)

    def forward_(self, z: Tensor, _: object = None, /) -> Tensor:
        u_read, u_write = self._split(z)
        g = self._evaluate(u_read, z)
        with full_precision(z):
            return mix_into_(z, u_write.mT, g)

    def pull_back(self, z_out: Tensor, grad_out: Tensor, _: object = None, /) -> PulledBack:
        """Undo the block and differentiate it with one evaluation of G.

        The input of G is the same read from either side, :math:`U_L y = U_L x`; the gradient of U is not, so that the
        state is reconstructed before it is taken.
        """
        with torch.enable_grad():
            u_read, u_write = self.mixing.split()
            h, g = self._evaluate_as_leaf(u_read, z_out)
        with full_precision(z_out), torch.no_grad():
            z = mix_into_(z_out, u_write.mT, g, sign=-1)
            return self._differentiate((u_read, u_write), (h, g), z, grad_out)

    def forward_exact(self, z: Tensor, grid: Grid, _: object = None, /) -> Tensor:
        return self._walk_lifted(z, grid, sign=1)

    def inverse_exact(self, z: Tensor, grid: Grid, _: object = None, /) -> Tensor:
        return self._walk_lifted(z, grid, sign=-1)

    def pull_back_exact(self, z_out: Tensor, grad_out: Tensor, grid: Grid, _: object = None, /) -> PulledBack:
        with torch.enable_grad():
            u_read, u_write = self.mixing.split()
        lifting = lift(u_read, u_write)
        with full_precision(z_out), torch.no_grad():
            sheared = _shear_(z_out, lifting.slope, lifting.read, grid, sign=-1)
        with torch.enable_grad():
            h, g = self._evaluate_as_leaf(lifting.reader, sheared)
        with full_precision(z_out), torch.no_grad():
            z = _add_at_(sheared, mix(lifting.basis, g), lifting.written, grid, sign=-1)
            z = _shear_(z, lifting.slope, lifting.read, grid, sign=1)
            return self._differentiate((u_read, u_write), (h, g), z, grad_out)

    def _walk_lifted(self, z: Tensor, grid: Grid, *, sign: int) -> Tensor:
        """Shear, add ``sign`` times the coupling, and shear back; overwrites ``z``."""
        with torch.no_grad():
            lifting = lift(*self._split(z))
            with full_precision(z):
                z = _shear_(z, lifting.slope, lifting.read, grid, sign=-1)
            g = self._evaluate(lifting.reader, z)
            with full_precision(z):
                z = _add_at_(z, mix(lifting.basis, g), lifting.written, grid, sign=sign)
                return _shear_(z, lifting.slope, lifting.read, grid, sign=1)

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        require_state(z, self.channels, self.ndim)
        return self.mixing.split()

    def _evaluate(self, reader: Tensor, z: Tensor) -> Tensor:
        """G of the channels that ``reader`` makes of the state, in the state's precision."""
        with full_precision(z):
            h = mix(reader, z)
        return self.net(h).to(z.dtype)

    def _evaluate_as_leaf(self, reader: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The input of G, cut off from the state, and G of it."""
        with full_precision(z):
            h = mix(reader.detach(), z).requires_grad_()
        return h, self.net(h).to(z.dtype)

    def _differentiate(
        self, u: tuple[Tensor, Tensor], evaluated: tuple[Tensor, Tensor], z: Tensor, grad_out: Tensor
    ) -> PulledBack:
        """Backpropagate through one evaluation ``(h, G(h))`` at input ``z``; overwrites ``grad_out``."""
        (u_read, u_write), (h, g) = u, evaluated
        gradients = vector_jacobian(g, [h, *trainable(self.net)], mix(u_write, grad_out))
        grad_h = gradients.pop(h)
        if self.mixing.vectors.requires_grad:
            grad_u = (correlate(grad_h, z), correlate(g, grad_out))
            (grad_vectors,) = torch.autograd.grad(u, (self.mixing.vectors,), grad_u)
            gradients[self.mixing.vectors] = grad_vectors
        return PulledBack(z, mix_into_(grad_out, u_read.mT, grad_h), gradients)


def _shear_(z: Tensor, slope: Tensor, read: Tensor, grid: Grid, *, sign: int) -> Tensor:
    return _add_at_(z, mix(slope, z), read, grid, sign=sign)


def _add_at_(z: Tensor, update: Tensor, channels: Tensor, grid: Grid, *, sign: int) -> Tensor:
    """Add ``sign`` times the rounded update to some channels, in place; overwrites the update."""
    return z.index_add_(1, channels, grid.rounded_(update), alpha=sign)
