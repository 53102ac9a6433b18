"""The Fourier transform off the grid: against the grid, against the sum that it is, and by its laws."""

import sys

import pytest
import torch

from direct_sum import waves
from invrim.errors import DataError, InvrimError, MissingExtraError, OptionError, ShapeError
from invrim.operators import FourierTransform, NonuniformFourierTransform
from invrim.operators.toeplitz import convolve, fast_length, transfer_function
from invrim.testing import assert_adjoint

SIZES = [(6, 8), (7, 10), (9, 5), (4, 6, 7), (3, 5, 8)]
ROUND_OFF = {torch.double: 1e-10, torch.float: 1e-5}


def random_trajectory(size, dtype=torch.double, samples=(3, 17)):
    return (torch.rand(*samples, len(size), generator=torch.Generator().manual_seed(2)) - 0.5).to(dtype)


def random_weights(dtype=torch.double, samples=(3, 17)):
    return torch.rand(samples, generator=torch.Generator().manual_seed(3)).to(dtype) + 0.1


def noise(*shape, dtype=torch.double):
    return torch.randn(*shape, dtype=dtype.to_complex(), generator=torch.Generator().manual_seed(4))


def relative(got, expected):
    return float(torch.linalg.vector_norm(got - expected) / torch.linalg.vector_norm(expected))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_on_the_cartesian_grid_it_is_the_centred_transform(size):
    grid = torch.meshgrid(*((torch.arange(n, dtype=torch.double) - n // 2) / n for n in size), indexing="ij")
    operator, fourier = NonuniformFourierTransform(torch.stack(grid, dim=-1), size), FourierTransform(len(size))
    x = noise(2, 3, *size)
    assert operator(x).shape == x.shape
    assert relative(operator(x), fourier(x)) < 1e-10
    assert relative(operator.adjoint(x), fourier.adjoint(x)) < 1e-10
    assert relative(operator.normal(x), x) < 1e-10


@pytest.mark.parametrize("dtype", ROUND_OFF, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_off_the_grid_it_is_the_direct_sum(size, dtype):
    trajectory, weights = random_trajectory(size, dtype), random_weights(dtype)
    operator = NonuniformFourierTransform(trajectory, size, weights)
    matrix = weights.double().flatten().sqrt()[:, None] * waves(trajectory, size)
    x, y = noise(2, 3, *size, dtype=dtype), noise(2, 3, 3, 17, dtype=dtype)
    forward = (x.to(torch.cdouble).flatten(2) @ matrix.mT).reshape(2, 3, 3, 17)
    adjoint = (y.to(torch.cdouble).flatten(2) @ matrix.conj()).reshape(x.shape)
    normal = (x.to(torch.cdouble).flatten(2) @ matrix.mT @ matrix.conj()).reshape(x.shape)
    for got, expected in ((operator(x), forward), (operator.adjoint(y), adjoint), (operator.normal(x), normal)):
        assert got.dtype == x.dtype
        assert relative(got, expected) < ROUND_OFF[dtype]
    assert relative(operator.normal(x), operator.adjoint(operator(x))) < ROUND_OFF[dtype]


def test_the_comparison_sees_a_sign_an_axis_order_and_a_centre():
    """Teeth: each of these mistakes is far beyond the tolerance."""
    size = (7, 10)
    trajectory, x = random_trajectory(size), noise(2, *size)
    right = NonuniformFourierTransform(trajectory, size)(x)
    for wrong in (-trajectory, trajectory.flip(-1)):
        assert relative(NonuniformFourierTransform(wrong, size)(x), right) > 0.1
    assert relative(NonuniformFourierTransform(trajectory, size)(x.roll(1, -1)), right) > 0.1


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_adjoint(size):
    operator = NonuniformFourierTransform(random_trajectory(size), size, random_weights())
    assert_adjoint(operator, noise(2, 3, *size), noise(2, 3, 3, 17))


class NormalOfAnotherTrajectory(NonuniformFourierTransform):
    def normal(self, x):
        return convolve(x, self.transfer.flip(0))


class AdjointWithoutWeights(NonuniformFourierTransform):
    def adjoint(self, y):
        return super().adjoint(y / self.root)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(NormalOfAnotherTrajectory, "the normal operator misses"), (AdjointWithoutWeights, "the adjoint misses")],
)
def test_the_law_rejects_a_wrong_kernel_and_forgotten_weights(wrong, message):
    operator = wrong(random_trajectory((7, 10)), (7, 10), random_weights())
    with pytest.raises(AssertionError, match=message):
        assert_adjoint(operator, noise(2, 7, 10), noise(2, 3, 17))


def test_it_can_be_differentiated_twice_also_from_conjugates():
    """FINUFFT itself takes neither lazy conjugates, which autograd makes, nor strides."""
    size = (3, 2)
    operator = NonuniformFourierTransform(random_trajectory(size, samples=(5,)), size)

    def twice(x):
        return operator.adjoint(operator(x.conj()).conj() ** 2).mT

    assert torch.autograd.gradgradcheck(
        lambda x: operator(twice(x).mT).abs().square().sum(), noise(2, *size).requires_grad_()
    )


def test_weights_may_be_learned():
    size, weights = (5, 6), random_weights().requires_grad_()
    x = noise(2, *size)
    gradients = []
    for normal in (lambda operator: operator.normal(x), lambda operator: operator.adjoint(operator(x))):
        image = normal(NonuniformFourierTransform(random_trajectory(size), size, weights))
        gradients += torch.autograd.grad(image.abs().square().sum(), weights)
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (7, 8), (11, 12), (13, 15), (225, 225), (253, 256), (433, 450)])
def test_lengths_have_small_prime_factors(n, expected):
    assert fast_length(n) == expected


@pytest.mark.parametrize("size", [(5, 4), (3, 4, 2)], ids=str)
def test_convolution_reaches_as_far_as_the_image_and_never_wraps(size):
    lags = noise(*(2 * n - 1 for n in size))
    spread = lags + lags.flip(tuple(range(len(size)))).conj()
    x = noise(2, *size)
    indices = torch.cartesian_prod(*(torch.arange(n) for n in size))
    lag = indices[:, None] - indices + torch.tensor(size) - 1
    expected = (x.flatten(1) @ spread[lag.unbind(dim=-1)].mT).reshape(x.shape)
    torch.testing.assert_close(convolve(x, transfer_function(spread)), expected)


def test_images_are_transformed_a_few_at_a_time_with_one_result(monkeypatch):
    operator = NonuniformFourierTransform(random_trajectory((5, 6)), (5, 6))
    x = noise(2, 7, 5, 6)
    together = operator.normal(x)
    monkeypatch.setattr("invrim.operators.toeplitz._AT_ONCE", {"cpu": 3 * operator.transfer.numel()})
    torch.testing.assert_close(operator.normal(x), together)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t[..., :1], ShapeError, r"\(7, 10\), 2 or 3, got torch.float64 \(3, 17, 1\)\. Put \(ky, kx\)"),
        (lambda t: t + 0j, ShapeError, r"expected a real trajectory .* got torch.complex128"),
        (lambda t: 10 * t, DataError, r"-0\.5 to 0\.5, got values up to 4\..*Divide cycles per field of view by the"),
        (lambda t: t * float("nan"), DataError, r"expected a trajectory in cycles per pixel.*got values up to nan"),
        (lambda t: t.requires_grad_(), OptionError, r"expected a fixed trajectory, .*\. Detach it\."),
    ],
)
def test_what_is_no_trajectory(change, error, message):
    with pytest.raises(error, match=message) as caught:
        NonuniformFourierTransform(change(random_trajectory((7, 10))), (7, 10))
    assert isinstance(caught.value, InvrimError)
    assert "\n" not in str(caught.value)


def test_what_are_no_weights():
    trajectory = random_trajectory((7, 10))
    with pytest.raises(ShapeError, match=r"expected real weights \(3, 17\), one for each sample.*got .* \(17,\)"):
        NonuniformFourierTransform(trajectory, (7, 10), torch.ones(17))
    with pytest.raises(DataError, match=r"expected weights that are not negative, got -1\. Correct them\."):
        NonuniformFourierTransform(trajectory, (7, 10), -torch.ones(3, 17))


def test_images_and_samples_of_another_size_or_precision():
    operator = NonuniformFourierTransform(random_trajectory((7, 10)), (7, 10))
    for use in (operator, operator.normal):
        with pytest.raises(ShapeError, match=r"expected torch.complex128 images \(..., 7, 10\) .*got .*\(2, 10, 7\)"):
            use(noise(2, 10, 7))
        with pytest.raises(ShapeError, match=r"got torch.complex64 \(2, 7, 10\)\..*in this precision"):
            use(noise(2, 7, 10, dtype=torch.float))
    for use in (operator.adjoint, operator.weigh):
        with pytest.raises(ShapeError, match=r"expected torch.complex128 samples \(..., 3, 17\) .*\(2, 51\)"):
            use(noise(2, 51))


def test_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("pytorch_finufft")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorch_finufft", None)
    with pytest.raises(
        MissingExtraError, match=r"expected pytorch-finufft .*Run: pip install invrim\[nufft\]"
    ) as caught:
        NonuniformFourierTransform(random_trajectory((7, 10)), (7, 10))
    assert "\n" not in str(caught.value)
