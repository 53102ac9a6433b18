"""The paper's layer: an additive coupling between orthogonal 1×1 convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from invrim.invertible import ExactlyInvertible, Grid, PulledBack
from invrim.layers.flow import VolumePreserving
from invrim.layers.lifting import Lifting, lift
from invrim.layers.mixing import OrthogonalMixing, mix
from invrim.layers.mixing_gradients import MixingGradients
from invrim.layers.net_in_strips import NetInStrips
from invrim.layers.residual import ResidualNet
from invrim.layers.state import full_precision, require_state
from invrim.layers.strips import Strips
from invrim.layers.tile_gradients import TileGradients
from invrim.layers.tiles import Tile, TileOption, at, tile_per_axis, tiles_of


class _Undoing(NamedTuple):
    """How a block is undone and differentiated, part by part of the state."""

    read: Callable[[Tensor], Tensor]
    """Makes the input of G, before and after `undo_` alike."""
    undo_: Callable[[Tensor, Tensor], object]
    """Takes off the state what G added, given G."""
    finish_: Callable[[Tensor, Tensor, Tensor], object]
    """Makes the gradient of the output that of the input, given the state, that and the gradient of G's input."""


class ReversibleBlock(VolumePreserving, ExactlyInvertible):
    r"""Add to the state what a net makes of it: :math:`x \mapsto x + U_R^T G(U_L x)`, U orthogonal.

    As published the block rotates the state by U, adds :math:`G` of the left channels to the right ones, and rotates
    back. This is the same map, because :math:`U_L U_R^T = 0`, with half the work; what is not updated is never
    rotated, which keeps the inversion error of 96 blocks 40 times smaller. Its Jacobian determinant is 1.

    On a fixed-point grid the same map is three rounded additions (see `invrim.layers.lifting`), and comes back bit for
    bit if G gives equal bits for equal input.

    Parameters
    ----------
    channels
        State channels C; state ``(b, C, ...)``.
    hidden, stride, ndim
        Of the `ResidualNet` G, from ``C // 2`` to ``C - C // 2`` channels.
    n_reflections
        Householder reflections in U.
    tile
        ``"auto"`` evaluates G part by part, in the memory of three states at most, or 6 MB, hardly anything twice:
        in slabs around a convolution of all of the state where its hidden channels fit, else in strips that hand on
        what their neighbours must see. Not on shards, nor where G is a net of your own, or one whose parts you have
        replaced or hooked: it is then evaluated whole.

        Numbers, one or one per axis, multiples of the stride, evaluate G over so many voxels at a time: forward and
        backward then need the working memory of one tile, besides half a state. Every tile sees one cell of the stride
        beyond its border. Along the axis of a shard a tile is as long as the shard.

        None evaluates G whole. The map is the same in all ways; round-off differs. Where autograd records the block
        itself (``backprop="store"``) it would keep every part, and G is evaluated whole.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 3.1.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        stride: int | Sequence[int] = 1,
        *,
        ndim: int = 2,
        n_reflections: int = 3,
        tile: TileOption = "auto",
    ) -> None:
        super().__init__()
        self.channels = channels
        self.ndim = ndim
        self.mixing = OrthogonalMixing(channels, n_reflections)
        n_read = self.mixing.n_read
        self.net = ResidualNet(n_read, hidden, channels - n_read, stride, ndim=ndim)
        self.stride = self.net.stride
        self.tile = tile_per_axis(tile, self.stride)

    def forward(self, z: Tensor, _: object = None, /) -> Tensor:
        return self._moved(z, sign=1)

    def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
        return self._moved(z, sign=-1)

    def forward_(self, z: Tensor, _: object = None, /) -> Tensor:
        return self._move_(z, sign=1)

    def pull_back(self, z_out: Tensor, grad_out: Tensor, _: object = None, /) -> PulledBack:
        """Undo the block and differentiate it with one evaluation of G.

        The input of G is the same read from either side, :math:`U_L y = U_L x`; the gradient of U is not, so that the
        state is reconstructed before it is taken.
        """
        of_mixing = MixingGradients(self.mixing)

        def undo_(part: Tensor, g: Tensor) -> None:
            of_mixing.write.transpose_into_(part, g, sign=-1)

        strips = self._strips(z_out)
        if strips is not None:
            undoing = _Undoing(of_mixing.read.of, undo_, of_mixing.before_)
            return self._pull_back_strips(strips, of_mixing, (z_out, grad_out), undoing)
        sums = TileGradients(of_mixing, self.net, grad_out)
        self._pull_back_nets(sums, z_out, self._tiles(z_out), of_mixing.read.of, undo_)
        with full_precision(z_out), torch.no_grad():
            return sums.pull_back(z_out)

    def forward_exact(self, z: Tensor, grid: Grid, _: object = None, /) -> Tensor:
        return self._walk_lifted(z, grid, sign=1)

    def inverse_exact(self, z: Tensor, grid: Grid, _: object = None, /) -> Tensor:
        return self._walk_lifted(z, grid, sign=-1)

    def pull_back_exact(self, z_out: Tensor, grad_out: Tensor, grid: Grid, _: object = None, /) -> PulledBack:
        of_mixing = MixingGradients(self.mixing)
        lifting = lift(*of_mixing.factors.split())

        def undo_(part: Tensor, g: Tensor) -> None:
            _add_at_(part, mix(lifting.basis, g), lifting.written, grid, sign=-1)

        def finish_(part: Tensor, grad_part: Tensor, grad_h: Tensor) -> None:
            _shear_([part], lifting, grid, sign=1)
            of_mixing.before_(part, grad_part, grad_h)

        parts = self._parts(z_out)
        _shear_(parts, lifting, grid, sign=-1)
        strips = self._strips(z_out)
        if strips is not None:
            undoing = _Undoing(lifting.input, undo_, finish_)
            return self._pull_back_strips(strips, of_mixing, (z_out, grad_out), undoing)
        sums = TileGradients(of_mixing, self.net, grad_out)
        self._pull_back_nets(sums, z_out, self._tiles(z_out), lifting.input, undo_)
        _shear_(parts, lifting, grid, sign=1)
        with full_precision(z_out), torch.no_grad():
            return sums.pull_back(z_out)

    def _pull_back_strips(
        self,
        strips: Strips,
        of_mixing: MixingGradients,
        at_output: tuple[Tensor, Tensor],
        undoing: _Undoing,
    ) -> PulledBack:
        """Take what G added to the state off it, and backpropagate, slab after slab; overwrites both."""
        z, grad = at_output
        with torch.enable_grad():
            net = NetInStrips(self.net, strips, self.net.precision_on(z))
        parts, grads = strips.parts(z), strips.parts(grad)
        at_hand = zip(parts, grads, strict=True)

        def receive(g: Tensor) -> Tensor:
            part, grad_part = next(at_hand)
            g = g.to(z.dtype)
            undoing.undo_(part, g)
            return of_mixing.behind(g, grad_part)

        with full_precision(z), torch.no_grad():
            pulled = net.pull_back(z, undoing.read, receive)  # not into zip, which would keep each beside the next
            for part, grad_part in zip(parts, grads, strict=True):
                grad_h = next(pulled).to(z.dtype)
                undoing.finish_(part, grad_part, grad_h)
                del grad_h
            del pulled  # which holds hidden channels to its end
            return PulledBack(z, grad, net.gradients() | of_mixing.gradients())

    def _pull_back_nets(
        self,
        sums: TileGradients,
        z: Tensor,
        tiles: Sequence[Tile],
        read: Callable[[Tensor], Tensor],
        undo_: Callable[[Tensor, Tensor], object],
    ) -> None:
        """Take what G added to the state off it, and backpropagate through G, last tile first."""
        for tile in reversed(tiles):
            h, g = self._evaluate_as_leaf(read, z, tile)
            with full_precision(z), torch.no_grad():
                undo_(at(z, tile.inner), g)
                output = sums.behind(g, tile)
                del g  # its graph needs the memory
                sums.through(h, output, tile)
            del h, output  # not beside those of the next tile

    def _moved(self, z: Tensor, *, sign: int) -> Tensor:
        """Do what `_move_` does, into a new tensor, and differentiably."""
        require_state(z, self.channels, self.ndim)
        if not (torch.is_grad_enabled() or torch._C._are_functorch_transforms_active()):  # vmap writes into nothing
            return self._move_(z.clone(), sign=sign)
        # The graph would keep what it needs of every tile: there is nothing to gain from them.
        u_read, u_write = self.mixing.factors().split()
        with full_precision(z):
            h = mix(u_read, z)
        g = self._apply_net(h)
        with full_precision(z):
            return torch.add(z, mix(u_write.mT, g), alpha=sign)

    @torch.no_grad()
    def _move_(self, z: Tensor, *, sign: int) -> Tensor:
        """Add ``sign`` times the coupling to the state."""
        require_state(z, self.channels, self.ndim)
        read, write = self.mixing.factors().rows()

        def change_(part: Tensor, g: Tensor) -> None:
            write.transpose_into_(part, g, sign=sign)

        self._evaluate(z, read.of, change_, sign=sign)
        return z

    @torch.no_grad()
    def _walk_lifted(self, z: Tensor, grid: Grid, *, sign: int) -> Tensor:
        """Shear, add ``sign`` times the coupling, and shear back; overwrites ``z``."""
        require_state(z, self.channels, self.ndim)
        lifting = lift(*self.mixing.factors().split())

        def change_(part: Tensor, g: Tensor) -> None:
            _add_at_(part, mix(lifting.basis, g), lifting.written, grid, sign=sign)

        parts = self._parts(z)
        _shear_(parts, lifting, grid, sign=-1)
        self._evaluate(z, lifting.input, change_, sign=1)
        _shear_(parts, lifting, grid, sign=1)
        return z

    def _evaluate(
        self,
        z: Tensor,
        read: Callable[[Tensor], Tensor],
        change_: Callable[[Tensor, Tensor], object],
        *,
        sign: int,
    ) -> None:
        """Let part after part of the state be changed, given G of what ``read`` makes of it; tiles from behind if
        ``sign`` is negative."""
        strips = self._strips(z)
        if strips is not None:
            net, parts = NetInStrips(self.net, strips, self.net.precision_on(z)), strips.parts(z)
            with full_precision(z):
                for part, g in zip(parts, net.evaluate(z, read), strict=True):
                    change_(part, g.to(z.dtype))
                    del g  # not beside that of the next strip
            return
        for tile in self._tiles(z)[::sign]:
            with full_precision(z):
                h = read(at(z, tile.outer))
            g = self._apply_net(h, tile)
            with full_precision(z):
                change_(at(z, tile.inner), g)

    def _strips(self, z: Tensor) -> Strips | None:
        """How G walks over the state in strips; None if it does not."""
        return self.net.strips(z) if self.tile == "auto" and isinstance(self.net, ResidualNet) else None

    def _tiles(self, z: Tensor) -> list[Tile]:
        tile = None if self.tile == "auto" else self.tile
        if isinstance(self.net, ResidualNet):
            return self.net.tiles(z, tile)
        # One of the user's own, which may know nothing of tiles.
        return tiles_of(z.shape[2:], tile, self.stride)

    def _parts(self, z: Tensor) -> Sequence[Tensor]:
        """View the parts of the state that are changed one after another."""
        strips = self._strips(z)
        return [at(z, tile.inner) for tile in self._tiles(z)] if strips is None else strips.parts(z)

    def _evaluate_as_leaf(self, read: Callable[[Tensor], Tensor], z: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
        """The input of G, cut off from the state, and G of it."""
        with torch.enable_grad():
            with full_precision(z):
                h = read(at(z, tile.outer)).requires_grad_()
            return h, self._apply_net(h, tile)

    def _apply_net(self, h: Tensor, tile: Tile | None = None) -> Tensor:
        g: Tensor = self.net(h, tile) if tile is not None and tile.has_halo else self.net(h)
        return g.to(h.dtype)


@torch.no_grad()
def _shear_(parts: Iterable[Tensor], lifting: Lifting, grid: Grid, *, sign: int) -> None:
    for part in parts:
        with full_precision(part):
            _add_at_(part, lifting.shift(part), lifting.read, grid, sign=sign)


def _add_at_(z: Tensor, update: Tensor, channels: Tensor, grid: Grid, *, sign: int) -> Tensor:
    """Add ``sign`` times the rounded update to some channels, in place; overwrites the update."""
    return z.index_add_(1, channels, grid.rounded_(update), alpha=sign)
