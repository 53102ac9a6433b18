"""Weights of a trajectory: against the ramp, against what they minimise, and the scale that they bring."""

import pytest
import torch

from direct_sum import waves
from invrim.data.trajectories import radial, spiral, stack_of_stars
from invrim.operators import NonuniformFourierTransform, density_compensation, operator_norm

TRAJECTORIES = {
    "radial, full": (radial(64, 80, "uniform"), (39, 40)),
    "radial, every third spoke": (radial(21, 80), (39, 40)),
    "spiral": (spiral(5, 600, 3.5), (39, 40)),
    "stack of stars": (stack_of_stars(5, 13, 24), (5, 12, 11)),
}


def ramp_and_ring(n: int, spokes: int, samples: int):
    """Areas in cells of the grid, of rings shared by both ends of all spokes; and where they can be compared."""
    radius = radial(spokes, samples, "uniform").double().norm(dim=-1)
    return n**2 * torch.pi * radius / spokes / samples, (radius > 0.08) & (radius < 0.35)


def test_full_radial_sampling_has_the_ramp_of_the_areas():
    weights = density_compensation(radial(90, 80, "uniform").double(), (40, 40))
    ramp, ring = ramp_and_ring(40, 90, 80)
    ratio = (weights / ramp)[ring]
    # 0.1 % on average and 4 % at most measured.
    assert abs(float(ratio.mean()) - 1) < 0.005
    assert float((ratio - 1).abs().max()) < 0.05


def test_the_comparison_rejects_the_ramp_of_other_spokes_and_weights_without_one():
    weights = density_compensation(radial(90, 80, "uniform").double(), (40, 40))
    for spokes in (80, 100):
        ramp, ring = ramp_and_ring(40, spokes, 80)
        assert abs(float(weights[0][ring[0]].mean() / ramp[0][ring[0]].mean()) - 1) > 0.05
    flat = density_compensation(radial(90, 80, "uniform"), (40, 40), iterations=0)
    assert torch.equal(flat, torch.ones(90, 80))


@pytest.mark.parametrize("size", [(6, 9), (3, 4, 5)], ids=str)
def test_the_cartesian_grid_weighs_one_also_where_lines_are_missing(size):
    grid = torch.meshgrid(*((torch.arange(n, dtype=torch.double) - n // 2) / n for n in size), indexing="ij")
    trajectory = torch.stack(grid, dim=-1)
    for measured in (trajectory, trajectory[:, [0, 2, 3]]):
        weights = density_compensation(measured, size)
        torch.testing.assert_close(weights, torch.ones_like(weights), rtol=1e-5, atol=1e-5)


def test_a_sample_measured_twice_counts_once():
    once = radial(9, 16)
    twice = torch.cat([once, once])
    half = density_compensation(twice, (12, 13))
    torch.testing.assert_close(2 * half[:9], density_compensation(once, (12, 13)), rtol=1e-4, atol=1e-5)


def test_no_small_change_of_the_weights_comes_closer_to_the_identity():
    size = (5, 6)
    trajectory = radial(5, 8).double()
    weights = density_compensation(trajectory, size, iterations=600).flatten()
    matrix = waves(trajectory, size)

    def distance(w):
        return (matrix.mH @ (w[:, None] * matrix) - torch.eye(matrix.shape[1])).abs().square().sum()

    (gradient,) = torch.autograd.grad(distance(at := weights.clone().requires_grad_()), at)
    (before,) = torch.autograd.grad(distance(at := torch.ones_like(weights).requires_grad_()), at)
    # A weight that the iteration drives to zero has a gradient that points outside.
    assert float((weights * gradient).abs().max()) < 1e-3 * float(before.abs().max())
    assert float(gradient.min()) > -1e-3 * float(before.abs().max())


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_gradients_are_of_the_size_of_images(name):
    trajectory, size = TRAJECTORIES[name]
    operator = NonuniformFourierTransform(trajectory, size, density_compensation(trajectory, size))
    x = torch.randn(2, *size, dtype=torch.cfloat, generator=torch.Generator().manual_seed(0))
    assert 0.9 < operator_norm(operator, x) ** 2 < 2.1
    unweighted = NonuniformFourierTransform(trajectory, size)
    assert operator_norm(unweighted, x) ** 2 > 4 * operator_norm(operator, x) ** 2


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_back_projection_of_a_smooth_image_is_the_image(name):
    trajectory, size = TRAJECTORIES[name]
    operator = NonuniformFourierTransform(trajectory, size, density_compensation(trajectory, size))
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    blob = torch.polar(torch.exp(-8 * sum((axis - 0.1) ** 2 for axis in axes)), axes[-1])[None]
    assert float((operator.normal(blob) - blob).norm() / blob.norm()) < 0.1
