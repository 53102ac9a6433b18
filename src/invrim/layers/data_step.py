"""Where the network meets the physics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from invrim.errors import OptionError
from invrim.invertible import ExactlyInvertible, Grid, PulledBack, trainable, vector_jacobian
from invrim.layers.flow import VolumePreserving
from invrim.layers.link import fold, to_channels, to_images, unfold
from invrim.typing import State


class DataStep(VolumePreserving, ExactlyInvertible):
    r"""Write the data-fidelity gradient into memory: :math:`s \leftarrow s + \nabla D(\Psi(\eta))`.

    The estimate is only read, so subtracting the same gradient undoes the step. The context is the data fidelity, an
    object with ``gradient(images)``.

    Parameters
    ----------
    images
        Complex images that the physics takes at once. With one, it sees ``(b, [z,] y, x)``, else ``(b, images, ...)``.
    multiplicity
        How many estimates are kept side by side; each gets its own gradient.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 3.2.
    """

    def __init__(self, images: int = 1, multiplicity: int = 1) -> None:
        super().__init__()
        self.images = images
        self.multiplicity = multiplicity
        self.n_eta = 2 * images * multiplicity

    def forward(self, z: State, context: object = None, /) -> State:
        return self._add(z, self._gradient(z[:, : self.n_eta], context))

    def inverse(self, z: State, context: object = None, /) -> State:
        return self._add(z, -self._gradient(z[:, : self.n_eta], context))

    def forward_(self, z: State, context: object = None, /) -> State:
        return self._add_(z, self._gradient(z[:, : self.n_eta], context))

    def pull_back(self, z_out: State, grad_out: State, context: object = None, /) -> PulledBack:
        """Undo the step and differentiate it with one evaluation of the physics."""
        return self._pull_back(z_out, grad_out, context, lambda gradient: gradient)

    def forward_exact(self, z: State, grid: Grid, context: object = None, /) -> State:
        return self._add_rounded_(z, grid, context, sign=1)

    def inverse_exact(self, z: State, grid: Grid, context: object = None, /) -> State:
        return self._add_rounded_(z, grid, context, sign=-1)

    def pull_back_exact(self, z_out: State, grad_out: State, grid: Grid, context: object = None, /) -> PulledBack:
        return self._pull_back(z_out, grad_out, context, lambda gradient: grid.rounded_(gradient.clone()))

    def _pull_back(
        self, z_out: State, grad_out: State, context: object, rounded: Callable[[State], State]
    ) -> PulledBack:
        n = self.n_eta
        with torch.enable_grad():
            eta = z_out[:, :n].detach().requires_grad_()
            gradient = self._gradient(eta, context)
            gradients = vector_jacobian(gradient, [eta, *trainable(context)], grad_out[:, n : 2 * n])
        with torch.no_grad():
            z = self._add_(z_out, rounded(gradient), sign=-1)
            if eta in gradients:
                grad_out[:, :n] += gradients.pop(eta)
        return PulledBack(z, grad_out, gradients)

    def _add(self, z: State, gradient: State) -> State:
        n = self.n_eta
        return torch.cat([z[:, :n], z[:, n : 2 * n] + gradient, z[:, 2 * n :]], dim=1)

    def _add_(self, z: State, gradient: State, *, sign: int = 1) -> State:
        n = self.n_eta
        z[:, n : 2 * n].add_(gradient, alpha=sign)
        return z

    def _add_rounded_(self, z: State, grid: Grid, context: object, *, sign: int) -> State:
        with torch.no_grad():
            return self._add_(z, grid.rounded_(self._gradient(z[:, : self.n_eta], context)), sign=sign)

    def _gradient(self, eta: State, context: object) -> State:
        gradient = getattr(context, "gradient", None)
        if gradient is None:
            raise OptionError(
                f"expected a data fidelity with a method gradient(images) as context, got {type(context).__name__}. "
                f"Pass e.g. LeastSquares(operator, data)."
            )
        groups: tuple[Tensor, ...] = to_images(eta).split(self.images, dim=1)
        return to_channels(torch.cat([unfold(gradient(fold(g, self.images)), self.images) for g in groups], dim=1))
