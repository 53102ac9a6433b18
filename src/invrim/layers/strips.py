"""A space divided along one axis, so that a net needs the working memory of one strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

import torch
from torch import Tensor

from invrim.layers.tiles import Region


@dataclass(frozen=True)
class Strips:
    """Parts of a space one after another along an axis, each as wide as the space.

    Lengths are counted in cells, of so many voxels as the net's stride along that axis.
    """

    ndim: int
    """Axes of space."""
    axis: int
    """Of ``(b, c, ...)``."""
    stride: int
    """Voxels of a cell along the axis."""
    cells: int
    """Of the space, along the axis."""
    thickness: int
    """Cells of a strip; the last one may have fewer."""

    @property
    def count(self) -> int:
        return ceil(self.cells / self.thickness)

    @property
    def cells_of_last(self) -> int:
        """Thickness of the last strip."""
        return self.cells - (self.count - 1) * self.thickness

    def regions(self, x: Tensor) -> Iterator[Region]:
        """Say where in ``(b, c, ...)`` the strips are that `of` returns."""
        size = self.thickness * self.stride
        before, behind = (slice(None),) * (self.axis - 2), (slice(None),) * (self.ndim + 1 - self.axis)
        return ((*before, slice(i, i + size), *behind) for i in range(0, x.shape[self.axis], size))

    def of(self, x: Tensor) -> Sequence[Tensor]:
        """View the strips of ``(b, c, ...)``, of which every axis of space is given in voxels."""
        return x.split(self.thickness * self.stride, dim=self.axis)

    def first(self, x: Tensor, length: int = 1) -> Tensor:
        """View the first layer of ``(b, c, ...)``, which has so many entries along the axis."""
        return x.narrow(self.axis, 0, min(length, x.shape[self.axis]))

    def last(self, x: Tensor) -> Tensor:
        """Copy the last layer of cells of ``(b, c, ...)``, given in cells: a view would keep all of ``x``."""
        return x.narrow(self.axis, x.shape[self.axis] - 1, 1).clone()

    def inside(self, x: Tensor) -> Tensor:
        """View the strip in what `between` returned."""
        return x if self.count == 1 else x.narrow(self.axis, 1, x.shape[self.axis] - 2)

    @property
    def padding(self) -> list[int]:
        """Zeros that a 3×3 convolution adds at both ends of every axis to what `between` returns."""
        padding = [1] * self.ndim
        if self.count > 1:
            padding[self.axis - 2] = 0
        return padding

    def between(self, before: Tensor | None, x: Tensor, after: Tensor | None) -> Tensor:
        """Put a strip ``x`` between layers of its neighbours, laid out like it; where there is none are zeros."""
        if self.count == 1:  # zeros on both sides, which a convolution adds by itself
            return x
        # Not torch.cat, which may lay out otherwise: single layers do not tell where their channels lie.
        last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim, torch.contiguous_format)
        layout = torch.contiguous_format if x.is_contiguous() else last
        sizes = [n + 2 * (axis == self.axis) for axis, n in enumerate(x.shape)]
        wide = torch.empty(sizes, dtype=x.dtype, device=x.device, memory_format=layout)
        self.inside(wide).copy_(x)
        for end, layer in ((0, before), (-1, after)):
            side = wide.narrow(self.axis, end, 1)
            side.zero_() if layer is None else side.copy_(layer)
        return wide


def strips_of(space: Sequence[int], stride: Sequence[int], cells: float, most: float = 0, rows: float = 0) -> Strips:
    """Divide a space of so many voxels along each axis into strips of about so many cells.

    Along the first axis, where strips lie in one piece. In 3D, though, torch unfolds what it convolves, into 27
    copies, where a strip and its neighbours' layers are so few ``rows`` of cells, counted across the last axis. Strips
    are then thicker, but not of more than ``most`` cells; else they lie along the last axis, with all rows of space.
    """
    layers = [ceil(n / d) for n, d in zip(space, stride, strict=True)]
    count = ceil(prod(layers) / cells)

    def along(axis: int, thinnest: int) -> Strips:
        thickness = min(max(ceil(layers[axis] / count), thinnest), layers[axis])
        return Strips(len(space), 2 + axis, stride[axis], layers[axis], thickness)

    if len(space) < 3:
        return along(0, _THINNEST)
    strips = along(0, _THINNEST_OF_LAYERS)
    while strips.count > 1 and (strips.cells_of_last + 2) * layers[1] <= rows:
        strips = replace(strips, thickness=strips.thickness + 1)
    cells_of_one = strips.thickness * prod(layers[1:])
    return strips if cells_of_one <= max(cells, most) else along(2, _THINNEST)


_THINNEST = 8
"""Cells of a strip: of thinner ones, what is done once a strip outweighs the memory that they save."""
_THINNEST_OF_LAYERS = 2
"""The same where a layer is a plane, not a row."""
