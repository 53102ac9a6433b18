"""Hooks fire as often as under plain autograd, in the same order, and see the same tensors."""

from functools import partial

import pytest
import torch

from plain_autograd import assert_like_store, both_kinds, every_mode, grads, state

STEP_HOOKS = {
    "forward pre": lambda step, see: step.register_forward_pre_hook(lambda _, args: see(args[0])),
    "forward": lambda step, see: step.register_forward_hook(lambda _, args, out: see(args[0], out)),
    "backward pre": lambda step, see: step.register_full_backward_pre_hook(lambda _, out: see(*out)),
    "backward": lambda step, see: step.register_full_backward_hook(lambda _, grad_in, out: see(grad_in[0], *out)),
}


def numbered(seen: list, number: int, *tensors: torch.Tensor) -> None:
    seen += [torch.tensor(number, dtype=torch.double), *(t.detach().clone() for t in tensors)]


@every_mode
@both_kinds
@pytest.mark.parametrize("register", STEP_HOOKS.values(), ids=STEP_HOOKS)
@pytest.mark.parametrize("position", [0, 2, 3])
def test_hooks_on_a_step(mode, make, register, position):
    def run(chain):
        seen = []
        register(chain.steps[position], partial(numbered, seen, position))
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters()) + seen

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("register", STEP_HOOKS.values(), ids=STEP_HOOKS)
def test_hooks_on_every_step_and_the_chain(mode, make, register):
    def run(chain):
        seen = []
        for number, module in enumerate([*chain.steps, chain]):
            register(module, partial(numbered, seen, number))
        z = state()
        return grads(chain(z).sin().sum(), z) + seen

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_what_hooks_were_given_does_not_change_later(mode, make):
    def run(chain):
        seen = []
        for step in chain.steps:
            step.register_forward_hook(lambda _, args, out: seen.extend((args[0], out)))
            step.register_full_backward_hook(lambda _, grad_in, grad_out: seen.extend((grad_in[0], *grad_out)))
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters()) + seen

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_hooks_that_change_what_passes(mode, make):
    def run(chain):
        chain.steps[1].register_full_backward_hook(lambda _, grad_in, __: (2 * grad_in[0], *grad_in[1:]))
        chain.steps[2].register_forward_hook(lambda _, __, out: out * 1.5)
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_backward_hooks_inside_a_step(mode, make):
    def run(chain):
        seen = []
        for number, step in enumerate(chain.steps):
            step.net.register_full_backward_hook(lambda _, grad_in, out, n=number: numbered(seen, n, *grad_in, *out))
        z = state()
        return grads(chain(z).sin().sum(), z) + seen

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_hooks_on_input_and_output(mode, make):
    def run(chain):
        leaf, seen = state(), []
        z = leaf.sin()
        out = chain(z)
        for number, tensor in enumerate((leaf, z, out)):
            tensor.register_hook(partial(numbered, seen, number))
        out.register_hook(lambda g: 2 * g)
        return grads(out.sin().sum(), leaf, *chain.parameters()) + seen

    assert_like_store(mode, run, make)


PARAMETER_HOOKS = {
    "gradient": lambda p, see: p.register_hook(see),
    "accumulated": lambda p, see: p.register_post_accumulate_grad_hook(lambda p: see(p.grad)),
}


@every_mode
@both_kinds
@pytest.mark.parametrize("register", PARAMETER_HOOKS.values(), ids=PARAMETER_HOOKS)
@pytest.mark.parametrize("shared", [False, True])
def test_hooks_on_parameters(mode, make, register, shared):
    def steps():
        first, second, *rest = make()
        return [first, second, first] if shared else [first, second, *rest]

    def run(chain):
        seen = {number: [] for number, _ in enumerate(chain.parameters())}
        for number, p in enumerate(chain.parameters()):
            register(p, partial(numbered, seen[number], number))
        chain(state()).sin().sum().backward()
        return [tensor for tensors in seen.values() for tensor in tensors]

    assert_like_store(mode, run, steps)


@every_mode
@both_kinds
def test_optimiser_inside_the_backward_pass(mode, make):
    """Each parameter is updated and its gradient freed as soon as it is there."""

    def update(p):
        with torch.no_grad():
            p.add_(p.grad, alpha=-1e-2)
        p.grad = None

    def run(chain):
        for p in chain.parameters():
            p.register_post_accumulate_grad_hook(update)
        for seed in (1, 2):
            chain(state(seed)).sin().sum().backward()
        return list(chain.parameters())

    assert_like_store(mode, run, make)
