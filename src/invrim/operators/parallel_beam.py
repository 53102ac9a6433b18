"""Computed tomography with parallel rays, as at a synchrotron."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import torch
from torch import Tensor

from invrim.errors import ShapeError
from invrim.operators.base import LinearOperator

_THIN = 1e-3
"""Pixel width below which an edge-on pixel is not projected any thinner, in pixels."""
_REACH = 2
"""Bins beside the nearest one that a shadow can reach: it ends less than (sqrt(2) + 1) / 2 bins from its centre."""


class ParallelBeam(LinearOperator):
    r"""Integrate a square image along parallel strips, one strip a detector bin, for every angle.

    An entry of the matrix is the area that a pixel and a strip share. The matrix is kept twice, as it is and
    transposed, so that the adjoint is exact and as fast: about ``6 * angles * size**2`` numbers. The norm is near
    ``sqrt(len(angles) * size)``; divide by it (`invrim.operators.normalised`) before learning.

    Parameters
    ----------
    angles
        In radians, ``(angles,)``.
    size
        Pixels along each side of the image; a bin is as wide as a pixel.
    bins
        Of the detector; ``size`` if None.
    axis
        Detector position of the axis of rotation, in bins, which may lie between two; ``bins // 2`` if None. In the
        image the axis goes through pixel ``size // 2``.

    Image ``(b, y, x)``, sinogram ``(b, angles, bins)``, real or complex. Orientation and unit (length in pixels) are
    those of `skimage.transform.radon`, whose result is ``(bins, angles)``.
    """

    matrix: Tensor
    transposed: Tensor

    def __init__(self, angles: Tensor, size: int, bins: int | None = None, axis: float | None = None) -> None:
        super().__init__()
        bins = size if bins is None else bins
        self.image = (size, size)
        self.sinogram = (len(angles), bins)
        rays, pixels, areas = _shared_areas(angles.double(), size, bins, bins // 2 if axis is None else axis)
        areas = areas.to(torch.get_default_dtype())
        shape = (len(angles) * bins, size * size)
        self.register_buffer("matrix", _compressed(rays, pixels, areas, shape))
        self.register_buffer("transposed", _compressed(pixels, rays, areas, shape[::-1]))

    def forward(self, x: Tensor) -> Tensor:
        _require(x, self.image, "images")
        return _multiply(self.matrix, self.transposed, x).unflatten(1, self.sinogram)

    def adjoint(self, y: Tensor) -> Tensor:
        _require(y, self.sinogram, "sinograms")
        return _multiply(self.transposed, self.matrix, y).unflatten(1, self.image)


def _shared_areas(angles: Tensor, size: int, bins: int, axis: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ray, pixel and shared area of every pair that meets."""
    grid = torch.arange(size, dtype=angles.dtype) - size // 2
    y, x = (coordinate.flatten() for coordinate in torch.meshgrid(grid, grid, indexing="ij"))
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    shadow = axis + x[:, None] * cosine - y[:, None] * sine
    bin_ = shadow.round().long() + torch.arange(-_REACH, _REACH + 1)
    area = _area(bin_ - shadow, cosine.abs().clamp_min(_THIN), sine.abs().clamp_min(_THIN))
    ray = torch.arange(len(angles))[:, None, None] * bins + bin_
    pixel = torch.arange(size * size)[:, None].expand_as(ray)
    meets = (bin_ >= 0) & (bin_ < bins) & (area > torch.finfo(torch.float32).eps)
    return ray[meets], pixel[meets], area[meets]


def _area(offset: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Area of a unit square in a strip of width 1 at ``offset`` from its centre.

    A square's shadow is a box of width ``|cos|`` convolved with one of width ``|sin|``; the bin is a third box. The
    convolution of three boxes is a signed sum of squared ramps, one for every combination of their ends.
    """
    total = torch.zeros_like(offset)
    for a, b, c in itertools.product((1, -1), repeat=3):
        total += a * b * c * (offset + (a * width + b * height + c) / 2).clamp_min(0) ** 2 / 2
    return total / (width * height)


def _compressed(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Build a sparse matrix in compressed rows, with which torch multiplies twenty times faster than with pairs."""
    order = torch.argsort(rows * shape[1] + columns)
    ends = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")  # only products are used here
        return torch.sparse_csr_tensor(
            torch.cat([ends.new_zeros(1), ends]), columns[order], values[order], shape, check_invariants=True
        )


def _multiply(matrix: Tensor, transposed: Tensor, x: Tensor) -> Tensor:
    """Apply a real matrix to every entry of a batch, ``(b, ...) -> (b, rows)``."""
    if x.is_complex():
        return torch.complex(*(_multiply(matrix, transposed, part) for part in (x.real, x.imag)))
    product: Tensor = _Product.apply(x.flatten(1).mT, matrix, transposed)
    return product.mT


class _Product(torch.autograd.Function):
    """A matrix product whose derivative uses the transpose that is there already."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.matrices = transposed, matrix
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grads[0], *ctx.matrices), None, None


def _require(x: Tensor, size: tuple[int, int], what: str) -> None:
    if x.ndim != len(size) + 1 or tuple(x.shape[1:]) != size:
        raise ShapeError(
            f"expected {what} (b, {size[0]}, {size[1]}), got {tuple(x.shape)}. "
            f"Build the operator for this size, these angles and these bins."
        )
