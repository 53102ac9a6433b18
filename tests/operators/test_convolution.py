"""Blur: its laws at any size and batch, scipy's convolution, and what it refuses."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from invrim import LeastSquares
from invrim.errors import ShapeError
from invrim.operators import Filter, RealPart, convolution
from invrim.testing import assert_adjoint, assert_gradient

SIZES = {
    "odd": ((3, 5), (7, 9)),
    "even": ((2, 4), (8, 10)),
    "mixed": ((4, 3), (5, 8)),
    "volume": ((3, 2, 5), (3, 6, 7)),
}
"""Sizes of a kernel and of the images that it blurs."""
each_size = pytest.mark.parametrize(("kernel", "size"), SIZES.values(), ids=SIZES)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@each_size
@pytest.mark.parametrize("kernels", [1, 2])
@pytest.mark.parametrize("dtype", [torch.double, torch.cdouble])
def test_it_is_adjoint_and_its_gradient_is_autograds(kernel, size, kernels, dtype):
    operator = convolution(torch.randn(kernels, *kernel, dtype=torch.double), size)
    x, y = (torch.randn(2, *size, dtype=dtype) for _ in range(2))
    assert operator(x).dtype == dtype
    assert_adjoint(operator, x, y)
    assert_gradient(LeastSquares(operator, y), x)


def test_complex_kernels_and_real_images_of_a_complex_model():
    x, y = (torch.randn(2, 7, 9, dtype=torch.cdouble) for _ in range(2))
    assert_adjoint(convolution(torch.randn(2, 3, 4, dtype=torch.cdouble), (7, 9)), x, y)
    real = convolution(torch.randn(2, 3, 4, dtype=torch.double), (7, 9)) @ RealPart()
    assert_adjoint(real, x, y.real)
    assert_gradient(LeastSquares(real, y.real), x)


@each_size
def test_it_is_scipys_periodic_convolution(kernel, size):
    kernels, x = torch.randn(2, *kernel, dtype=torch.double), torch.randn(2, *size, dtype=torch.double)
    expected = [convolve(a, b, mode="wrap") for a, b in zip(x.numpy(), kernels.numpy(), strict=True)]
    torch.testing.assert_close(convolution(kernels, size)(x), torch.from_numpy(np.stack(expected)))


def test_a_kernel_of_one_pixel_changes_nothing():
    spike = torch.zeros(1, 4, 5, dtype=torch.double)
    spike[0, 2, 2] = 1
    x = torch.randn(2, 6, 9, dtype=torch.double)
    torch.testing.assert_close(convolution(spike, (6, 9))(x), x)


def test_the_kernel_receives_its_gradient():
    kernel = torch.randn(1, 3, 2, dtype=torch.double, requires_grad=True)
    x = torch.randn(2, 5, 6, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda weights: convolution(weights, (5, 6)).normal(x), kernel)


@pytest.mark.parametrize("dtype", [torch.double, torch.cdouble])
def test_a_filter_along_one_axis(dtype):
    """An axis of size 1 in the transfer function is left alone."""
    weights = torch.rand(2, 1, 9, dtype=torch.double)
    even = weights + weights.flip(2).roll(1, dims=2)  # as of a real kernel
    x, y = (torch.randn(2, 5, 9, dtype=dtype) for _ in range(2))
    assert_adjoint(Filter(even), x, y)
    torch.testing.assert_close(Filter(even)(x)[:, 3:4], Filter(even)(x[:, 3:4]))
    assert_adjoint(Filter(weights, is_real=False), x.to(torch.cdouble), y.to(torch.cdouble))


class Correlation(Filter):
    """The fault of a kernel that is symmetric in every test: the adjoint that does not turn it."""

    def adjoint(self, y):
        return self(y)


def test_the_law_rejects_a_kernel_that_is_not_turned():
    operator = Correlation(convolution(torch.randn(1, 3, 3, dtype=torch.double), (7, 9)).transfer)
    with pytest.raises(AssertionError, match="the adjoint misses"):
        assert_adjoint(operator, torch.randn(2, 7, 9).double(), torch.randn(2, 7, 9).double())


def test_what_does_not_fit_is_refused_in_words():
    for kernel in ((3, 3), (1, 3, 9)):
        with pytest.raises(ShapeError, match=r"a kernel \(b or 1, \.\.\.\) that fits into images of \(7, 8\), got"):
            convolution(torch.ones(kernel), (7, 8))
    one, two = (convolution(torch.ones(batch, 3, 3), (7, 8)) for batch in (1, 2))
    with pytest.raises(ShapeError, match=r"batch and size, \(1, 7, 8\) \(1 means any\), got \(2, 8, 7\)\. Build the"):
        one(torch.ones(2, 8, 7))
    for images in ((3, 7, 8), (7, 8)):
        with pytest.raises(ShapeError, match=r"batch and size, \(2, 7, 8\)"):
            two.adjoint(torch.ones(images))
