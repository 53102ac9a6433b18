"""From one raw format to another and back."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from data.fastmri_files import HEADER
from invrim.cli.main import main
from invrim.data.acquisition import Acquisition
from invrim.data.formats.archives import write_acquisition
from invrim.data.formats.conversion import convert_file
from invrim.data.formats.fastmri import write_acquisition as write_fastmri
from invrim.data.formats.opening import open_scan
from invrim.data.trajectories import radial
from invrim.data.volumes import acquisition_of_volume
from invrim.errors import DataError, FileError, OptionError
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_slices
from scans import scan, scan_file

SUFFIXES = (".h5", ".cfl", ".npz")
SAME = 1e-5
"""Of a transform along the readout and back in float32."""


def volume_file(folder):
    """Two phase encodings."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(12, 9, generator=generator) < 0.5
    mask[4:9, 2:7] = True
    kspace = torch.randn(2, 7, 12, 9, dtype=torch.complex64, generator=generator) * mask
    write_fastmri(folder / "v.h5", acquisition_of_volume("v.h5", kspace, mask))
    return folder / "v.h5"


@pytest.mark.parametrize("to", SUFFIXES)
@pytest.mark.parametrize("way", SUFFIXES)
@pytest.mark.parametrize("coils", [1, 3])
def test_every_format_keeps_kspace_and_mask(tmp_path, way, to, coils):
    raw = scan_file(tmp_path, coils=coils, acceleration=2)
    convert_file(raw, tmp_path / f"b{way}")
    convert_file(tmp_path / f"b{way}", tmp_path / f"c{to}")
    before, after = open_scan(raw).read(), open_scan(tmp_path / f"c{to}").read()
    assert torch.equal(after.kspace, before.kspace)
    assert torch.equal(after.mask, before.mask)


@pytest.mark.parametrize("way", SUFFIXES)
def test_two_phase_encodings_are_written_as_measured(tmp_path, way):
    raw = volume_file(tmp_path)
    convert_file(raw, tmp_path / f"b{way}")
    before, after = open_scan(raw), open_scan(tmp_path / f"b{way}")
    torch.testing.assert_close(after.read().kspace, before.read().kspace, rtol=0, atol=SAME)
    assert torch.equal(after.header.mask, before.header.mask)
    assert after.header.phase_encodes == 2


@pytest.mark.parametrize("way", SUFFIXES)
def test_reconstructions_are_the_same(tmp_path, way):
    raw = scan_file(tmp_path, coils=3, acceleration=2)
    convert_file(raw, tmp_path / f"b{way}")
    first, second = (
        reconstruct_slices(ZeroFilled(), path, Job(out=tmp_path))[0] for path in (raw, tmp_path / f"b{way}")
    )
    assert torch.equal(first, second)


def test_what_has_no_place_is_said(tmp_path):
    whole = replace(
        scan("a.npz", coils=2, slices=4),
        attributes={"te": 3.5},
        volumes=2,
        noise=torch.ones(2, 9) + 0j,
        image_size=None,
    )
    write_acquisition(tmp_path / "a.npz", replace(whole, target=whole.target[..., 2:46, :]))
    lost = {suffix: convert_file(tmp_path / "a.npz", tmp_path / f"b{suffix}") for suffix in SUFFIXES}
    assert lost[".npz"] == ()
    assert lost[".h5"] == ("that slices are of 2 volumes", "the noise scan")
    assert lost[".cfl"] == ("the image to recover, 44 x 40", "te", "the noise scan")
    assert open_scan(tmp_path / "b.h5").header.target_size == (44, 40)
    write_acquisition(tmp_path / "c.npz", replace(whole, target=None, image_size=(44, 40)))
    assert convert_file(tmp_path / "c.npz", tmp_path / "c.h5")[0] == "the images' size, 44 x 40"


@pytest.mark.parametrize("acceleration", [1, 2])
@pytest.mark.parametrize("way", SUFFIXES)
def test_lines_that_the_scanner_filled_with_zeros_stay_unmeasured(tmp_path, acceleration, way):
    raw = scan_file(tmp_path, acceleration=acceleration)
    with h5py.File(raw, "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=40, maximum=29, center=15)
    expected = open_scan(raw).header.sampled
    assert not expected[:5].any()
    convert_file(raw, tmp_path / f"b{way}")
    assert torch.equal(open_scan(tmp_path / f"b{way}").header.sampled, expected)


def test_slices_measured_differently_do_not_fit_one_mask(tmp_path):
    raw = scan("a.npz", coils=2, slices=2)
    masks = torch.stack([torch.arange(40) % 3 != n for n in range(2)])[:, None]
    write_acquisition(tmp_path / "a.npz", replace(raw, mask=masks))
    with pytest.raises(DataError, match=r"a\.npz: expected one mask for all slices"):
        convert_file(tmp_path / "a.npz", tmp_path / "b.h5")
    convert_file(tmp_path / "a.npz", tmp_path / "b.cfl")
    assert torch.equal(open_scan(tmp_path / "b.cfl").read().mask, masks)


@pytest.mark.parametrize("suffix", [".h5", ".cfl"])
def test_trajectories_have_no_place_on_a_grid(tmp_path, suffix):
    samples = torch.ones(1, 2, 11, 32, dtype=torch.complex64)
    along = Acquisition(name="a.npz", kspace=samples, trajectory=radial(11, 32)[None], image_size=(16, 16))
    write_acquisition(tmp_path / "a.npz", along)
    with pytest.raises(DataError, match=r"a\.npz: expected k-space on a grid for .*along a trajectory. Write \.npz"):
        convert_file(tmp_path / "a.npz", tmp_path / f"b{suffix}")
    assert len(list(tmp_path.iterdir())) == 1


def test_raw_files_are_never_overwritten(tmp_path):
    raw = scan_file(tmp_path)
    with pytest.raises(OptionError, match="expected a result away from the input"):
        convert_file(raw, tmp_path / "x" / ".." / "a.h5")
    convert_file(raw, tmp_path / "a.cfl")
    before = (tmp_path / "a.hdr").read_bytes()
    with pytest.raises(OptionError, match="expected a result away from the input"):
        convert_file(tmp_path / "a.hdr", tmp_path / "a.cfl")
    assert (tmp_path / "a.hdr").read_bytes() == before


def test_other_suffixes_and_missing_folders(tmp_path):
    raw = scan_file(tmp_path)
    with pytest.raises(OptionError, match=r"expected a raw file of \.h5, \.cfl, \.npz to write, got \.dat"):
        convert_file(raw, tmp_path / "a.dat")
    with pytest.raises(FileError, match="got no folder"):
        convert_file(raw, tmp_path / "none" / "a.npz")


def test_the_command(tmp_path, capsys):
    np.save(tmp_path / "a.npy", scan(coils=2).kspace.numpy())
    arguments = ["convert", str(tmp_path / "a.npy"), str(tmp_path / "a.npz")]
    assert main(arguments) == 2
    assert 'It looks like --axes "slice coil ky kx"' in capsys.readouterr().err
    assert main([*arguments, "--axes", "slice coil ky kx"]) == 0
    assert capsys.readouterr().out == f"a.npy -> {tmp_path}/a.npz\n"
    assert main(["convert", str(scan_file(tmp_path)), str(tmp_path / "b.cfl")]) == 0
    assert "  left out, for the format has no place for it: the image to recover, 48 x 40\n" in capsys.readouterr().out
