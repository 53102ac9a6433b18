"""Our masks are fastMRI's, bit for bit."""

import pytest
import torch

from invrim.data.masks import equispaced_columns, random_columns, seed_of

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


def test_another_seed_is_noticed():
    expected = theirs(subsample.RandomMaskFunc, 217, [4], [0.08], "file1000000.h5")
    assert not torch.equal(random_columns(217, [4], [0.08], seed_of("file1000001.h5")), expected)
