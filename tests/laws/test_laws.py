"""Every layer keeps the inverse law, every operator the adjoint law, every gradient the autograd law."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invrim import CartesianMRI, Invertible, InvertibleChain, LeastSquares, ReversibleBlock
from invrim.invertible import PulledBack
from invrim.layers import DataStep
from invrim.layers.link import to_channels, to_images
from invrim.operators import FourierTransform, LinearOperator, RealPart, Rescaled, SamplingMask
from invrim.testing import assert_adjoint, assert_gradient, assert_inverse, assert_same_gradients

ROUND_OFF = 1e-10
"""The project's bar for float64 at 96 unshared blocks."""

SHAPES = {1: (2, 9, 13), 2: (2, 9, 7, 11), 3: (2, 9, 3, 7, 5)}
"""Odd channels, no size divisible by the strides, batch of two."""


def blocks(n: int, channels: int, ndim: int) -> list[Invertible]:
    return [ReversibleBlock(channels, 4 + i % 2, 1 + i % 3, ndim=ndim) for i in range(n)]


def random_mask(shape: tuple[int, ...]) -> Tensor:
    return (torch.rand(shape) < 0.4).double()


def mri(ndim: int, coils: int) -> tuple[CartesianMRI, tuple[int, ...]]:
    space = {2: (7, 10), 3: (3, 6, 9)}[ndim]
    maps = torch.randn(2, coils, *space, dtype=torch.cdouble) if coils else None
    mask = random_mask((2, 1, *(1,) * (ndim - 1), space[-1]))
    return CartesianMRI(mask, maps, ndim), (2, *space)


@pytest.mark.parametrize("ndim", SHAPES)
def test_96_unshared_blocks_invert_and_differentiate_like_autograd(ndim):
    torch.manual_seed(ndim)
    chain = InvertibleChain(blocks(96, 9, ndim)).double()
    z = torch.randn(SHAPES[ndim], dtype=torch.double)
    assert_inverse(chain, z, rtol=ROUND_OFF)
    assert_same_gradients(chain, z, rtol=ROUND_OFF)


@settings(max_examples=12, deadline=None)
@given(
    ndim=st.integers(1, 3),
    channels=st.integers(2, 7),
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    seed=st.integers(0, 2**31),
)
def test_any_size_and_any_channels(ndim, channels, sizes, seed):
    torch.manual_seed(seed)
    chain = InvertibleChain(blocks(3, channels, ndim)).double()
    z = torch.randn(2, channels, *sizes[:ndim], dtype=torch.double)
    assert_inverse(chain, z, rtol=ROUND_OFF)
    assert_same_gradients(chain, z, rtol=ROUND_OFF)


@pytest.mark.parametrize(("ndim", "coils"), [(2, 0), (2, 3), (3, 0), (3, 2)])
def test_physics_is_adjoint_and_its_gradient_is_autograds(ndim, coils):
    torch.manual_seed(0)
    operator, image = mri(ndim, coils)
    x = torch.randn(image, dtype=torch.cdouble)
    y = torch.randn_like(operator(x))
    assert_adjoint(operator, x, y)
    fidelity = LeastSquares(operator, y)
    assert_gradient(fidelity, x)
    assert_gradient(Rescaled(fidelity, torch.tensor([0.3, 2.0], dtype=torch.double)), x)


def test_full_two_dimensional_mask_is_adjoint():
    """Both axes vary: the normal operator then needs both transforms."""
    operator = CartesianMRI(random_mask((2, 1, 7, 10)))
    assert_adjoint(operator, torch.randn(2, 7, 10, dtype=torch.cdouble), torch.randn(2, 1, 7, 10, dtype=torch.cdouble))


def test_full_sampling_needs_no_transform():
    operator = CartesianMRI(torch.ones(1, 1, 1, 1).double())
    assert_adjoint(operator, torch.randn(2, 7, 10, dtype=torch.cdouble), torch.randn(2, 1, 7, 10, dtype=torch.cdouble))


def test_composition_is_adjoint():
    operator = SamplingMask(random_mask((2, 1, 1, 10))) @ FourierTransform(2)
    x, y = (torch.randn(2, 5, 7, 10, dtype=torch.cdouble) for _ in range(2))
    assert_adjoint(operator, x, y)


@pytest.mark.parametrize(("images", "multiplicity"), [(1, 1), (1, 3), (4, 1), (2, 2)])
def test_data_step_differentiates_into_maps_and_data(images, multiplicity):
    """Leaf data, and coil maps that were computed from a leaf, receive exact gradients."""
    torch.manual_seed(1)
    seed = torch.randn(2, 3, 7, 10, dtype=torch.cdouble, requires_grad=True)
    data = torch.randn(2, 3 if images == 1 else images, 7, 10, dtype=torch.cdouble, requires_grad=True)
    mask = random_mask((2, 1, 1, 10))
    maps = seed / seed.abs().square().sum(dim=1, keepdim=True).sqrt()
    operator = CartesianMRI(mask, maps) if images == 1 else SamplingMask(mask) @ FourierTransform(2)
    fidelity = LeastSquares(operator, data)
    channels = 4 * images * multiplicity + 1
    step = [DataStep(images, multiplicity)]
    chain = InvertibleChain([*step, *blocks(2, channels, 2), *step, *blocks(2, channels, 2), *step]).double()
    z = torch.randn(2, channels, 7, 10, dtype=torch.double)
    assert_inverse(chain, z, fidelity)
    assert_same_gradients(chain, z, fidelity)

    leaves = [data, seed] if images == 1 else [data]
    grads = {}
    for mode in ("store", "invert"):
        chain.backprop = mode
        grads[mode] = torch.autograd.grad(chain(z, fidelity).sin().sum(), leaves, retain_graph=True)
    for a, b in zip(grads["store"], grads["invert"], strict=True):
        torch.testing.assert_close(a, b, rtol=ROUND_OFF, atol=ROUND_OFF)


def test_link_is_orthogonal():
    eta = torch.randn(2, 6, 5, 4, dtype=torch.double)
    assert torch.equal(to_channels(to_images(eta)), eta)
    assert torch.allclose(torch.linalg.vector_norm(to_images(eta)), torch.linalg.vector_norm(eta))


# Teeth: a planted fault for every law.


class FlipWithoutFlippingBack(Invertible):
    def forward(self, z: Tensor, _: object = None, /) -> Tensor:
        return z.flip(1)

    def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
        return z


class GradientOfMixingAtTheOutput(ReversibleBlock):
    """The trap of the projector form: right map, right input gradient, wrong gradient of U."""

    def pull_back(self, z_out: Tensor, grad_out: Tensor, context: object = None, /) -> PulledBack:
        # Both tensors are overwritten by a pull-back.
        right = super().pull_back(z_out.clone(), grad_out.clone(), context)
        wrong = super().pull_back(self(z_out), grad_out, context)
        return right._replace(gradients=wrong.gradients)


class ConjugateForgotten(LinearOperator):
    def forward(self, x: Tensor) -> Tensor:
        return 1j * x

    def adjoint(self, y: Tensor) -> Tensor:
        return 1j * y


class NormalWithoutMask(CartesianMRI):
    def normal(self, x: Tensor) -> Tensor:
        return x


class GradientWithoutData(LeastSquares):
    def gradient(self, x: Tensor) -> Tensor:
        return self.operator.normal(x)


class ForgetsContext(DataStep):
    """The fault of closures: the context's gradient is silently none."""

    def pull_back(self, z_out: Tensor, grad_out: Tensor, context: object = None, /) -> PulledBack:
        return super().pull_back(z_out, grad_out, context)._replace(gradients={})


def test_inverse_law_rejects_a_wrong_inverse():
    with pytest.raises(AssertionError, match="misses its input by"):
        assert_inverse(FlipWithoutFlippingBack(), torch.randn(2, 4, 6, 5, dtype=torch.double))


def test_gradient_law_rejects_the_gradient_of_mixing_taken_at_the_output():
    chain = InvertibleChain([GradientOfMixingAtTheOutput(5, 4, 2)]).double()
    with pytest.raises(AssertionError, match=r"'invert' misses 'store' at chain\.steps\.0\.mixing\.vectors"):
        assert_same_gradients(chain, torch.randn(2, 5, 6, 7, dtype=torch.double))


def test_gradient_law_rejects_a_forgotten_context():
    data = torch.randn(2, 1, 7, 10, dtype=torch.cdouble, requires_grad=True)
    fidelity = LeastSquares(CartesianMRI(random_mask((2, 1, 1, 10))), data)
    with pytest.raises(AssertionError, match="at context"):
        assert_same_gradients(
            InvertibleChain([ForgetsContext()]), torch.randn(2, 5, 7, 10, dtype=torch.double), fidelity
        )


def test_adjoint_law_rejects_a_forgotten_conjugate():
    x = torch.randn(2, 4, 5, dtype=torch.cdouble)
    with pytest.raises(AssertionError, match="the adjoint misses"):
        assert_adjoint(ConjugateForgotten(), x, torch.randn_like(x))


class ForgetsTheRealPart(RealPart):
    """As linear as its model over the real numbers, but its adjoint fills both parts."""

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.complex(y, y)


def test_adjoint_law_over_the_real_numbers():
    x, y = torch.randn(2, 4, 5, dtype=torch.cdouble), torch.randn(2, 4, 5, dtype=torch.double)
    assert_adjoint(RealPart(), x, y)
    with pytest.raises(AssertionError, match="the adjoint misses"):
        assert_adjoint(ForgetsTheRealPart(), x, y)


def test_adjoint_law_rejects_a_wrong_normal_operator():
    operator = NormalWithoutMask(random_mask((2, 1, 1, 10)))
    with pytest.raises(AssertionError, match="normal operator misses"):
        assert_adjoint(
            operator, torch.randn(2, 7, 10, dtype=torch.cdouble), torch.randn(2, 1, 7, 10, dtype=torch.cdouble)
        )


def test_fidelity_law_rejects_a_gradient_without_data():
    operator, image = mri(2, 3)
    x = torch.randn(image, dtype=torch.cdouble)
    with pytest.raises(AssertionError, match="the gradient misses autograd's"):
        assert_gradient(GradientWithoutData(operator, torch.randn_like(operator(x))), x)
