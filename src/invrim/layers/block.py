"""The paper's layer: an additive coupling between orthogonal 1×1 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invrim.invertible import PulledBack, trainable, vector_jacobian
from invrim.layers.flow import VolumePreserving
from invrim.layers.mixing import OrthogonalMixing, correlate, mix
from invrim.layers.residual import ResidualNet
from invrim.layers.state import full_precision, require_state


class ReversibleBlock(VolumePreserving):
    r"""Add to the state what a net makes of it: :math:`x \mapsto x + U_R^T G(U_L x)`, U orthogonal.

    As published the block rotates the state by U, adds :math:`G` of the left channels to the right ones, and rotates
    back. This is the same map, because :math:`U_L U_R^T = 0`, with half the work; what is not updated is never
    rotated, which keeps the inversion error of 96 blocks 40 times smaller. Its Jacobian determinant is 1.

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
        return z + self._update(z)

    def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
        return z - self._update(z)

    def pull_back(self, z_out: Tensor, grad_out: Tensor, _: object = None, /) -> PulledBack:
        """Undo the block and differentiate it with one evaluation of G.

        The input of G is the same read from either side, :math:`U_L y = U_L x`; the gradient of U is not, so that the
        state is reconstructed before it is taken.
        """
        with torch.enable_grad():
            u_read, u_write = self.mixing.split()
            with full_precision(z_out):
                h = mix(u_read.detach(), z_out).requires_grad_()
            g = self.net(h).to(z_out.dtype)
        with full_precision(z_out), torch.no_grad():
            z = z_out - mix(u_write.mT, g)
            gradients = vector_jacobian(g, [h, *trainable(self.net)], mix(u_write, grad_out))
            grad_h = gradients.pop(h)
            grad = grad_out + mix(u_read.mT, grad_h)
            if self.mixing.vectors.requires_grad:
                grad_u = (correlate(grad_h, z), correlate(g, grad_out))
                (grad_vectors,) = torch.autograd.grad((u_read, u_write), (self.mixing.vectors,), grad_u)
                gradients[self.mixing.vectors] = grad_vectors
        return PulledBack(z, grad, gradients)

    def _update(self, z: Tensor) -> Tensor:
        require_state(z, self.channels, self.ndim)
        u_read, u_write = self.mixing.split()
        with full_precision(z):
            h = mix(u_read, z)
        g = self.net(h).to(z.dtype)
        with full_precision(z):
            return mix(u_write.mT, g)
