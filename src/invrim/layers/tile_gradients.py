"""Gradients of a reversible block, summed over the tiles in which it is evaluated."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from invrim.invertible import PulledBack, add_gradients, trainable, vector_jacobian
from invrim.layers.mixing_gradients import MixingGradients
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
    of_mixing, net
        Gradients of U, and G.
    grad_out
        Gradient of the block's output ``(b, C, ...)``; `pull_back` overwrites it.
    """

    def __init__(self, of_mixing: MixingGradients, net: ResidualNet, grad_out: Tensor) -> None:
        self.of_mixing = of_mixing
        self.grad_out = grad_out
        self._grad_h: Tensor | None = None
        self._trainable = trainable(net)
        self._gradients: dict[Tensor, Tensor] = {}

    def behind(self, g: Tensor, tile: Tile) -> NetOutput:
        """Backpropagate through what is done with the net's output ``g`` on a tile, which may then be let go."""
        grad_out = at(self.grad_out, tile.inner).contiguous()  # read twice; let go of before the net needs memory
        return NetOutput(get_gradient_edge(g), self.of_mixing.behind(g, grad_out))

    def through(self, h: Tensor, output: NetOutput, tile: Tile) -> None:
        """Backpropagate through the net; ``h`` is its input, on the tile and its halo."""
        gradients = vector_jacobian(output.edge, [h, *self._trainable], output.grad)
        self._grad_h = spread_into_(self._grad_h, gradients.pop(h), tile, self.grad_out.shape[2:])
        add_gradients(self._gradients, gradients)

    def pull_back(self, z: Tensor) -> PulledBack:
        """Finish, given the block's input."""
        assert self._grad_h is not None, "every space has a tile"
        grad = self.of_mixing.before_(z, self.grad_out, self._grad_h)
        return PulledBack(z, grad, self._gradients | self.of_mixing.gradients())
