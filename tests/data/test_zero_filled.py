"""Formats without a mask: what was measured is what is not zero, but for chance."""

import pytest
import torch

from invrim.data.sampling_pattern import sampling_pattern, volume_pattern
from invrim.data.zero_filled import acquisition_of_grid, grid_of_acquisition, require_cartesian
from invrim.errors import DataError
from scans import scan

LINES = torch.tensor([0, 1, 1, 0, 1, 1, 1, 0, 1]).bool()
SAME = 1e-5
"""Of a transform along the readout and back in float32."""


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def some_points(*shape, share=0.5, seed=0):
    points = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share
    points[..., shape[-2] // 2, :] = True
    return points


def test_single_zeros_were_measured():
    kspace = noise(2, 1, 12, 9) * LINES
    kspace[0, 0, 3, 4] = kspace[1, 0, 7, 1] = 0
    assert sampling_pattern(kspace).tolist() == LINES.tolist()
    kspace = noise(2, 1, 12, 9)
    kspace[1, 0, 2, 2] = 0
    assert sampling_pattern(kspace) is None


def test_rounded_samples_of_one_coil_were_measured():
    raw = scan(acceleration=2)
    integers = torch.view_as_complex((60 * torch.view_as_real(raw.kspace)).round())
    zeros = (integers == 0).float()[..., raw.mask].mean()
    assert 0.01 < zeros < 0.1, "or the test would be of nothing"
    assert sampling_pattern(integers).tolist() == raw.mask.tolist()


def test_sparse_points_stay_points():
    points = some_points(12, 9)
    assert sampling_pattern(noise(2, 3, 12, 9) * points).tolist() == points.tolist()
    of_each = some_points(2, 12, 9)
    assert sampling_pattern(noise(2, 3, 12, 9) * of_each[:, None]).tolist() == of_each.tolist()


def test_an_asymmetric_echo_is_a_grid_of_rows_and_lines():
    rows = (torch.arange(12) > 2)[:, None]
    kspace = noise(2, 1, 12, 9) * (rows & LINES)
    kspace[1, 0, 5, 2] = 0
    assert sampling_pattern(kspace).tolist() == (rows & LINES).tolist()


def test_a_slice_without_signal_was_measured_as_the_others():
    kspace = noise(3, 2, 12, 9) * LINES
    kspace[1] = 0
    assert sampling_pattern(kspace).tolist() == LINES.tolist()


@pytest.mark.parametrize("kz", [1, 5])
def test_zeros_alone_are_no_scan(kz):
    with pytest.raises(DataError, match="got zeros alone"):
        acquisition_of_grid("a.npy", torch.zeros(1, 1, 2, kz, 6, 7, dtype=torch.complex64))


def test_a_readout_with_gaps_cannot_be_transformed_back():
    kspace = noise(2, 10, 6, 7) * some_points(6, 7)
    assert volume_pattern(kspace).tolist() == some_points(6, 7).tolist()
    kspace[:, 7:] = 0
    with pytest.raises(DataError, match="expected a readout that is fully sampled, got 70% of its samples"):
        volume_pattern(kspace)


def test_a_grid_comes_back_from_its_slices():
    lines = noise(2, 3, 4, 1, 12, 9) * LINES
    acquisition = acquisition_of_grid("a.npy", lines)
    assert (acquisition.volumes, len(acquisition.kspace)) == (2, 6)
    assert torch.equal(grid_of_acquisition(acquisition), lines)


@pytest.mark.parametrize("alike", [True, False])
def test_volumes_come_back_from_their_readouts(alike):
    points = torch.stack([some_points(6, 7, seed=seed) for seed in ((0, 0) if alike else (0, 1))])
    volumes = noise(2, 1, 3, 5, 6, 7) * points[:, None, None, None]
    acquisition = acquisition_of_grid("a.npy", volumes)
    assert (acquisition.volumes, acquisition.kspace.shape) == (2, (10, 3, 6, 7))
    expected = points[0] if alike else points.repeat_interleave(5, dim=0)
    assert acquisition.mask.tolist() == expected.tolist()
    assert not (acquisition.kspace * ~acquisition.mask.reshape(-1, 1, 6, 7)).any()
    torch.testing.assert_close(grid_of_acquisition(acquisition), volumes, rtol=0, atol=SAME)


def test_what_the_mask_leaves_out_is_zero():
    acquisition = scan(coils=2)
    mask = torch.arange(40) % 3 == 1
    grid = grid_of_acquisition(type(acquisition)(name="a.h5", kspace=acquisition.kspace, mask=mask))
    assert torch.equal(grid[0, :, :, 0], acquisition.kspace * mask)


def test_a_trajectory_is_no_grid():
    acquisition = scan()
    require_cartesian(acquisition, "a file")
    points = torch.zeros(1, 48, 40, 2)
    along = type(acquisition)(name="a.h5", kspace=acquisition.kspace, trajectory=points, image_size=(20, 20))
    with pytest.raises(DataError, match=r"^a\.h5: expected k-space on a grid for a file, got samples along"):
        require_cartesian(along, "a file")
