"""Parallel-beam tomography: its laws, scikit-image's Radon transform, and what a pixel's shadow is."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.transform import radon

from invrim import LeastSquares
from invrim.errors import ShapeError
from invrim.operators import ParallelBeam, RealPart, normalised, operator_norm
from invrim.testing import assert_adjoint, assert_gradient

ANGLES = torch.tensor([0.0, 0.3, math.pi / 4, math.pi / 2, 2.0, 3.1], dtype=torch.double)
SCANNERS = {"odd": (9, None, None), "even": (8, None, None), "narrow": (9, 6, 2.25), "wide": (8, 13, 7.5)}
"""Size, bins and axis of rotation."""
each_scanner = pytest.mark.parametrize(("size", "bins", "axis"), SCANNERS.values(), ids=SCANNERS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def scanner(size, bins=None, axis=None) -> ParallelBeam:
    return ParallelBeam(ANGLES, size, bins, axis).double()


@each_scanner
def test_it_is_adjoint_and_its_gradient_is_autograds(size, bins, axis):
    operator = scanner(size, bins, axis)
    x = torch.randn(2, size, size, dtype=torch.cdouble)
    y = torch.randn(2, len(ANGLES), bins or size, dtype=torch.cdouble)
    assert_adjoint(operator, x.real.contiguous(), y.real.contiguous())
    assert_adjoint(operator, x, y)
    assert_adjoint(operator @ RealPart(), x, y.real)
    assert_gradient(LeastSquares(operator @ RealPart(), y.real), x)


def test_it_can_be_differentiated_twice():
    operator = scanner(5)
    x = torch.randn(2, 5, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda image: operator(image).square(), x)


@pytest.mark.parametrize("size", [32, 33])
def test_it_is_scikit_images_radon_transform(size):
    image = np.zeros((size, size))
    image[8:20, 10:18], image[9:12, 20:24] = 1, 2
    y, x = np.indices(image.shape) - size // 2
    image = np.where(x**2 + y**2 < (size // 2 - 1) ** 2, gaussian_filter(image, 1), 0)
    expected = torch.from_numpy(radon(image, np.rad2deg(ANGLES.numpy()))).T
    error = scanner(size)(torch.from_numpy(image)[None])[0] - expected
    assert error.norm() < 0.005 * expected.norm()  # it interpolates, this one adds areas


@pytest.mark.parametrize("bins", [14, 15])
def test_every_view_sees_all_of_an_image(bins):
    """The areas that strips cut from a pixel add up to the pixel, also where it is seen edge-on."""
    x = torch.rand(2, 9, 9, dtype=torch.double)
    views = scanner(9, bins)(x).sum(dim=2)
    torch.testing.assert_close(views, x.sum(dim=(1, 2))[:, None].expand(2, len(ANGLES)), rtol=1e-6, atol=0)


def test_a_pixel_seen_at_a_right_angle_fills_its_bin():
    image = torch.zeros(1, 5, 5, dtype=torch.double)
    image[0, 1, 3] = 1
    views = scanner(5)(image)[0]
    torch.testing.assert_close(views[0], image[0].sum(dim=0), rtol=0, atol=1e-3)  # looks along y
    torch.testing.assert_close(views[3], image[0].sum(dim=1).flip(0), rtol=0, atol=1e-3)


def test_the_axis_of_rotation_may_lie_anywhere():
    x = torch.rand(1, 9, 9, dtype=torch.double)
    torch.testing.assert_close(scanner(9, 20, axis=11)(x)[:, :, 1:], scanner(9, 20, axis=10)(x)[:, :, :-1])
    between = (scanner(9, 20, axis=10)(x) + scanner(9, 20, axis=11)(x)) / 2
    assert (scanner(9, 20, axis=10.5)(x) - between).norm() < 0.1 * between.norm()


def test_normalised_it_has_norm_one():
    operator, like = scanner(16), torch.zeros(1, 16, 16, dtype=torch.double)
    exact = float(torch.linalg.matrix_norm(operator.matrix.to_dense(), 2))
    assert math.isclose(operator_norm(operator, like), exact, rel_tol=0.01)
    assert math.isclose(operator_norm(normalised(operator, like), like), 1, rel_tol=0.01)
    x, y = torch.randn(2, 16, 16, dtype=torch.double), torch.randn(2, len(ANGLES), 16, dtype=torch.double)
    assert_adjoint(normalised(operator, like), x, y)


class NearestBin(ParallelBeam):
    """The fault of unmatched projectors: back-projects from the views turned by one bin."""

    def adjoint(self, y):
        return super().adjoint(y.roll(1, dims=2))


def test_the_law_rejects_an_unmatched_back_projector():
    with pytest.raises(AssertionError, match="the adjoint misses"):
        assert_adjoint(
            NearestBin(ANGLES, 9).double(), torch.randn(2, 9, 9).double(), torch.randn(2, len(ANGLES), 9).double()
        )


def test_what_does_not_fit_is_refused_in_words():
    operator = scanner(9, 7)
    with pytest.raises(ShapeError, match=r"expected images \(b, 9, 9\), got \(9, 9\)\. Build the operator for"):
        operator(torch.ones(9, 9).double())
    with pytest.raises(ShapeError, match=r"expected sinograms \(b, 6, 7\), got \(2, 7, 6\)"):
        operator.adjoint(torch.ones(2, 7, 6).double())
