"""The recomputation draws the random numbers of the forward pass, and nobody else notices."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from plain_autograd import (
    assert_like_store,
    assert_like_store_or_refused,
    blocks_with,
    couplings,
    every_mode,
    grads,
    state,
)


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + torch.randn_like(x))


def dropout() -> nn.Module:
    return nn.Dropout(0.4)


random_nets = pytest.mark.parametrize(
    "make",
    [
        partial(blocks_with, dropout),
        partial(blocks_with, Noise),
        partial(couplings, dropout),
        partial(couplings, Noise),
    ],
    ids=["dropout in blocks", "noise in blocks", "dropout in couplings", "noise in couplings"],
)


@every_mode
@random_nets
def test_gradients_of_random_nets(mode, make):
    def run(chain):
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@random_nets
def test_random_stream_after_backward(mode, make):
    def run(chain):
        loss = chain(state()).sum()
        between = torch.rand(3)
        loss.backward()
        return [between, torch.rand(3)]

    assert_like_store(mode, run, make)


@every_mode
@random_nets
def test_numbers_drawn_between_forward_and_backward(mode, make):
    def run(chain):
        z = state()
        first, second = chain(z), chain(z)
        torch.rand(5)
        return grads(first.sin().sum(), z, retain_graph=True) + grads((first * second).sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@random_nets
def test_random_nets_twice_differentiated(mode, make):
    def run(chain):
        z = state()
        (first,) = grads(chain(z).sin().sum(), z, create_graph=True)
        return [*grads(first.square().sum(), z, *chain.parameters()), torch.rand(3)]

    assert_like_store(mode, run, make)


@every_mode
@random_nets
def test_a_hook_that_draws_during_backward_draws_from_the_users_stream(mode, make):
    def run(chain):
        drawn = []
        for p in chain.parameters():
            p.register_hook(lambda _: drawn.append(torch.rand(1)))
        chain(state()).sum().backward()
        return [*drawn, torch.rand(1)]

    assert_like_store(mode, run, make)


@every_mode
@random_nets
def test_eval_called_before_backward(mode, make):
    def run(chain, meddle):
        z = state()
        loss = chain(z).sin().sum()
        meddle(chain)
        return grads(loss, z, *chain.parameters())

    assert_like_store_or_refused(mode, run, lambda chain: chain.eval(), make, refusal=r"eval\(\)|training mode")
