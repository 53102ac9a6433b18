"""The residual net inside a reversible block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from invrim.errors import OptionError
from invrim.invertible import autocast_on, is_hooked
from invrim.layers.channel_product import prefers_channels_last
from invrim.layers.patches import (
    PatchConv1d,
    PatchConv2d,
    PatchConv3d,
    PatchConvTranspose1d,
    PatchConvTranspose2d,
    PatchConvTranspose3d,
    lay_out_patches,
)
from invrim.layers.state import is_transformed
from invrim.layers.strips import Needs, Strips, strips_of
from invrim.layers.tiles import Tile, at, tiles_of
from invrim.sharding import Shardable

_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TO_PATCHES = {1: PatchConv1d, 2: PatchConv2d, 3: PatchConv3d}
_FROM_PATCHES = {1: PatchConvTranspose1d, 2: PatchConvTranspose2d, 3: PatchConvTranspose3d}

_UNFOLDED = 20_480
"""torch unfolds what it convolves in 3D, on a CPU and in float32, into 27 copies, where there is one of a batch and
channels x z x y is at most this."""

_STRIP_BYTES = {"cpu": (6e6, 20e6)}
"""What an evaluation in strips and its backward pass may hold at a time, at least and at most. Measured: less costs
time, and so does what falls out of the caches."""
_STRIP_BYTES_ELSEWHERE = (512e6, 512e6)
"""Not measured: kernels that take longer than their launch."""
_STRIP_STATES = 3.0
"""What they hold between these bounds, in sizes of the state: with it and its gradient less than five."""
_WEIGHTS = 6
"""How often they hold the weights besides: normalised, turned, and gradients, of the next step's too."""
_CHANNELS_OF_A_BLOCK = 16
"""oneDNN convolves copies of activations with channels in blocks, unless they are in float32 and lie last."""

Margins = Sequence[tuple[int, int]]
"""Cells ``(before, after)`` along each axis."""


class ResidualNet(nn.Module, Shardable):
    """Three weight-normalised convolutions that see far for their cost: down by the stride, 3×3, and up again.

    ``conv(in -> hidden, kernel d, stride d) - ReLU - conv(hidden -> hidden, kernel 3) - ReLU -
    transposed conv(hidden -> out, kernel d, stride d)``, then a gated linear unit. Any size is accepted: the input is
    padded with zeros to a multiple of the stride and the output cropped, so that every voxel is reached. On a part of a
    volume (`invrim.shard`) the middle convolution sees one cell of the neighbours' beyond each end.

    Parameters
    ----------
    in_channels, hidden, out_channels
        Widths; input ``(b, in_channels, ...)``, output ``(b, out_channels, ...)`` of the same size.
    stride
        d, one number or one per axis; the published code calls it *dilation*. In 3D one number means ``[1, d, d]``:
        never along slices.
    ndim
        Spatial axes: 1, 2 or 3.
    gated
        Whether a gated linear unit ends the net, as in the blocks; the output head has none.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 3.1.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        stride: int | Sequence[int] = 1,
        *,
        ndim: int = 2,
        gated: bool = True,
    ) -> None:
        super().__init__()
        if ndim not in _CONVOLUTION:
            raise OptionError(f"expected 1, 2 or 3 spatial axes, got {ndim}. Fold other axes into the batch.")
        self.stride = stride_per_axis(stride, ndim)
        self.gated = gated
        width = 2 * out_channels if gated else out_channels
        kernel: Any = self.stride  # the convolution classes of 1, 2 and 3 axes are typed one by one
        self.down = weight_norm(_TO_PATCHES[ndim](in_channels, hidden, kernel, kernel))
        self.middle = weight_norm(_CONVOLUTION[ndim](hidden, hidden, 3, padding=1))
        self.up = weight_norm(_FROM_PATCHES[ndim](hidden, width, kernel, kernel, bias=False))
        self._made = self.down, self.middle, self.up

    def forward(self, x: Tensor, tile: Tile | None = None) -> Tensor:
        """Evaluate the net, or that part of its output that belongs to a tile.

        Parameters
        ----------
        x
            ``(b, in_channels, ...)``: all of the input, or of a tile with its halo.
        tile
            What ``x`` is cut from. The result is then the tile's own, without halo, as if the net had seen everything.
        """
        h = self.down(self.fill_patches(x))
        margins: Margins = ((0, 0),) * len(self.stride) if tile is None else tile.margins
        if self.shard is not None:
            h = self.shard.with_neighbours(h)  # before the ReLU, which keeps its result: the one without is let go
            along = range(-len(margins), 0)
            margins = [(1, 1) if axis == self.shard.dim else ends for axis, ends in zip(along, margins, strict=True)]
        zeros = [(1 - before, 1 - after) for before, after in margins]
        padding = [min(ends) for ends in zeros]  # by the convolution itself
        # Other zeros before the ReLU, whose result is then what the convolution keeps as well. It is not in place: a
        # view, whose gradient would be copied about, or of which autograd forbids it.
        h = F.relu(_pad(h, [(before - n, after - n) for (before, after), n in zip(zeros, padding, strict=True)]))
        h = F.relu_(self._convolve(h, padding))
        y: Tensor = self.up(h)
        return self.finish(y, x.shape[2:] if tile is None else tile.sizes)

    def finish(self, y: Tensor, sizes: Sequence[int]) -> Tensor:
        """Gate what the last convolution made, ``(b, width, voxels of a patch, ...)``, and lay out so many voxels."""
        y = F.glu(y, dim=1) if self.gated else y  # first: half as much to lay out
        return at(lay_out_patches(y, self.stride), tuple(slice(n) for n in sizes))

    def tiles(self, z: Tensor, tile: tuple[int, ...] | None) -> list[Tile]:
        """Divide the space of ``(b, c, ...)`` into tiles as large as said; a shard is never cut along its axis."""
        if tile is not None and self.shard is not None:
            tile = self.shard.whole_along(tile, z.shape[2:])
        return tiles_of(z.shape[2:], tile, self.stride)

    def strips(self, z: Tensor) -> Strips | None:
        """Divide the space of ``(b, c, ...)`` into strips that suit its size; None if the net cannot take them.

        It cannot as a part of a shard, whose neighbours are elsewhere, nor once parts of it are others than it was made
        with, or have hooks: strips pass by their ``forward``. Nor under transforms, whose tensors are not written into.
        """
        if self.shard is not None or is_transformed() or not self._is_as_made():
            return None
        precision, device = self.precision_on(z), z.device.type
        smallest, largest = _STRIP_BYTES.get(device, _STRIP_BYTES_ELSEWHERE)
        patches, hidden, width = self._widths()
        weights = (patches + 3 ** len(self.stride) * hidden + width) * hidden
        most = _STRIP_STATES * z.nbytes - _WEIGHTS * weights * precision.itemsize
        room = min(max(most, smallest), largest)
        unfolds = device == "cpu" and precision == torch.float32 and len(z) == 1
        rows = _UNFOLDED / hidden if unfolds else 0
        return strips_of(z.shape[2:], self.stride, self._needs(z, precision), room, most=most, rows=rows)

    def _needs(self, z: Tensor, precision: torch.dtype) -> Needs:
        """What is alive of a cell; ``z`` is what the input is made of."""
        patches, hidden, width = self._widths()
        output = width // 2 if self.gated else width
        of_net, of_z = (dtype.itemsize * max(len(z), 1) for dtype in (precision, z.dtype))
        return Needs(
            hidden=of_net * hidden,
            # Before the gate, and its gradient; behind it, and its gradient, of which patches are gathered.
            gated=of_net * 2 * width + of_z * (2 + (math.prod(self.stride) > 1)) * output,
            # The input and its patches, or their gradient before and after it is laid out, and on a grid another one.
            ends=of_z * 3 * patches,
            copied=of_net * self._copied_channels(z, precision),
        )

    def _copied_channels(self, z: Tensor, precision: torch.dtype) -> int:
        """How many the middle convolution copies, the last block of them filled up."""
        if precision == torch.float32 and prefers_channels_last(z, self.middle.out_channels):
            return 0
        return _CHANNELS_OF_A_BLOCK * math.ceil(self.middle.out_channels / _CHANNELS_OF_A_BLOCK)

    def _widths(self) -> tuple[int, int, int]:
        """Numbers of a cell: of its patch, hidden channels, and what the last convolution makes."""
        voxels = math.prod(self.stride)
        return self.down.in_channels * voxels, self.middle.out_channels, self.up.out_channels * voxels

    def precision_on(self, z: Tensor) -> torch.dtype:
        """In which the net computes for a state ``z``, under autocast as it is set."""
        _, lower, is_lowered = autocast_on(z.device.type)
        return lower if is_lowered and z.dtype != torch.float64 else z.dtype

    def scale_output(self, gain: float) -> None:
        """Multiply the last convolution by ``gain``: its norm is a parameter of its own."""
        self.up.parametrizations.weight.original0.mul_(gain)

    def _is_as_made(self) -> bool:
        """Whether evaluating the net is what `forward` says, and its parts are what they were."""
        parts = self.down, self.middle, self.up
        return (
            type(self).forward is ResidualNet.forward
            and all(part is made for part, made in zip(parts, self._made, strict=True))
            and not any("forward" in vars(module) or is_hooked(module) for module in (self, *parts))
        )

    def _convolve(self, h: Tensor, padding: Sequence[int]) -> Tensor:
        """The middle convolution, with so many zeros at both ends of every axis."""
        if all(padding):
            return self.middle(h)
        convolved: Tensor = CONVOLVE[h.ndim - 2](h, self.middle.weight, self.middle.bias, padding=padding)
        return convolved

    def fill_patches(self, x: Tensor) -> Tensor:
        """Put zeros behind every axis of ``(b, c, ...)``, up to a multiple of the stride."""
        return _pad(x, [(0, -n % d) for n, d in zip(x.shape[2:], self.stride, strict=True)])


def _pad(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Put zeros before and after every axis of space; nothing to put is no copy."""
    if not any(width for ends in widths for width in ends):
        return x
    return F.pad(x, [width for ends in reversed(widths) for width in ends])


def stride_per_axis(stride: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """One stride for each spatial axis; a single number spares the slice axis of 3D."""
    if isinstance(stride, int):
        stride = (1, stride, stride) if ndim == 3 else (stride,) * ndim
    if len(stride) != ndim or math.prod(stride) < 1 or min(stride) < 1:
        raise OptionError(
            f"expected a positive stride for each of {ndim} axes, got {tuple(stride)}. "
            f"Give one number, or {ndim} of them."
        )
    return tuple(stride)
