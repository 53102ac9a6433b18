"""Magnetic resonance imaging along any trajectory: radial, spiral, stack of stars."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from invrim.errors import ShapeError
from invrim.operators.base import LinearOperator
from invrim.operators.density_compensation import density_compensation
from invrim.operators.fidelity import LeastSquares
from invrim.operators.mri import CoilMaps, SingleCoil
from invrim.operators.nufft import NonuniformFourierTransform
from invrim.typing import Image, KSpace


class NonCartesianMRI(LinearOperator):
    r"""SENSE measurement along a trajectory, :math:`A = W^{1/2} F S`: coil maps, Fourier transform, weights.

    A gradient of `LeastSquares` costs two Fourier transforms of twice the size for every coil, and neither the
    trajectory nor its length.

    Parameters
    ----------
    trajectory
        One for all images, in cycles per pixel, -0.5 to 0.5, real ``(..., ndim)`` such as ``(spokes, readout, 2)``,
        ``(ky, kx)`` or ``(kz, ky, kx)`` last; its precision is that of the operator.
    size
        Of the images, ``([z,] y, x)``.
    maps
        Coil sensitivities, complex ``(b or 1, coil, [z,] y, x)``, or None for one coil of uniform sensitivity.
    weights
        w, one for each sample, ``trajectory.shape[:-1]``: the fidelity is then ``1/2 ||W^{1/2} (F S x - d)||^2``, for
        which data have to be weighted as well (`weigh`). None: 1. Models want those of `density_compensation`.

    Image ``(b, [z,] y, x)``, k-space ``(b, coil, *trajectory.shape[:-1])``, centred and orthonormal.

    References
    ----------
    .. [Pruessmann01] Pruessmann et al., *Advances in sensitivity encoding with arbitrary k-space trajectories*,
       MRM 46, 2001.
    """

    def __init__(
        self, trajectory: Tensor, size: Sequence[int], maps: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.fourier = NonuniformFourierTransform(trajectory, size, weights)
        if maps is not None:
            _check_maps(maps, self.fourier)
        self.coils: LinearOperator = SingleCoil() if maps is None else CoilMaps(maps)

    def forward(self, x: Image) -> KSpace:
        self._require_images(x)
        return self.fourier(self.coils(x))

    def adjoint(self, y: KSpace) -> Image:
        self._require_kspace(y)
        return self.coils.adjoint(self.fourier.adjoint(y))

    def normal(self, x: Image) -> Image:
        self._require_images(x)
        return self.coils.adjoint(self.fourier.normal(self.coils(x)))

    def weigh(self, kspace: KSpace) -> KSpace:
        """Multiply measured k-space by the root of the weights, as `forward` predicts it."""
        self._require_kspace(kspace)
        return self.fourier.weigh(kspace)

    @property
    def n_coils(self) -> int:
        """Receivers."""
        return self.coils.maps.shape[1] if isinstance(self.coils, CoilMaps) else 1

    @property
    def _batch(self) -> int | None:
        """Of the coil maps; None if they serve any."""
        return len(self.coils.maps) if isinstance(self.coils, CoilMaps) and len(self.coils.maps) > 1 else None

    def _require_images(self, x: Image) -> None:
        size = self.fourier.size
        if tuple(x.shape[1:]) != size or self._batch not in {None, len(x)}:
            raise ShapeError(
                f"expected images ({', '.join(map(str, (self._batch or 'b', *size)))}) as size and coil maps are, got "
                f"{tuple(x.shape)}. Add the batch axis, or build the operator for this size and these slices."
            )

    def _require_kspace(self, y: KSpace) -> None:
        """Refuse what broadcasting would accept, e.g. one map for four coils."""
        samples = self.fourier.samples
        if tuple(y.shape[1:]) != (self.n_coils, *samples) or self._batch not in {None, len(y)}:
            expected = ", ".join(map(str, (self._batch or "b", self.n_coils, *samples)))
            raise ShapeError(
                f"expected k-space ({expected}) as coil maps and trajectory have it, got {tuple(y.shape)}. Add missing "
                f"axes, or give the trajectory of these samples and the maps of these coils and slices."
            )


def noncartesian_fidelity(
    kspace: KSpace,
    trajectory: Tensor,
    size: Sequence[int],
    maps: Tensor | None = None,
    weights: Tensor | None = None,
) -> LeastSquares:
    """Weighted least squares between measured and predicted samples.

    Parameters
    ----------
    kspace
        d as it was measured, complex ``(b, coil, *trajectory.shape[:-1])``.
    trajectory, size
        As of `NonCartesianMRI`.
    maps
        As of `NonCartesianMRI`. The images are then ``(b, [z,] y, x)``. None: a single coil's image as it is, with its
        phase, and several coils' images each by itself, ``(b, coil, [z,] y, x)``.
    weights
        As of `NonCartesianMRI`, but None computes those of `density_compensation`: with them the gradients are of the
        size of the images, as they are on a Cartesian grid, and ``start()`` looks like the image.
    """
    if weights is None:
        weights = density_compensation(trajectory, size)
    if maps is None and kspace.ndim == trajectory.ndim + 1 and kspace.shape[1] > 1:
        fourier = NonuniformFourierTransform(trajectory, size, weights)
        return LeastSquares(fourier, fourier.weigh(kspace))
    operator = NonCartesianMRI(trajectory, size, maps, weights)
    return LeastSquares(operator, operator.weigh(kspace))


def _check_maps(maps: Tensor, fourier: NonuniformFourierTransform) -> None:
    dtype = fourier.root.dtype.to_complex()
    if maps.ndim != len(fourier.size) + 2 or tuple(maps.shape[2:]) != fourier.size or maps.dtype != dtype:
        raise ShapeError(
            f"expected {dtype} coil maps (b, coil, {', '.join(map(str, fourier.size))}) as size and trajectory are, "
            f"got {maps.dtype} {tuple(maps.shape)}. Add the batch axis, or estimate them at this size."
        )
