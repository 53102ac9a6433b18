"""Coil maps from the centre of a trajectory."""

import numpy as np
import pytest
import torch

from invrim import NonCartesianMRI
from invrim.data.coil_maps import METHODS
from invrim.data.coil_profiles import ring_of_coils
from invrim.data.gridding import calibration_square, gridded, maps_from_trajectory
from invrim.data.trajectories import radial, spiral
from invrim.errors import DataError, ShapeError
from invrim.operators import fft_centred
from shared_data import shared

SIZE = (61, 70)


def scan(trajectory, coils=5):
    """Two slices of a blob, and the sensitivities that saw them."""
    maps = ring_of_coils(coils, SIZE, torch.Generator().manual_seed(0))
    y, x = torch.linspace(-1, 1, SIZE[0]).view(-1, 1), torch.linspace(-1, 1, SIZE[1]).view(1, -1)
    blobs = torch.stack([((y / 0.7) ** 2 + (x / w) ** 2 < 1).float() * (1.2 - y * x) for w in (0.6, 0.75)])
    image = torch.polar(blobs, 0.5 + 0.8 * (x - y).expand(2, *SIZE))
    return NonCartesianMRI(trajectory, SIZE, maps[None])(image), maps, image


def misalignment(found, reference, inside):
    """1 - |<found, reference>|^2 over the object: 0 when the maps agree up to a phase per pixel."""
    return float((1 - (found.conj() * reference).sum(1).abs().square())[inside].mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trajectory", [radial(30, 128), spiral(8, 600, 4)], ids=["radial", "spiral"])
def test_maps_align_with_the_true_ones(trajectory, method):
    kspace, maps, image = scan(trajectory)
    found = maps_from_trajectory(kspace, trajectory, SIZE, method=method)
    assert found.shape == (2, 5, *SIZE)
    assert misalignment(found, maps, image.abs() > 0.1) < 0.02
    assert misalignment(found.roll(1, 1), maps, image.abs() > 0.1) > 0.1, "the bound rejects other coils' maps"


def test_gridded_kspace_is_that_of_the_image():
    trajectory = radial(120, 128, "uniform")
    kspace, maps, image = scan(trajectory)
    expected = fft_centred(maps * image[:, None])
    inside = calibration_square(radial(50, 128, "uniform"), SIZE)
    error = (gridded(kspace, trajectory, SIZE) - expected)[..., inside].norm() / expected[..., inside].norm()
    assert float(error) < 0.03
    assert float((expected.roll(1, -1) - expected)[..., inside].norm() / expected[..., inside].norm()) > 0.3


def test_the_square_is_as_wide_as_the_disc_without_gaps():
    # 22 spokes through 2 r points of a half circle: closer than a point up to about 22 / pi from the centre.
    square = calibration_square(radial(22, 128, "uniform"), SIZE)
    rows, columns = (square.any(dim=dim).nonzero().flatten() for dim in (1, 0))
    half = (len(rows) - 1) // 2
    assert 5 <= half <= 9
    assert rows.tolist() == list(range(30 - half, 31 + half))
    assert columns.tolist() == list(range(35 - half, 36 + half))
    assert int(square.sum()) == (2 * half + 1) ** 2


def test_a_spoke_along_an_axis_is_no_calibration():
    """All its points are measured, in a block one point wide."""
    trajectory = radial(1, 128).expand(3, -1, -1)
    kspace, _, _ = scan(trajectory)
    with pytest.raises(DataError, match="at least 3 x 3 calibration points around the centre of k-space, got 1 x 1"):
        maps_from_trajectory(kspace, trajectory, SIZE)


def test_volumes_and_missing_axes():
    trajectory = radial(5, 16)
    with pytest.raises(ShapeError, match=r"expected slices, .* got \(5, 5, 16\).*of a stack of stars, transform along"):
        maps_from_trajectory(torch.zeros(5, 5, 16, dtype=torch.cfloat), trajectory, SIZE)


def test_a_real_head_has_the_maps_that_came_with_it():
    data = np.load(shared("mr_raw/brain_radial_5ch_34spk_vfa.npz"))
    kspace, trajectory = torch.from_numpy(data["kspace"][9:]), torch.from_numpy(data["traj"][9])
    reference = torch.from_numpy(data["coil_maps"])
    reference = reference / torch.linalg.vector_norm(reference, dim=0)
    found = maps_from_trajectory(kspace, trajectory, (256, 256))
    y, x = torch.meshgrid(torch.arange(256.0) - 140, torch.arange(256.0) - 135, indexing="ij")
    head = (torch.hypot(y, x) < 60)[None]
    # 0.03 measured; the reference transposed, or conjugated, is 0.5 away and more.
    assert misalignment(found, reference, head) < 0.06
    assert misalignment(found, reference.mT, head) > 0.3
