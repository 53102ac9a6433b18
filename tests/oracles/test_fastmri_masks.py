"""Our masks are fastMRI's, bit for bit."""

import pytest
import torch

from invrim.data.masks import equispaced_columns, random_columns, seed_of
from invrim.data.regular_columns import magic_columns, magic_fraction_columns, regular_columns

subsample = pytest.importorskip("fastmri.data.subsample")

PAIRS = [([4], [0.08]), ([8], [0.04]), ([4, 8], [0.08, 0.04]), ([3, 5, 12], [0.11, 0.06, 0.02])]
WIDTHS = (92, 181, 217, 256, 368)
NAMES = [f"file10{number:05d}.h5" for number in range(0, 100)]


def theirs(kind, columns, accelerations, fractions, name):
    mask, _ = kind(fractions, accelerations)((1, columns, 2), seed=tuple(map(ord, name)))
    return mask.reshape(-1).bool()


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("columns", WIDTHS)
def test_random_columns(columns, pair):
    for name in NAMES:
        expected = theirs(subsample.RandomMaskFunc, columns, *pair, name)
        assert torch.equal(random_columns(columns, *pair, seed_of(name)), expected), name


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("columns", WIDTHS)
def test_equispaced_columns(columns, pair):
    for name in NAMES:
        expected = theirs(subsample.EquispacedMaskFractionFunc, columns, *pair, name)
        assert torch.equal(equispaced_columns(columns, *pair, seed_of(name)), expected), name


REGULAR = {
    "equispaced": (regular_columns, "EquiSpacedMaskFunc"),
    "magic": (magic_columns, "MagicMaskFunc"),
    "magic_fraction": (magic_fraction_columns, "MagicMaskFractionFunc"),
}


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("kind", REGULAR)
def test_regular_columns(kind, columns, pair):
    draw, name_of_theirs = REGULAR[kind]
    for name in NAMES[:40]:
        expected = theirs(getattr(subsample, name_of_theirs), columns, *pair, name)
        assert torch.equal(draw(columns, *pair, seed_of(name)), expected), name


def test_another_seed_is_noticed():
    expected = theirs(subsample.RandomMaskFunc, 217, [4], [0.08], "file1000000.h5")
    assert not torch.equal(random_columns(217, [4], [0.08], seed_of("file1000001.h5")), expected)
