"""Tiles divide the space, and a block evaluated in tiles is the same block."""

import re

import pytest
import torch
from torch import Tensor

from invrim import InvertibleChain, ReversibleBlock
from invrim.errors import OptionError
from invrim.invertible.footprint import LiveBytes
from invrim.layers import ResidualNet
from invrim.layers import tiles as tiles_module
from invrim.layers.tiles import TileOption, at, tile_per_axis, tiles_of
from invrim.testing import assert_inverse, assert_same_gradients
from layers.parts import assert_exact_states_come_back, blocks, state

CASES = {
    "1d": ((13,), 1, 4),
    "1d, one patch a tile, ragged": ((13,), 3, 3),
    "2d": ((9, 11), 1, (4, 3)),
    "2d, ragged": ((9, 11), 2, 4),
    "2d, ragged halo": ((7, 10), 4, 4),
    "2d, a stride per axis": ((9, 11), (2, 1), (4, 3)),
    "2d, rows": ((9, 11), 2, (2, 1000)),
    "2d, larger than the space": ((9, 11), 3, 30),
    "2d, one voxel": ((1, 1), 2, 2),
    "3d": ((5, 9, 8), 2, 4),
    "3d, a tile and a stride per axis": ((5, 9, 8), (2, 1, 3), (2, 4, 3)),
}
"""Space, stride, tile."""

every_case = pytest.mark.parametrize(("space", "stride", "tile"), CASES.values(), ids=CASES)


@every_case
def test_inner_parts_cover_the_space_once_and_halos_reach_one_cell_further(space, stride, tile):
    net = ResidualNet(1, 1, 1, stride, ndim=len(space))
    count = torch.zeros(1, 1, *space)
    for part in tiles_of(space, tile_per_axis(tile, net.stride), net.stride):
        at(count, part.inner).add_(1)
        ends = zip(part.inner, part.outer, part.margins, net.stride, space, strict=True)
        for inner, outer, (before, after), d, n in ends:
            assert outer.start == max(0, inner.start - d)
            assert outer.stop == min(n, inner.stop + d)
            assert (before, after) == (int(inner.start > 0), int(inner.stop < n))
    assert (count == 1).all()


@every_case
def test_the_net_says_in_tiles_what_it_says_of_the_whole(space, stride, tile):
    torch.manual_seed(0)
    net = ResidualNet(2, 4, 3, stride, ndim=len(space)).double()
    x = state(space, channels=2)
    parts = tiles_of(space, tile_per_axis(tile, net.stride), net.stride)
    y = torch.full((2, 3, *space), torch.nan, dtype=x.dtype)
    for part in parts:
        at(y, part.inner).copy_(net(at(x, part.outer), part))
    torch.testing.assert_close(y, net(x), rtol=1e-12, atol=1e-14)


@every_case
def test_a_chain_in_tiles_keeps_the_laws(space, stride, tile):
    """Plain autograd evaluates the nets whole: the comparison is with the block without tiles."""
    chain = InvertibleChain(blocks(3, space, stride, tile)).double()
    assert_inverse(chain, state(space))
    assert_same_gradients(chain, state(space))


@every_case
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_exact_states_come_back_bit_for_bit(space, stride, tile, bf16):
    assert_exact_states_come_back(space, stride, tile, bf16=bf16)


def gradients(backprop: str, tile: int | None) -> list[Tensor]:
    chain = InvertibleChain(blocks(6, (9, 11), 2, tile), backprop=backprop).double()
    z = state((9, 11)).requires_grad_()
    return list(torch.autograd.grad(chain(z).sin().sum(), [z, *chain.parameters()]))


@pytest.mark.parametrize(("backprop", "tolerance"), [("invert", 1e-10), ("exact", 1e-7)])
def test_weights_are_trained_alike_with_and_without_tiles(backprop, tolerance):
    """On the grid of float64, 2e-10 apart, sums in another order may round the other way."""
    for whole, tiled in zip(gradients(backprop, None), gradients(backprop, 4), strict=True):
        torch.testing.assert_close(tiled, whole, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backprop", ["invert", "exact"])
def test_the_walk_meets_one_evaluation_a_tile(backprop, monkeypatch):
    seen = []
    (block,) = blocks(1, (8, 8), 2, 4)
    plain = block.net.forward
    monkeypatch.setattr(block.net, "forward", lambda x, tile: (seen.append(tuple(x.shape[2:])), plain(x, tile))[1])
    out = InvertibleChain([block], backprop=backprop)(state((8, 8), dtype=torch.float32).requires_grad_())
    assert seen == 4 * [(6, 6)]
    out.sum().backward()
    assert seen == 8 * [(6, 6)]


def test_drift_in_float32_stays_what_it_is_without_tiles():
    """The project's bar for 400 blocks."""
    z = state((16, 16), dtype=torch.float32)
    assert InvertibleChain(blocks(400, (16, 16), 1, 8)).drift(z) < 3e-6


@pytest.mark.parametrize("backprop", ["invert", "exact"])
def test_bf16_nets_train_in_tiles(backprop):
    """Their rounding is 4e-3, and in other places of the tiles than of the whole."""

    def train(tile: int | None) -> Tensor:
        chain = InvertibleChain(blocks(2, (9, 11), 2, tile), backprop=backprop)
        z = state((9, 11), dtype=torch.float32).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = chain(z)
        out.square().sum().backward()
        assert out.dtype == z.grad.dtype == torch.float32
        return z.grad

    torch.testing.assert_close(train(4), train(None), rtol=0.05, atol=0.05)


def test_frozen_parts_receive_no_gradient_and_change_none():
    chain = InvertibleChain(blocks(2, (9, 11), 2, 4)).double()
    chain.steps[0].mixing.requires_grad_(False)
    chain.steps[1].net.requires_grad_(False)
    assert_same_gradients(chain, state((9, 11)))


@pytest.mark.parametrize("tile", [0, -2, 3, (4,), (4, 4, 4), (4, 3), (4, "auto"), "large", 4.0])
def test_tiles_that_do_not_fit_the_stride_are_refused(tile):
    message = re.escape(f"expected a tile of positive multiples of the stride (2, 2), got {tile!r}. ")
    with pytest.raises(OptionError, match=message):
        ReversibleBlock(4, 4, 2, tile=tile)


def peak_in_states(backprop: str, tile: TileOption) -> float:
    """Of a training step whose first and last state nobody but the chain holds."""
    chain = InvertibleChain(blocks(3, (128, 128), 1, tile), backprop=backprop)
    eta = torch.randn(1, 1, 128, 128, requires_grad=True)
    with LiveBytes() as live:
        chain(eta.repeat(1, 5, 1, 1))[:, :1].sum().backward()
    return live.peak / (5 * eta.nbytes)


@pytest.mark.parametrize("backprop", ["invert", "exact"])
def test_a_training_step_needs_three_states(backprop):
    """The project's bar, and what parameters and their gradients take."""
    assert peak_in_states(backprop, 16) < 3.1
    assert peak_in_states(backprop, None) > 6


# Teeth: a tile that does not see its neighbours.


def test_the_gradient_law_rejects_tiles_without_halo(monkeypatch):
    chain = InvertibleChain(blocks(2, (8, 8), 1, 4)).double()
    divide = tiles_module._divide

    def blindly(n: int, size: int, stride: int):
        return [(inner, inner, (0, 0)) for inner, _, _ in divide(n, size, stride)]

    monkeypatch.setattr(tiles_module, "_divide", blindly)
    with pytest.raises(AssertionError, match="'invert' misses 'store' at output"):
        assert_same_gradients(chain, state((8, 8)))
