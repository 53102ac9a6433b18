"""States on the way are returned on request, and losses on them are differentiated like any other."""

import pytest
import torch

from invrim import InvertibleChain
from invrim.errors import OptionError
from plain_autograd import IN_PLACE, assert_like_store, blocks, both_kinds, every_mode, grads, refused_or_not, state

N_STEPS = 4


def states_one_by_one(steps, z):
    states = []
    for step in steps:
        z = step(z)
        states.append(z)
    return states


def weigh(states, *weights):
    """A loss that reads each state in its own way."""
    return sum(weight * s.sin().sum() for weight, s in zip(weights, states, strict=True))


@every_mode
@both_kinds
@pytest.mark.parametrize("wanted", [[1, 3], [0], [-1], [0, 1, 2, 3], [2, -1], [-4, -2]], ids=str)
def test_values_are_those_of_the_steps_one_by_one(mode, make, wanted):
    steps, z = make(), state()
    got = InvertibleChain(steps, backprop=mode)(z, None, return_states=wanted)
    expected = states_one_by_one(steps, z)
    assert isinstance(got, list)
    for a, number in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, expected[number])


@every_mode
@both_kinds
@pytest.mark.parametrize("wanted", [[1], [0], [2], [1, 3], [0, 1, 2, -1]], ids=str)
def test_loss_on_states(mode, make, wanted):
    def run(chain):
        z = state()
        if chain.backprop == "store":
            every = states_one_by_one(chain.steps, z)
            states = [every[number] for number in wanted]
        else:
            states = chain(z, None, return_states=wanted)
        return grads(weigh(states, *range(1, len(wanted) + 1)), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_storing_chains_return_states_too(mode, make):
    def run(chain):
        z = state()
        return grads(weigh(chain(z, None, return_states=[0, 2, -1]), 1, 2, 3), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_loss_on_some_of_the_returned_states(mode, make):
    """The final output is returned, but has no part in the loss."""

    def run(chain):
        z = state()
        _, middle, _ = chain(z, None, return_states=[0, 2, 3])
        return grads(middle.sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_one_backward_per_state(mode, make, order):
    def run(chain):
        z = state()
        losses = [s.sin().sum() for s in chain(z, None, return_states=[0, 2, 3])]
        for number in order:
            losses[number].backward(retain_graph=True)
        return [z.grad, *(p.grad for p in chain.parameters())]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_twice_differentiated(mode, make):
    def run(chain):
        z = state()
        loss = weigh(chain(z, None, return_states=[1, 3]), 1, 2)
        (first,) = grads(loss, z, create_graph=True)
        return grads(first.square().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_input_without_gradient_and_a_frozen_step(mode, make):
    def run(chain):
        chain.steps[2].requires_grad_(False)
        loss = weigh(chain(state(requires_grad=False), None, return_states=[1, 3]), 1, 2)
        return grads(loss, *(p for p in chain.parameters() if p.requires_grad))

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("retain_graph", [False, True])
def test_returned_states_are_the_same_after_backward(mode, make, retain_graph):
    z = state()
    states = InvertibleChain(make(), backprop=mode)(z, None, return_states=[0, 2, 3])
    before = [s.detach().clone() for s in states]
    weigh(states, 1, 2, 3).backward(retain_graph=retain_graph)
    assert all(torch.equal(a.detach(), b) for a, b in zip(states, before, strict=True))


@every_mode
@pytest.mark.parametrize("number", [0, 2, 3])
def test_returned_state_overwritten_before_backward_is_noticed_or_harmless(mode, number):
    chain, z = InvertibleChain(blocks(), backprop=mode), state()
    states = dict(zip((0, 2, 3), chain(z, None, return_states=[0, 2, 3]), strict=True))
    loss = states[3 if number != 3 else 2].sum()
    expected = grads(states_one_by_one(blocks(), z)[3 if number != 3 else 2].sum(), z)
    states[number].detach().zero_()
    with refused_or_not(IN_PLACE):
        torch.testing.assert_close(grads(loss, z), expected)


@every_mode
def test_without_gradients(mode):
    with torch.no_grad():
        states = InvertibleChain(blocks(), backprop=mode)(state(), None, return_states=[0, -1])
    assert [s.requires_grad for s in states] == [False, False]
    assert not torch.equal(*states)


@every_mode
@pytest.mark.parametrize("number", [N_STEPS, -N_STEPS - 1])
def test_a_step_that_does_not_exist_is_refused(mode, number):
    with pytest.raises(OptionError, match=f"{number}"):
        InvertibleChain(blocks(), backprop=mode)(state(), None, return_states=[number])
