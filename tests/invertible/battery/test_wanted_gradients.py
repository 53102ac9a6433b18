"""Whatever gradients are asked for, and only those."""

import pytest
import torch

from invrim import InvertibleChain
from plain_autograd import assert_like_store, both_kinds, every_mode, grads, state


@every_mode
@both_kinds
def test_input_without_gradient(mode, make):
    def run(chain):
        return grads(chain(state(requires_grad=False)).sin().sum(), *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("requires_grad", [False, True])
def test_some_parameters_frozen(mode, make, requires_grad):
    def run(chain):
        for number, p in enumerate(chain.parameters()):
            p.requires_grad_(number % 3 != 0)
        z = state(requires_grad=requires_grad)
        chain(z).sin().sum().backward()
        assert all((p.grad is not None) == p.requires_grad for p in chain.parameters())
        return [t.grad for t in (z, *chain.parameters()) if t.requires_grad]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("trained", range(4))
def test_only_one_step_trained(mode, make, trained):
    def run(chain):
        chain.requires_grad_(False)
        chain.steps[trained].requires_grad_(True)
        return grads(chain(state(requires_grad=False)).sin().sum(), *chain.steps[trained].parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_everything_frozen_but_the_input(mode, make):
    def run(chain):
        chain.requires_grad_(False)
        z = state()
        return grads(chain(z).sin().sum(), z)

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_nothing_to_differentiate(mode, make):
    chain = InvertibleChain(make(), backprop=mode).requires_grad_(False)
    assert not chain(state(requires_grad=False)).requires_grad


@every_mode
@both_kinds
def test_parts_one_after_the_other_from_one_graph(mode, make):
    def run(chain):
        z = state()
        loss = chain(z).sin().sum()
        wanted = [[*chain.steps[-1].parameters()], [*chain.steps[1].parameters()], [z], [*chain.parameters()], [z]]
        return [g for tensors in wanted for g in grads(loss, *tensors, retain_graph=True)]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_backward_into_chosen_leaves(mode, make):
    def run(chain):
        z = state()
        chosen = [z, *chain.steps[2].parameters()]
        chain(z).sin().sum().backward(inputs=chosen)
        assert all(p.grad is None for p in chain.steps[0].parameters())
        return [t.grad for t in chosen]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_loss_on_some_channels_of_the_output(mode, make):
    def run(chain):
        z = state()
        return grads(chain(z)[:, :2, 1:, ::2].sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_input_needed_elsewhere_in_the_loss(mode, make):
    def run(chain):
        z, other = state(), state(4)
        x = z.sin()
        return grads((chain(x) + x + other).square().sum(), z, other, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
def test_chain_of_no_steps_is_the_identity(mode):
    z = state()
    (grad,) = grads(InvertibleChain([], backprop=mode)(z).square().sum(), z)
    assert torch.equal(grad, 2 * z)
