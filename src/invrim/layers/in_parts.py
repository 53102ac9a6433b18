"""A residual net by itself, evaluated part by part, of which autograd keeps the input alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from invrim.invertible import add_gradients, autocast_on, is_hooked, vector_jacobian
from invrim.layers.net_in_strips import NetInStrips
from invrim.layers.residual import ResidualNet
from invrim.layers.state import is_transformed
from invrim.layers.strips import Strips
from invrim.layers.tiles import Region, Tile, TileOption, at, spread_into_, tile_per_axis


@torch.compiler.disable
def evaluate_in_parts(net: ResidualNet, x: Tensor, tile: TileOption) -> Tensor:
    """Apply the net to ``x`` ``(b, in_channels, ...)``, in strips or tiles as `invrim.ReversibleBlock` takes them.

    Result and gradients are those of ``net(x)``, up to round-off, and where there is one part only it is that. The
    backward pass evaluates every part once more. Gradients of gradients, transforms, and what hooks of the net see are
    those of the net evaluated at once.
    """
    parts: _Strips | _Tiles | None = None
    if not (is_transformed() or is_hooked(net)):
        sizes = tile_per_axis(tile, net.stride)
        parts = _Strips.of(net, x) if sizes == "auto" else _Tiles.of(net, net.tiles(x, sizes))
    if parts is None:
        return net(x)
    parameters = dict(net.named_parameters())
    y: Tensor = _InParts.apply(net, parts, tuple(parameters), x, *parameters.values())
    return y


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, net: ResidualNet, parts: _Strips | _Tiles, names: Sequence[str], x: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.net, ctx.parts, ctx.names = net, parts, names
        ctx.save_for_backward(x, *parameters)
        ctx.autocast = autocast_on(x.device.type)
        y: Tensor | None = None
        for region, part in parts.evaluate(x):
            y = part.new_empty(*part.shape[:2], *x.shape[2:]) if y is None else y
            at(y, region).copy_(part)
        assert y is not None, "every space has a part"
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (x, *parameters), (grad,) = ctx.saved_tensors, grad_outputs
        named = dict(zip(ctx.names, parameters, strict=True))
        with torch.autocast(*ctx.autocast):
            if torch.is_grad_enabled():
                wanted = [tensor for tensor in (x, *parameters) if tensor.requires_grad]
                gradients = vector_jacobian(functional_call(ctx.net, named, (x,)), wanted, grad, create_graph=True)
                grad_x = gradients.get(x)
            else:
                grad_x, gradients = ctx.parts.pull_back(named, x, grad)
        return (None, None, None, grad_x, *(gradients.get(parameter) for parameter in parameters))


Gradients = tuple[Tensor, dict[Tensor, Tensor]]


class _Tiles:
    """A net in tiles, each with a halo."""

    def __init__(self, net: ResidualNet, tiles: Sequence[Tile]) -> None:
        self._net = net
        self._tiles = tiles

    @classmethod
    def of(cls, net: ResidualNet, tiles: Sequence[Tile]) -> _Tiles | None:
        """None is one tile only."""
        return cls(net, tiles) if len(tiles) > 1 else None

    def evaluate(self, x: Tensor) -> Iterator[tuple[Region, Tensor]]:
        """Yield the output, tile by tile, and where it belongs."""
        for tile in self._tiles:
            yield tile.inner, self._net(at(x, tile.outer), tile)

    def pull_back(self, named: Mapping[str, Tensor], x: Tensor, grad: Tensor) -> Gradients:
        """Gradients of the input and of the parameters, as they were in the forward pass."""
        leaves = {name: tensor.detach().requires_grad_(tensor.requires_grad) for name, tensor in named.items()}
        wanted = [leaf for leaf in leaves.values() if leaf.requires_grad]
        grad_x: Tensor | None = None
        gradients: dict[Tensor, Tensor] = {}
        for tile in self._tiles:
            with torch.enable_grad():
                part = at(x, tile.outer).detach().requires_grad_()
                y = functional_call(self._net, leaves, (part, tile))
            found = vector_jacobian(y, [part, *wanted], at(grad, tile.inner))
            grad_x = spread_into_(grad_x, found.pop(part), tile, x.shape[2:])
            add_gradients(gradients, found)
        assert grad_x is not None, "every space has a tile"
        return grad_x, {named[name]: gradients[leaf] for name, leaf in leaves.items() if leaf in gradients}


class _Strips:
    """A net in strips, with the weights that it has now."""

    def __init__(self, net: ResidualNet, strips: Strips, precision: torch.dtype) -> None:
        self._strips = strips
        self._net = NetInStrips(net, strips, precision)
        self._parameters = dict(net.named_parameters())

    @classmethod
    def of(cls, net: ResidualNet, x: Tensor) -> _Strips | None:
        """None is one slab of one strip only, or a net that takes none."""
        strips = net.strips(x)
        return None if strips is None or len(strips.parts(x)) == 1 else cls(net, strips, net.precision_on(x))

    def evaluate(self, x: Tensor) -> Iterator[tuple[Region, Tensor]]:
        """Yield the output, strip by strip, and where it belongs."""
        with torch.autocast(x.device.type, enabled=False):
            yield from zip(self._strips.regions(x), self._net.evaluate(x, _itself), strict=True)

    def pull_back(self, named: Mapping[str, Tensor], x: Tensor, grad: Tensor) -> Gradients:
        """Gradients of the input and of the parameters, as they were in the forward pass."""
        grads = iter(self._strips.parts(grad))
        grad_x = torch.empty_like(x)
        with torch.autocast(x.device.type, enabled=False):
            parts = self._net.pull_back(x, _itself, lambda _: next(grads))
            for region, part in zip(self._strips.regions(x), parts, strict=True):
                at(grad_x, region).copy_(part)
            gradients = self._net.gradients()
        return grad_x, {named[name]: gradients[p] for name, p in self._parameters.items() if p in gradients}


def _itself(x: Tensor) -> Tensor:
    return x
