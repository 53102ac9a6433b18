"""Where the network meets the physics."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.errors import OptionError
from invrim.invertible import PulledBack, trainable, vector_jacobian
from invrim.layers.flow import VolumePreserving
from invrim.layers.link import fold, to_channels, to_images, unfold
from invrim.typing import State


class DataStep(VolumePreserving):
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

    def pull_back(self, z_out: State, grad_out: State, context: object = None, /) -> PulledBack:
        """Undo the step and differentiate it with one evaluation of the physics."""
        n = self.n_eta
        with torch.enable_grad():
            eta = z_out[:, :n].detach().requires_grad_()
            gradient = self._gradient(eta, context)
            gradients = vector_jacobian(gradient, [eta, *trainable(context)], grad_out[:, n : 2 * n])
        with torch.no_grad():
            z = self._add(z_out, -gradient)
            grad = grad_out.clone()
            if eta in gradients:
                grad[:, :n] += gradients.pop(eta)
        return PulledBack(z, grad, gradients)

    def _add(self, z: State, gradient: State) -> State:
        n = self.n_eta
        return torch.cat([z[:, :n], z[:, n : 2 * n] + gradient, z[:, 2 * n :]], dim=1)

    def _gradient(self, eta: State, context: object) -> State:
        gradient = getattr(context, "gradient", None)
        if gradient is None:
            raise OptionError(
                f"expected a data fidelity with a method gradient(images) as context, got {type(context).__name__}. "
                f"Pass e.g. LeastSquares(operator, data)."
            )
        groups: tuple[Tensor, ...] = to_images(eta).split(self.images, dim=1)
        return to_channels(torch.cat([unfold(gradient(fold(g, self.images)), self.images) for g in groups], dim=1))
