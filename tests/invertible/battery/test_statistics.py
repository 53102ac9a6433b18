"""A module that updates itself in its forward pass would do so twice: refused; one that does not is welcome."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from invrim import InvertibleChain
from invrim.errors import InvrimError
from plain_autograd import assert_like_store, blocks_with, couplings, every_mode, grads, state

SELF_UPDATING = {
    "batch norm": partial(nn.BatchNorm2d, 4),
    "instance norm": partial(nn.InstanceNorm2d, 4, track_running_stats=True),
    "spectral norm": lambda: spectral_norm(nn.Conv2d(4, 4, 1)),
}
self_updating = pytest.mark.parametrize("norm", SELF_UPDATING.values(), ids=SELF_UPDATING)
HARMLESS = {
    "group norm": partial(nn.GroupNorm, 2, 4),
    "batch norm of the batch alone": partial(nn.BatchNorm2d, 4, track_running_stats=False),
}


def run(chain):
    z = state()
    return [
        *grads(chain(z).sin().sum(), z, *chain.parameters()),
        *(b for b in chain.buffers() if b.is_floating_point()),
    ]


@every_mode
@self_updating
def test_training_mode_is_refused_with_the_name_of_the_module_and_the_remedy(mode, norm):
    chain = InvertibleChain(couplings(norm), backprop=mode)
    with pytest.raises(InvrimError, match=r"net\.1") as refusal:
        chain(state())
    for remedy in ("eval", "backprop='store'"):
        assert remedy in str(refusal.value)


@every_mode
def test_refusal_in_a_block_names_the_kind_and_its_replacement(mode):
    chain = InvertibleChain(blocks_with(partial(nn.BatchNorm2d, 3)), backprop=mode)
    with pytest.raises(InvrimError, match=r"BatchNorm2d.*net\.1.*GroupNorm"):
        chain(state())


@every_mode
@self_updating
def test_eval_mode_is_like_store(mode, norm):
    def steps():
        made = couplings(norm)
        with torch.no_grad():
            for step in made:
                step(state(3))  # statistics of their own
        return [step.eval() for step in made]

    assert_like_store(mode, run, steps)


@every_mode
@pytest.mark.parametrize("norm", HARMLESS.values(), ids=HARMLESS)
def test_norms_without_a_memory_are_like_store(mode, norm):
    assert_like_store(mode, run, partial(couplings, norm))


@every_mode
def test_statistics_are_updated_once_without_gradients(mode):
    def infer(chain):
        with torch.no_grad():
            out = chain(state())
        return [out, *(b for b in chain.buffers() if b.is_floating_point())]

    assert_like_store(mode, infer, partial(couplings, partial(nn.BatchNorm2d, 4)))
