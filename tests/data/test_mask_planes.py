"""Masks of two phase encodings: centre, expectation, determinism, calibration, and what they refuse."""

import math

import pytest
import torch

from invrim.data.mask_kinds import mask_of_file
from invrim.data.mask_planes import calibration_block, random_points
from invrim.data.masks import columns_of_file, seed_of
from invrim.errors import DataError, OptionError

SIZE = (61, 84)


@pytest.mark.parametrize(("acceleration", "fraction"), [(4, 0.08), (8, 0.04), (1.5, 0.1)])
def test_as_many_points_as_the_acceleration_asks_for(acceleration, fraction):
    counts = [random_points(SIZE, [acceleration], [fraction], seed).sum() for seed in range(100)]
    # A sum of independent draws has a deviation of at most sqrt(5124)/2 = 36 points, their mean of a hundred 3.6.
    assert torch.stack(counts).float().mean() == pytest.approx(math.prod(SIZE) / acceleration, abs=15)


def test_density_falls_off_around_a_full_centre_that_is_not_counted_twice():
    draws = torch.stack([random_points(SIZE, [6], [0.05], seed) for seed in range(300)]).float().mean(dim=0)
    y, x = SIZE[0] // 2, SIZE[1] // 2
    assert (draws[y - 6 : y + 7, x - 9 : x + 9] == 1).all(), "sides of sqrt(0.05) of the plane's"
    assert 0.9 > draws[y + 8 : y + 12, x - 4 : x + 5].mean() > draws[y + 20 : y + 24, x - 4 : x + 5].mean() > 0.02
    assert draws[:3].mean() > 0, "no place gets none"


def test_acceleration_one_measures_everything():
    assert random_points(SIZE, [1], [0.32], 0).all()


def test_the_same_seed_draws_the_same_and_a_file_always_its_own():
    assert torch.equal(random_points(SIZE, seed=5), random_points(SIZE, seed=5))
    assert not torch.equal(random_points(SIZE, seed=5), random_points(SIZE, seed=6))
    expected = random_points(SIZE, [4], [0.08], seed_of("a.h5"))
    assert torch.equal(mask_of_file(SIZE, 2, 4, "a.h5"), expected)
    assert torch.equal(mask_of_file(SIZE, 1, 4, "a.h5"), columns_of_file(84, 4, "a.h5"))


@pytest.mark.parametrize("size", [(9, 12), (12, 9), (8, 8), (1, 7)])
def test_all_of_a_full_plane_calibrates(size):
    assert calibration_block(torch.ones(size)) == tuple((n + 1) // 2 - 1 for n in size)


def test_the_calibration_block_is_the_largest_symmetric_one():
    mask = torch.zeros(11, 16)
    mask[3:9, 4:14] = 1  # around (5, 8): rows 2 before and 3 after, columns 4 before and 5 after
    assert calibration_block(mask) == (2, 4)
    mask[5] = 1  # a single long row holds 15 points, fewer than 5 x 9
    assert calibration_block(mask) == (2, 4)
    mask[6, 9] = 0  # one hole beside the centre leaves that row
    assert calibration_block(mask) == (0, 7)


def test_a_plane_without_its_centre_cannot_calibrate():
    mask = torch.ones(9, 7)
    mask[4, 3] = 0
    with pytest.raises(DataError, match=r"expected point \(4, 3\) .* Use a mask with a sampled centre"):
        calibration_block(mask)


@pytest.mark.parametrize(
    ("accelerations", "fractions", "message"),
    [
        ([4, 8], [0.08], "got 2 accelerations and 1 fractions"),
        ([0.5], [0.1], "acceleration >= 1"),
        ([4], [1.0], "a centre of at most points / acceleration = 1281 of 5124 points, got a fraction of 1"),
        ([4], [0.3], "Lower the centre fraction or the acceleration"),
        ([4], [math.nan], "got a fraction of nan"),
        ([4], [-0.1], "got a fraction of -0.1"),
    ],
)
def test_options_that_make_no_plane(accelerations, fractions, message):
    with pytest.raises(OptionError, match=message):
        random_points(SIZE, accelerations, fractions, 0)
