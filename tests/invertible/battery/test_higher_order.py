"""Gradients of gradients."""

import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from invrim import InvertibleChain
from plain_autograd import assert_like_store, both_kinds, couplings, every_mode, grads, state


@every_mode
@both_kinds
def test_double_backward(mode, make):
    def run(chain):
        z = state()
        tensors = [z, *chain.parameters()]
        first = grads(chain(z).sin().sum(), *tensors, create_graph=True)
        return first + grads(sum(g.square().sum() for g in first), *tensors)

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_gradient_penalty_beside_a_loss(mode, make):
    def run(chain):
        z = state()
        out = chain(z)
        (slope,) = grads(out.sum(), z, create_graph=True)
        (out.square().sum() + slope.square().sum()).backward()
        return [z.grad, *(p.grad for p in chain.parameters())]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_third_order(mode, make):
    def run(chain):
        z = state()
        (first,) = grads(chain(z).sin().sum(), z, create_graph=True)
        (second,) = grads(first.sin().sum(), z, create_graph=True)
        return grads(second.sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
def test_first_and_second_order_against_finite_differences(mode):
    chain = InvertibleChain(couplings()[:2], backprop=mode)
    names = [name for name, _ in chain.named_parameters()]
    tensors = [torch.randn(2, 5, 2, 3).double().requires_grad_(), *chain.parameters()]

    def function(z, *parameters):
        return functional_call(chain, dict(zip(names, parameters, strict=True)), (z,))

    assert gradcheck(function, tensors, fast_mode=True)
    assert gradgradcheck(function, tensors, fast_mode=True)
