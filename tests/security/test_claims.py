"""A header that claims more than there is ends in one line, before memory is asked for."""

import gzip
import json
import struct

import h5py
import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from data.fastmri_files import write
from invrim import IRIM
from invrim.data.formats import hdf5
from invrim.data.formats.fastmri import read_acquisition, read_reconstruction
from invrim.data.formats.nifti import read_volume
from invrim.data.formats.opening import open_scan
from invrim.errors import FileError, InvrimError, WeightsError
from invrim.models import load_model, save_model
from invrim.planning.memory import forget_peak, peak_resident_bytes

HUGE = (10_000, 10_000, 10_000)
"""1e12 voxels."""
ROOM = 300_000_000
"""Bytes that saying no may take, far below what is claimed."""


@pytest.fixture(autouse=True)
def no_memory_is_taken():
    forget_peak()
    before = peak_resident_bytes()
    yield
    assert peak_resident_bytes() - before < ROOM


@pytest.mark.parametrize("options", [{}, {"chunks": (1, 64, 64)}, {"chunks": (1, 64, 64), "compression": "gzip"}])
@pytest.mark.parametrize("name", ["kspace", "reconstruction", "mask", "invrim/noise"])
def test_hdf5(tmp_path, name, options):
    path = write(tmp_path)
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, HUGE, np.complex64, **options)
    read = read_reconstruction if name == "reconstruction" else read_acquisition
    with pytest.raises(FileError, match=r"expected `.*` to be about as large as what is stored of it, got \d+ bytes"):
        read(path)


def test_what_compresses_well_is_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        zeros = np.zeros((40, 640, 640), np.float32)
        file.create_dataset("reconstruction", data=zeros, compression="gzip", compression_opts=9, chunks=zeros.shape)
    assert read_reconstruction(tmp_path / "a.h5").shape == (40, 640, 640)


def test_more_than_the_memory_is_one_line(tmp_path):
    no_more = pytest.raises(FileError, match="expected no more than this machine's memory holds")
    with no_more, hdf5.damage_as_file_error(tmp_path / "a.h5"):
        np.empty(1 << 60, np.uint8)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti(tmp_path, suffix):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4))
    header = bytearray(image.to_bytes())
    header[40:56] = struct.pack("<8h", 3, 10_000, 10_000, 10_000, 1, 1, 1, 1)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(bytes(header)) if suffix.endswith("gz") else bytes(header))
    with pytest.raises(FileError, match=r"got a header that claims 4000000000000"):
        read_volume(path)


def npy(path):
    header = np.lib.format.header_data_from_array_1_0(np.ones(2, np.complex64)) | {"shape": HUGE}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)


def bart(path):
    path.with_suffix(".hdr").write_text("# Dimensions\n10000 10000 10000 1\n")
    path.write_bytes(bytes(64))


def matlab(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("kspace", HUGE, np.float64, chunks=(64, 64, 64))


@pytest.mark.parametrize(("name", "make"), [("a.npy", npy), ("a.cfl", bart), ("a.mat", matlab)])
def test_arrays(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(InvrimError, match="expected") as caught:
        open_scan(tmp_path / name, None if name == "a.cfl" else "slice ky kx")
    assert "\n" not in str(caught.value)


def weights(path, **options):
    """Weights of a small network whose header says that it is another one."""
    model = IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta")
    header = {"invrim_format": 1, "model": "IRIM", "options": {**model.options, **options}, "recipe": {}}
    save_file(dict(model.state_dict()), path, metadata={"invrim": json.dumps(header)})
    return path


@pytest.mark.parametrize(
    "options",
    [{"hidden": [60_000]}, {"channels": 60_000}, {"hidden": [10**9]}, {"steps": 10**12}, {"channels": True}],
    ids=str,
)
def test_weights(tmp_path, options):
    with pytest.raises(WeightsError, match="expected"):
        load_model(weights(tmp_path / "w.safetensors", **options))


def test_safetensors_of_a_huge_header(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(FileError, match="expected a safetensors file"):
        load_model(tmp_path / "w.safetensors")


def test_whole_weights_still_load(tmp_path):
    torch.manual_seed(0)
    model = IRIM(steps=2, hidden=[4, 6], strides=[1, 2], channels=8, head="eta", share_weights=True)
    found = load_model(save_model(model, tmp_path / "w.safetensors"))
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_xml_that_would_grow_is_refused_in_any_encoding(tmp_path):
    bomb = '<?xml version="1.0" encoding="{}"?><!DOCTYPE a [<!ENTITY b "cccc">]><a>&b;</a>'
    for encoding in ("utf-8", "utf-16"):
        path = write(tmp_path, f"{encoding}.h5")
        with h5py.File(path, "r+") as file:
            file["ismrmrd_header"] = np.void(bomb.format(encoding).encode(encoding))
        with pytest.raises(InvrimError, match="expected ISMRMRD XML"):
            read_acquisition(path)
