"""The cache of a loader gives what the files give, and is nothing that one has to look after."""

import errno
import warnings
from itertools import islice

import h5py
import numpy as np
import pytest
import torch

from data.fastmri_files import write
from invrim.data.batches import ShapeBatchSampler
from invrim.data.dataset import SliceDataset
from invrim.data.formats import hdf5
from invrim.data.loader import Loader
from invrim.data.slabs import SlabDataset
from invrim.errors import DataError

PAIRS = {"accelerations": [3, 5], "center_fractions": [0.3, 0.2]}
OPTIONS = [
    {},
    {"readout_crop": 9, "flip": True},
    {"image_crop": 28, "target_crop": 18, "flip": True},
    {"image_crop": 19, "flip": True},
    {"training": False, "image_crop": 28},
]


def same(first, second) -> bool:
    assert first.keys() == second.keys()
    return all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items()
    )


def cached(folder, cache, **options):
    return SliceDataset(folder, cache=cache, **{**PAIRS, **options})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_items_are_the_same_bit_for_bit(tmp_path, options):
    write(tmp_path, "a.h5", slices=3, coils=2, target=(20, 22))
    write(tmp_path, "b.h5", slices=2, coils=2, target=(20, 22), seed=1)
    plain, fast = SliceDataset(tmp_path, **{**PAIRS, **options}), cached(tmp_path, tmp_path / "cache", **options)
    for _ in range(2):  # made, then read
        assert all(same(plain[number, 3], fast[number, 3]) for number in range(len(plain)))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_slabs_too(tmp_path):
    write(tmp_path, slices=5)
    plain, fast = (SlabDataset(tmp_path, slab=3, cache=cache, **PAIRS) for cache in (None, tmp_path / "cache"))
    assert all(same(plain[number, 1], fast[number, 1]) for number in range(len(plain)))


def test_what_is_cached_is_not_read_again(tmp_path):
    path = write(tmp_path)
    data = cached(tmp_path, tmp_path / "cache")
    first = data[1]
    path.unlink()
    assert same(data[1], first)
    assert data[2]["target"].shape == (24, 37), "of a file all slices are there"


def test_a_file_that_changes_has_another_copy(tmp_path):
    path = write(tmp_path)
    cached(tmp_path, tmp_path / "cache")[0]
    with h5py.File(path, "r+") as file:
        file["reconstruction_rss"][0] = 7
    assert (cached(tmp_path, tmp_path / "cache")[0]["target"] == 7).all()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def truncate(copy):
    copy.write_bytes(copy.read_bytes()[:2000])


def flip_a_bit(copy):
    content = bytearray(copy.read_bytes())
    content[-200] ^= 1
    copy.write_bytes(content)


def empty(copy):
    copy.write_bytes(b"")


def of_another_kind(copy):
    with h5py.File(copy, "w") as file:
        file["other"] = 1


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, of_another_kind])
def test_a_damaged_copy_is_made_again(tmp_path, damage):
    write(tmp_path)
    data = cached(tmp_path, tmp_path / "cache")
    expected = [data[number] for number in range(3)]
    (copy,) = (tmp_path / "cache").iterdir()
    data._runs.files.close(copy)
    whole = copy.read_bytes()
    damage(copy)
    assert all(same(data[number], expected[number]) for number in range(3))
    assert copy.read_bytes() == whole
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [copy.name]


def test_a_full_disk_is_said_once_and_survived(tmp_path, monkeypatch):
    write(tmp_path)
    data = cached(tmp_path, tmp_path / "cache")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hdf5.h5py.Group, "create_dataset", full)
    with pytest.warns(UserWarning, match="no space left on device.* goes on without the rest of the cache"):
        first = data[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = data[1]
    plain = SliceDataset(tmp_path, **PAIRS)
    assert same(first, plain[0])
    assert same(second, plain[1])
    assert not list((tmp_path / "cache").iterdir())


def test_bad_slices_are_named_and_leave_no_copy(tmp_path):
    with h5py.File(write(tmp_path), "r+") as file:
        file["kspace"][1, 0, 2, 3] = np.nan
    with pytest.raises(DataError, match=r"scan\.h5: expected finite k-space, got NaN or Inf in slice 1"):
        cached(tmp_path, tmp_path / "cache")[0]
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # where there is one core
def test_two_processes_share_a_cache(tmp_path):
    for number in range(4):
        write(tmp_path, f"{number}.h5", seed=number)
    plain, fast = SliceDataset(tmp_path, **PAIRS), cached(tmp_path, tmp_path / "cache")
    loaders = (Loader(data, ShapeBatchSampler(data, 2, seed=3), workers) for data, workers in ((fast, 2), (plain, 0)))
    batches, expected = (list(islice(loader, 12)) for loader in loaders)
    assert all(same(got, want) for got, want in zip(batches, expected, strict=True))
    assert len(list((tmp_path / "cache").glob("*.h5"))) == 4
