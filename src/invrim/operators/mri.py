"""Cartesian magnetic resonance imaging."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.errors import ShapeError
from invrim.operators.base import LinearOperator
from invrim.operators.fourier import fft_centred, ifft_centred
from invrim.typing import Image, KSpace


class SamplingMask(LinearOperator):
    """Keep the measured k-space samples, zero the others; a projection, its own adjoint."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask if mask.is_floating_point() else mask.to(torch.get_default_dtype()))

    def forward(self, x: KSpace) -> KSpace:
        return self.mask * x

    def adjoint(self, y: KSpace) -> KSpace:
        return self.mask * y

    def normal(self, x: KSpace) -> KSpace:
        return self.mask**2 * x


class CoilMaps(LinearOperator):
    """Weight an image by every coil's sensitivity: ``x -> (s_1 x, ..., s_n x)``."""

    maps: Tensor

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.register_buffer("maps", maps)

    def forward(self, x: Image) -> Tensor:
        return self.maps * x.unsqueeze(1)

    def adjoint(self, y: Tensor) -> Image:
        return (self.maps.conj() * y).sum(dim=1)


class SingleCoil(LinearOperator):
    """One receiver of uniform sensitivity: only the coil axis comes and goes."""

    def forward(self, x: Image) -> Tensor:
        return x.unsqueeze(1)

    def adjoint(self, y: Tensor) -> Image:
        return y.squeeze(1)


class CartesianMRI(LinearOperator):
    r"""SENSE measurement on a Cartesian grid, :math:`A = P F S`: coil maps, Fourier transform, sampling mask.

    Parameters
    ----------
    mask
        1 where k-space was measured, else 0; bool or real, broadcastable to ``(b, 1, [kz,] ky, kx)``. An axis of
        size 1 means *the same along it*: leave axes that are fully sampled at size 1, the normal operator skips their
        transform.
    maps
        Coil sensitivities, complex ``(b or 1, coil, [z,] y, x)``, or None for one coil of uniform sensitivity.
    ndim
        2 for slices, 3 for volumes: how many axes are Fourier-encoded.

    Image ``(b, [z,] y, x)``, k-space ``(b, coil, [kz,] ky, kx)``, centred and orthonormal.

    References
    ----------
    .. [Pruessmann99] Pruessmann et al., *SENSE: sensitivity encoding for fast MRI*, MRM 42, 1999.
    """

    def __init__(self, mask: Tensor, maps: Tensor | None = None, ndim: int = 2) -> None:
        super().__init__()
        _check_shapes(mask, maps, ndim)
        self.ndim = ndim
        self.sampling = SamplingMask(mask)
        self.coils: LinearOperator = SingleCoil() if maps is None else CoilMaps(maps)

    def forward(self, x: Image) -> KSpace:
        self._require_images(x)
        return self.sampling(fft_centred(self.coils(x), self.ndim))

    def adjoint(self, y: KSpace) -> Image:
        self._require_kspace(y)
        return self.coils.adjoint(ifft_centred(self.sampling.adjoint(y), self.ndim))

    def complete(self, x: Image, data: KSpace) -> Tensor:
        """Show ``x`` as every coil would see it, but with the measured samples where there are some.

        Returns
        -------
        Coil images ``(b, coil, [z,] y, x)``.
        """
        missed = self.sampling.adjoint(data - self(x))
        return self.coils(x) + ifft_centred(missed, self.ndim)

    def normal(self, x: Image) -> Image:
        """Apply ``A^H A`` with the fewest transforms.

        Along an axis where the mask is constant the transform cancels its inverse. The shifts of the centred
        transform are phase factors in k-space that commute with the mask, so that shifting the mask once is enough.
        """
        self._require_images(x)
        mask = self.sampling.mask
        axes = [axis for axis in range(-self.ndim, 0) if mask.shape[axis] > 1]
        if not axes:
            return self.coils.adjoint(mask**2 * self.coils(x))
        mask = torch.fft.ifftshift(mask**2, dim=axes)
        k = torch.fft.fftn(self.coils(x), dim=axes, norm="ortho")
        return self.coils.adjoint(torch.fft.ifftn(mask * k, dim=axes, norm="ortho"))

    @property
    def n_coils(self) -> int:
        """Receivers."""
        return self.coils.maps.shape[1] if isinstance(self.coils, CoilMaps) else 1

    @property
    def _batch(self) -> int | None:
        """Of mask and coil maps; None if they serve any."""
        batch = max(len(self.sampling.mask), len(self.coils.maps) if isinstance(self.coils, CoilMaps) else 1)
        return batch if batch > 1 else None

    def _require_images(self, x: Image) -> None:
        if x.ndim != self.ndim + 1:
            raise ShapeError(
                f"expected images (b, {self.ndim} axes), got {tuple(x.shape)}. Add the batch axis, or set ndim."
            )
        if self._batch not in {None, len(x)}:
            raise ShapeError(
                f"expected {self._batch} images, as many as mask and coil maps are for, got {len(x)}. Select the same "
                f"slices of all."
            )

    def _require_kspace(self, y: KSpace) -> None:
        """Refuse what broadcasting would accept, e.g. one map for four coils."""
        mask, coils = self.sampling.mask, self.coils
        single = (1, *(n if n > 1 else None for n in mask.shape[2:]))
        known = (self._batch, *(coils.maps.shape[1:] if isinstance(coils, CoilMaps) else single))
        if y.ndim != self.ndim + 2 or any(n not in {None, k} for n, k in zip(known, y.shape, strict=True)):
            sizes = [str(known[0] or "b"), *(str(n or "k") for n in known[1:])]
            raise ShapeError(
                f"expected k-space ({', '.join(sizes)}) as mask and coil maps have it, got {tuple(y.shape)}. Add "
                f"missing axes, or give a mask and maps (b, coil, {self.ndim} axes) for these slices and coils."
            )


def _check_shapes(mask: Tensor, maps: Tensor | None, ndim: int) -> None:
    if mask.ndim != ndim + 2 or mask.shape[1] != 1:
        raise ShapeError(
            f"expected a mask broadcastable to (b, 1, {ndim} k-space axes), got {tuple(mask.shape)}. "
            f"Reshape it, e.g. a mask of columns to (1, 1, 1, kx)."
        )
    if maps is None:
        return
    if maps.ndim != ndim + 2 or not maps.is_complex():
        raise ShapeError(
            f"expected complex coil maps (b, coil, {ndim} axes), got {maps.dtype} {tuple(maps.shape)}. "
            f"Add the batch axis, or set ndim."
        )
    if len({len(mask), len(maps)} - {1}) > 1:
        raise ShapeError(
            f"expected mask and coil maps of one batch, got {len(mask)} and {len(maps)}. Select the same slices "
            f"of both."
        )
    pairs = zip(mask.shape[2:], maps.shape[2:], strict=True)
    if any(k not in {1, n} for k, n in pairs):
        raise ShapeError(
            f"the mask is {tuple(mask.shape[2:])} but the coil maps are {tuple(maps.shape[2:])}. "
            f"Crop the k-space, or estimate the maps at its size."
        )
