"""From one raw format to another and back: the same k-space, mask and image whichever way."""

from dataclasses import replace
from itertools import permutations

import h5py
import pytest
import torch

from data.fastmri_files import HEADER
from invrim.cli.main import main
from invrim.data.acquisition import Acquisition
from invrim.data.conversion import WRITERS, convert_file
from invrim.data.formats.archives import write_acquisition
from invrim.data.formats.bart import write_acquisition as write_pair
from invrim.data.formats.fastmri import write_acquisition as write_fastmri
from invrim.data.formats.opening import open_scan
from invrim.data.geometry import Geometry
from invrim.data.trajectories import radial
from invrim.data.volumes import acquisition_of_volume
from invrim.errors import DataError, OptionError
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_slices
from scans import scan, scan_file

SAME = 1e-5
"""Of a transform along the readout and back in float32."""
OTHERS = (".cfl", ".npz")


def volume_file(folder):
    """Two phase encodings, in the fastMRI schema."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(12, 9, generator=generator) < 0.5
    mask[4:9, 2:7] = True
    kspace = torch.randn(2, 7, 12, 9, dtype=torch.complex64, generator=generator) * mask
    write_fastmri(folder / "v.h5", acquisition_of_volume("v.h5", kspace, mask))
    return folder / "v.h5"


@pytest.mark.parametrize(("first", "second"), list(permutations(WRITERS, 2)))
@pytest.mark.parametrize("coils", [1, 3])
def test_every_format_keeps_kspace_and_mask(tmp_path, first, second, coils):
    before = scan(coils=coils, acceleration=2)
    WRITERS[first](tmp_path / f"a{first}", before)
    convert_file(tmp_path / f"a{first}", tmp_path / f"b{second}")
    after = open_scan(tmp_path / f"b{second}").read()
    assert torch.equal(after.kspace, before.kspace)
    assert torch.equal(after.mask, before.mask)


@pytest.mark.parametrize("way", OTHERS)
def test_two_phase_encodings_are_written_as_measured(tmp_path, way):
    raw = volume_file(tmp_path)
    convert_file(raw, tmp_path / f"b{way}")
    before, after = open_scan(raw), open_scan(tmp_path / f"b{way}")
    torch.testing.assert_close(after.read().kspace, before.read().kspace, rtol=0, atol=SAME)
    assert torch.equal(after.header.mask, before.header.mask)
    assert after.header.phase_encodes == 2


@pytest.mark.parametrize("way", OTHERS)
def test_reconstructions_are_the_same(tmp_path, way):
    raw = scan_file(tmp_path, coils=3, acceleration=2)
    convert_file(raw, tmp_path / f"b{way}")
    first, second = (
        reconstruct_slices(ZeroFilled(), path, Job(out=tmp_path))[0] for path in (raw, tmp_path / f"b{way}")
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("way", OTHERS)
def test_slices_measured_differently_stay_so(tmp_path, way):
    masks = torch.stack([torch.arange(40) % 3 != n for n in range(2)])[:, None]
    write_fastmri(tmp_path / "a.h5", replace(scan(coils=2, slices=2), mask=masks))
    convert_file(tmp_path / "a.h5", tmp_path / f"b{way}")
    assert torch.equal(open_scan(tmp_path / f"b{way}").read().mask, masks)


@pytest.mark.parametrize("acceleration", [1, 2])
@pytest.mark.parametrize("way", OTHERS)
def test_lines_that_the_scanner_filled_with_zeros_stay_unmeasured(tmp_path, acceleration, way):
    raw = scan_file(tmp_path, acceleration=acceleration)
    with h5py.File(raw, "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=40, maximum=29, center=15)
    expected = open_scan(raw).header.sampled
    assert not expected[:5].any()
    convert_file(raw, tmp_path / f"b{way}")
    assert torch.equal(open_scan(tmp_path / f"b{way}").header.sampled, expected)


def test_what_has_no_place_is_said(tmp_path, capsys):
    whole = replace(
        scan("a.npz", coils=2, slices=4),
        attributes={"te": 3.5},
        volumes=2,
        noise=torch.ones(2, 9) + 0j,
        geometry=Geometry.of_spacing((1, 2, 3)),
        image_size=(44, 40),
        notices=("a guess",),
    )
    write_acquisition(tmp_path / "a.npz", whole)
    kept = convert_file(tmp_path / "a.npz", tmp_path / "b.h5").notices
    assert kept == ("a guess",)
    assert main(["convert", f"{tmp_path}/a.npz", f"{tmp_path}/b.cfl"]) == 0
    parts = ["the image to recover", "the images' size, (44, 40)", "where the slices lie", "the noise scan", "te"]
    assert capsys.readouterr().out.splitlines()[1:] == ["  a guess", *(f"  left out of .cfl: {part}" for part in parts)]
    assert open_scan(tmp_path / "b.cfl").header.volumes == 2


def test_trajectories_have_no_place_in_a_pair(tmp_path):
    samples = torch.ones(1, 2, 11, 32, dtype=torch.complex64)
    along = Acquisition(name="a.npz", kspace=samples, trajectory=radial(11, 32)[None], image_size=(16, 16))
    write_acquisition(tmp_path / "a.npz", along)
    with pytest.raises(DataError, match=r"a\.npz: expected k-space on a grid for .*along a trajectory. Write \.npz"):
        convert_file(tmp_path / "a.npz", tmp_path / "b.cfl")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("suffix", [".cfl", ".hdr"])
def test_a_raw_pair_is_never_overwritten(tmp_path, suffix):
    write_pair(tmp_path / "a.cfl", scan())
    before = (tmp_path / "a.hdr").read_bytes()
    with pytest.raises(OptionError, match="would overwrite the input"):
        convert_file(tmp_path / f"a{suffix}", tmp_path / "a.cfl")
    assert (tmp_path / "a.hdr").read_bytes() == before
