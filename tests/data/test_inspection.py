"""What a file is found to be."""

import h5py
import pytest
import torch

from data.fastmri_files import HEADER
from invrim.data.formats.fastmri import read_acquisition
from invrim.data.inspection import inspect_file, noise_level
from scans import scan_file


def test_figures(tmp_path):
    path = scan_file(tmp_path, coils=4, acceleration=4)
    found = inspect_file(path)
    mask = read_acquisition(path).mask
    assert (found.slices, found.coils, found.matrix, found.target) == (3, 4, (48, 40), (48, 40))
    assert found.lines == int(mask.sum())
    assert found.acceleration == pytest.approx(40 / found.lines)
    assert found.calibration[0] >= 3


def test_noise_level_of_pure_noise():
    torch.manual_seed(0)
    mask = torch.arange(60) % 3 != 0
    kspace = 0.7 * torch.view_as_complex(torch.randn(4, 200, 60, 2)) * mask
    assert noise_level(kspace, mask) == pytest.approx(0.7, rel=0.05)
    assert noise_level(kspace, torch.ones(60, dtype=torch.bool)) < 0.6, "lines that were not measured must not count"


def test_lines_filled_with_zeros_are_not_measured(tmp_path):
    path = scan_file(tmp_path)
    with h5py.File(path, "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=40, maximum=29, center=15)
        file["kspace"][..., :5] = 0
        file["kspace"][..., 35:] = 0
    found = inspect_file(path)
    assert (found.lines, found.calibration) == (30, (30,))
    assert found.acceleration == pytest.approx(40 / 30)
    assert ("sampling", "30 of 40 lines") in found.rows()
