"""fastMRI-schema files: what is written is read, and what is damaged is named."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from data.fastmri_files import HEADER, acquisition, write
from invrim.data.acquisition import Acquisition
from invrim.data.formats.fastmri import (
    read_acquisition,
    read_header,
    read_reconstruction,
    read_target,
    read_truth,
    write_acquisition,
    write_reconstruction,
)
from invrim.errors import DataError, FileError, ShapeError

MASK = torch.arange(37) % 3 == 0


@pytest.mark.parametrize("coils", [1, 2])
@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])
def test_round_trip(tmp_path, coils, mask):
    scan = acquisition(coils=coils, mask=mask, target=(20, 31))
    write_acquisition(tmp_path / "scan.h5", scan)
    read = read_acquisition(tmp_path / "scan.h5")
    assert read.name == "scan.h5"
    assert torch.equal(read.kspace, scan.kspace)
    assert torch.equal(read.target, scan.target)
    assert read.mask is None if mask is None else torch.equal(read.mask, mask)
    assert read.attributes["patient_id"] == "p"
    assert torch.equal(read_target(tmp_path / "scan.h5"), scan.target)
    with h5py.File(tmp_path / "scan.h5") as file:
        assert file["kspace"].ndim == (3 if coils == 1 else 4)
        assert ("reconstruction_esc" if coils == 1 else "reconstruction_rss") in file


def test_some_slices_only(tmp_path):
    path = write(tmp_path)
    some, every = read_acquisition(path, slice(1, 3)), read_acquisition(path)
    assert torch.equal(some.kspace, every.kspace[1:])
    assert torch.equal(some.target, every.target[1:])


def test_the_header_says_all_sizes(tmp_path):
    header = read_header(write(tmp_path, target=(20, 31)))
    assert (header.slices, header.coils, header.matrix) == (3, 2, (24, 37))
    assert (header.target_name, header.target_size) == ("reconstruction_rss", (20, 31))
    assert header.maximum == read_target(tmp_path / "scan.h5").max()
    assert header.padding is None


def test_padding_follows_the_rule(tmp_path):
    path = write(tmp_path)
    with h5py.File(path, "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=37, maximum=29, center=15)
    assert read_header(path).padding == (37 // 2 - 15, 37 // 2 - 15 + 29 + 1)


def test_a_header_without_limits_has_no_padding(tmp_path):
    path = write(tmp_path)
    with h5py.File(path, "a") as file:
        file["ismrmrd_header"] = "<ismrmrdHeader/>"
    assert read_header(path).padding is None


def test_truth_and_double_precision(tmp_path):
    scan = acquisition()
    image = torch.polar(scan.target, scan.target)
    fields = {**vars(scan), "truth": {"image": image}}
    write_acquisition(tmp_path / "scan.h5", Acquisition(**fields))
    assert torch.equal(read_truth(tmp_path / "scan.h5")["image"], image)
    with h5py.File(tmp_path / "double.h5", "w") as file:
        file["kspace"] = scan.kspace.numpy().astype(np.complex128)
    assert read_acquisition(tmp_path / "double.h5").kspace.dtype == torch.complex64
    assert read_truth(tmp_path / "double.h5") == {}


def test_reconstructions_round_trip(tmp_path):
    images = torch.rand(3, 5, 7, dtype=torch.float64)
    write_reconstruction(tmp_path / "r.h5", images, {"model": "m"})
    assert torch.equal(read_reconstruction(tmp_path / "r.h5"), images.float())
    with pytest.raises(ShapeError, match=r"expected images \(slices, y, x\), got shape \(5, 7\)"):
        write_reconstruction(tmp_path / "s.h5", images[0], {})
    with pytest.raises(DataError, match="expected magnitude images, got complex"):
        write_reconstruction(tmp_path / "s.h5", images.cfloat(), {})
    assert not (tmp_path / "s.h5").exists()


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_foreign_and_cut_files(tmp_path):
    with pytest.raises(FileError, match=r"got nothing at this path\. Check the spelling") as error:
        read_header(tmp_path / "none.h5")
    one_line(error)
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(FileError, match="expected an HDF5 file, got other content") as error:
        read_header(tmp_path / "text.h5")
    one_line(error)
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(FileError, match=r"cut short or damaged .* Copy or download it again") as error:
        read_header(path)
    one_line(error)


def test_chunks_that_are_cut_off(tmp_path):
    path = tmp_path / "chunks.h5"
    with h5py.File(path, "w") as file:
        kspace = acquisition(size=(64, 48)).kspace.numpy()
        file.create_dataset("kspace", data=kspace, chunks=(1, 1, 64, 48), compression="gzip")
        offset = file["kspace"].id.get_chunk_info(4).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 2000] = bytes(2000)  # what a sparse, half-copied file looks like
    path.write_bytes(content)
    assert read_header(path).slices == 3
    with pytest.raises(FileError, match="cut short or damaged") as error:
        read_acquisition(path)
    one_line(error)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("image", np.zeros((2, 3)), "expected a dataset `kspace`, got image. Rename it"),
        ("kspace", np.zeros((5, 7), np.complex64), r"\(slices, coil, ky, kx\), got shape \(5, 7\)"),
        ("kspace", np.zeros((0, 5, 7), np.complex64), r"got shape \(0, 5, 7\)"),
        ("kspace", np.zeros((2, 5, 7), np.float32), "expected `kspace` of complex64, got float32"),
    ],
)
def test_files_of_another_schema(tmp_path, name, array, message):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[name] = array
    with pytest.raises((FileError, DataError), match=message) as error:
        read_header(tmp_path / "a.h5")
    one_line(error)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_placed(tmp_path, value):
    scan = acquisition()
    scan.kspace[2, 1, 4, 5] = complex(0, value)
    write_acquisition(tmp_path / "scan.h5", scan)
    for chosen in (None, slice(1, 3)):
        with pytest.raises(DataError, match="got NaN or Inf in slice 2") as error:
            read_acquisition(tmp_path / "scan.h5", chosen)
        one_line(error)
    read_acquisition(tmp_path / "scan.h5", slice(0, 2))


def test_masks_and_targets_that_do_not_fit(tmp_path):
    path = write(tmp_path, mask=MASK)
    with h5py.File(path, "a") as file:
        del file["mask"]
        file["mask"] = np.ones(36)
    with pytest.raises(DataError, match=r"expected a mask of 37 lines .* got shape"):
        read_header(path)
    path = write(tmp_path)
    with h5py.File(path, "a") as file:
        del file["reconstruction_rss"]
        file["reconstruction_rss"] = np.ones((2, 24, 37))
    with pytest.raises(DataError, match=r"`reconstruction_rss` of 3 slices \(slices, y, x\), got shape \(2, 24, 37\)"):
        read_header(path)
    with pytest.raises(ShapeError, match="expected a mask of 37 lines"):
        write(tmp_path, mask=MASK[1:])


def test_a_file_without_target(tmp_path):
    path = write(tmp_path)
    with h5py.File(path, "a") as file:
        del file["reconstruction_rss"]
    assert read_acquisition(path).target is None
    with pytest.raises(FileError, match="Use a file with a known target"):
        read_target(path)


def test_links_to_other_files_are_refused(tmp_path):
    other = write(tmp_path, "other.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink(str(other), "kspace")
    with pytest.raises(FileError, match="expected `kspace` inside the file, got a link to another file"):
        read_header(tmp_path / "link.h5")
    with h5py.File(tmp_path / "soft.h5", "w") as file:
        file["elsewhere"] = h5py.ExternalLink(str(other), "/")
        file["kspace"] = h5py.SoftLink("/elsewhere/kspace")
    with pytest.raises(FileError, match="got a link to another file"):
        read_header(tmp_path / "soft.h5")
    (tmp_path / "raw").write_bytes(bytes(1000))
    with h5py.File(tmp_path / "external.h5", "w") as file:
        raw = [(str(tmp_path / "raw"), 0, 560)]
        file.create_dataset("kspace", shape=(2, 5, 7), dtype=np.complex64, external=raw)
    with pytest.raises(FileError, match="got a link to another file"):
        read_header(tmp_path / "external.h5")


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from data.fastmri_files import write
from invrim.errors import FileError
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
try:
    write(Path(sys.argv[1]), size=(96, 97))
except FileError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="file size limits are POSIX")
def test_a_write_that_the_system_stops_leaves_nothing(tmp_path):
    tests = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(tests)], capture_output=True, text=True, check=True
    )
    assert process.stdout.startswith(f"cannot write {tmp_path / 'scan.h5'}: file too large. Nothing was left behind")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("coils", "name"), [(1, "reconstruction_esc"), (2, "reconstruction_rss")])
def test_of_two_targets_the_one_for_the_coils_is_chosen(tmp_path, coils, name):
    path = write(tmp_path, coils=coils)
    expected = read_target(path)
    with h5py.File(path, "a") as file:
        other = ({"reconstruction_esc", "reconstruction_rss"} - {name}).pop()
        file[other] = np.full((3, 24, 37), 7.0)
    assert read_header(path).target_name == name
    assert torch.equal(read_target(path), expected)
    assert torch.equal(read_acquisition(path).target, expected)


def test_a_target_needs_no_kspace_beside_it(tmp_path):
    path = write(tmp_path)
    expected = read_target(path)
    with h5py.File(path, "a") as file:
        del file["kspace"]
    assert torch.equal(read_target(path), expected)


def test_measured_lines_are_in_the_mask_and_encoded(tmp_path):
    line = torch.arange(37)
    assert read_header(write(tmp_path)).sampled.all()
    path = write(tmp_path, mask=MASK)
    assert torch.equal(read_header(path).sampled, MASK)
    with h5py.File(path, "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=37, maximum=29, center=15)
    assert torch.equal(read_header(path).sampled, MASK & (line >= 3) & (line < 33))


def test_a_file_without_any_measured_line_is_refused(tmp_path):
    path = write(tmp_path, mask=torch.zeros(37, dtype=torch.bool))
    with pytest.raises(DataError, match=r"scan\.h5: expected at least one measured line, got none") as error:
        read_header(path)
    one_line(error)


def test_a_folder_is_called_a_folder(tmp_path):
    with pytest.raises(FileError, match=r"got a folder\. Give a file that lies in it") as error:
        read_header(tmp_path)
    one_line(error)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = write(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a mode would not stop root, as whom tests may run
    with pytest.raises(FileError, match=r"expected a file that can be read, got: permission denied\.") as error:
        read_header(path)
    one_line(error)


@pytest.mark.parametrize("header", ["no XML", 7])
def test_a_header_of_another_kind_names_the_file(tmp_path, header):
    path = write(tmp_path)
    with h5py.File(path, "a") as file:
        file["ismrmrd_header"] = header
    with pytest.raises(DataError, match=r"scan\.h5: expected ISMRMRD XML in `ismrmrd_header`") as error:
        read_header(path)
    one_line(error)
