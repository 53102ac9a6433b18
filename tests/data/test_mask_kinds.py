"""Masks by name, in the library and where data are undersampled."""

import math

import pytest
import torch

from invrim.data.dataset import SliceDataset
from invrim.data.mask_density import gaussian_columns
from invrim.data.mask_kinds import LINE_MASKS, MASK_KINDS, POINT_MASKS, draw_mask
from invrim.data.masks import seed_of
from invrim.data.poisson_disc import poisson_disc
from invrim.data.simulation import simulate_volume
from invrim.errors import OptionError
from scans import phantom, scan_file


@pytest.mark.parametrize("kind", LINE_MASKS)
def test_every_kind_of_lines_holds_its_centre_and_repeats(kind):
    acceleration = 4
    first, again, other = (
        torch.stack(
            [
                draw_mask(kind, (9, 181), 1, accelerations=[acceleration], center_fractions=[0.08], seed=seed + n)
                for n in range(20)
            ]
        )
        for seed in (0, 0, 100)
    )
    assert first.shape == (20, 181)
    assert first.dtype == torch.bool
    assert first[:, 90 - 6 : 90 + 7].all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0.5 * acceleration < 181 / first.float().sum(dim=1).mean() < 1.2 * acceleration


@pytest.mark.parametrize("kind", POINT_MASKS)
def test_every_kind_of_points_holds_its_centre(kind):
    mask = draw_mask(kind, (61, 84), 2, accelerations=[4], center_fractions=[0.08], seed=3)
    assert mask.shape == (61, 84)
    assert mask[30 - 7 : 30 + 8, 42 - 11 : 42 + 11].all()
    assert math.prod(mask.shape) / mask.sum() == pytest.approx(4, rel=0.1)


def test_names():
    assert set(MASK_KINDS) == {*LINE_MASKS, *POINT_MASKS}
    with pytest.raises(
        OptionError, match=r"^expected a kind of mask of one phase encoding, random, .* got 'poisson'\."
    ):
        draw_mask("poisson", (9, 20), 1, accelerations=[4], center_fractions=[0.1], seed=0)
    with pytest.raises(
        OptionError, match=r"of two phase encodings, random, poisson, got 'magic'\. Choose one of them\.$"
    ):
        draw_mask("magic", (9, 20), 2, accelerations=[4], center_fractions=[0.1], seed=0)


def test_a_simulation_draws_the_kind_it_is_asked_for():
    lines = simulate_volume(phantom(), "a.h5", acceleration=4, masks="gaussian")
    assert torch.equal(lines.mask, gaussian_columns(40, [4], [0.08], seed_of("a.h5")))
    points = simulate_volume(phantom(), "a.h5", acceleration=4, phase_encodes=2, masks="poisson")
    assert torch.equal(points.mask, poisson_disc((48, 40), [4], [0.08], seed_of("a.h5")))


def test_a_dataset_draws_the_kind_it_is_asked_for(tmp_path):
    scan_file(tmp_path, coils=2)
    data = SliceDataset(tmp_path, accelerations=[4], center_fractions=[0.1], training=False, masks="gaussian")
    assert torch.equal(data[0]["mask"].flatten().bool(), gaussian_columns(40, [4], [0.1], seed_of("a.h5")))
    with pytest.raises(OptionError, match=r"a kind of mask of one phase encoding, .* got 'poisson'"):
        SliceDataset(tmp_path, masks="poisson")
