"""A residual net evaluated and differentiated strip by strip, no voxel twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from invrim.invertible import trainable
from invrim.layers.mixing import correlate
from invrim.layers.patches import gather_patches, lay_out_patches, mix_from_hidden, mix_into_hidden
from invrim.layers.residual import CONVOLVE, ResidualNet
from invrim.layers.strips import Strips
from invrim.layers.tiles import at

_aten = torch.ops.aten


class _Seen(NamedTuple):
    """A strip up to the middle convolution."""

    sizes: torch.Size
    """Of the input along each axis, in voxels."""
    patches: Tensor
    hidden: Tensor
    """After the first ReLU, between layers of the neighbours'."""


class NetInStrips:
    """A `ResidualNet` that takes its input strip after strip.

    Only the middle convolution looks beyond a patch, by one cell: a strip needs a layer of hidden channels of either
    neighbour's, and on the way back of their gradient. So hardly anything is evaluated twice, unlike in tiles with a
    halo, and what is alive is that of two strips. Gradients are written out: a graph would keep everything to its end.

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
        """Yield the output ``(b, out_channels, ...)`` of strip after strip, free to be changed in ``z`` thereafter.

        Parameters
        ----------
        z
            What the input is made of, voxel by voxel.
        read
            Makes it.
        """
        for seen in self._see(z, read):
            _, voxels = self._speak(seen)
            yield self._net.finish(voxels, seen.sizes)

    def pull_back(
        self, z: Tensor, read: Callable[[Tensor], Tensor], receive: Callable[[Tensor], Tensor]
    ) -> Iterator[Tensor]:
        """Yield the gradient of the input ``(b, in_channels, ...)`` of strip after strip, and sum those of the weights.

        Parameters
        ----------
        z, read
            As `evaluate` takes them.
        receive
            Given the output of strip after strip, which may then be changed in ``z``, returns the output's gradient.
        """
        self._totals = {}
        earlier: _Seen | None = None
        grad: Tensor | None = None  # of what the middle convolution made of the earlier strip
        before: Tensor | None = None
        for seen in self._see(z, read):
            later = self._to_middle(seen, receive)
            if earlier is not None and grad is not None:
                between, before = self._strips.between(before, grad, self._strips.first(later)), self._strips.last(grad)
                del grad
                yield self._to_input(earlier, between)
                del between
            earlier, grad = seen, later
            del seen, later
        assert earlier is not None, "every space has a strip"
        assert grad is not None, "of every strip"
        yield self._to_input(earlier, self._strips.between(before, grad, None))

    def gradients(self) -> dict[Tensor, Tensor]:
        """Gradients of the net's trainable tensors, of all strips that `pull_back` walked over."""
        if not self._totals:
            return {}
        sources, totals = [self._sources[name] for name in self._totals], list(self._totals.values())
        found = torch.autograd.grad(sources, self._leaves, totals, allow_unused=True, retain_graph=True)
        return {leaf: grad for leaf, grad in zip(self._leaves, found, strict=True) if grad is not None}

    def _see(self, z: Tensor, read: Callable[[Tensor], Tensor]) -> Iterator[_Seen]:
        """Yield strips up to the middle convolution."""
        before: Tensor | None = None
        parts = self._strips.of(z)
        for part, later in zip_longest(parts, parts[1:]):
            x = read(part)
            sizes = x.shape[2:]
            patches, hidden = self._look(x)
            del x
            after = None if later is None else self._look(read(self._strips.first(later, self._strips.stride)))[1]
            between, before = self._strips.between(before, hidden, after), self._strips.last(hidden)
            del hidden
            yield _Seen(sizes, patches, between)
            del patches, between

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches of an input, and what the first ReLU makes of them."""
        patches = self._gather(x)
        return patches, mix_into_hidden(self._down, patches, self._weights["down bias"]).relu_()

    def _speak(self, seen: _Seen) -> tuple[Tensor, Tensor]:
        """Return what the second ReLU makes of a strip, and voxels ``(b, width, voxels of a patch, ...)`` of that."""
        h = self._convolve(seen.hidden, self._weights["middle"], self._weights["middle bias"]).relu_()
        return h, mix_from_hidden(self._up.mT, h).unflatten(1, (self._weights["up"].shape[1], -1))

    def _gather(self, x: Tensor) -> Tensor:
        return gather_patches(self._net.fill_patches(x).to(self._precision), self._net.stride)

    def _to_middle(self, seen: _Seen, receive: Callable[[Tensor], Tensor]) -> Tensor:
        """Backpropagate from the output to the middle convolution's; return the gradient of that."""
        h, voxels = self._speak(seen)
        grad = receive(self._net.finish(voxels, seen.sizes))
        grad = self._gather(grad).unflatten(1, (grad.shape[1], -1))
        if self._net.gated:
            grad = _aten.glu_backward(grad, voxels, 1)
        del voxels
        grad = grad.flatten(1, 2)
        if self._wants("up"):
            self._add("up", correlate(h, grad))
        grad = _aten.threshold_backward(mix_into_hidden(self._up, grad), h, 0)
        del h
        self._add_middle(seen, grad)
        return grad

    def _add_middle(self, seen: _Seen, grad: Tensor) -> None:
        """Add gradients of the middle convolution's weights, given that of its output on a strip."""
        wanted = False, self._wants("middle"), self._wants("middle bias")
        if not any(wanted):
            return
        weight, padding, ones = self._weights["middle"], self._strips.padding, [1] * len(self._net.stride)
        # Not torch.nn.grad, which would make up weights of another layout, so that everything would be copied.
        _, *found = _aten.convolution_backward(
            grad, seen.hidden, weight, [len(weight)], ones, padding, ones, False, [0] * len(ones), 1, wanted
        )
        for name, grad_of in zip(("middle", "middle bias"), found, strict=True):
            if grad_of is not None:
                self._add(name, grad_of)

    def _to_input(self, seen: _Seen, grad: Tensor) -> Tensor:
        """Backpropagate to the net's input from the middle convolution's output, between layers of the neighbours'."""
        grad = self._convolve(grad, self._turned, None)
        grad = _aten.threshold_backward(grad, self._strips.inside(seen.hidden), 0)
        if self._wants("down"):
            self._add("down", correlate(grad, seen.patches))
        if self._wants("down bias"):
            self._add("down bias", grad.sum(dim=(0, *range(2, grad.ndim))))
        voxels = mix_from_hidden(self._down.mT, grad).unflatten(1, (self._weights["down"].shape[1], -1))
        return at(lay_out_patches(voxels, self._net.stride), tuple(slice(n) for n in seen.sizes))

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
