"""A residual net by itself, evaluated tile by tile, of which autograd keeps the input alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call

from invrim.invertible import add_gradients, autocast_on, is_hooked, vector_jacobian
from invrim.layers.residual import ResidualNet
from invrim.layers.tiles import Tile, TileOption, at, spread_into_, tile_per_axis


@torch.compiler.disable
def evaluate_in_tiles(net: ResidualNet, x: Tensor, tile: TileOption) -> Tensor:
    """Apply the net to ``x`` ``(b, in_channels, ...)``, in tiles as `invrim.ReversibleBlock` takes them.

    Result and gradients are those of ``net(x)``, up to round-off, and where there is one tile only it is that. The
    backward pass evaluates every tile once more. Gradients of gradients, transforms, and what hooks of the net see are
    those of the net evaluated at once.
    """
    tiles = net.tiles(x, None if tile == 'auto' else tile_per_axis(tile, net.stride))
    transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    if len(tiles) == 1 or transformed or is_hooked(net):
        return net(x)
    parameters = dict(net.named_parameters())
    y: Tensor = _InTiles.apply(net, tiles, tuple(parameters), x, *parameters.values())
    return y


class _InTiles(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, net: ResidualNet, tiles: Sequence[Tile], names: Sequence[str], x: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.net, ctx.tiles, ctx.names = net, tiles, names
        ctx.save_for_backward(x, *parameters)
        ctx.autocast = autocast_on(x.device.type)
        first, *others = tiles
        part = net(at(x, first.outer), first)
        y = part.new_empty(*part.shape[:2], *x.shape[2:])
        at(y, first.inner).copy_(part)
        for tile in others:
            at(y, tile.inner).copy_(net(at(x, tile.outer), tile))
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
                grad_x, gradients = _pull_back(ctx.net, named, ctx.tiles, x, grad)
        return (None, None, None, grad_x, *(gradients.get(parameter) for parameter in parameters))


def _pull_back(
    net: ResidualNet, named: Mapping[str, Tensor], tiles: Sequence[Tile], x: Tensor, grad: Tensor
) -> tuple[Tensor | None, dict[Tensor, Tensor]]:
    """Gradients of the input and of the parameters, as they were in the forward pass, tile by tile."""
    leaves = {name: tensor.detach().requires_grad_(tensor.requires_grad) for name, tensor in named.items()}
    wanted = [leaf for leaf in leaves.values() if leaf.requires_grad]
    grad_x: Tensor | None = None
    gradients: dict[Tensor, Tensor] = {}
    for tile in tiles:
        with torch.enable_grad():
            part = at(x, tile.outer).detach().requires_grad_()
            y = functional_call(net, leaves, (part, tile))
        found = vector_jacobian(y, [part, *wanted], at(grad, tile.inner))
        grad_x = spread_into_(grad_x, found.pop(part), tile, x.shape[2:])
        add_gradients(gradients, found)
    return grad_x, {named[name]: gradients[leaf] for name, leaf in leaves.items() if leaf in gradients}
