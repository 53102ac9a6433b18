"""A state walked over tile by tile, so that a net needs the working memory of one tile."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

from torch import Tensor

from invrim.errors import OptionError

TileOption = int | Sequence[int] | Literal["auto"] | None
"""Voxels of a tile, one number or one per axis; None is all of the space, and "auto" are strips."""

Region = tuple[slice, ...]
"""A part of a space, one slice an axis."""


class Tile(NamedTuple):
    """A part of the space, and what a net has to see around it."""

    inner: Region
    """Voxels that the tile stands for."""
    outer: Region
    """Those and their halo: one cell of the net's stride on every side where the space goes on."""
    margins: tuple[tuple[int, int], ...]
    """Cells of halo ``(before, after)`` along each axis, 0 at the border of the space."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Voxels of `inner` along each axis."""
        return tuple(axis.stop - axis.start for axis in self.inner)

    @property
    def has_halo(self) -> bool:
        """Whether the space goes on anywhere: false of the only tile of a space."""
        return any(cell for ends in self.margins for cell in ends)


def tile_per_axis(tile: TileOption, stride: Sequence[int]) -> tuple[int, ...] | Literal["auto"] | None:
    """One tile size for each axis, in voxels; each a multiple of the stride. What is no number stays as it is."""
    if tile is None or tile == "auto":
        return tile
    sizes: tuple[Any, ...] = tuple(tile) if isinstance(tile, (list, tuple)) else (tile,) * len(stride)
    fits = len(sizes) == len(stride) and all(isinstance(size, int) for size in sizes)
    if not fits or any(size < 1 or size % d for size, d in zip(sizes, stride, strict=True)):
        raise OptionError(
            f"expected a tile of positive multiples of the stride {tuple(stride)}, got {tile!r}. "
            f"Give one number for all axes, or {len(stride)} of them, or 'auto'."
        )
    return sizes


def tiles_of(space: Sequence[int], tile: Sequence[int] | None, stride: Sequence[int]) -> list[Tile]:
    """Divide a space of so many voxels along each axis, in the order of memory; None is one tile without halo."""
    axes = [_divide(n, size, d) for n, size, d in zip(space, tile or space, stride, strict=True)]
    return [Tile(*zip(*parts, strict=True)) for parts in product(*axes)]


def at(x: Tensor, region: Region) -> Tensor:
    """View a region of ``(b, c, ...)``."""
    return x[(slice(None), slice(None), *region)]


def spread_into_(total: Tensor | None, part: Tensor, tile: Tile, space: Sequence[int]) -> Tensor:
    """Add what ``part`` ``(b, c, *outer)`` says of a tile and its halo to ``total`` ``(b, c, *space)``.

    None is a total of zeros; where the tile is all there is, the part becomes the total.
    """
    if total is None:
        if part.shape[2:] == tuple(space):
            return part
        total = part.new_zeros(*part.shape[:2], *space)
    at(total, tile.outer).add_(part)
    return total


def _divide(n: int, size: int, stride: int) -> list[tuple[slice, slice, tuple[int, int]]]:
    """Inner slice, outer slice and margins of every tile along one axis."""
    parts = []
    for start in range(0, n, size):
        stop = min(start + size, n)
        outer = slice(max(start - stride, 0), min(stop + stride, n))
        parts.append((slice(start, stop), outer, (int(start > 0), int(stop < n))))
    return parts
