"""Every rival of the reversible block keeps the inverse, the gradient and the determinant law."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invrim import CartesianMRI, InvertibleChain, LeastSquares, ReversibleBlock
from invrim.invertible import PulledBack
from invrim.layers import ActNorm, AdditiveCoupling, AffineCoupling, DataStep, FreeMixing, GlowStep
from invrim.testing import assert_inverse, assert_log_determinant, assert_same_gradients
from rivals import RIVALS, disturbed

DEPTH = 6
ROUND_OFF = 1e-10
"""The project's bar for float64."""

SHAPES = {1: (2, 5, 11), 2: (2, 5, 7, 9), 3: (2, 5, 3, 7, 5)}
"""Odd channels, no size divisible by the strides, batch of two."""

TINY = {1: (2, 3, 5), 2: (2, 5, 3, 2), 3: (2, 3, 2, 1, 3)}


def chain_of(rival: str, channels: int, ndim: int) -> InvertibleChain:
    return disturbed(InvertibleChain([RIVALS[rival](i, channels, ndim) for i in range(DEPTH)])).double()


@pytest.mark.parametrize("ndim", SHAPES)
@pytest.mark.parametrize("rival", RIVALS)
def test_unshared_steps_invert_and_differentiate_like_autograd(rival, ndim):
    torch.manual_seed(ndim)
    chain = chain_of(rival, 5, ndim)
    z = torch.randn(SHAPES[ndim], dtype=torch.double)
    assert_inverse(chain, z, rtol=ROUND_OFF)
    assert_same_gradients(chain, z, rtol=ROUND_OFF)


@pytest.mark.parametrize("rival", RIVALS)
@settings(max_examples=8, deadline=None)
@given(
    ndim=st.integers(1, 3),
    channels=st.integers(2, 7),
    sizes=st.lists(st.integers(1, 7), min_size=3, max_size=3),
    seed=st.integers(0, 2**31),
)
def test_any_size_and_any_channels(rival, ndim, channels, sizes, seed):
    torch.manual_seed(seed)
    chain = chain_of(rival, channels, ndim)
    z = torch.randn(2, channels, *sizes[:ndim], dtype=torch.double)
    assert_inverse(chain, z, rtol=ROUND_OFF)
    assert_same_gradients(chain, z, rtol=ROUND_OFF)


@pytest.mark.parametrize("ndim", TINY)
@pytest.mark.parametrize("update", [0, 1])
@pytest.mark.parametrize("rival", RIVALS)
def test_log_determinant_is_the_jacobians(rival, update, ndim):
    torch.manual_seed(ndim)
    shape = TINY[ndim]
    layer = disturbed(RIVALS[rival](update, shape[1], ndim)).double()
    assert_log_determinant(layer, torch.randn(shape, dtype=torch.double))


def test_blocks_and_data_steps_preserve_volume():
    torch.manual_seed(0)
    z = torch.randn(2, 5, 3, 2, dtype=torch.double)
    assert_log_determinant(ReversibleBlock(5, 4, 2).double(), z, rtol=1e-6)  # U is rounded to float32 on the way
    mask = torch.tensor([1.0, 0.0]).double().reshape(1, 1, 1, 2)
    fidelity = LeastSquares(CartesianMRI(mask), torch.randn(2, 1, 3, 2, dtype=torch.cdouble))
    assert_log_determinant(DataStep(), z, fidelity)


@pytest.mark.parametrize("make", [ActNorm, FreeMixing])
@pytest.mark.parametrize("ndim", TINY)
def test_parts_of_a_glow_step(make, ndim):
    torch.manual_seed(ndim)
    shape = TINY[ndim]
    z = torch.randn(shape, dtype=torch.double)
    part = disturbed(make(shape[1])).double()
    assert_inverse(part, z)
    assert_log_determinant(part, z)
    assert_same_gradients(InvertibleChain([part, disturbed(copy.deepcopy(part))]), z)


@pytest.mark.parametrize("rival", RIVALS)
def test_double_backward(rival):
    torch.manual_seed(0)
    chain, seconds = chain_of(rival, 3, 2), []
    z = torch.randn(2, 3, 4, 3, dtype=torch.double, requires_grad=True)
    for mode in ("store", "invert"):
        chain.backprop = mode
        (first,) = torch.autograd.grad(chain(z).square().sum(), z, create_graph=True)
        wanted = [z, *chain.parameters()]
        seconds.append(torch.autograd.grad(first.square().sum(), wanted, allow_unused=True, materialize_grads=True))
    for a, b in zip(*seconds, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-8, atol=1e-8 * float(seconds[0][0].abs().max()))


# Teeth: a planted fault for every law.


class ScaleOfOneVoxel(ActNorm):
    def log_determinant(self, z: Tensor, _: object = None, /) -> Tensor:
        return self.log_scale.sum().expand(len(z))


class TransposedInverse(FreeMixing):
    """Right for the rotation of the start, wrong from the first update on."""

    def _inverse_weight(self) -> Tensor:
        return self.weight.mT


class ForgetsItsShift(AdditiveCoupling):
    def _restore(self, half: Tensor, said: Tensor) -> Tensor:
        return half + 0 * said


class DifferentiatedAtTheOutput(AffineCoupling):
    """The input is right; the gradient of the scale is taken where the half is already scaled."""

    def pull_back(self, z_out: Tensor, grad_out: Tensor, context: object = None, /) -> PulledBack:
        right = super().pull_back(z_out, grad_out, context)
        wrong = super().pull_back(self(z_out), grad_out, context)
        return right._replace(gradients=wrong.gradients)


class GlowWithoutItsMixingsDeterminant(GlowStep):
    def log_determinant(self, z: Tensor, _: object = None, /) -> Tensor:
        return super().log_determinant(z) - self.mixing.log_determinant(z)


@pytest.mark.parametrize("make", [lambda: ScaleOfOneVoxel(5), lambda: GlowWithoutItsMixingsDeterminant(5, 4)])
def test_determinant_law_rejects_a_missing_factor(make):
    torch.manual_seed(0)
    flow = disturbed(make()).double()
    with pytest.raises(AssertionError, match="the log-determinant misses the Jacobian's by"):
        assert_log_determinant(flow, torch.randn(2, 5, 3, 2, dtype=torch.double))


def test_determinant_law_rejects_a_number_shared_by_the_batch():
    class Shared(AffineCoupling):
        def log_determinant(self, z: Tensor, _: object = None, /) -> Tensor:
            return super().log_determinant(z).mean().expand(len(z))

    torch.manual_seed(0)
    with pytest.raises(AssertionError, match="the log-determinant misses"):
        assert_log_determinant(disturbed(Shared(5, 4)).double(), torch.randn(2, 5, 3, 2, dtype=torch.double))


@pytest.mark.parametrize("make", [lambda: TransposedInverse(5), lambda: ForgetsItsShift(5, 4)])
def test_inverse_law_rejects_a_wrong_inverse(make):
    torch.manual_seed(0)
    layer = disturbed(make()).double()
    with pytest.raises(AssertionError, match="misses its input by"):
        assert_inverse(layer, torch.randn(2, 5, 6, 7, dtype=torch.double))


def test_gradient_law_rejects_a_scale_differentiated_at_the_output():
    torch.manual_seed(0)
    chain = disturbed(InvertibleChain([DifferentiatedAtTheOutput(5, 4)])).double()
    with pytest.raises(AssertionError, match=r"'invert' misses 'store' at chain\.steps\.0\.bound"):
        assert_same_gradients(chain, torch.randn(2, 5, 6, 7, dtype=torch.double))
