"""Exact mode: every state comes back bit for bit, and gradients are those of stored states."""

import pytest
import torch
from torch import Tensor

from invrim import Invertible, InvertibleChain, ReversibleBlock
from invrim.errors import InexactError, OptionError
from invrim.invertible import Grid
from invrim.layers import DataStep
from invrim.operators import CartesianMRI, LeastSquares
from invrim.planning.memory import saved_bytes
from plain_autograd import Coupling

SIZES = {1: (11,), 2: (9, 7), 3: (3, 8, 7)}


def blocks(count: int, ndim: int = 2, channels: int = 7) -> list[ReversibleBlock]:
    torch.manual_seed(count)
    return [ReversibleBlock(channels, 4 + i % 3, 1 + i % 3, ndim=ndim) for i in range(count)]


def state(ndim: int = 2, channels: int = 7, **options) -> Tensor:
    return torch.randn(2, channels, *SIZES[ndim], generator=torch.Generator().manual_seed(1), **options)


def walk_back(chain: InvertibleChain, states: list[Tensor], context: object = None) -> None:
    """Require every state, from the last to the first, to come back from the one after it."""
    grid = Grid.of(states[0].dtype)
    z, grad = states[-1].clone(), torch.ones_like(states[-1])
    steps = list(chain.flattened())
    for number in reversed(range(1, len(steps))):
        z, grad, _ = steps[number].pull_back_exact(z, grad, grid, context)
        assert torch.equal(z, states[number - 1]), f"state after step {number - 1}"


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_every_state_of_40_blocks_comes_back(ndim, bf16):
    chain = InvertibleChain(blocks(40, ndim), backprop="exact")
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        with torch.no_grad():
            states = chain(state(ndim), return_states=range(40))
        walk_back(chain, states)


@pytest.mark.parametrize("count", [400, 1000])
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_every_state_of_deep_chains_comes_back(count, bf16):
    chain = InvertibleChain(blocks(count, channels=5), backprop="exact")
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        with torch.no_grad():
            states = chain(state(channels=5), return_states=range(count))
        walk_back(chain, states)


def test_states_of_a_float_chain_do_not():
    """The check has teeth: inversion in floating point leaves round-off."""
    chain = InvertibleChain(blocks(40))
    with torch.no_grad():
        states = chain(state(), return_states=range(40))
        again = chain.steps[-1].inverse(states[-1])
    assert not torch.equal(again, states[-2])


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_gradients_are_those_of_stored_states_bit_for_bit(bf16):
    """An anchor after every step keeps every state; nothing is reconstructed then."""

    def gradients(anchor_every: int | None) -> tuple[Tensor, ...]:
        chain = InvertibleChain(blocks(30), backprop="exact", anchor_every=anchor_every)
        z = state(requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = chain(z).sin().sum()
        return torch.autograd.grad(loss, [z, *chain.parameters()])

    assert all(torch.equal(a, b) for a, b in zip(gradients(None), gradients(1), strict=True))


def test_the_data_step_is_exact_too():
    torch.manual_seed(0)
    mask = (torch.rand(1, 1, 1, 7) < 0.5).float()
    maps = torch.randn(2, 3, 9, 7, dtype=torch.complex64) / 2
    physics = CartesianMRI(mask, maps)
    fidelity = LeastSquares(physics, physics(torch.randn(2, 9, 7, dtype=torch.complex64)))
    chain = InvertibleChain([step for block in blocks(12) for step in (DataStep(), block)], backprop="exact")
    with torch.no_grad():
        walk_back(chain, chain(state(), fidelity, return_states=range(24)), fidelity)


def test_the_map_is_the_float_one_but_for_rounding():
    steps = blocks(100)
    outputs = {}
    for mode in ("store", "exact"):
        with torch.no_grad():
            outputs[mode] = InvertibleChain(steps, backprop=mode)(state())
    error = torch.linalg.vector_norm(outputs["exact"] - outputs["store"]) / torch.linalg.vector_norm(outputs["store"])
    assert 0 < error < 1e-3


def test_drift_is_zero_and_inverse_is_exact():
    chain = InvertibleChain(blocks(50), backprop="exact")
    assert chain.drift(state()) == 0
    assert InvertibleChain(chain.steps, backprop="invert").drift(state()) > 0
    assert chain.double().drift(state().double()) == 0


def test_saved_bytes_are_one_state():
    z = state()
    assert saved_bytes(InvertibleChain(blocks(2), backprop="exact"), z) == z.numel() * 4
    assert saved_bytes(InvertibleChain(blocks(60), backprop="exact"), z) == z.numel() * 4


def test_negative_zeros_do_not_count_as_other_bits():
    z = state()
    z[:, :, ::2] = -1e-9
    InvertibleChain(blocks(6), backprop="exact")(z.requires_grad_()).sum().backward()
    assert not torch.signbit(Grid.of(z.dtype).nearest(torch.tensor([-1e-9, -0.0]))).any()


def test_a_state_beyond_the_exact_range_is_noticed():
    chain = InvertibleChain(blocks(4), backprop="exact")
    z = (1e4 * state()).requires_grad_()
    with pytest.raises(InexactError, match=r"below 256 \(here it reaches .*\): scale it down, or make it float64"):
        chain(z).sum().backward()
    chain.double()(z.double()).sum().backward()


def test_a_net_that_does_not_repeat_itself_is_noticed():
    class Wavering(torch.nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x[:, :2] * self.calls

    chain = InvertibleChain([Coupling(Wavering())], backprop="exact")
    with pytest.raises(InexactError, match="a net does not repeat itself"):
        chain(state(channels=5).requires_grad_()).sum().backward()


def test_steps_without_an_exact_form_are_refused():
    class Twice(Invertible):
        def forward(self, z: Tensor, _: object = None, /) -> Tensor:
            return 2 * z

        def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
            return z / 2

    with pytest.raises(OptionError, match=r"expected steps with forward_exact.*got Twice"):
        InvertibleChain([Twice()], backprop="exact")(state())
    with pytest.raises(OptionError, match="expected a float32 or float64 state"):
        InvertibleChain(blocks(1), backprop="exact")(state().half())
