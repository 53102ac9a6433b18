"""A block that walks over its state in strips is the same block, for less memory."""

import copy

import pytest
import torch
from torch import Tensor, nn

from invrim import InvertibleChain, ReversibleBlock
from invrim.invertible.footprint import LiveBytes
from invrim.layers import ResidualNet, patches, residual
from invrim.layers.net_in_strips import NetInStrips
from invrim.layers.strips import Needs, Strips, strips_of
from invrim.layers.tiles import at
from invrim.testing import assert_inverse, assert_same_gradients
from layers import parts
from layers.parts import assert_exact_states_come_back, state

CASES = {
    "1d": ((29,), 1),
    "1d, ragged": ((50,), 3),
    "2d": ((19, 11), 1),
    "2d, ragged": ((37, 11), 2),
    "2d, a last strip of one cell": ((17, 5), 1),
    "2d, a last patch of one voxel": ((33, 10), 4),
    "2d, a stride per axis": ((35, 11), (2, 1)),
    "2d, one voxel": ((1, 1), 2),
    "3d": ((5, 9, 20), 1),
    "3d, ragged": ((5, 9, 37), 2),
    "3d, along z": ((17, 5, 6), 1),
    "3d, a stride per axis": ((5, 9, 28), (2, 1, 3)),
}
"""Space and stride."""

every_case = pytest.mark.parametrize(("space", "stride"), CASES.values(), ids=CASES)


@pytest.fixture
def thin(monkeypatch) -> None:
    """Strips as thin as they get."""
    monkeypatch.setattr(residual, "_STRIP_BYTES", {"cpu": (1.0, 1.0)})


def in_slabs(space, stride, *_given, **_named) -> Strips:
    """One strip, in slabs thinner than they are chosen, through the convolution, too."""
    cells = -(-space[0] // stride[0])
    return Strips(len(space), 2, stride[0], cells, cells, slab=3, slab_stride=stride[0], back_in_slabs=True)


@pytest.fixture(params=["strips", "slabs"])
def divided(request, monkeypatch) -> None:
    """Thin strips, and thin slabs of one strip."""
    if request.param == "strips":
        request.getfixturevalue("thin")
    else:
        monkeypatch.setattr(residual, "strips_of", in_slabs)


def blocks(count: int, space, stride, tile="auto", channels: int = 5) -> list[ReversibleBlock]:
    return parts.blocks(count, space, stride, tile, channels)


# The division.

SIXTHS = Needs(hidden=1 / 6, gated=1e-9, ends=1e-9, copied=1 / 12)
"""One byte for every cell of several strips."""
IN_PLACE = Needs(hidden=1.0, gated=1.0, ends=1.0, copied=0.0)
COPIED = Needs(hidden=1.0, gated=1.0, ends=1.0, copied=1.0)


@pytest.mark.parametrize(
    ("space", "stride", "cells", "expected"),
    [
        ((100,), (1,), 60, Strips(1, 2, 1, 100, 50, 100, 1)),
        ((100, 64), (1, 1), 1024, Strips(2, 2, 1, 100, 15, 100, 1)),
        ((100, 64), (1, 1), 1, Strips(2, 2, 1, 100, 8, 100, 1)),
        ((101, 64), (4, 2), 300, Strips(2, 2, 4, 26, 9, 26, 4)),
        ((4, 64), (1, 1), 1, Strips(2, 2, 1, 4, 4, 4, 1)),
        ((8, 32, 64), (1, 1, 1), 2 * 32 * 64, Strips(3, 2, 1, 8, 2, 8, 1)),
        ((8, 32, 64), (1, 1, 1), 2 * 32 * 64 - 1, Strips(3, 4, 1, 64, 13, 8, 1)),
        ((8, 32, 64), (1, 2, 2), 1, Strips(3, 4, 2, 32, 8, 8, 1)),
    ],
)
def test_a_space_is_divided_evenly_but_not_too_finely(space, stride, cells, expected):
    assert strips_of(space, stride, SIXTHS, cells) == expected


@pytest.mark.parametrize(
    ("space", "needs", "room", "rows", "expected"),
    [
        ((100, 64), IN_PLACE, 4 * 6400, 0, (100, False)),  # hidden channels, their gradient, and all else
        ((100, 64), IN_PLACE, 4 * 6400 - 1, 0, (50, False)),
        ((100, 64), IN_PLACE, 3 * 6400, 0, (50, True)),  # nothing would be left at the end
        ((100, 64), IN_PLACE, 2.25 * 6400, 0, (13, True)),
        ((100, 64), IN_PLACE, 2.1 * 6400, 0, None),
        ((100, 64), COPIED, 5 * 6400, 0, (100, False)),
        ((100, 64), COPIED, 5 * 6400 - 1, 0, None),  # the copies do not fit
        ((4, 64), IN_PLACE, 4 * 256, 0, (4, False)),
        ((16, 64, 64), IN_PLACE, 3 * 65536, 9 * 64 - 1, (8, True)),
        ((16, 64, 64), IN_PLACE, 3 * 65536, 9 * 64, None),  # slabs would be unfolded
        ((16, 64, 64), IN_PLACE, 4 * 65536, 16 * 64 - 1, (16, False)),
        ((16, 64, 64), IN_PLACE, 4 * 65536, 16 * 64, None),  # all of it would be
    ],
)
def test_a_space_is_one_strip_in_slabs_where_hidden_channels_of_all_of_it_fit(space, needs, room, rows, expected):
    strips = strips_of(space, (1,) * len(space), needs, room, rows=rows)
    assert (None if strips.count > 1 else (strips.slab, strips.back_in_slabs)) == expected


@pytest.mark.parametrize(
    ("slices", "most", "rows", "expected"),
    [
        (32, 32 * 64 * 2, 0, (2, 2)),
        (32, 32 * 64 * 1, 0, (4, 8)),  # along z they would be too large
        (32, 32 * 64 * 8, 4 * 32 - 1, (2, 2)),
        (32, 32 * 64 * 8, 4 * 32, (2, 4)),  # of 3 slices the last strip would be thinner
        (32, 32 * 64 * 8, 6 * 32, (2, 8)),
        (32, 32 * 64 * 11, 10 * 32, (2, 11)),
        (32, 32 * 64 * 10, 10 * 32, (4, 8)),
        (2, 32 * 64 * 4, 0, (2, 2)),
    ],
)
def test_volumes_are_divided_along_z_where_torch_does_not_unfold_the_parts(slices, most, rows, expected):
    strips = strips_of((slices, 32, 64), (1, 1, 1), SIXTHS, 1, most=most, rows=rows)
    assert (strips.axis, strips.thickness) == expected


@every_case
def test_strips_cover_the_space_once(space, stride):
    net = ResidualNet(1, 1, 1, stride, ndim=len(space))
    for strips in (strips_of(space, net.stride, SIXTHS, 1), in_slabs(space, net.stride)):
        count = torch.zeros(1, 1, *space)
        parts = [slab for strip in strips.of(count) for slab in strips.slabs(strip)]
        for region, part in zip(strips.regions(count), parts, strict=True):
            assert at(count, region).data_ptr() == part.data_ptr()
            assert at(count, region).shape == part.shape
            part.add_(1)
        assert (count == 1).all()


def test_nets_of_lower_precision_and_smaller_batches_are_given_thicker_strips(monkeypatch):
    monkeypatch.setattr(residual, "_STRIP_BYTES", {"cpu": (800e3, 800e3)})
    (block,), z = blocks(1, (512, 32), 1), state((512, 32), dtype=torch.float32)
    thickness = block.net.strips(z).thickness
    assert block.net.strips(z[:1]).thickness >= 1.6 * thickness
    assert block.net.strips(z.double()).thickness <= 0.6 * thickness
    with torch.autocast("cpu", torch.bfloat16):
        assert block.net.strips(z).thickness >= 1.6 * thickness


# The laws.


@every_case
def test_a_chain_keeps_the_laws(space, stride, divided):
    """Plain autograd evaluates the nets whole: the comparison is with the block without strips."""
    chain = InvertibleChain(blocks(3, space, stride)).double()
    assert_inverse(chain, state(space))
    assert_same_gradients(chain, state(space))


@every_case
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_exact_states_come_back_bit_for_bit(space, stride, bf16, divided):
    assert_exact_states_come_back(space, stride, "auto", bf16=bf16)


def gradients(backprop: str, tile, precision: torch.dtype | None = None) -> list[Tensor]:
    chain = InvertibleChain(blocks(6, (37, 11), 2, tile), backprop=backprop)
    chain, z = (chain, state((37, 11), dtype=torch.float32)) if precision else (chain.double(), state((37, 11)))
    with torch.autocast("cpu", precision, enabled=precision is not None):
        out = chain(z.requires_grad_())
    return list(torch.autograd.grad(out.sin().sum(), [z, *chain.parameters()]))


@pytest.mark.parametrize(("backprop", "tolerance"), [("invert", 1e-10), ("exact", 1e-7)])
def test_weights_are_trained_alike_with_and_without_strips(backprop, tolerance, divided):
    """On the grid of float64, 2e-10 apart, sums in another order may round the other way."""
    for whole, part in zip(gradients(backprop, None), gradients(backprop, "auto"), strict=True):
        torch.testing.assert_close(part, whole, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backprop", ["invert", "exact"])
def test_bf16_nets_train_in_strips(backprop, divided):
    """Their rounding is 4e-3; what strips add up is added in float32."""
    found = (gradients(backprop, tile, torch.bfloat16) for tile in (None, "auto"))
    for whole, part in zip(*found, strict=True):
        assert part.dtype == torch.float32
        assert (part - whole).norm() < 0.05 * whole.norm()


@pytest.mark.parametrize("space", [(19, 11), (3, 5, 19)])
def test_channels_may_lie_last(space, divided, monkeypatch):
    """As they do in wide nets with AVX-512; what is handed from strip to strip must lie alike."""
    monkeypatch.setattr(patches, "prefers_channels_last", lambda x, _: x.ndim in (4, 5))
    chain = InvertibleChain(blocks(2, space, 2)).double()
    assert_same_gradients(chain, state(space))
    seen, convolve = [], NetInStrips._convolve_hidden
    monkeypatch.setattr(
        NetInStrips, "_convolve_hidden", lambda self, at: (seen.append(at.hidden), convolve(self, at))[1]
    )
    chain(state(space).requires_grad_()).sum().backward()
    layout = torch.channels_last if len(space) == 2 else torch.channels_last_3d
    assert seen
    assert all(h[:1].is_contiguous(memory_format=layout) for h in seen)


def test_drift_in_float32_stays_what_it_is_whole(divided):
    """The project's bar for 400 blocks."""
    assert InvertibleChain(blocks(400, (24, 16), 1)).drift(state((24, 16), dtype=torch.float32)) < 3e-6


@pytest.mark.parametrize("frozen", ["mixing", "net", "net.down", "net.middle", "net.up"])
def test_frozen_parts_receive_no_gradient_and_change_none(frozen, divided):
    chain = InvertibleChain(blocks(2, (37, 11), 2)).double()
    chain.steps[0].get_submodule(frozen).requires_grad_(False)
    assert_same_gradients(chain, state((37, 11)))


@pytest.mark.parametrize("channels", [4, 64])
def test_an_empty_batch_trains_nothing(channels):
    chain = InvertibleChain(blocks(2, (19, 11), 2, channels=channels))
    z = torch.zeros(0, channels, 19, 11, requires_grad=True)
    chain(z).sum().backward()
    assert z.grad.shape == z.shape
    assert all((p.grad == 0).all() for p in chain.parameters())


def test_a_state_that_does_not_lie_in_one_piece(divided):
    """As one that the caller has transposed, or a part of a larger one."""
    (block,) = blocks(1, (19, 12), 1)
    block.double()
    z = state((12, 19)).transpose(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(block(z), block(z.contiguous()))
    assert_same_gradients(InvertibleChain([block]), z)


# What strips pass by.


def hooked(net: ResidualNet, calls: list[object]) -> None:
    net.middle.register_forward_hook(lambda *_: calls.append("middle"))


def replaced(net: ResidualNet, calls: list[object]) -> None:
    class Own(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            calls.append("own")
            return super().forward(x)

    net.middle = Own(net.middle.in_channels, net.middle.out_channels, 3, padding=2, dilation=2).double()


def overridden(net: ResidualNet, calls: list[object]) -> None:
    plain = net.forward
    net.forward = lambda x: (calls.append("forward"), plain(x))[1]


@pytest.mark.parametrize("change", [hooked, replaced, overridden])
def test_a_net_that_somebody_changed_is_evaluated_as_it_is(change, thin):
    calls: list[object] = []
    chain = InvertibleChain(blocks(2, (19, 11), 1)).double()
    change(chain.steps[0].net, calls)
    assert chain.steps[0].net.strips(state((19, 11))) is None
    chain(state((19, 11)).requires_grad_()).sum().backward()
    assert len(calls) == 2  # forward and backward
    assert_same_gradients(chain, state((19, 11)))


def test_parts_of_a_shard_take_no_strips(thin):
    """They would have to be handed on from process to process."""
    (block,) = blocks(1, (19, 11), 1)
    block.net.shard = object()
    assert block.net.strips(state((19, 11))) is None
    assert len(block._tiles(state((19, 11)))) == 1


def test_a_copied_net_takes_strips_like_the_original(thin):
    (block,) = blocks(1, (19, 11), 1)
    assert copy.deepcopy(block).net.strips(state((19, 11))) == block.net.strips(state((19, 11)))


def test_a_net_of_the_users_own_sees_everything_at_once(thin):
    (block,) = blocks(1, (9, 11), 1)
    block.net = nn.Conv2d(2, 3, 3, padding=1)
    chain = InvertibleChain([block]).double()
    assert_same_gradients(chain, state((9, 11)))


# Memory.


def peak_in_states(backprop: str, tile, space: tuple[int, ...], stride: int, channels: int, hidden: int) -> float:
    """Of a training step whose first and last state nobody but the chain holds."""
    torch.manual_seed(0)
    steps = [ReversibleBlock(channels, hidden, stride, ndim=len(space), tile=tile) for _ in range(3)]
    chain, eta = InvertibleChain(steps, backprop=backprop), torch.randn(1, 1, *space, requires_grad=True)
    with LiveBytes() as live:
        chain(eta.repeat(1, channels, *(1,) * len(space)))[:, :1].sum().backward()
    return live.peak / (channels * eta.nbytes)


@pytest.mark.parametrize("backprop", ["invert", "exact"])
@pytest.mark.parametrize(
    ("space", "stride", "channels", "hidden"),
    [
        ((128, 128), 1, 64, 64),
        ((128, 128), 2, 64, 64),
        ((96, 96), 1, 64, 64),
        ((512, 512), 1, 8, 8),
        ((16, 64, 64), 2, 32, 64),
    ],
)
def test_a_training_step_needs_less_than_five_states(backprop, space, stride, channels, hidden):
    """The project's bar; parameters and their gradients, and what convolutions copy, among it."""
    assert (
        peak_in_states(backprop, "auto", space, stride, channels, hidden)
        < 5
        < 0.8 * peak_in_states(backprop, None, space, stride, channels, hidden)
    )


def test_states_that_take_little_are_one_strip():
    (block,) = blocks(1, (64, 64), 1)
    assert block.net.strips(state((64, 64), dtype=torch.float32)).count == 1


# Teeth.


def test_the_gradient_law_rejects_strips_that_do_not_see_their_neighbours(thin, monkeypatch):
    chain = InvertibleChain(blocks(2, (19, 11), 1)).double()
    convolve = NetInStrips._convolve_hidden

    def blind(self, seen):
        self._strips.last(seen.hidden).zero_()
        return convolve(self, seen)

    monkeypatch.setattr(NetInStrips, "_convolve_hidden", blind)
    with pytest.raises(AssertionError, match="'invert' misses 'store' at output"):
        assert_same_gradients(chain, state((19, 11)))


def test_the_gradient_law_rejects_gradients_that_stay_in_their_strip(thin, monkeypatch):
    chain = InvertibleChain(blocks(2, (19, 11), 1)).double()
    monkeypatch.setattr(Strips, "join_", lambda *_: None)
    with pytest.raises(AssertionError, match="'invert' misses 'store' at input"):
        assert_same_gradients(chain, state((19, 11)))


def test_the_gradient_law_rejects_gradients_that_stay_in_their_slab(monkeypatch):
    chain = InvertibleChain(blocks(2, (19, 11), 1)).double()
    monkeypatch.setattr(residual, "strips_of", in_slabs)

    def blind(self, grad):
        return (torch.conv2d(slab, self._turned, padding=1) for slab in self._strips.slabs_of_cells(grad))

    monkeypatch.setattr(NetInStrips, "_convolve_back", blind)
    with pytest.raises(AssertionError, match="'invert' misses 'store' at input"):
        assert_same_gradients(chain, state((19, 11)))
