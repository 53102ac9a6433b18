"""The weights that ship, trained on Cartesian scans, reconstruct radial ones."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from invrim import NonCartesianMRI, load_model
from invrim.data.coil_profiles import ring_of_coils
from invrim.data.gridding import maps_from_trajectory
from invrim.data.trajectories import radial
from invrim.evaluation import evaluate_volume
from invrim.operators import conjugate_gradient, density_compensation, noncartesian_fidelity
from shared_data import shared


def brain():
    """A slice of the volume that comes with nibabel, with a smooth phase, ``(1, y, x)``."""
    volume = nibabel.load(Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz")
    magnitude = torch.from_numpy(np.asarray(volume.dataobj)[:, :, 12, 0].astype(np.float32).T)
    magnitude = magnitude / magnitude.max()
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in magnitude.shape), indexing="ij")
    return torch.polar(magnitude, 0.4 + 0.7 * x - 0.5 * y * x)[None]


def measured(trajectory, image, coils):
    generator = torch.Generator().manual_seed(0)
    maps = ring_of_coils(coils, image.shape[1:], generator)
    kspace = NonCartesianMRI(trajectory, image.shape[1:], maps[None])(image)
    return kspace + 0.01 * torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator)


def fidelity_of(kspace, trajectory, size):
    weights = density_compensation(trajectory, size)
    maps = maps_from_trajectory(kspace, trajectory, size, weights)
    return noncartesian_fidelity(kspace, trajectory, size, maps, weights)


@torch.no_grad()
def scores(images, reference):
    return evaluate_volume(reference.abs(), images.abs())


@pytest.mark.parametrize("coils", [1, 6])
def test_a_simulated_head_from_few_spokes(coils):
    image, trajectory = brain(), radial(28, 256)
    fidelity = fidelity_of(measured(trajectory, image, coils), trajectory, image.shape[1:])
    with torch.no_grad():
        reconstructed = load_model("brain")(fidelity)
    before, after = scores(fidelity.start(), image), scores(reconstructed, image)
    # 0.0058 from 0.0197 with one coil, 0.0037 from 0.0150 with six, measured.
    assert after["nmse"] < 0.4 * before["nmse"]
    assert after["ssim"] > before["ssim"] + 0.05


@pytest.fixture(scope="module")
def head():
    """64 spokes over half a turn, and what conjugate gradients make of all of them."""
    data = np.load(shared("mr_raw/brain_radial_32ch_64spk.npz"))
    kspace, trajectory = torch.from_numpy(data["kspace"])[None], torch.from_numpy(data["traj"])
    fidelity = fidelity_of(kspace, trajectory, (256, 256))
    return kspace, trajectory, conjugate_gradient(fidelity, fidelity.start(), 10)


def test_a_real_head_is_upright_in_the_middle_and_smooth(head):
    _, _, reference = head
    magnitude = reference[0].abs()
    inside = (magnitude > 0.15 * magnitude.max()).float()
    rows, columns = inside.any(dim=1).nonzero(), inside.any(dim=0).nonzero()
    middle = [float(torch.stack([ends.min(), ends.max()]).float().mean()) for ends in (rows, columns)]
    assert middle == pytest.approx([128, 128], abs=24)
    y, x = torch.meshgrid(torch.arange(256) - middle[0], torch.arange(256) - middle[1], indexing="ij")
    height, width = ((inside * axis.abs()).sum() / inside.sum() for axis in (y, x))
    assert height > 1.1 * width, "the nose is up"
    # A transform with a centre off by one would alternate the sign from pixel to pixel, or the magnitude's.
    around = (reference.roll(1, -1) + reference.roll(-1, -1) + reference.roll(1, -2) + reference.roll(-1, -2)) / 4
    assert float((around - reference).norm() / reference.norm()) < 0.5


def test_a_real_head_from_every_third_spoke(head):
    kspace, trajectory, reference = head
    fidelity = fidelity_of(kspace[:, :, ::3], trajectory[::3], (256, 256))
    with torch.no_grad():
        reconstructed = load_model("brain")(fidelity)
    before, after = scores(fidelity.start(), reference), scores(reconstructed, reference)
    # 0.0170 from 0.0889 measured.
    assert after["nmse"] < 0.3 * before["nmse"]
    assert after["ssim"] > before["ssim"] + 0.01
