"""Gradients of a reversible block, summed over the tiles in which it is evaluated."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from invrim.invertible import PulledBack, add_gradients, trainable, vector_jacobian
from invrim.layers.mixing import OrthogonalMixing
from invrim.layers.residual import ResidualNet
from invrim.layers.tiles import Tile, at, spread_into_


class NetOutput(NamedTuple):
    """What is left of a net's output when nobody reads it any more."""

    edge: GradientEdge
    """Its place in the graph."""
    grad: Tensor
    """Its gradient."""


class TileGradients:
    r"""Backpropagate :math:`x + U_R^T G(U_L x)` tile by tile.

    The gradient of :math:`h = U_L x` is gathered for the whole space, half a state: what a tile says of its halo adds
    to its neighbours', and the gradient of :math:`U_L` needs it together with the input x, complete only after the
    last tile. Until then the gradient of the output stays as it came, for the tiles that have still to read it.

    Parameters
    ----------
    mixing, net
        U and G.
    grad_out
        Gradient of the block's output ``(b, C, ...)``; `pull_back` overwrites it.
    """

    def __init__(self, mixing: OrthogonalMixing, net: ResidualNet, grad_out: Tensor) -> None:
        self.mixing = mixing
        self.grad_out = grad_out
        with torch.enable_grad():
            self.factors = mixing.factors()
            self.read, self.write = self.factors.rows()
        self._grad_h: Tensor | None = None
        self._grad_write = [torch.zeros_like(source) for source in self.write.sources]
        self._trainable = trainable(net)
        self._gradients: dict[Tensor, Tensor] = {}

    def behind(self, g: Tensor, tile: Tile) -> NetOutput:
        """Backpropagate through what is done with the net's output ``g`` on a tile, which may then be let go."""
        grad_out = at(self.grad_out, tile.inner).contiguous()  # read twice; let go of before the net needs memory
        if self.mixing.vectors.requires_grad:
            for total, grad in zip(self._grad_write, self.write.gradients(g, grad_out), strict=True):
                total.add_(grad)
        return NetOutput(get_gradient_edge(g), self.write.of(grad_out))

    def through(self, h: Tensor, output: NetOutput, tile: Tile) -> None:
        """Backpropagate through the net; ``h`` is its input, on the tile and its halo."""
        gradients = vector_jacobian(output.edge, [h, *self._trainable], output.grad)
        self._grad_h = spread_into_(self._grad_h, gradients.pop(h), tile, self.grad_out.shape[2:])
        add_gradients(self._gradients, gradients)

    def pull_back(self, z: Tensor) -> PulledBack:
        """Finish, given the block's input."""
        grad_h, gradients = self._grad_h, self._gradients
        assert grad_h is not None, "every space has a tile"
        if self.mixing.vectors.requires_grad:
            sources = (*self.read.sources, *self.write.sources)
            grads = (*self.read.gradients(grad_h, z), *self._grad_write)
            (gradients[self.mixing.vectors],) = torch.autograd.grad(sources, (self.mixing.vectors,), grads)
        return PulledBack(z, self.read.transpose_into_(self.grad_out, grad_h), gradients)
