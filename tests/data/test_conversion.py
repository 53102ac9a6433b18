"""Raw files become files of the fastMRI schema, and nothing of them is lost."""

from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch

from data.ismrmrd_files import PointScan
from invrim.cli.main import main
from invrim.data.acquisition import Acquisition
from invrim.data.conversion import WRITERS, convert_file
from invrim.data.formats.fastmri import read_acquisition, read_header, write_acquisition
from invrim.data.formats.opening import open_scan
from invrim.data.geometry import Geometry
from invrim.data.index import index_of
from invrim.data.scan import header_of
from invrim.data.trajectories import radial
from invrim.errors import DataError, FileError, OptionError, ShapeError
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_file
from scans import scan, scan_file
from shared_data import shared

OBLIQUE = np.linalg.qr(np.array([[0.8, 0.3, 0.2], [-0.2, 0.9, 0.3], [0.1, -0.4, 0.9]]))[0].T


def assert_same(found: Acquisition, expected: Acquisition):
    for name in ("kspace", "mask", "target", "noise"):
        first, second = getattr(found, name), getattr(expected, name)
        assert (first is None) == (second is None), name
        assert first is None or (torch.equal(first, second) and first.dtype == second.dtype), name
    assert {name: found.attributes[name] for name in expected.attributes} == dict(expected.attributes)
    assert set(found.attributes) - set(expected.attributes) <= {"max"}
    for name in ("image_size", "volumes", "notices"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (found.geometry is None) == (expected.geometry is None)
    if found.geometry is not None:
        np.testing.assert_array_equal(found.geometry.affine, expected.geometry.affine)
        assert found.geometry.is_oriented == expected.geometry.is_oriented
    first, second = header_of(found), header_of(expected)
    for name in ("slices", "coils", "matrix", "phase_encodes", "scanner", "image_size", "slice_masks"):
        assert getattr(first, name) == getattr(second, name), name
    assert torch.equal(first.sampled, second.sampled)


def full(slices=6, coils=3, **change) -> Acquisition:
    """Everything that an acquisition can have, all of it distinct."""
    base = scan(coils=coils, acceleration=2, slices=slices)
    random = np.random.default_rng(0)
    noise = random.normal(size=(coils, 17)) + 1j * random.normal(size=(coils, 17))
    everything = replace(
        base,
        attributes={**base.attributes, "scanner": "Skyra", "tr": 2.5, "averages": 3, "interpolated": True},
        image_size=(40, 36),
        geometry=Geometry.of_slices(np.arange(3.0)[:, None] * OBLIQUE[2], OBLIQUE, (0.8, 1.3, 1.0), (40, 48)),
        volumes=2,
        noise=torch.from_numpy(noise.astype(np.complex64)),
        notices=("spacing of the header", "Größe geraten"),
    )
    return replace(everything, **change)


def masks(slices, rows, seed=1):
    return torch.rand(slices, rows, 40, generator=torch.Generator().manual_seed(seed)) < 0.4


@pytest.mark.parametrize(
    "change",
    [
        {}, {"target": None}, {"image_size": None, "target": None}, {"geometry": None}, {"mask": None},
        {"geometry": Geometry.of_spacing((1, 2, 3))}, {"noise": None, "notices": ()}, {"volumes": 1},
        {"mask": masks(6, 1)}, {"mask": masks(6, 48)}, {"mask": masks(1, 48)[0]},
    ],
    ids=lambda change: " ".join(change) or "all of it",
)  # fmt: skip
@pytest.mark.parametrize("coils", [1, 3])
def test_whatever_a_scan_has_comes_back(tmp_path, change, coils):
    acquisition = full(coils=coils, **change)
    write_acquisition(tmp_path / "a.h5", acquisition)
    assert_same(read_acquisition(tmp_path / "a.h5"), acquisition)
    opened = open_scan(tmp_path / "a.h5")
    assert (opened.noise is None) == (acquisition.noise is None)
    assert opened.header.notices == acquisition.notices
    part, whole = opened.read(slice(2, 5)), acquisition
    assert torch.equal(part.kspace, whole.kspace[2:5])
    if whole.mask is not None and whole.mask.ndim == 3:
        assert torch.equal(part.mask, whole.mask[2:5])
        assert torch.equal(opened.header.sampled, whole.mask.any(dim=0).squeeze(0))


def test_nobody_learns_from_a_mask_that_is_no_slices_own(tmp_path):
    write_acquisition(tmp_path / "a.h5", full(mask=masks(6, 1)))
    with pytest.raises(DataError, match=r"a\.h5: expected one mask for all slices to learn from, got one for each"):
        index_of(tmp_path)


def test_a_plain_scan_has_no_group_of_nothing(tmp_path):
    with h5py.File(scan_file(tmp_path, acceleration=2)) as file:
        assert "invrim" not in file


@pytest.mark.parametrize("volume", [False, True], ids=["slices", "volume"])
def test_ismrmrd_is_reconstructed_alike_before_and_after(tmp_path, volume):
    matrix, fov = ((24, 20, 8), (48, 44, 16)) if volume else ((24, 20, 1), (48, 44, 5))
    points = PointScan(
        matrix=matrix, fov=fov, directions=OBLIQUE, slices=1 if volume else 3, noise_scans=2, reverse=True
    )
    raw = points.write(tmp_path / "a.mrd")
    convert_file(raw, tmp_path / "b.h5")
    before, after = open_scan(raw), open_scan(tmp_path / "b.h5")
    assert_same(after.read(), before.read())
    assert torch.equal(after.noise, before.noise)
    assert torch.equal(after.header.protocol, before.header.protocol)
    job = Job(out=tmp_path / "out", also=("nifti",))
    first, second = (nibabel.load(reconstruct_file(ZeroFilled(), path, job).with_suffix(".nii.gz")) for path in
                     (raw, tmp_path / "b.h5"))  # fmt: skip
    np.testing.assert_array_equal(first.affine, second.affine)
    np.testing.assert_array_equal(first.get_fdata(), second.get_fdata())


def test_arrays_take_the_names_of_their_axes(tmp_path, capsys):
    kspace = scan(coils=3).kspace.numpy()
    np.save(tmp_path / "a.npy", kspace.transpose(3, 1, 0, 2))
    command = ["convert", tmp_path / "a.npy", tmp_path / "a.h5", "--axes", "kx coil slice ky"]
    assert main([str(word) for word in command]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"a.npy -> {tmp_path}/a.h5: 3 slices of 48 x 40, coils: 3"
    np.testing.assert_array_equal(read_acquisition(tmp_path / "a.h5").kspace.numpy(), kspace)


@pytest.mark.parametrize("name", ["phantom_gre_2ch.dat", "brain_cart_8ch_poisson.npy"])
def test_real_files(tmp_path, name):
    raw: Path = shared(f"mr_raw/{name}")
    axes = "coil ky kx" if raw.suffix == ".npy" else None
    header = convert_file(raw, tmp_path / "b.h5", axes)
    assert_same(read_acquisition(tmp_path / "b.h5"), open_scan(raw, axes).read())
    assert read_header(tmp_path / "b.h5").scanner == header.scanner


def test_a_trajectory_is_refused_in_one_line(tmp_path, capsys):
    random = np.random.default_rng(0)
    kspace = random.normal(size=(2, 5, 32)) + 1j * random.normal(size=(2, 5, 32))
    np.savez(tmp_path / "a.npz", kspace=kspace.astype(np.complex64), traj=radial(5, 32).numpy())
    assert main(["convert", f"{tmp_path}/a.npz", f"{tmp_path}/a.h5", "--axes", "coil readouts samples"]) == 2
    message = capsys.readouterr().err
    assert "a.npz: expected a Cartesian scan to write in the fastMRI schema, got one along a trajectory" in message
    assert message.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_what_cannot_be_converted_says_why(tmp_path):
    raw = scan_file(tmp_path)
    with pytest.raises(OptionError, match=r"expected a file of \.h5.* to write, got .*a\.dat"):
        convert_file(raw, tmp_path / "a.dat")
    with pytest.raises(OptionError, match="would overwrite the input"):
        convert_file(raw, tmp_path / "a.h5")
    with pytest.raises(OptionError, match=r"in the fastMRI schema already\. Copy it"):
        convert_file(raw, tmp_path / "b.h5")
    with pytest.raises(FileError, match="got no folder"):
        convert_file(raw, tmp_path / "no" / "b.h5")
    assert set(WRITERS) >= {".h5"}


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("affine", np.eye(3), DataError, r"`invrim/affine` of shape \(4, 4\), got \(3, 3\)"),
        ("volumes", 4, DataError, "`invrim/volumes` to divide the 6 slices, got 4"),
        ("masks", np.ones((6, 2, 40)), DataError, r"`invrim/masks` \(6, 1 or 48, 40\), got shape \(6, 2, 40\)"),
    ],
)
def test_damaged_extras_are_one_line(tmp_path, name, value, error, message):
    write_acquisition(tmp_path / "a.h5", full(mask=masks(6, 1)))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file[f"invrim/{name}"]
        file[f"invrim/{name}"] = value
    with pytest.raises(error, match=message):
        read_acquisition(tmp_path / "a.h5")


def test_masks_of_another_number_of_slices_are_refused(tmp_path):
    with pytest.raises(ShapeError, match="expected a mask"):
        write_acquisition(tmp_path / "a.h5", full(mask=masks(5, 1)))
