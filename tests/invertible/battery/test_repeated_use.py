"""Several losses, several backward passes, several calls: in any order."""

from functools import partial

import pytest
import torch

from invrim import InvertibleChain
from plain_autograd import assert_like_store, blocks, both_kinds, couplings, every_mode, grads, results, state


@every_mode
@both_kinds
def test_backward_three_times(mode, make):
    def run(chain):
        z = state()
        loss = chain(z).sin().sum()
        seen = []
        for retain in (True, True, False):
            loss.backward(retain_graph=retain)
            seen += [t.grad.clone() for t in (z, *chain.parameters())]
        return seen

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_backward_through_a_freed_graph_is_refused_as_ever(mode, make):
    loss = InvertibleChain(make(), backprop=mode)(state()).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@every_mode
@both_kinds
def test_backward_again_after_one_that_failed_halfway(mode, make):
    def run(chain):
        z = state()
        loss = chain(z).sin().sum()
        handle = next(chain.steps[1].parameters()).register_hook(lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loss.backward(retain_graph=True)
        handle.remove()
        return grads(loss, z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("together", [False, True])
def test_two_losses_from_one_output(mode, make, together):
    def run(chain):
        z = state()
        out = chain(z)
        losses = [out[:, :3].square().sum(), out.sin().sum()]
        if together:
            torch.autograd.backward(losses)
        else:
            losses[1].backward(retain_graph=True)
            losses[0].backward()
        return [z.grad, *(p.grad for p in chain.parameters())]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_gradients_accumulate_over_calls(mode, make):
    def run(chain):
        for seed in (1, 2):
            chain(state(seed)).sin().sum().backward()
        return [p.grad for p in chain.parameters()]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_calls_before_either_backward(mode, make, order):
    def run(chain):
        losses = [chain(state(seed)).sin().sum() for seed in (1, 2)]
        for number in order:
            losses[number].backward()
        return [p.grad for p in chain.parameters()]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_two_calls_in_one_loss(mode, make):
    def run(chain):
        z, other = state(1), state(2)
        return grads((chain(z) * chain(other) + chain(z + other)).sin().sum(), z, other, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_one_chain_after_itself(mode, make):
    def run(chain):
        z = state()
        return grads(chain(chain(z).sin()).sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_chains_interleaved_with_other_work(mode, make):
    def run(chain):
        other = InvertibleChain(make()[:2][::-1], backprop=chain.backprop)
        z = state()
        a, b = chain(z), other(z)
        c, d = other(a * b), chain(a - b)
        return grads((c * d + a).sin().sum(), z, *chain.parameters(), *other.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_one_step_several_times(mode, make):
    def shared():
        first, second, *_ = make()
        return [first, second, first, first, second]

    def run(chain):
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, shared)


@every_mode
@pytest.mark.parametrize("inner_mode", ["store", "same"])
def test_nested_chains(mode, inner_mode):
    def nested(mode):
        a, b, c, d = blocks()
        inner_most = InvertibleChain([a, c], backprop=mode)
        inner = InvertibleChain([b, inner_most, *couplings()[:2]], backprop=mode)
        return [inner, d, inner_most, inner]

    def run(chain):
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, partial(nested, mode if inner_mode == "same" else "store"))


@every_mode
def test_a_storing_chain_decides_for_those_inside(mode):
    def run(chain):
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    inner = results("store", run, lambda: [InvertibleChain(blocks(), backprop=mode)])
    assert all(torch.equal(a, b) for a, b in zip(inner, results("store", run), strict=True))


@every_mode
@both_kinds
def test_three_steps_of_an_optimiser(mode, make):
    def run(chain):
        optimiser = torch.optim.AdamW(chain.parameters(), 1e-2)
        for seed in range(3):
            optimiser.zero_grad(set_to_none=seed % 2 == 0)
            chain(state(seed)).sin().sum().backward()
            optimiser.step()
        return [p.grad for p in chain.parameters()]

    assert_like_store(mode, run, make)
