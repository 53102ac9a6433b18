"""Tensors that the steps read beside the state: exact gradients, or a refusal; never silence."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from invrim import CartesianMRI, Invertible, LeastSquares
from invrim.invertible import ExactlyInvertible, Grid
from invrim.layers import DataStep
from plain_autograd import (
    IN_PLACE,
    assert_like_store,
    assert_like_store_or_refused,
    blocks,
    every_mode,
    grads,
    state,
)

SHAPE = (2, 3, 6, 7)
"""Batch, coils and image of the measured data, and of the coil maps."""

leaf_or_computed = pytest.mark.parametrize(
    ("data_is_leaf", "maps_are_leaf"), list(itertools.product([True, False], repeat=2)), ids=str
)


def steps_with_physics() -> list[Invertible]:
    first, second, *_ = blocks()
    data_step = DataStep()
    return [data_step, first, data_step, second, DataStep()]


def complex_leaf(seed: int) -> Tensor:
    return torch.randn(SHAPE, dtype=torch.cdouble, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def fidelity(data: Tensor, maps: Tensor) -> LeastSquares:
    mask = torch.tensor([1, 0, 1, 1, 0, 0, 1]).double().reshape(1, 1, 1, -1)
    return LeastSquares(CartesianMRI(mask, maps), data)


def measured(data_is_leaf: bool, maps_are_leaf: bool) -> tuple[list[Tensor], LeastSquares, Tensor, Tensor]:
    """Two leaves, and what an acquisition makes of them."""
    leaves = [complex_leaf(5), complex_leaf(6)]
    data = leaves[0] if data_is_leaf else leaves[0] * leaves[0].abs()
    maps = leaves[1] if maps_are_leaf else leaves[1] / leaves[1].abs().square().sum(1, keepdim=True).sqrt()
    return leaves, fidelity(data, maps), data, maps


@every_mode
@leaf_or_computed
@pytest.mark.parametrize("requires_grad", [False, True], ids=["image fixed", "image learned"])
def test_data_and_coil_maps(mode, data_is_leaf, maps_are_leaf, requires_grad):
    def run(chain):
        leaves, context, *_ = measured(data_is_leaf, maps_are_leaf)
        return grads(chain(state(requires_grad=requires_grad), context).sin().sum(), *leaves, *chain.parameters())

    assert_like_store(mode, run, steps_with_physics)


@every_mode
@leaf_or_computed
def test_used_twice_and_in_the_loss(mode, data_is_leaf, maps_are_leaf):
    def run(chain):
        leaves, context, data, maps = measured(data_is_leaf, maps_are_leaf)
        out = chain(chain(state(), context), context)
        loss = (out.sin().sum() + (data * maps).abs().sum()).square()
        return grads(loss, *leaves, retain_graph=True) + grads(loss, *leaves, *chain.parameters())

    assert_like_store(mode, run, steps_with_physics)


@every_mode
@leaf_or_computed
def test_twice_differentiated(mode, data_is_leaf, maps_are_leaf):
    def run(chain):
        leaves, context, *_ = measured(data_is_leaf, maps_are_leaf)
        first = grads(chain(state(), context).sin().sum(), *leaves, create_graph=True)
        return grads(sum(g.abs().square().sum() for g in first), *leaves, *chain.parameters())

    assert_like_store(mode, run, steps_with_physics)


@every_mode
def test_everything_frozen_but_the_data(mode):
    def run(chain):
        chain.requires_grad_(False)
        (data, _), context, *_ = measured(True, True)
        return grads(chain(state(requires_grad=False), context).sin().sum(), data)

    assert_like_store(mode, run, steps_with_physics)


OVERWRITING = {
    "mask": lambda context: context.operator.sampling.mask.zero_(),
    "back-projection": lambda context: context.back_projection.zero_(),
}
REPLACING = {
    "mask": lambda context: setattr(context.operator.sampling, "mask", torch.zeros(1, 1, 1, 7).double()),
    "back-projection": lambda context: setattr(context, "back_projection", context.back_projection * 2),
}


def run_with_context(chain, meddle):
    z, context = state(), fidelity(complex_leaf(5).detach(), complex_leaf(6).detach())
    loss = chain(z, context).sin().sum()
    meddle(context)
    return grads(loss, z, *chain.parameters())


@every_mode
@pytest.mark.parametrize("overwrite", OVERWRITING.values(), ids=OVERWRITING)
def test_context_overwritten_before_backward(mode, overwrite):
    assert_like_store_or_refused(mode, run_with_context, overwrite, steps_with_physics)


@every_mode
@pytest.mark.parametrize("replace", REPLACING.values(), ids=REPLACING)
def test_context_replaced_before_backward(mode, replace):
    """Plain autograd still holds the tensors of the forward pass."""
    assert_like_store_or_refused(mode, run_with_context, replace, steps_with_physics)


class Scaled(ExactlyInvertible):
    """A shift scaled by a tensor that no module owns: one held as ``gain``, or what the context holds."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.gain: Tensor | float = 1.0

    def forward(self, z: Tensor, context: object = None, /) -> Tensor:
        a, b = z.split([3, 2], dim=1)
        return torch.cat([b + self._gain(context) * self.net(a), a], dim=1)

    def inverse(self, z: Tensor, context: object = None, /) -> Tensor:
        b, a = z.split([2, 3], dim=1)
        return torch.cat([a, b - self._gain(context) * self.net(a)], dim=1)

    def forward_exact(self, z: Tensor, grid: Grid, context: object = None, /) -> Tensor:
        a, b = z.split([3, 2], dim=1)
        return torch.cat([b + grid.rounded_(self._gain(context) * self.net(a)), a], dim=1)

    def inverse_exact(self, z: Tensor, grid: Grid, context: object = None, /) -> Tensor:
        b, a = z.split([2, 3], dim=1)
        return torch.cat([a, b - grid.rounded_(self._gain(context) * self.net(a))], dim=1)

    def _gain(self, context: object) -> Tensor | float:
        if isinstance(context, dict):
            (context,) = context.values()
        if isinstance(context, tuple):
            (context,) = context
        return context if isinstance(context, Tensor) else self.gain


def scaled() -> list[Invertible]:
    torch.manual_seed(0)
    return [Scaled(nn.Conv2d(3, 2, 1).double()) for _ in range(3)]


CONTAINERS = {
    "a tensor": lambda gain: gain,
    "a tuple": lambda gain: (gain,),
    "a dictionary": lambda gain: {"gain": gain},
}


@every_mode
@pytest.mark.parametrize("wrap", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("is_leaf", [True, False])
def test_context_that_is_no_module(mode, wrap, is_leaf):
    def run(chain, _):
        leaf = torch.tensor([0.5, 2.0]).double().reshape(-1, 1, 1, 1).requires_grad_()
        return grads(chain(state(), wrap(leaf if is_leaf else leaf.sin())).sin().sum(), leaf, *chain.parameters())

    assert_like_store_or_refused(mode, run, print, scaled, refusal="nn.Module")


@every_mode
@pytest.mark.parametrize("is_leaf", [True, False])
def test_tensor_that_a_step_holds_without_registering_it(mode, is_leaf):
    def run(chain, _):
        leaf = torch.tensor([0.5, 2.0]).double().reshape(-1, 1, 1, 1).requires_grad_()
        for step in chain.steps:
            step.gain = leaf if is_leaf else leaf.sin()
        return grads(chain(state()).sin().sum(), leaf, *chain.parameters())

    assert_like_store_or_refused(mode, run, print, scaled, refusal="register")


@every_mode
def test_context_without_gradients_may_be_anything(mode):
    def run(chain):
        return grads(chain(state(), {"gain": torch.tensor(0.5).double()}).sin().sum(), *chain.parameters())

    assert_like_store(mode, run, scaled)


def test_words_of_refusal_are_torchs_or_ours():
    x = torch.ones(2, requires_grad=True) * 1
    y = x.square().sum()
    x.zero_()
    with pytest.raises(RuntimeError, match=IN_PLACE):
        y.backward()
