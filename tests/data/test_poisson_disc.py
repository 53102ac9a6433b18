"""Poisson discs: number, distances, density, centre, time, and what they refuse."""

import math
import time

import pytest
import torch

import invrim.data.poisson_disc as module
from invrim.data.mask_planes import calibration_block, centre_of_plane, random_points
from invrim.data.poisson_disc import poisson_disc
from invrim.errors import OptionError

SIZE = (61, 84)


@pytest.mark.parametrize("falloff", [0, 2, 4.5])
@pytest.mark.parametrize(("acceleration", "fraction"), [(1, 0.08), (1.5, 0.1), (4, 0.08), (8, 0.04), (12.5, 0)])
def test_exactly_as_many_points_as_were_asked_for(acceleration, fraction, falloff):
    mask = poisson_disc(SIZE, [acceleration], [fraction], 3, falloff=falloff)
    assert int(mask.sum()) == round(math.prod(SIZE) / acceleration)


def nearest_distances(mask):
    """Of every point outside the centre to the nearest other one there."""
    outside = mask.clone()
    m, n = calibration_block(mask)
    y, x = (k // 2 for k in mask.shape)
    outside[y - m : y + m + 1, x - n : x + n + 1] = False
    points = outside.nonzero().float()
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf)
    return points - torch.tensor([y, x]), distance.amin(dim=1)


def test_points_keep_a_distance_that_grows_away_from_the_centre():
    mask = poisson_disc((120, 91), [9], [0.01], 1)
    places, nearest = nearest_distances(mask)
    k = torch.hypot(places[:, 0] / 60, places[:, 1] / 45.5)
    assert nearest[k > 0.9].min() > 2.5 > nearest[k < 0.3].min()
    assert nearest[k > 0.9].mean() > 1.8 * nearest[k < 0.3].mean()
    _, drawn = nearest_distances(random_points((120, 91), [9], [0.01], 1))
    assert drawn.min() == 1, "independent points touch"


def test_the_middle_of_every_edge_is_reached():
    mask = poisson_disc(SIZE, [6], [0.05], 2)
    for edge in (mask[:6], mask[-6:], mask[:, :6], mask[:, -6:]):
        assert edge.any()


def test_the_centre_is_full():
    mask = poisson_disc(SIZE, [6], [0.05], 2)
    y, x = SIZE[0] // 2, SIZE[1] // 2
    assert mask[y - 6 : y + 7, x - 9 : x + 9].all(), "sides of sqrt(0.05) of the plane's"


def test_the_same_seed_draws_the_same():
    assert torch.equal(poisson_disc(SIZE, seed=5), poisson_disc(SIZE, seed=5))
    assert not torch.equal(poisson_disc(SIZE, seed=5), poisson_disc(SIZE, seed=6))


def test_a_volume_of_a_scanner_takes_less_than_two_seconds():
    start = time.process_time()
    mask = poisson_disc((230, 180), [8], [0.014], 0)
    assert time.process_time() - start < 2
    assert mask.numel() / int(mask.sum()) == pytest.approx(8, rel=0.001)


def test_the_scale_is_found_and_not_made_up_for_by_leaving_out(monkeypatch):
    thrown = []
    throw = module._thrown

    def watched(*arguments):
        thrown.append(len(points := throw(*arguments)))
        return points

    monkeypatch.setattr(module, "_thrown", watched)
    mask = poisson_disc(SIZE, [6], [0.05], 2)
    outside = int(mask.sum() - centre_of_plane(SIZE, 6, 0.05)[0].sum())
    assert outside <= thrown[-1] <= 1.02 * outside


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerations": [4, 8], "center_fractions": [0.08]}, "got 2 accelerations and 1 fractions"),
        ({"accelerations": [4], "center_fractions": [0.3]}, "Lower the centre fraction or the acceleration"),
        ({"falloff": -1}, "expected falloff >= 0, got -1"),
        ({"falloff": math.nan}, "expected falloff >= 0, got nan"),
    ],
)
def test_options_that_make_no_discs(options, message):
    with pytest.raises(OptionError, match=message):
        poisson_disc(SIZE, **options)
