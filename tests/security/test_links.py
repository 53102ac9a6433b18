"""No HDF5 reader looks into another file, whatever kind of link leads there."""

import os
import signal

import h5py
import numpy as np
import pytest

from data.fastmri_files import write
from data.ismrmrd_files import PointScan
from invrim.data.copies import LocalCopies
from invrim.data.formats.array_files import load_arrays
from invrim.data.formats.fastmri import read_acquisition, read_header, read_reconstruction, read_target, read_truth
from invrim.data.formats.opening import open_scan
from invrim.data.index import index_of
from invrim.errors import FileError


def secret(folder):
    """A file of somebody else's, with everything that a reader may ask for."""
    path = write(folder, "secret.h5")
    with h5py.File(path, "r+") as file:
        for name in ("mask", "reconstruction", "truth_image", "ismrmrd_header"):
            file[name] = file["reconstruction_rss"][()]
        file["invrim/noise"] = np.ones((2, 5), np.complex64)
        file["dataset/xml"], file["dataset/data"] = np.zeros(2), np.zeros(2)
    return path


def external(file, name, other):
    file[name] = h5py.ExternalLink(str(other), name)


def external_group(file, name, other):
    group, _, rest = name.partition("/")
    file[group] = h5py.ExternalLink(str(other), group if rest else name)


def soft_through_external(file, name, other):
    file["elsewhere"] = h5py.ExternalLink(str(other), "/")
    file[name] = h5py.SoftLink(f"/elsewhere/{name}")


def hidden_deep(file, name, other):
    file["a/b/c"] = h5py.ExternalLink(str(other), "/")
    file["a/d"] = h5py.SoftLink("/a/b/c")
    file[name] = h5py.SoftLink(f"/a/d/{name}")


def virtual(file, name, other):
    with h5py.File(other) as opened:
        shape, dtype = opened[name].shape, opened[name].dtype
    layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
    layout[...] = h5py.VirtualSource(str(other), name, shape=shape)
    file.create_virtual_dataset(name, layout)


def raw_storage(file, name, other):
    with h5py.File(other) as opened:
        shape, dtype = opened[name].shape, opened[name].dtype
    file.create_dataset(name, shape, dtype, external=[(str(other), 0, h5py.h5f.UNLIMITED)])


WAYS = [external, external_group, soft_through_external, hidden_deep, virtual, raw_storage]
READERS = {
    "kspace": [read_header, read_acquisition, open_scan],
    "mask": [read_header, read_acquisition, open_scan],
    "reconstruction_rss": [read_header, read_acquisition, read_target, lambda path: index_of(path.parent)],
    "reconstruction": [read_reconstruction],
    "truth_image": [read_truth],
    "ismrmrd_header": [read_header],
    "invrim/noise": [read_acquisition],
    "dataset/data": [open_scan],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "read"), [(name, read) for name, reads in READERS.items() for read in reads])
def test_every_reader_refuses_every_way_out(tmp_path, way, name, read):
    (tmp_path / "other").mkdir()
    other = secret(tmp_path / "other")
    if name == "dataset/data":
        PointScan().write(tmp_path / "a.h5")
    else:
        write(tmp_path, "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        first = name.partition("/")[0]
        if name == "dataset/data" and way not in {external_group}:
            del file[name]
        elif first in file:
            del file[first]
        way(file, name, other)
    with pytest.raises(
        FileError, match=r"inside the file, got a link to another file\. Copy the data into it"
    ) as caught:
        read(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_matlab_files_too(tmp_path, way):
    other = secret(tmp_path)
    with h5py.File(tmp_path / "a.mat", "w") as file:
        way(file, "kspace", other)
    with pytest.raises(FileError, match="got a link to another file"):
        load_arrays(tmp_path / "a.mat")


def test_a_copy_that_somebody_has_put_there_is_made_again(tmp_path):
    (tmp_path / "other").mkdir()
    path, other = write(tmp_path), secret(tmp_path / "other")
    (entry,) = index_of(tmp_path)
    copies = LocalCopies(tmp_path / "cache")
    with h5py.File(copies.path_of(entry), "w") as file:
        external(file, "kspace", other)
        external(file, "target", other)
    from invrim.data.handles import OpenFiles

    files = OpenFiles()
    kspace, _ = copies.read(entry, slice(0, 1), files)
    assert kspace.equal(read_acquisition(path, slice(0, 1)).kspace)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_link_is_not_even_tried(tmp_path):
    """A pipe that nobody writes to would hang who opens it."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("other", "mask", "invrim"):
        path = write(tmp_path, f"{name}.h5")
        with h5py.File(path, "r+") as file:
            file[name] = h5py.ExternalLink(str(tmp_path / "pipe"), "/")
        signal.alarm(5)
        try:
            with pytest.raises(FileError, match=f"expected `{name}` inside the file"):
                open_scan(path)
        finally:
            signal.alarm(0)


def test_soft_links_within_the_file_are_followed(tmp_path):
    path = write(tmp_path)
    expected = read_acquisition(path).kspace
    with h5py.File(path, "r+") as file:
        file.move("kspace", "measured")
        file["kspace"] = h5py.SoftLink("/measured")
    assert read_acquisition(path).kspace.equal(expected)
