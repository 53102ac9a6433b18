"""Columns of Gaussian density: expectation, falling off, and what they refuse."""

import pytest
import torch

from invrim.data.mask_density import gaussian_columns
from invrim.errors import OptionError


@pytest.mark.parametrize("columns", [181, 256])
def test_as_many_columns_as_the_acceleration_asks_for_fewer_at_the_edges(columns):
    draws = torch.stack([gaussian_columns(columns, [4], [0.08], seed) for seed in range(300)]).float()
    # 300 draws of about columns / 6 outer lines: the mean's standard error is below 0.4 lines.
    assert draws.sum(dim=1).mean() == pytest.approx(columns / 4, abs=1.5)
    share = draws.mean(dim=0)
    centre = columns // 2
    assert (share[centre - 6 : centre + 6] == 1).all()
    # Densities of a Gaussian with the deviation of half the way, at 3/8, 5/8 and 7/8 of it.
    inner, middle, outer = (
        float(share[centre + columns * k // 16 - 8 : centre + columns * k // 16 + 8].mean()) for k in (3, 5, 7)
    )
    assert middle / inner == pytest.approx(0.61, abs=0.12)
    assert outer / inner == pytest.approx(0.29, abs=0.1)


def test_the_same_seed_draws_the_same():
    assert torch.equal(gaussian_columns(90, seed=5), gaussian_columns(90, seed=5))
    assert not torch.equal(gaussian_columns(90, seed=5), gaussian_columns(90, seed=6))
    assert gaussian_columns(90, [1], [0.1]).all()


def test_a_centre_that_is_too_wide():
    with pytest.raises(OptionError, match="a centre of at most columns / acceleration = 25 lines, got 30"):
        gaussian_columns(100, [4], [0.3], 0)
