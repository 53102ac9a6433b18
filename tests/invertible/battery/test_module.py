"""A chain is a module like any other: copied, pickled, saved, loaded, evaluated without gradients."""

import copy
import io
import pickle

import pytest
import torch

from invrim import InvertibleChain
from invrim.planning.memory import saved_bytes
from plain_autograd import assert_like_store, assert_like_store_or_refused, blocks, both_kinds, every_mode, grads, state


def loaded(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def with_its_state(model):
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        for p in fresh.parameters():
            p.zero_()
    fresh.load_state_dict(model.state_dict())
    return fresh


COPIES = {
    "deepcopy": copy.deepcopy,
    "state_dict": with_its_state,
}


@every_mode
@both_kinds
@pytest.mark.parametrize("copy_of", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("used", [False, True])
def test_a_copy_trains_on_its_own(mode, make, copy_of, used):
    def run(chain):
        z = state()
        pending = chain(z).sum() if used else None
        twin = copy_of(chain)
        assert twin.backprop == chain.backprop
        twin(z).sin().sum().backward()
        assert all(p.grad is None for p in chain.parameters())
        return [z.grad, *(p.grad for p in twin.parameters()), *([] if pending is None else grads(pending, z))]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("copy_of", [lambda model: pickle.loads(pickle.dumps(model)), loaded], ids=["pickle", "save"])
def test_pickled_as_plain_autograd_would_be(mode, make, copy_of):
    """Torch itself refuses to pickle weight normalisation."""

    def run(chain, _):
        z = state()
        return [copy_of(chain)(z) if chain.backprop == mode else chain(z)]

    assert_like_store_or_refused(mode, run, print, make, "parametrized modules is only supported through state_dict")


@every_mode
def test_a_copy_keeps_shared_weights_shared(mode):
    first, second, *_ = blocks()
    chain = InvertibleChain([first, second, first], backprop=mode)
    twin = copy.deepcopy(chain)
    assert twin.steps[0] is twin.steps[2]
    assert len(list(twin.parameters())) == len(list(chain.parameters()))


@every_mode
def test_state_dict_does_not_depend_on_the_mode(mode):
    first, second = (InvertibleChain(blocks(), backprop=m).state_dict() for m in (mode, "store"))
    assert first.keys() == second.keys()


@every_mode
@both_kinds
@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_inference_equals_training_and_keeps_nothing(mode, make, without_gradients):
    chain, z = InvertibleChain(make(), backprop=mode), state()
    expected, before = chain(z).detach(), z.detach().clone()
    with without_gradients():
        out = chain(z)
    assert out.grad_fn is None
    assert torch.equal(out, expected)
    assert torch.equal(z.detach(), before)


@every_mode
@both_kinds
def test_what_is_kept_is_one_state(mode, make):
    z = state()
    assert saved_bytes(InvertibleChain(make() + make(), backprop=mode), z) == z.numel() * z.element_size()


@every_mode
@both_kinds
def test_moved_to_another_precision(mode, make):
    chain = InvertibleChain(make(), backprop=mode).float()
    z = state(dtype=torch.float32)
    chain(z).sum().backward()
    assert {t.grad.dtype for t in (z, *chain.parameters())} == {torch.float32}
