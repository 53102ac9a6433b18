"""A space divided along one axis, so that a net needs the working memory of one strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, prod

from torch import Tensor

from invrim.layers.tiles import Region, at


@dataclass(frozen=True)
class Strips:
    """Parts of a space one after another along an axis, each as wide as the space.

    What treats cell by cell walks over a strip in slabs, its parts along the first axis of space. Lengths are counted
    in cells, of so many voxels as the net's stride along their axis.
    """

    ndim: int
    """Axes of space."""
    axis: int
    """Of ``(b, c, ...)``, along which strips follow one another."""
    stride: int
    """Voxels of a cell along that axis."""
    cells: int
    """Of the space, along that axis."""
    thickness: int
    """Cells of a strip; the last one may have fewer."""
    slab: int
    """Cells of a slab along the first axis of space; the last one of a strip may have fewer."""
    slab_stride: int
    """Voxels of a cell along the first axis."""
    back_in_slabs: bool = False
    """Whether gradients go back through the convolution slab by slab, too; of one strip only."""

    @property
    def count(self) -> int:
        return ceil(self.cells / self.thickness)

    @property
    def cells_of_last(self) -> int:
        """Thickness of the last strip."""
        return self.cells - (self.count - 1) * self.thickness

    def of(self, x: Tensor) -> Sequence[Tensor]:
        """View the strips of ``(b, c, ...)``, of which every axis of space is given in voxels."""
        return x.split(self.thickness * self.stride, dim=self.axis)

    def slabs(self, strip: Tensor) -> Sequence[Tensor]:
        """View the slabs of a strip, which is given in voxels."""
        return strip.split(self.slab * self.slab_stride, dim=2)

    def slabs_of_cells(self, strip: Tensor) -> Sequence[Tensor]:
        """View the slabs of a strip, which is given in cells."""
        return strip.split(self.slab, dim=2)

    def regions(self, x: Tensor) -> Iterator[Region]:
        """Say where in ``(b, c, ...)`` the slabs are, strip by strip."""
        slices = [[slice(0, n)] for n in x.shape[2:]]
        for strip in _slices(0, x.shape[self.axis], self.thickness * self.stride):
            slices[self.axis - 2] = [strip]
            (first,) = slices[0]
            slabs = _slices(first.start, first.stop, self.slab * self.slab_stride)
            yield from product(slabs, *slices[1:])

    def parts(self, x: Tensor) -> list[Tensor]:
        """View the slabs of ``(b, c, ...)``, strip by strip."""
        return [at(x, region) for region in self.regions(x)]

    @property
    def has_ends(self) -> bool:
        """Whether hidden channels of a strip lie between layers of its neighbours', or of zeros where there is none."""
        return self.count > 1 or self.back_in_slabs

    @property
    def padding(self) -> list[int]:
        """Zeros that a 3×3 convolution adds at both ends of every axis of a strip, if need be between its ends."""
        padding = [1] * self.ndim
        if self.has_ends:
            padding[self.axis - 2] = 0
        return padding

    def with_ends(self, cells: Sequence[int]) -> list[int]:
        """Lengths of a strip of so many cells along each axis, if need be between its ends."""
        return [n + 2 * (self.has_ends and axis == self.axis) for axis, n in enumerate(cells, start=2)]

    def inside(self, between: Tensor) -> Tensor:
        """View a strip without its ends."""
        return between.narrow(self.axis, 1, between.shape[self.axis] - 2) if self.has_ends else between

    def slabs_between(self, between: Tensor) -> list[Tensor]:
        """View the slabs of a strip that has ends, each with a layer of what is next to it at either end."""
        if self.axis > 2:  # the only one
            return [between]
        layers = between.shape[2] - 2
        return [between[:, :, slab.start : slab.stop + 2] for slab in _slices(0, layers, self.slab)]

    def first(self, strip: Tensor, length: int = 1) -> Tensor:
        """View the first layer of a strip, which has so many entries along the axis."""
        return strip.narrow(self.axis, 0, min(length, strip.shape[self.axis]))

    def last(self, strip: Tensor) -> Tensor:
        """View the last layer of a strip that is given in cells."""
        return strip.narrow(self.axis, strip.shape[self.axis] - 1, 1)

    def join_(self, earlier: Tensor, later: Tensor) -> None:
        """Give two strips the layers of each other on which they border."""
        self.last(earlier).copy_(self.first(self.inside(later)))
        self.first(later).copy_(self.last(self.inside(earlier)))


def _slices(start: int, stop: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, stop)) for i in range(start, stop, size)]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a net in strips holds of a cell, in bytes."""

    hidden: float
    """Of the hidden channels, before or after a ReLU, or their gradient."""
    gated: float
    """Of what is alive between the last convolution's output and its gradient."""
    ends: float
    """Of the input, its patches, and their gradient."""
    copied: float
    """Of a copy that the middle convolution makes of hidden channels, if it does."""

    @property
    def of_strips(self) -> float:
        """Of every cell of a strip, the peak of a backward pass through several."""
        # Of two strips hidden channels and a gradient, and of one what the second ReLU made, or another gradient.
        return 5 * self.hidden + max(self.gated, 2 * self.copied)


def strips_of(
    space: Sequence[int], stride: Sequence[int], needs: Needs, room: float, *, most: float = 0, rows: float = 0
) -> Strips:
    """Divide a space of so many voxels along each axis for a walk for which there is ``room`` for so many bytes.

    Into one strip, if hidden channels of all of it fit. Else strips follow one another along the first axis, where they
    lie in one piece. In 3D, though, torch unfolds what it convolves, into 27 copies, where a strip and its neighbours'
    layers are so few ``rows`` of cells, counted across the last axis. Strips are then thicker, but not of more than
    ``most`` bytes; else they lie along the last axis, with all rows of space.
    """
    layers = [ceil(n / d) for n, d in zip(space, stride, strict=True)]
    whole = Strips(len(space), 2, stride[0], layers[0], layers[0], layers[0], stride[0])
    one = _in_slabs(whole, layers, needs, room, rows)
    if one is not None:
        return one
    cells = room / needs.of_strips
    count = ceil(prod(layers) / cells)

    def along(axis: int, thinnest: int) -> Strips:
        thickness = min(max(ceil(layers[axis] / count), thinnest), layers[axis])
        return replace(whole, axis=2 + axis, stride=stride[axis], cells=layers[axis], thickness=thickness)

    if len(space) < 3:
        return along(0, _THINNEST)
    strips = along(0, _THINNEST_OF_LAYERS)
    while strips.count > 1 and _is_unfolded(layers, strips.cells_of_last + 2, rows):
        strips = replace(strips, thickness=strips.thickness + 1)
    cells_of_one = strips.thickness * prod(layers[1:])
    return strips if cells_of_one <= max(cells, most / needs.of_strips) else along(2, _THINNEST)


def _in_slabs(whole: Strips, layers: Sequence[int], needs: Needs, room: float, rows: float) -> Strips | None:
    """Divide one strip into slabs that leave room for hidden channels of all of it; None if there is not enough."""
    hidden, gated, ends = (prod(layers) * held for held in (needs.hidden, needs.gated, needs.ends))
    if _is_unfolded(layers, layers[0], rows) or (needs.copied and 3 * hidden + 2 * needs.copied * prod(layers) > room):
        return None
    # Hidden channels and a gradient of theirs, besides a slab at the gate; then what that becomes on its way back.
    free = room - 2 * hidden
    found = []
    if free > hidden:
        found.append((ceil(max(gated / free, ends / (free - hidden))), False))
    if free > 0 and not needs.copied:
        found.append((ceil(max(gated, hidden + ends) / free), True))
    if not found:
        return None
    count, back_in_slabs = min(found)
    slab = ceil(layers[0] / count)
    thinnest = min(_THINNEST if len(layers) < 3 else _THINNEST_OF_LAYERS, layers[0])
    if slab < thinnest or (back_in_slabs and _is_unfolded(layers, slab + 1, rows)):
        return None
    return replace(whole, slab=slab, back_in_slabs=back_in_slabs)


def _is_unfolded(layers: Sequence[int], thickness: int, rows: float) -> bool:
    """Whether torch unfolds so many layers along z, of a space with ``layers`` along each axis, to convolve them."""
    return len(layers) == 3 and thickness * layers[1] <= rows


_THINNEST = 8
"""Cells of a strip or slab: of thinner ones, what is done once each outweighs the memory that they save."""
_THINNEST_OF_LAYERS = 2
"""The same where a layer is a plane, not a row."""
