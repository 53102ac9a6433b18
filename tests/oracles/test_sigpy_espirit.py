"""Our ESPIRiT maps are sigpy's, up to the phase that the method leaves open."""

import numpy as np
import pytest
import torch

from invrim.data.coil_profiles import ring_of_coils
from invrim.data.espirit import espirit_maps
from invrim.operators.fourier import fft_centred
from scans import phantom
from shared_data import shared

app = pytest.importorskip("sigpy.mri.app")

ITERATIONS = 1000
"""Of sigpy's power method, whose default of 100 leaves errors of 0.05 where two eigenvalues are alike."""
CROP = 0.8
TOLERANCE = 1e-3
"""Of any coil's map, whose root sum of squares is 1."""
UNDECIDED = 1e-3
"""Share of pixels where two eigenvalues are so alike that sigpy's method is still on its way."""


def simulated(coils: int = 8, size: tuple[int, int] = (53, 44)):
    generator = torch.Generator().manual_seed(2)
    image = torch.from_numpy(phantom(2, size))
    kspace = fft_centred(ring_of_coils(coils, size, generator) * image.unsqueeze(1))
    return kspace + 0.003 * torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator)


def real():
    """Two flip angles of a head; the centre of k-space holds all that calibrates, on a coarser grid."""
    kspace = torch.from_numpy(np.load(shared("mr_raw/brain_cart_13ch_vfa.npz"))["kspace"][1:])
    return kspace[..., 112 - 26 : 112 + 27, 112 - 22 : 112 + 22]


def volume():
    generator = torch.Generator().manual_seed(3)
    size = (9, 13, 12)
    image = torch.from_numpy(phantom(2 * size[0], size[1:])).reshape(2, *size)
    maps = ring_of_coils(4, size[1:], generator).unsqueeze(1) * torch.linspace(0.5, 1.5, size[0]).view(1, -1, 1, 1)
    return fft_centred(maps * image.unsqueeze(1), 3)


def theirs(kspace, **options):
    maps, eigenvalues = app.EspiritCalib(
        kspace.numpy(), crop=CROP, max_iter=ITERATIONS, output_eigenvalue=True, show_pbar=False, **options
    ).run()
    return torch.from_numpy(maps), torch.from_numpy(eigenvalues.squeeze())


def share_that_differs(found, expected, eigenvalues):
    """Of the pixels that are not next to the threshold, after the phase common to all coils is made the same."""
    common = (found.conj() * expected).sum(dim=0)
    distance = (found * common / common.abs().clamp_min(1e-9) - expected).abs().amax(dim=0)
    sure = (eigenvalues - CROP).abs() > TOLERANCE
    return float((distance > TOLERANCE)[sure].float().mean())


@pytest.mark.parametrize("scan", [simulated, real])
@pytest.mark.parametrize("options", [{}, {"calib_width": 20, "kernel_width": 5, "thresh": 0.03}], ids=["", "options"])
def test_maps_of_slices(scan, options):
    kspace = scan()
    names = {"calib_width": "calibration", "kernel_width": "kernel", "thresh": "threshold"}
    found = espirit_maps(kspace, crop=CROP, ramp=0, **{names[key]: value for key, value in options.items()})
    for ours, each in zip(found, kspace, strict=True):
        expected, eigenvalues = theirs(each, **options)
        assert (eigenvalues > CROP).float().mean() > 0.3
        assert share_that_differs(ours, expected, eigenvalues) < UNDECIDED


def test_maps_of_a_volume():
    kspace = volume()
    found = espirit_maps(kspace, calibration=7, kernel=3, crop=CROP, ramp=0)
    for ours, each in zip(found, kspace, strict=True):
        expected, eigenvalues = theirs(each, calib_width=7, kernel_width=3)
        assert share_that_differs(ours, expected, eigenvalues) == 0


def test_maps_of_another_slice_are_noticed():
    kspace = simulated()
    expected, eigenvalues = theirs(kspace[0])
    found = espirit_maps(kspace, crop=CROP, ramp=0)[1]
    assert share_that_differs(found, expected, eigenvalues) > 0.3
