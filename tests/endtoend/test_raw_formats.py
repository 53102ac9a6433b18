"""Real scans, as arrays with and without a trajectory, from the file to the image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.conversion import convert_file
from invrim.data.formats.opening import open_scan
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import fidelity_of
from shared_data import shared

HEADS = {
    "brain_cart_8ch_poisson.npy": "coil ky kx",
    "brain_cart_13ch_vfa.npz": "slice coil ky kx",
    "brain_radial_32ch_64spk.npz": "coil readouts samples",
    "brain_radial_5ch_34spk_vfa.npz": "slice coil readouts samples",
}


def first_slice(path, axes=None) -> Acquisition:
    return open_scan(path, axes).read(slice(0, 1))


@torch.no_grad()
def image_of(acquisition):
    model, fidelity = ZeroFilled(), fidelity_of(acquisition)
    return model.magnitude(fidelity, model(fidelity))[0].numpy()


def quarter(acquisition):
    """Pixels twice as large, from the inner half of every readout, and some of the coils: quicker, and as upright."""
    inner = slice(acquisition.kspace.shape[-1] // 4, -(acquisition.kspace.shape[-1] // 4))
    return replace(
        acquisition,
        kspace=acquisition.kspace[:, ::4, :, inner].contiguous(),
        trajectory=2 * acquisition.trajectory[:, :, inner].contiguous(),
        image_size=(128, 128),
    )


def height_over_width(image):
    """Of what is bright, by its deviation along either axis; heads seen from below are taller than wide."""
    y, x = np.nonzero(image > 0.2 * np.percentile(image, 99))
    return y.std() / x.std()


@pytest.mark.parametrize("name", ["brain_radial_32ch_64spk.npz", "brain_radial_5ch_34spk_vfa.npz"])
def test_real_radial_heads_are_upright(name):
    pytest.importorskip("pytorch_finufft", reason="the extra nufft is not installed")
    acquisition = first_slice(shared(f"mr_raw/{name}"), HEADS[name])
    assert acquisition.image_size == (256, 256)
    acquisition = quarter(acquisition)
    assert height_over_width(image_of(acquisition)) > 1.1
    swapped = replace(acquisition, trajectory=acquisition.trajectory.flip(-1))
    assert height_over_width(image_of(swapped)) < 0.9, "or the test could not fail"


@pytest.mark.parametrize("name", HEADS)
def test_real_scans_survive_conversion(tmp_path, name):
    path = shared(f"mr_raw/{name}")
    before = open_scan(path, HEADS[name]).read()
    convert_file(path, tmp_path / "a.npz", HEADS[name])
    if before.trajectory is None:
        convert_file(tmp_path / "a.npz", tmp_path / "b.cfl")
        convert_file(tmp_path / "b.cfl", tmp_path / "c.h5")
    after = open_scan(tmp_path / ("a.npz" if before.trajectory is not None else "c.h5")).read()
    assert torch.equal(after.kspace, before.kspace)
    for part in ("mask", "trajectory"):
        found, expected = getattr(after, part), getattr(before, part)
        assert (found is None and expected is None) or torch.equal(found, expected)
