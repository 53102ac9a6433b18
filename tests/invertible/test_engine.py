"""What autograd promises, the engine keeps: compared with plain autograd on the same chain."""

import copy

import pytest
import torch
from torch import Tensor

from invrim import InvertibleChain, ReversibleBlock
from invrim.errors import InvrimError, OptionError, ShapeError
from invrim.layers import DataStep

RTOL = 1e-10


def chain(*strides: int, backprop: str = "invert") -> InvertibleChain:
    torch.manual_seed(0)
    return InvertibleChain([ReversibleBlock(5, 4, d) for d in strides or (1, 2, 3)], backprop=backprop).double()


def state(requires_grad: bool = True) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 5, 6, 7, dtype=torch.double, requires_grad=requires_grad)


def both_modes(model, run):
    results = []
    for mode in ("store", "invert"):
        model.backprop = mode
        results.append(run(model))
    return results


def assert_equal(a, b):
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=RTOL, atol=RTOL)


def test_backward_twice():
    def run(model):
        z = state()
        loss = model(z).sin().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        return [z.grad]

    assert_equal(*both_modes(chain(), run))


def test_double_backward():
    def run(model):
        z = state()
        tensors = [z, *model.parameters()]
        grads = torch.autograd.grad(model(z).sin().sum(), tensors, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), tensors)

    assert_equal(*both_modes(chain(), run))


def test_input_without_gradient_and_frozen_parameters():
    def run(model):
        for number, p in enumerate(model.parameters()):
            p.requires_grad_(number % 3 != 0)
        wanted = [p for p in model.parameters() if p.requires_grad]
        return torch.autograd.grad(model(state(requires_grad=False)).sin().sum(), wanted)

    assert_equal(*both_modes(chain(), run))


def test_shared_weights_nested_chains_and_a_skip_around():
    block = ReversibleBlock(5, 4, 2)

    def run(model):
        z = state()
        loss = (model(z) + z.square()).sin().sum()
        return torch.autograd.grad(loss, [z, *model.parameters()])

    inner = InvertibleChain([block, ReversibleBlock(5, 3, 1)], backprop="store")
    assert_equal(*both_modes(InvertibleChain([block, inner, block, inner]).double(), run))


def test_one_chain_called_twice():
    def run(model):
        z = state()
        return torch.autograd.grad(model(model(z) * 2).sin().sum(), [z, *model.parameters()])

    assert_equal(*both_modes(chain(), run))


def test_autocast_is_the_same_in_the_recomputation():
    model = InvertibleChain([ReversibleBlock(6, 8, d) for d in (1, 2)])
    z = torch.randn(2, 6, 8, 8)

    def run(model):
        with torch.autocast("cpu", torch.bfloat16):
            out = model(z)
        assert out.dtype == torch.float32, "the state stays float32, only the nets are bf16"
        return torch.autograd.grad(out.square().sum(), list(model.parameters()))

    stored, inverted = both_modes(model, run)
    for a, b in zip(stored, inverted, strict=True):
        # Float32 drift of 1e-7 flips some bf16 roundings (3 digits) of the recomputed activations.
        torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2 * float(a.abs().max()))


def test_output_overwritten_in_place_is_noticed():
    out = chain()(state())
    out.detach().zero_()  # the same storage, behind autograd's back but for its version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_parameters_changed_before_backward_are_noticed():
    model = chain()
    loss = model(state()).sum()
    with torch.no_grad():
        model.steps[0].net.down.bias.add_(1)
    with pytest.raises(InvrimError, match="changed in place"):
        loss.backward()


def test_input_of_the_caller_is_kept():
    z = state()
    before = z.detach().clone()
    chain()(z).sum().backward()
    assert torch.equal(z.detach(), before)


def test_deepcopy_trains_on_its_own():
    model = chain()
    twin = copy.deepcopy(model)
    twin(state()).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in twin.parameters())


def test_no_grad_keeps_nothing():
    with torch.no_grad():
        assert chain()(state()).grad_fn is None


def test_drift_is_round_off():
    assert chain().drift(state()) < 1e-14
    for channels in (5, 64):  # mixed by dense matrices, and by factored ones
        blocks = [ReversibleBlock(channels, 4) for _ in range(400)]
        assert InvertibleChain(blocks).drift(torch.randn(1, channels, 6, 7)) < 3e-6
    assert chain().drift(torch.zeros(1, 5, 4, 4, dtype=torch.double)) == pytest.approx(0, abs=1e-14)


def test_errors_say_what_to_do():
    with pytest.raises(OptionError, match=r"expected backprop of \('store', 'invert', 'exact'\), got 'checkpoint'"):
        InvertibleChain([], backprop="checkpoint")
    with pytest.raises(ShapeError, match=r"expected a state \(b, 5, 2 spatial axes\), got \(2, 4, 6, 7\)"):
        ReversibleBlock(5, 4)(torch.zeros(2, 4, 6, 7))
    with pytest.raises(OptionError, match="expected a data fidelity"):
        DataStep()(torch.zeros(2, 5, 4, 4))
