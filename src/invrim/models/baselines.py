"""What an i-RIM is compared with and nothing learns, behind the same call ``model(fidelity)``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from invrim.errors import MissingExtraError, OptionError
from invrim.models.base import Solver
from invrim.models.cartesian import cartesian_slices
from invrim.operators import CartesianMRI, CoilMaps, LeastSquares
from invrim.typing import Image

SolveSlice = Callable[..., Tensor]


class ZeroFilled(Solver):
    """The back-projected data ``A^H d``: what is there before anything is reconstructed."""

    def forward(self, fidelity: LeastSquares) -> Image:
        return fidelity.start()

    def magnitude(self, fidelity: LeastSquares, images: Image) -> Tensor:
        """As of `Solver`, but nothing stands in for what was not measured."""
        operator = fidelity.operator
        several = isinstance(operator, CartesianMRI) and operator.n_coils > 1
        return super().magnitude(fidelity, torch.zeros_like(images) if several else images)


class CompressedSensing(Solver):
    r"""Compressed-sensing SENSE with total variation, solved by BART's ADMM; nothing is learned.

    Minimises :math:`\frac{1}{2} \| A x - d \|^2 + \lambda \| \nabla x \|_{2,1}` slice by slice, with the data divided
    by the largest magnitude of ``A^H d``, so that the scanner's units do not matter. Needs the extra ``bart``;
    runs on the CPU.

    Parameters
    ----------
    weight
        :math:`\lambda`, relative to an image whose back-projection has the maximum 1. The defaults were chosen for
        PSNR on simulated brain slices (4-fold random columns, one and eight coils, SNR 30) held out from training;
        total variation was ahead of Daubechies-4 wavelets there.
    iterations
        Of ADMM.
    rho
        Penalty of ADMM; changes the speed of convergence, not the limit.

    References
    ----------
    .. [Lustig07] Lustig et al., *Sparse MRI*, MRM 58, 2007.
    .. [Block07] Block et al., *Undersampled radial MRI with multiple coils*, MRM 57, 2007.
    .. [Uecker15] Uecker et al., *Berkeley Advanced Reconstruction Toolbox*, ISMRM 2015.
    """

    def __init__(self, *, weight: float = 0.007, iterations: int = 80, rho: float = 0.05) -> None:
        super().__init__()
        if weight < 0 or iterations < 1 or rho <= 0:
            raise OptionError(
                f"expected weight >= 0, iterations >= 1 and rho > 0, got {weight:g}, {iterations} and {rho:g}. "
                f"Correct them, or keep the defaults."
            )
        self.weight = weight
        self.iterations = iterations
        self.rho = rho

    @torch.no_grad()
    def forward(self, fidelity: LeastSquares) -> Image:
        """Reconstruct.

        Parameters
        ----------
        fidelity
            Least squares of a `CartesianMRI` of slices; data ``(b, coil, ky, kx)``.

        Returns
        -------
        Complex64 images ``(b, y, x)``; an all-zero slice stays zero.

        Raises
        ------
        MissingExtraError
            If bartorch is not installed.
        OptionError
            If the measurement is not a stack of Cartesian slices.
        """
        solve = self._solver()
        maps, mask = _coils_and_mask(fidelity)
        scale = fidelity.start().abs().amax(dim=(-2, -1)).cpu()
        data = fidelity.data.cpu()
        images = [
            _solve_slice(solve, data[i] / scale[i], maps[i], mask[i]) * scale[i]
            if scale[i] > 0
            else data.new_zeros(data.shape[-2:])
            for i in range(len(data))
        ]
        return torch.stack(images).to(fidelity.data.device)

    def _solver(self) -> SolveSlice:
        try:
            from bartorch import apps, priors
        except ImportError as error:
            raise MissingExtraError(
                "expected bartorch for compressed sensing, got no such package. Run: pip install invrim[bart]"
            ) from error

        def solve(data: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
            term = priors.TotalVariation((-2, -1), self.weight)
            # scaling=1: the data are scaled already, by a rule that does not depend on the number of coils' samples.
            options = {"maxiter": self.iterations, "admm_rho": self.rho, "scaling": 1.0}
            return apps.pics(data, maps, regularizers=term, pattern=mask, **options)

        return solve


def available_baselines() -> dict[str, Solver]:
    """Name the baselines that run on this machine for one coil and many, worst expected first.

    Without bartorch only one. CG-SENSE is not among them: for one coil it is the zero-filled image again.
    """
    found: dict[str, Solver] = {"zero-filled": ZeroFilled()}
    if find_spec("bartorch") is not None:
        found["compressed sensing"] = CompressedSensing()
    return found


def _solve_slice(solve: SolveSlice, data: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
    """Insert the slice axis of size 1 that BART expects, ``(coil, 1, y, x)``, and take it out again."""
    image = solve(data[:, None].contiguous(), maps[:, None].contiguous(), mask.to(data.dtype)[:, None].contiguous())
    return image.reshape(data.shape[-2:])


def _coils_and_mask(fidelity: LeastSquares) -> tuple[Tensor, Tensor]:
    """Coil maps ``(b, coil, y, x)``, ones for a single coil, and the mask ``(b, 1, ky, kx)``, on the CPU."""
    operator, data = cartesian_slices(fidelity), fidelity.data
    maps = operator.coils.maps if isinstance(operator.coils, CoilMaps) else torch.ones_like(data)
    mask = operator.sampling.mask.expand(len(data), 1, *data.shape[-2:])
    return maps.expand_as(data).cpu(), mask.cpu()
