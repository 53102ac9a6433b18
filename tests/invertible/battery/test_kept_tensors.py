"""What belongs to the caller stays as it is; what the caller overwrites is noticed."""

import pytest
import torch

from invrim import InvertibleChain
from plain_autograd import (
    assert_like_store,
    assert_like_store_or_refused,
    both_kinds,
    every_mode,
    grads,
    state,
)

HOLDINGS = {
    "the output": lambda out: out,
    "a view of it": lambda out: out[:, 1:3],
    "it, detached": lambda out: out.detach(),
    "its numpy array": lambda out: torch.from_numpy(out.detach().numpy()),
}
OVERWRITING = {
    "mul_": lambda out: out.mul_(2),
    "relu_": lambda out: out.relu_(),
    "setitem": lambda out: out[:, :2].zero_(),
    "detached": lambda out: out.detach().zero_(),
}


@every_mode
@both_kinds
@pytest.mark.parametrize("retain_graph", [False, True])
@pytest.mark.parametrize("hold", HOLDINGS.values(), ids=HOLDINGS)
def test_output_is_the_same_after_backward(mode, make, hold, retain_graph):
    out = InvertibleChain(make(), backprop=mode)(state())
    loss, held = out.square().sum(), hold(out)
    before = held.detach().clone()
    del out
    loss.backward(retain_graph=retain_graph)
    assert torch.equal(held.detach(), before)


@every_mode
@both_kinds
def test_output_saved_by_somebody_else(mode, make):
    def run(chain):
        weight = state(4)
        out = chain(state())
        loss, other = out.sum(), (weight * out.detach()).square().sum()
        del out
        loss.backward()
        return grads(other, weight)

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("kind", ["leaf", "no gradient", "computed", "view"])
def test_input_is_the_same_after_forward_and_backward(mode, make, kind):
    leaf = state(requires_grad=kind != "no gradient")
    z = {"computed": leaf * 1, "view": leaf.flip(0)[:]}.get(kind, leaf)
    before = z.detach().clone()
    out = InvertibleChain(make(), backprop=mode)(z)
    assert torch.equal(z.detach(), before)
    out.sin().sum().backward()
    assert torch.equal(z.detach(), before)


@every_mode
@both_kinds
def test_gradient_of_the_caller_is_kept(mode, make):
    def run(chain):
        z, weight, seen = state(), state(4, requires_grad=False), []
        before = weight.clone()
        out = chain(z)
        out.register_hook(seen.append)
        out.retain_grad()
        out.backward(weight)
        assert torch.equal(weight, before)
        assert torch.equal(seen[0], before)
        return [z.grad, out.grad]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_gradients_given_out_do_not_change_later(mode, make):
    chain, z = InvertibleChain(make(), backprop=mode), state()
    loss = chain(z).sin().sum()
    first = grads(loss, z, *chain.parameters(), retain_graph=True)
    copies = [g.clone() for g in first]
    grads(loss, z, *chain.parameters())
    assert all(torch.equal(a, b) for a, b in zip(first, copies, strict=True))


@every_mode
@both_kinds
@pytest.mark.parametrize("layout", ["expanded", "channels last", "strided"])
def test_any_memory_layout(mode, make, layout):
    def run(chain):
        z = state()
        x = {
            "expanded": z[:1].expand(2, -1, -1, -1),
            "channels last": z.to(memory_format=torch.channels_last),
            "strided": z.repeat_interleave(2, 3)[..., ::2],
        }[layout]
        before = x.detach().clone()
        result = grads(chain(x).sum(), z, *chain.parameters())
        assert torch.equal(x.detach(), before)
        return result

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("overwrite", OVERWRITING.values(), ids=OVERWRITING)
def test_output_overwritten_before_backward(mode, make, overwrite):
    """Plain autograd differentiates through an in-place operation, so that its result is the one to meet."""

    def run(chain, _):
        z = state()
        out = chain(z)
        overwrite(out)
        return grads(out.sum(), z, *chain.parameters())

    assert_like_store_or_refused(mode, run, overwrite, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("requires_grad", [False, True])
def test_input_overwritten_before_backward(mode, make, requires_grad):
    def run(chain, meddle):
        x = state(requires_grad=requires_grad) * 1
        loss = chain(x).sin().sum()
        with torch.no_grad():
            meddle(x)
        return grads(loss, *chain.parameters())

    assert_like_store_or_refused(mode, run, lambda x: x.zero_(), make)


@every_mode
@both_kinds
@pytest.mark.parametrize("frozen", [False, True])
def test_parameters_overwritten_before_backward(mode, make, frozen):
    def run(chain, meddle):
        z = state()
        chain.steps[1].requires_grad_(not frozen)
        loss = chain(z).sin().sum()
        with torch.no_grad():
            meddle(next(chain.steps[1].net.parameters()))
        return grads(loss, z, *(p for p in chain.parameters() if p.requires_grad))

    assert_like_store_or_refused(mode, run, lambda p: p.add_(1), make)


@every_mode
@both_kinds
def test_parameters_replaced_before_backward(mode, make):
    """Plain autograd still holds those of the forward pass."""

    def run(chain):
        z = state()
        old = list(chain.parameters())
        loss = chain(z).sin().sum()
        for module in list(chain.modules()):
            for name, p in list(module.named_parameters(recurse=False)):
                setattr(module, name, torch.nn.Parameter(p.detach() + 1, requires_grad=False))
        return grads(loss, z, *old)

    assert_like_store(mode, run, make)


def test_the_comparison_rejects_a_disturbed_gradient():
    def run(chain, meddle):
        z = state()
        with torch.no_grad():
            meddle(z)
        return grads(chain(z).sin().sum(), z)

    with pytest.raises(AssertionError, match="Tensor-likes are not"):
        assert_like_store_or_refused("store", run, lambda z: z.add_(1e-6))
