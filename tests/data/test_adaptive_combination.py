"""Adaptive maps: the truth of a simulation, the definition by a full decomposition, chunks, and what is refused."""

import pytest
import torch

import invrim.data.adaptive_combination as module
from data.test_coil_maps import SIZE, misalignment, scan
from invrim.data.adaptive_combination import adaptive_maps
from invrim.data.calibration import low_resolution
from invrim.data.masks import random_columns
from invrim.errors import DataError, OptionError


@pytest.mark.parametrize(("acceleration", "fraction", "bound"), [(4, 0.16, 0.01), (8, 0.08, 0.02)])
def test_maps_align_with_the_true_ones_and_not_with_those_of_other_coils(acceleration, fraction, bound):
    kspace, maps, blobs = scan()
    mask = random_columns(SIZE[1], [acceleration], [fraction], 1)
    found = adaptive_maps(kspace * mask, mask)
    assert found.shape == kspace.shape
    assert misalignment(found, maps, blobs > 0.1) < bound
    assert misalignment(found, maps.roll(1, 0), blobs > 0.1) > 0.1


@pytest.mark.parametrize("pixel", [(30, 50), (0, 99), (60, 1)])
def test_a_map_is_the_largest_eigenvector_of_the_covariance_around_its_pixel(pixel):
    kspace, _, _ = scan()
    y, x = pixel
    found = adaptive_maps(kspace, block=5)
    around = low_resolution(kspace)[..., max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].flatten(2)
    expected = torch.linalg.eigh((around @ around.mH).to(torch.complex128)).eigenvectors[..., -1]
    aligned = (found[..., y, x].conj() * expected).sum(dim=1).abs()
    torch.testing.assert_close(aligned, torch.ones_like(aligned), rtol=0, atol=1e-5)


def test_a_block_of_one_pixel_is_the_image_over_its_root_sum_of_squares():
    kspace, _, _ = scan()
    images = low_resolution(kspace)
    found = adaptive_maps(kspace, block=1)
    combined = (found.conj() * images).sum(dim=1).abs()
    torch.testing.assert_close(combined, torch.linalg.vector_norm(images, dim=1))


def test_chunks_and_scale_do_not_show(monkeypatch):
    kspace, _, _ = scan()
    whole = adaptive_maps(kspace)
    torch.testing.assert_close(adaptive_maps(2.0**-70 * kspace), whole)
    monkeypatch.setattr(module, "CHUNK_ENTRIES", 1)
    aligned = (adaptive_maps(kspace).conj() * whole).sum(dim=1).abs()
    torch.testing.assert_close(aligned, torch.ones_like(aligned), rtol=0, atol=1e-4)


def test_slices_without_signal_have_zero_maps_beside_others():
    kspace, _, _ = scan()
    kspace[1] = 0
    found = adaptive_maps(kspace)
    assert not found[1].any()
    torch.testing.assert_close(found[0].abs().square().sum(dim=0), torch.ones(SIZE))


def test_what_makes_no_maps():
    kspace, _, _ = scan()
    with pytest.raises(OptionError, match="expected an odd block of at least 1 pixel, got 4"):
        adaptive_maps(kspace, block=4)
    mask = torch.zeros(SIZE[1])
    mask[SIZE[1] // 2] = 1
    with pytest.raises(DataError, match="at least 3 calibration lines around the centre of k-space, got 1"):
        adaptive_maps(kspace, mask)
