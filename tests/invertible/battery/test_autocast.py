"""Under autocast the nets are bf16 and the state is not; the recomputation is under the same autocast."""

import pytest
import torch

from plain_autograd import assert_close, both_kinds, every_mode, grads, results, state

BF16 = 2e-2
"""Float32 drift of 1e-7 flips some bf16 roundings (3 digits) of the recomputed activations."""
FLOAT32 = 1e-4
"""Round-off of a few hundred sums, in float32."""


def single(make):
    return lambda: [step.float() for step in make()]


def run(chain, *, inside: bool = False):
    z = state(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = chain(z)
    assert out.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16, enabled=inside):
        return grads(out.float().sin().sum(), z, *chain.parameters())


@every_mode
@both_kinds
@pytest.mark.parametrize("inside", [False, True], ids=["backward outside", "backward inside"])
def test_gradients_under_autocast(mode, make, inside):
    got, expected = (results(m, lambda chain: run(chain, inside=inside), single(make)) for m in (mode, "store"))
    assert {g.dtype for g in got} == {torch.float32}
    assert_close(got, expected, BF16)


@every_mode
@both_kinds
def test_backward_inside_autocast_recomputes_what_was_outside(mode, make):
    def plain(chain):
        z = state(dtype=torch.float32)
        out = chain(z)
        with torch.autocast("cpu", torch.bfloat16):
            return grads(out.sin().sum(), z, *chain.parameters())

    def without(chain):
        z = state(dtype=torch.float32)
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    # Not plain autograd inside autocast: its backward formulas are then computed in bf16 themselves.
    expected = results("store", without, single(make))
    assert_close(results(mode, plain, single(make)), expected, FLOAT32)
    with pytest.raises(AssertionError, match="not close"):
        assert_close(results(mode, run, single(make)), expected, FLOAT32)
