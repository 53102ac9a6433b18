"""Trajectories: where their points lie."""

import math

import pytest
import torch

from invrim.data.trajectories import GOLDEN_ANGLE, radial, spiral, stack_of_stars
from invrim.errors import OptionError


@pytest.mark.parametrize("samples", [8, 9])
@pytest.mark.parametrize("angles", ["golden", "uniform"])
def test_spokes_are_diameters_through_zero_frequency(samples, angles):
    spokes = radial(5, samples, angles)
    assert spokes.shape == (5, samples, 2)
    assert spokes.dtype == torch.float32
    assert not spokes[:, samples // 2].any()
    step = GOLDEN_ANGLE if angles == "golden" else math.pi / 5
    for i in range(5):
        direction = torch.tensor([math.sin(i * step), math.cos(i * step)])
        steps = (torch.arange(samples) - samples // 2) / samples
        torch.testing.assert_close(spokes[i], steps[:, None] * direction)


def test_golden_spokes_do_not_depend_on_their_number():
    assert torch.equal(radial(5, 8), radial(9, 8)[:5])
    assert math.degrees(GOLDEN_ANGLE) == pytest.approx(111.246, rel=1e-5)


def test_spirals_run_from_the_centre_to_the_edge_at_constant_speed():
    arms = spiral(3, 400, 4.5)
    assert arms.shape == (3, 400, 2)
    assert not arms[:, 0].any()
    torch.testing.assert_close(arms[:, -1].norm(dim=-1), torch.full((3,), 0.5))
    speed = arms.diff(dim=1).norm(dim=-1)
    assert float(speed.max() / speed[:, 5:].min()) < 1.02
    angle = torch.atan2(arms[..., 0], arms[..., 1])
    torch.testing.assert_close((angle[1:, 1:] - angle[:-1, 1:]) % (2 * math.pi), torch.full((2, 399), 2 * math.pi / 3))
    turned = (angle[:, 1:].diff(dim=1) % (2 * math.pi)).sum(dim=1) / (2 * math.pi)
    assert torch.allclose(turned, torch.tensor(4.5), atol=0.3)


def test_a_stack_repeats_its_star_in_every_partition():
    stack = stack_of_stars(5, 4, 8, "uniform")
    assert stack.shape == (5, 4, 8, 3)
    torch.testing.assert_close(stack[:, 2, 3, 0], torch.tensor([-0.4, -0.2, 0.0, 0.2, 0.4]))
    assert torch.equal(stack[..., 1:], radial(4, 8, "uniform").expand(5, 4, 8, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: radial(0, 8), r"expected at least one of spokes, got 0\. Raise it\."),
        (lambda: radial(4, 8, "silver"), r"expected angles of golden, uniform, got 'silver'\. Choose"),
        (lambda: spiral(4, 8, float("inf")), r"expected a number of turns above 0, got inf\. Use e\.g\. 8\."),
        (lambda: spiral(4, -1, 3), r"expected at least one of samples, got -1"),
        (lambda: stack_of_stars(0, 4, 8), r"expected at least one of partitions, got 0"),
    ],
)
def test_what_is_no_trajectory(make, message):
    with pytest.raises(OptionError, match=message):
        make()
