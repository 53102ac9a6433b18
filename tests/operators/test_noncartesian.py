"""SENSE along a trajectory: its laws, with and without coil maps, and what it says when shapes do not fit."""

import pytest
import torch

import invrim
from direct_sum import waves
from invrim import CartesianMRI, InvertibleChain, NonCartesianMRI, ReversibleBlock
from invrim.data.trajectories import radial, stack_of_stars
from invrim.errors import OptionError, ShapeError
from invrim.layers import DataStep
from invrim.models import VarNet
from invrim.operators import LeastSquares, Rescaled, conjugate_gradient, density_compensation, noncartesian_fidelity
from invrim.testing import assert_adjoint, assert_gradient, assert_inverse, assert_same_gradients

SPACE = {2: (7, 10), 3: (3, 6, 5)}
TRAJECTORY = {2: radial(4, 11).double(), 3: stack_of_stars(3, 4, 7).double()}


def noise(*shape, seed=0, dtype=torch.cdouble):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def mri(ndim, coils, kind=NonCartesianMRI):
    trajectory = TRAJECTORY[ndim]
    maps = noise(2, coils, *SPACE[ndim], seed=1) if coils else None
    weights = torch.rand(trajectory.shape[:-1], dtype=torch.double, generator=torch.Generator().manual_seed(2))
    operator = kind(trajectory, SPACE[ndim], maps, weights)
    return operator, noise(2, *SPACE[ndim], seed=3), noise(2, coils or 1, *trajectory.shape[:-1], seed=4)


@pytest.mark.parametrize(("ndim", "coils"), [(2, 0), (2, 3), (3, 0), (3, 2)])
def test_physics_is_adjoint_and_its_gradient_is_autograds(ndim, coils):
    operator, x, y = mri(ndim, coils)
    assert_adjoint(operator, x, y)
    fidelity = LeastSquares(operator, operator.weigh(y))
    assert_gradient(fidelity, x)
    assert_gradient(Rescaled(fidelity, torch.tensor([0.3, 2.0], dtype=torch.double)), x)


@pytest.mark.parametrize(("ndim", "coils"), [(2, 3), (3, 2)])
def test_it_is_the_direct_sum_over_what_every_coil_sees(ndim, coils):
    operator, x, _ = mri(ndim, coils)
    seen = (operator.coils.maps * x[:, None]).flatten(2)
    root = operator.fourier.root
    expected = root * (seen @ waves(TRAJECTORY[ndim], SPACE[ndim]).mT).reshape(2, coils, *root.shape)
    torch.testing.assert_close(operator(x), expected, rtol=1e-9, atol=1e-9)


class MapsNotConjugated(NonCartesianMRI):
    def adjoint(self, y):
        return (self.coils.maps * self.fourier.adjoint(y)).sum(dim=1)


class NormalOfOneCoil(NonCartesianMRI):
    def normal(self, x):
        return self.fourier.normal(x)


class DataNotWeighted(NonCartesianMRI):
    def adjoint(self, y):
        return super().adjoint(self.fourier.root * y)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (MapsNotConjugated, "the adjoint misses"),
        (NormalOfOneCoil, "normal operator misses"),
        (DataNotWeighted, "the adjoint misses"),
    ],
)
def test_the_law_rejects_planted_faults(kind, message):
    operator, x, y = mri(2, 3, kind)
    with pytest.raises(AssertionError, match=message):
        assert_adjoint(operator, x, y)


@pytest.mark.parametrize("coils", [1, 3])
def test_on_the_cartesian_grid_it_is_cartesian_mri(coils):
    """Also where lines are missing, and the weights are those that nobody gave."""
    size, kept = (7, 10), torch.tensor([0, 2, 3, 4, 5, 6, 9])
    mask = torch.zeros(1, 1, 1, 10).double()
    mask[..., kept] = 1
    grid = torch.meshgrid(*((torch.arange(n).double() - n // 2) / n for n in size), indexing="ij")
    trajectory = torch.stack(grid, dim=-1)[:, kept]
    maps = None if coils == 1 else noise(2, coils, *size, seed=1)
    x, y = noise(2, *size, seed=3), noise(2, coils, *size, seed=4)
    cartesian = LeastSquares(CartesianMRI(mask, maps), mask * y)
    radial_like = noncartesian_fidelity(y[..., kept], trajectory, size, maps)
    for ours, theirs in ((radial_like.gradient(x), cartesian.gradient(x)), (radial_like.value(x), cartesian.value(x))):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(radial_like.start(), cartesian.start(), rtol=1e-5, atol=1e-5)


def test_the_fidelity_is_weighted_least_squares_of_the_data_as_measured():
    operator, x, y = mri(2, 3)
    weights = operator.fourier.root**2
    fidelity = noncartesian_fidelity(y, TRAJECTORY[2], SPACE[2], operator.coils.maps, weights)
    plain = NonCartesianMRI(TRAJECTORY[2], SPACE[2], operator.coils.maps)
    expected = 0.5 * (weights * (plain(x) - y).abs() ** 2).sum(dim=(1, 2, 3))
    torch.testing.assert_close(fidelity.value(x), expected)
    torch.testing.assert_close(fidelity.start(), plain.adjoint(weights * y))


def test_several_coils_without_maps_are_images_of_their_own():
    y = noise(2, 3, 4, 11)
    fidelity = noncartesian_fidelity(y, TRAJECTORY[2], SPACE[2])
    assert fidelity.start().shape == (2, 3, 7, 10)
    alone = noncartesian_fidelity(y[:, 1:2], TRAJECTORY[2], SPACE[2])
    torch.testing.assert_close(fidelity.start()[:, 1], alone.start())
    assert_gradient(fidelity, noise(2, 3, 7, 10, seed=3))


def test_full_sampling_is_solved_by_conjugate_gradients():
    size, trajectory = (11, 12), radial(40, 24).double()
    maps = noise(2, 3, *size, seed=1)
    maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    x = noise(2, *size, seed=3)
    fidelity = noncartesian_fidelity(NonCartesianMRI(trajectory, size, maps)(x), trajectory, size, maps)
    assert float((conjugate_gradient(fidelity, x, 40) - x).norm() / x.norm()) < 1e-3


def test_data_steps_differentiate_into_maps_and_data():
    trajectory = TRAJECTORY[2]
    seed = noise(2, 3, 7, 10, seed=1).requires_grad_()
    data = noise(2, 3, 4, 11).requires_grad_()
    fidelity = noncartesian_fidelity(data, trajectory, SPACE[2], seed / seed.abs().square().sum(1, keepdim=True).sqrt())
    blocks = [ReversibleBlock(5, 4, d) for d in (1, 2)]
    chain = InvertibleChain([DataStep(), blocks[0], DataStep(), blocks[1], DataStep()]).double()
    z = torch.randn(2, 5, 7, 10, dtype=torch.double)
    assert_inverse(chain, z, fidelity)
    assert_same_gradients(chain, z, fidelity)
    grads = {}
    for mode in ("store", "invert"):
        chain.backprop = mode
        grads[mode] = torch.autograd.grad(chain(z, fidelity).sin().sum(), [data, seed], retain_graph=True)
    for a, b in zip(grads["store"], grads["invert"], strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_one_set_of_maps_serves_any_batch():
    trajectory = radial(4, 11)
    operator = NonCartesianMRI(trajectory, (7, 10), noise(1, 3, 7, 10, dtype=torch.cfloat))
    x = noise(4, 7, 10, dtype=torch.cfloat)
    assert operator(x).shape == (4, 3, 4, 11)
    assert operator.adjoint(operator(x)).shape == operator.normal(x).shape == x.shape
    assert operator.n_coils == 3
    assert invrim.NonCartesianMRI(trajectory, (7, 10)).n_coils == 1


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ((3, 7, 10), r"expected torch.complex64 coil maps \(b, coil, 7, 10\) .*, got .* \(3, 7, 10\)\. Add the batch"),
        ((1, 3, 10, 7), r"got torch.complex64 \(1, 3, 10, 7\)\..* estimate them at this size"),
    ],
)
def test_maps_that_do_not_fit(maps, message):
    with pytest.raises(ShapeError, match=message):
        NonCartesianMRI(radial(4, 11), (7, 10), torch.ones(maps, dtype=torch.cfloat))
    with pytest.raises(ShapeError, match=r"got torch.complex128"):
        NonCartesianMRI(radial(4, 11), (7, 10), torch.ones(1, 3, 7, 10, dtype=torch.cdouble))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 4, 11), r"expected k-space \(2, 3, 4, 11\) as coil maps and trajectory have it, got \(3, 4, 11\)"),
        ((2, 1, 4, 11), r"got \(2, 1, 4, 11\)\. Add missing axes, or give the trajectory of these samples"),
        ((2, 3, 11, 4), r"got \(2, 3, 11, 4\)"),
        ((1, 3, 4, 11), r"got \(1, 3, 4, 11\)"),
    ],
)
def test_kspace_that_does_not_fit(shape, message):
    operator, _, _ = mri(2, 3)
    for use in (operator.adjoint, operator.weigh):
        with pytest.raises(ShapeError, match=message) as caught:
            use(torch.zeros(shape, dtype=torch.cdouble))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(7, 10), (2, 10, 7), (1, 7, 10)], ids=str)
def test_images_that_do_not_fit(shape):
    operator, _, _ = mri(2, 3)
    for use in (operator, operator.normal):
        with pytest.raises(ShapeError, match=r"expected images \(2, 7, 10\) as size and coil maps are, got"):
            use(torch.zeros(shape, dtype=torch.cdouble))


def test_models_that_know_only_the_grid_say_so():
    fidelity = noncartesian_fidelity(noise(2, 1, 4, 11, dtype=torch.cfloat), radial(4, 11), (7, 10))
    with pytest.raises(OptionError, match=r"expected CartesianMRI of slices .*, got NonCartesianMRI"):
        VarNet()(fidelity)


@pytest.fixture
def one_thread():
    """Several add up samples in any order, so that weights differ in their last bits from one call to the next."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_weights_that_nobody_gave_are_density_compensation():
    y = noise(2, 1, 4, 11)
    expected = noncartesian_fidelity(y, TRAJECTORY[2], SPACE[2], weights=density_compensation(TRAJECTORY[2], SPACE[2]))
    assert torch.equal(noncartesian_fidelity(y, TRAJECTORY[2], SPACE[2]).start(), expected.start())
