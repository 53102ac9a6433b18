"""Column masks: centre, expectation, determinism, and what they refuse."""

import math

import pytest
import torch

from invrim.data.masks import calibration_lines, equispaced_columns, random_columns, seed_of
from invrim.errors import DataError, OptionError


def test_the_seed_is_the_name_and_not_the_folder():
    assert seed_of("ab.h5") == (97, 98, 46, 104, 53)


@pytest.mark.parametrize("columns", [181, 256])
def test_as_many_lines_as_the_acceleration_asks_for(columns):
    counts = [random_columns(columns, [4], [0.08], seed).sum() for seed in range(200)]
    # 200 draws of about columns/6 outer lines each: the mean's standard error is below 0.5 lines.
    assert torch.stack(counts).float().mean() == pytest.approx(columns / 4, abs=1.5)


@pytest.mark.parametrize("draw", [random_columns, equispaced_columns])
@pytest.mark.parametrize("columns", [181, 217, 256])
def test_the_calibration_block_holds_the_centre(draw, columns):
    mask = draw(columns, [8], [0.04], 3)
    block = calibration_lines(mask)
    assert mask[block].all()
    assert block.start <= columns // 2 < block.stop
    assert block.stop - block.start >= round(0.04 * columns)
    assert not mask[block.start - 1]
    assert not mask[block.stop]


def test_calibration_lines_of_a_full_mask_are_all():
    assert calibration_lines(torch.ones(7)) == slice(0, 7)


def test_a_mask_without_its_centre_cannot_calibrate():
    mask = torch.ones(9)
    mask[4] = 0
    with pytest.raises(DataError, match=r"expected line 4 .* Use a mask with a sampled centre"):
        calibration_lines(mask)


@pytest.mark.parametrize(
    ("accelerations", "fractions", "message"),
    [
        ([4, 8], [0.08], "one centre fraction per acceleration, got 2 accelerations and 1 fractions"),
        ([], [], "got 0 accelerations"),
        ([0.5], [0.1], "acceleration >= 1"),
        ([math.nan], [0.1], "acceleration >= 1, got nan"),
        ([4], [1.0], "a centre smaller than 100 columns, got a fraction of 1"),
        ([4], [math.nan], "a centre smaller than 100 columns, got a fraction of nan"),
    ],
)
def test_options_that_make_no_mask(accelerations, fractions, message):
    with pytest.raises(OptionError, match=message):
        random_columns(100, accelerations, fractions, 0)


def test_equispaced_lines_need_room_beside_the_centre():
    with pytest.raises(OptionError, match="fewer than columns / acceleration = 25 lines, got 30"):
        equispaced_columns(100, [4], [0.3], 0)
