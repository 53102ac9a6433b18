"""Regular columns and partial Fourier: spacing, symmetry, expectation, and what they refuse."""

import math

import pytest
import torch

from invrim.data.masks import calibration_lines
from invrim.data.regular_columns import magic_columns, magic_fraction_columns, partial_fourier, regular_columns
from invrim.errors import OptionError


def test_regular_columns_are_equally_spaced_from_a_random_first_one():
    firsts = set()
    for seed in range(20):
        lines = regular_columns(101, [4], [0.0], seed).nonzero().flatten()
        assert set(lines.diff().tolist()) == {4}
        firsts.add(int(lines[0]))
    assert firsts == {0, 1, 2, 3}


def test_mirrored_lines_of_a_magic_mask_fall_between_the_others():
    # Even sizes have one line, the first, without a mirror image.
    mask = magic_columns(201, [4], [0.0], 1)
    mirrored = mask.flip(0)
    assert not (mask & mirrored).any()
    plain = regular_columns(201, [4], [0.0], 0)
    assert (plain & plain.flip(0)).sum() > 10, "of regular masks some first lines let every line mirror another"


@pytest.mark.parametrize("acceleration", [4, 6.5])
def test_magic_fraction_makes_up_for_the_centre(acceleration):
    counts = [int(magic_fraction_columns(256, [acceleration], [0.08], seed).sum()) for seed in range(8)]
    # The spacing is a whole number of lines, and lines of the centre may be measured twice.
    assert all(abs(count - 256 / acceleration) < 0.2 * 256 / acceleration for count in counts)


@pytest.mark.parametrize("draw", [regular_columns, magic_columns, magic_fraction_columns])
@pytest.mark.parametrize("columns", [181, 256])
def test_the_centre_is_measured(draw, columns):
    mask = draw(columns, [8], [0.04], 3)
    block = calibration_lines(mask)
    assert block.stop - block.start >= round(0.04 * columns)
    assert block.stop - block.start < 0.1 * columns


def test_options_that_make_no_regular_columns():
    for draw in (regular_columns, magic_columns):
        with pytest.raises(OptionError, match=r"acceleration in whole lines, got 2\.5"):
            draw(100, [2.5], [0.08], 0)
    with pytest.raises(OptionError, match="a centre of fewer than columns / acceleration = 25 lines, got 25"):
        magic_fraction_columns(100, [4], [0.3], 0)
    with pytest.raises(OptionError, match="got 2 accelerations and 1 fractions"):
        magic_columns(100, [4, 8], [0.3], 0)


@pytest.mark.parametrize("columns", [64, 65])
@pytest.mark.parametrize("fraction", [5 / 8, 0.75, 7 / 8, 1])
def test_partial_fourier_keeps_one_end_and_the_centre(columns, fraction):
    mask = partial_fourier(columns, fraction)
    assert int(mask.sum()) == round(columns * fraction)
    assert mask[columns - round(columns * fraction) :].all()
    assert mask[columns // 2 - 1 : columns // 2 + 2].all()
    other = partial_fourier(columns, fraction, from_start=True)
    assert torch.equal(other, mask.flip(0))


@pytest.mark.parametrize("fraction", [0, 0.5, 1.1, -0.7, math.nan])
def test_fractions_that_are_none(fraction):
    with pytest.raises(OptionError, match="a fraction of the 64 lines that reaches beyond the centre, got"):
        partial_fourier(64, fraction)
