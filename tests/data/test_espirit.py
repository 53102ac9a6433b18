"""ESPIRiT: the truth of a simulation, where maps fade out, what is read, and what is refused."""

import pytest
import torch

import invrim.data.espirit as module
from data.test_coil_maps import misalignment, scan
from invrim.data.espirit import espirit_maps
from invrim.errors import DataError, OptionError, ShapeError


def test_maps_align_with_the_true_ones_and_not_with_those_of_other_coils():
    kspace, maps, blobs = scan()
    found = espirit_maps(kspace)
    assert found.shape == kspace.shape
    assert found.dtype == kspace.dtype
    assert misalignment(found, maps, blobs > 0.1) < 0.001
    assert misalignment(found, maps.roll(1, 0), blobs > 0.1) > 0.1


def test_maps_are_whole_in_the_object_and_fade_out_around_it():
    kspace, _, blobs = scan()
    kspace = kspace + 0.05 * torch.randn(kspace.shape, dtype=kspace.dtype, generator=torch.Generator().manual_seed(1))
    soft, hard = (espirit_maps(kspace, crop=0.85, ramp=ramp).abs().square().sum(dim=1).sqrt() for ramp in (0.1, 0))
    assert (soft <= 1 + 1e-5).all()
    assert soft[blobs > 0.1].mean() > 0.98
    assert (soft[..., :3] < 0.05).all(), "far from the object nothing calibrates"
    assert ((soft > 0.1) & (soft < 0.9)).any()
    torch.testing.assert_close(hard, (hard > 0.5).float(), msg="without a ramp a pixel has a map or none")
    assert (hard[soft > 0.01] > 0.5).float().mean() > 0.9


def test_only_the_calibration_region_is_read_and_scale_does_not_matter():
    kspace, _, _ = scan()
    region = [slice(20, 45), slice(38, 60)]
    found = espirit_maps(kspace, calibration=region)
    elsewhere = torch.ones_like(kspace)
    elsewhere[..., 20:45, 38:60] = 0
    assert torch.equal(espirit_maps(kspace + 5 * elsewhere, calibration=region), found)
    torch.testing.assert_close(espirit_maps(2.0**-30 * kspace, calibration=region), found)
    assert not torch.allclose(espirit_maps(kspace, calibration=20), found, atol=1e-3)


def test_chunks_do_not_show(monkeypatch):
    kspace, _, _ = scan()
    whole = espirit_maps(kspace)
    monkeypatch.setattr(module, "CHUNK_ENTRIES", 1)
    # Products of other sizes round otherwise, and where eigenvalues are alike that shows.
    torch.testing.assert_close(espirit_maps(kspace), whole, rtol=0, atol=1e-3)


def test_slices_without_signal_have_zero_maps_beside_others():
    kspace, _, _ = scan()
    kspace[1] = 0
    found = espirit_maps(kspace)
    assert not found[1].any()
    assert found[0].any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"calibration": 5}, DataError, r"at least as wide as a patch, 6 along 2 axes, got \(5, 5\)"),
        ({"calibration": [slice(20, 30)]}, DataError, r"6 along 2 axes, got \(10,\)"),
        ({"kernel": 1}, OptionError, "kernel >= 2"),
        ({"threshold": 1.0}, OptionError, "threshold < 1"),
        ({"crop": 0.9, "ramp": 0.2}, OptionError, "ramp <= 1 - crop"),
    ],
)
def test_what_makes_no_maps(options, error, message):
    with pytest.raises(error, match=message):
        espirit_maps(scan()[0], **options)


def test_missing_axes():
    with pytest.raises(ShapeError, match=r"expected k-space \(b, coil, \[kz,\] ky, kx\)"):
        espirit_maps(scan()[0][0])
