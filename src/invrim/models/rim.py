"""The recurrent inference machine, which the i-RIM made invertible."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invrim.errors import OptionError
from invrim.layers.conv_gru import ConvGRU
from invrim.layers.link import to_channels, to_images
from invrim.layers.scaling import nonzero, per_sample
from invrim.layers.state import require_state
from invrim.models.base import Reconstructor
from invrim.models.intensity import reference_image, standard_deviation
from invrim.operators.fidelity import DataFidelity, Rescaled
from invrim.typing import Image, State

Memory = tuple[Tensor, Tensor]


class RIM(Reconstructor):
    r"""Learned iterative solver of ``min_x D(d, A x)`` by one small recurrent net, the same in every step.

    A step sees the estimate eta and the gradient of the data fidelity, updates two memories and adds a correction:
    convolution 5×5 (4 to ``hidden``), memory, convolution 3×3 of dilation 2, memory, convolution 3×3 (``hidden`` to 2);
    borders are replicated. With the defaults it has the 94,464 parameters of the published baseline. Training memory
    grows with the steps. Intensities are normalised as in `invrim.IRIM`. Slices only.

    Parameters
    ----------
    steps
        T, how often the net looks at the data.
    hidden
        Channels of each of the two memories.
    recurrent
        Whether a step receives the memories of the step before, as published. The code released with [P19b]_ never
        passed them on: every step began with empty ones, and the weights that read them stayed unused. False does
        the same.
    coil_maps, normalisation_crop, normalisation_slack
        As of `invrim.IRIM`.

    References
    ----------
    .. [P17] Putzky & Welling, *Recurrent inference machines for solving inverse problems*, arXiv 1706.04008.
    .. [P19b] Putzky et al., *i-RIM applied to the fastMRI challenge*, arXiv 1910.08952.
    """

    def __init__(
        self,
        *,
        steps: int = 8,
        hidden: int = 64,
        recurrent: bool = True,
        coil_maps: bool = True,
        normalisation_crop: int = 320,
        normalisation_slack: float = 0.0,
    ) -> None:
        super().__init__()
        if steps < 1 or hidden < 1:
            raise OptionError(f"expected steps and hidden of at least 1, got {steps} and {hidden}. Raise them.")
        self.options = {
            "steps": steps,
            "hidden": hidden,
            "recurrent": recurrent,
            "coil_maps": coil_maps,
            "normalisation_crop": normalisation_crop,
            "normalisation_slack": normalisation_slack,
        }
        self.steps = steps
        self.recurrent = recurrent
        self.coil_maps = coil_maps
        self.normalisation_crop = normalisation_crop
        self.normalisation_slack = normalisation_slack
        self.look = nn.Conv2d(4, hidden, 5, padding=2, padding_mode="replicate")
        self.first = ConvGRU(hidden, hidden)
        self.widen = nn.Conv2d(hidden, hidden, 3, padding=2, dilation=2, padding_mode="replicate")
        self.second = ConvGRU(hidden, hidden)
        self.correct = nn.Conv2d(hidden, 2, 3, padding=1, padding_mode="replicate", bias=False)
        for convolution in (self.look, self.widen, self.correct):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)

    def forward(self, fidelity: DataFidelity, start: Image | None = None, *, every_step: bool = False) -> Image:
        """Reconstruct.

        Parameters
        ----------
        fidelity
            D, e.g. ``LeastSquares(CartesianMRI(mask, maps), kspace)``.
        start
            First estimate, complex ``(b, y, x)``; if None, the back-projected data ``A^H d``.
        every_step
            Return the estimates after each step, ``(steps, b, y, x)``, for a loss on all of them, as published.

        Returns
        -------
        Complex images ``(b, y, x)``.
        """
        reference = reference_image(fidelity, start)
        std = standard_deviation(reference, self.normalisation_crop, self.normalisation_slack)
        scale = nonzero(std)
        first = (reference if start is None else start) / per_sample(scale, reference)
        estimates = self.estimates(first, Rescaled(fidelity, scale))
        # `std`, not `scale`: an image of zeros has no intensity, and comes out as zeros.
        return (estimates if every_step else estimates[-1]) * per_sample(std, reference)

    def estimates(self, first: Image, fidelity: DataFidelity) -> Image:
        """Return the estimates after each step ``(steps, b, y, x)``, in the units of the first one ``(b, y, x)``."""
        eta = to_channels(first[:, None])
        require_state(eta, 2, 2)
        empty = memory = (self.first.empty(eta), self.second.empty(eta))
        found = []
        for _ in range(self.steps):
            gradient = to_channels(fidelity.gradient(to_images(eta)[:, 0])[:, None])
            memory = self._remember(torch.cat([eta, gradient], dim=1), memory if self.recurrent else empty)
            eta = eta + self.correct(memory[1]).to(eta.dtype)
            found.append(to_images(eta)[:, 0])
        return torch.stack(found)

    def _remember(self, x: State, memory: Memory) -> Memory:
        first = self.first(F.relu(self.look(x)), memory[0])
        return first, self.second(F.relu(self.widen(first)), memory[1])
