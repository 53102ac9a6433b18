"""What a file is found to be."""

import pytest
import torch

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
    assert found.calibration >= 3


def test_noise_level_of_pure_noise():
    torch.manual_seed(0)
    mask = torch.arange(60) % 3 != 0
    kspace = 0.7 * torch.view_as_complex(torch.randn(4, 200, 60, 2)) * mask
    assert noise_level(kspace, mask) == pytest.approx(0.7, rel=0.05)
    assert noise_level(kspace, torch.ones(60, dtype=torch.bool)) < 0.6, "lines that were not measured must not count"
