"""What a file is found to be."""

import h5py
import numpy as np
import pytest
import torch

from data.fastmri_files import HEADER
from data.ismrmrd_files import PointScan
from invrim.data.formats.fastmri import read_acquisition
from invrim.data.inspection import inspect_file, noise_level
from invrim.data.trajectories import radial
from scans import scan_file


def test_figures(tmp_path):
    path = scan_file(tmp_path, coils=4, acceleration=4)
    found = inspect_file(path)
    mask = read_acquisition(path).mask
    header = found.header
    assert (header.slices, header.coils, header.matrix, header.target_size) == (3, 4, (48, 40), (48, 40))
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


def test_a_trajectory_has_readouts_and_a_square_that_calibrates(tmp_path):
    rng = np.random.default_rng(0)
    noise = 0.3 * (rng.normal(size=(2, 21, 64)) + 1j * rng.normal(size=(2, 21, 64)))
    np.savez(tmp_path / "a.npz", kspace=noise.astype(np.complex64), traj=radial(21, 64).numpy())
    found = inspect_file(tmp_path / "a.npz", "coil readouts samples")
    assert (found.lines, found.header.matrix) == (21, (32, 32))
    assert found.noise == pytest.approx(0.3, rel=0.1)
    assert 1 < found.acceleration < 3
    assert found.calibration[0] == found.calibration[1] >= 7
    assert ("sampling", "21 readouts of 64 samples along a trajectory") in found.rows()


def test_places_and_notices_are_said(tmp_path):
    raw = PointScan(lines=lambda _: [n for n in range(40) if n != 7]).write(tmp_path / "a.h5")
    rows = inspect_file(raw).rows()
    assert ("voxel", "2 x 2.2 mm, slices 5 mm apart, x, y and slice towards PLS") in rows
    assert ("view", "96 x 88 mm") in rows
    assert ("scanner", "Skyra") in rows
    assert any(name == "notice" and "1 of 40 lines" in value for name, value in rows)


def test_what_differs_by_slice_is_said_of_the_middle_one(tmp_path):
    raw = PointScan(repetitions=2, acceleration=2, lines=lambda n: sorted({*range(n, 40, 2), *range(16, 25)}))
    found = inspect_file(raw.write(tmp_path / "a.h5"))
    assert found.lines == 25
    assert ("slices", "2 (2 volumes of 1)") in found.rows()
