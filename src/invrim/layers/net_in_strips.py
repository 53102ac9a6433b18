"""A residual net evaluated and differentiated strip by strip, hardly a voxel twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import zip_longest
from math import ceil, prod
from typing import NamedTuple

import torch
from torch import Tensor

from invrim.invertible import trainable
from invrim.layers.mixing import correlate
from invrim.layers.patches import gather_patches, lay_out_patches, layout_of_hidden, mix_from_hidden, mix_into_hidden
from invrim.layers.residual import CONVOLVE, ResidualNet
from invrim.layers.strips import Strips
from invrim.layers.tiles import at

_aten = torch.ops.aten


class _Seen(NamedTuple):
    """A strip up to the middle convolution."""

    strip: Tensor
    """Of what the input is made of."""
    hidden: Tensor
    """After the first ReLU, between layers of the neighbours'."""


class NetInStrips:
    """A `ResidualNet` that takes its input strip after strip.

    Only the middle convolution looks beyond a patch, by one cell: a strip needs a layer of hidden channels of either
    neighbour's, and on the way back of their gradient. So hardly anything is evaluated twice, unlike in tiles with a
    halo, and what is alive is that of two strips. What does not look beyond a patch walks over a strip in slabs.
    Gradients are written out: a graph would keep everything to its end.

    To be made in gradient mode, if gradients are wanted, and used without it and outside autocast.

    Parameters
    ----------
    net
        Whose weights are taken as they are now.
    strips
        Of the space.
    precision
        In which the net computes.
    """

    def __init__(self, net: ResidualNet, strips: Strips, precision: torch.dtype) -> None:
        self._net = net
        self._leaves = trainable(net)
        self._strips = strips
        self._precision = precision
        self._sources = {
            "down": net.down.weight,
            "down bias": net.down.bias,
            "middle": net.middle.weight,
            "middle bias": net.middle.bias,
            "up": net.up.weight,
        }
        self._weights = {name: source.detach().to(precision) for name, source in self._sources.items()}
        self._down, self._up = self._weights["down"].flatten(1), self._weights["up"].flatten(1)
        self._totals: dict[str, Tensor] = {}
        """Gradients of the sources."""

    def evaluate(self, z: Tensor, read: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """Yield the output ``(b, out_channels, ...)`` of slab after slab, free to be changed in ``z`` thereafter.

        Parameters
        ----------
        z
            What the input is made of, voxel by voxel.
        read
            Makes it.
        """
        for seen in self._see(z, read):
            h = self._convolve_hidden(seen)
            for part, cells in self._slabs(seen.strip, h):
                yield self._net.finish(self._to_voxels(cells), part.shape[2:])

    def pull_back(
        self, z: Tensor, read: Callable[[Tensor], Tensor], receive: Callable[[Tensor], Tensor]
    ) -> Iterator[Tensor]:
        """Yield the gradient of the input ``(b, in_channels, ...)`` of slab after slab, and sum those of the weights.

        Parameters
        ----------
        z, read
            As `evaluate` takes them. Every slab is read twice, before and after it may be changed, and must read alike.
        receive
            Given the output of slab after slab, which may then be changed in ``z``, returns the output's gradient.
        """
        self._totals = {}
        earlier: _Seen | None = None
        grad: Tensor | None = None  # of what the middle convolution made of the earlier strip, between its neighbours'
        for seen in self._see(z, read):
            later = self._to_middle(seen, receive)
            if earlier is not None and grad is not None:
                self._strips.join_(grad, later)
                yield from self._to_input(earlier, grad, read)
            earlier, grad = seen, later
            del seen, later
        assert earlier is not None, "every space has a strip"
        assert grad is not None, "of every strip"
        yield from self._to_input(earlier, grad, read)

    def gradients(self) -> dict[Tensor, Tensor]:
        """Gradients of the net's trainable tensors, of all strips that `pull_back` walked over."""
        if not self._totals:
            return {}
        sources, totals = [self._sources[name] for name in self._totals], list(self._totals.values())
        found = torch.autograd.grad(sources, self._leaves, totals, allow_unused=True, retain_graph=True)
        return {leaf: grad for leaf, grad in zip(self._leaves, found, strict=True) if grad is not None}

    def _see(self, z: Tensor, read: Callable[[Tensor], Tensor]) -> Iterator[_Seen]:
        """Yield strips up to the middle convolution."""
        strips = self._strips
        before: Tensor | None = None
        parts = strips.of(z)
        for strip, later in zip_longest(parts, parts[1:]):
            hidden = self._room(strip)
            for part, h in self._slabs(strip, strips.inside(hidden)):
                torch.clamp_min(self._to_hidden(read(part)), 0, out=h)
            if before is not None:
                strips.first(hidden).copy_(before)
            if later is not None:
                ahead = self._to_hidden(read(strips.first(later, strips.stride)))
                torch.clamp_min(ahead, 0, out=strips.last(hidden))
                before = strips.last(strips.inside(hidden)).clone()  # a view would keep all of the strip
            yield _Seen(strip, hidden)
            del hidden, h

    def _room(self, strip: Tensor) -> Tensor:
        """Make room for hidden channels of a strip, which is given in voxels; its ends are zeros so far."""
        channels = len(self._weights["down"])
        cells = [ceil(n / d) for n, d in zip(strip.shape[2:], self._net.stride, strict=True)]
        room = torch.empty(
            (len(strip), channels, *self._strips.with_ends(cells)),
            dtype=self._precision,
            device=strip.device,
            memory_format=layout_of_hidden(strip, channels),
        )
        if self._strips.has_ends:
            for layer in (self._strips.first(room), self._strips.last(room)):
                layer.zero_()
        return room

    def _to_hidden(self, x: Tensor) -> Tensor:
        """Hidden channels of an input, before the first ReLU."""
        return mix_into_hidden(self._down, self._gather(x), self._weights["down bias"])

    def _convolve_hidden(self, seen: _Seen) -> Tensor:
        """What the second ReLU makes of a strip."""
        return self._convolve(seen.hidden, self._weights["middle"], self._weights["middle bias"]).relu_()

    def _to_voxels(self, h: Tensor) -> Tensor:
        """Voxels ``(b, width, voxels of a patch, ...)`` of what the second ReLU made, before the gate."""
        return self._by_patch(mix_from_hidden(self._up.mT, h))

    def _slabs(self, strip: Tensor, *given_in_cells: Tensor) -> list[tuple[Tensor, ...]]:
        """View the slabs of a strip, and of what is known of its cells."""
        cells = map(self._strips.slabs_of_cells, given_in_cells)
        return list(zip(self._strips.slabs(strip), *cells, strict=True))

    def _by_patch(self, x: Tensor) -> Tensor:
        """View channels ``(b, c * voxels of a patch, ...)`` as ``(b, c, voxels of a patch, ...)``."""
        voxels = prod(self._net.stride)
        batch, channels, *cells = x.shape
        return x.view(batch, channels // voxels, voxels, *cells)

    def _gather(self, x: Tensor) -> Tensor:
        return gather_patches(self._net.fill_patches(x).to(self._precision), self._net.stride)

    def _to_middle(self, seen: _Seen, receive: Callable[[Tensor], Tensor]) -> Tensor:
        """Backpropagate from the output to the middle convolution's; return the gradient of that, of several strips
        with room for layers of the neighbours'."""
        h, strips = self._convolve_hidden(seen), self._strips
        room = inside = h
        if strips.count > 1:
            room = self._room(seen.strip)
            inside = strips.inside(room)
        between = iter(strips.slabs_between(seen.hidden)) if strips.has_ends else None
        for part, cells, grad in self._slabs(seen.strip, h, inside):
            voxels = self._to_voxels(cells)
            grad_voxels = self._to_gate(receive(self._net.finish(voxels, part.shape[2:])), voxels)
            if self._wants("up"):
                self._add("up", correlate(cells, grad_voxels))
            _aten.threshold_backward.grad_input(mix_into_hidden(self._up, grad_voxels), cells, 0, grad_input=grad)
            del voxels, grad_voxels, cells  # not beside those of the next slab
            if self._wants("middle bias"):
                self._add("middle bias", _sum_of_channels(grad))
            if between is not None:
                self._add_middle(next(between), grad)
        del h  # of several strips not beside what the convolution copies
        if between is None:
            self._add_middle(seen.hidden, inside)
        return room

    def _to_gate(self, grad: Tensor, voxels: Tensor) -> Tensor:
        """Backpropagate from the output to what was before the gate, patches stacked."""
        grad = self._by_patch(self._gather(grad))
        return (_aten.glu_backward(grad, voxels, 1) if self._net.gated else grad).flatten(1, 2)

    def _add_middle(self, hidden: Tensor, grad: Tensor) -> None:
        """Add to the gradient of the middle convolution's weights, given what it saw and that of what it made."""
        if not self._wants("middle"):
            return
        weight, padding, ones = self._weights["middle"], self._strips.padding, [1] * len(self._net.stride)
        # Not torch.nn.grad, which would make up weights of another layout, so that everything would be copied. Without
        # the bias, whose gradient takes longer here than a sum.
        _, found, _ = _aten.convolution_backward(
            grad, hidden, weight, None, ones, padding, ones, False, [0] * len(ones), 1, (False, True, False)
        )
        self._add("middle", found)

    def _to_input(self, seen: _Seen, grad: Tensor, read: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """Backpropagate to the net's input, slab by slab, from the middle convolution's output between its
        neighbours'."""
        slabs, back = self._slabs(seen.strip, self._strips.inside(seen.hidden)), self._convolve_back(grad)
        for part, hidden in slabs:
            cells = next(back)
            _aten.threshold_backward.grad_input(cells, hidden, 0, grad_input=cells)
            if self._wants("down"):
                self._add("down", correlate(cells, self._gather(read(part))))
            if self._wants("down bias"):
                self._add("down bias", _sum_of_channels(cells))
            voxels = self._by_patch(mix_from_hidden(self._down.mT, cells))
            del cells
            yield at(lay_out_patches(voxels, self._net.stride), tuple(slice(n) for n in part.shape[2:]))
            del voxels  # not beside what is made of the next slab

    def _convolve_back(self, grad: Tensor) -> Iterator[Tensor]:
        """Yield slab after slab of the gradient of what the middle convolution saw of a strip."""
        if not self._strips.back_in_slabs:
            yield from self._strips.slabs_of_cells(self._convolve(grad, self._turned, None))
            return
        layers, ones = grad.shape[2], [1] * len(self._net.stride)
        for start in range(0, layers, self._strips.slab):
            stop = min(start + self._strips.slab, layers)
            first, last = max(start - 1, 0), min(stop + 1, layers)
            # Layers next to a slab are seen from one side only, and left out of what is made.
            back = CONVOLVE[len(ones)](grad[:, :, first:last], self._turned, None, padding=ones)
            yield back[:, :, start - first : stop - first]

    @cached_property
    def _turned(self) -> Tensor:
        """With these weights the middle convolution runs backwards; so computed, the zeros around space are not."""
        weight = self._weights["middle"]
        return weight.transpose(0, 1).flip(tuple(range(2, weight.ndim)))

    def _convolve(self, between: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolved: Tensor = CONVOLVE[between.ndim - 2](between, weight, bias, padding=self._strips.padding)
        return convolved

    def _wants(self, name: str) -> bool:
        return self._sources[name].requires_grad

    def _add(self, name: str, grad: Tensor) -> None:
        """Add to the gradient of a weight, in the precision of the weight."""
        source = self._sources[name]
        grad = grad.reshape(source.shape).to(source.dtype)
        self._totals[name] = self._totals[name].add_(grad) if name in self._totals else grad


def _sum_of_channels(x: Tensor) -> Tensor:
    """Sum ``(b, c, ...)`` over all but the channels."""
    return x.sum(dim=(0, *range(2, x.ndim)))
