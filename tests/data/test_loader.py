"""Loading at scale: memory that does not grow, and a file that goes bad."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data.fastmri_files import write
from invrim.cli.main import main
from invrim.data import items
from invrim.data.batches import FileSampler
from invrim.data.dataset import SliceDataset
from invrim.data.index import index_of
from invrim.data.loader import Loader
from invrim.data.slabs import SlabDataset
from invrim.errors import FileError
from scans import scan_file

PAIRS = {"accelerations": [3, 5], "center_fractions": [0.3, 0.2]}
MILLION = """
import json, sys
from pathlib import Path
import torch
from invrim.data import items
from invrim.data.batches import ShapeBatchSampler
from invrim.data.batches import FileSampler
from invrim.data.dataset import SliceDataset
from invrim.data.index import FileEntry

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def entry(number, sampled, protocol):
    return FileEntry(
        path=Path(f"/data/train/file{number:07}.h5"), slices=40, shape=(15, 640, 368), phase_encodes=1, mask=None,
        target_name="reconstruction_rss", target_size=(320, 320), maximum=1.0 + number, sampled=sampled,
        protocol=protocol, stamp=(number, number),
    )

sampled, protocol = torch.ones(368, dtype=torch.bool), torch.zeros(8)
before = resident()
items.index_of = lambda _: [entry(number, sampled, protocol) for number in range(25_000)]
data = SliceDataset(Path("unused"), accelerations=[4], center_fractions=[0.08])
index = resident() - before
batches = iter(ShapeBatchSampler(data, 8, seed=1))
next(batches)
print(json.dumps({"slices": len(data), "index": index, "all": resident() - before}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory in /proc")
def test_an_index_of_a_million_slices_is_small():
    script = MILLION.replace("25_000", "5_000")  # a fifth of it, in a second
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = json.loads(process.stdout)
    assert found["slices"] == 200_000
    assert found["index"] < 5_000 * 2_000, "of a file, not of a slice"
    assert found["all"] < 5_000 * 2_000 + 200_000 * 40


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory in /proc")
def test_reads_do_not_make_memory_grow(tmp_path):
    for number in range(30):
        write(tmp_path, f"{number}.h5", slices=2, coils=2, size=(64, 56))
    data = SliceDataset(tmp_path, training=True, flip=True, readout_crop=16, **PAIRS)

    def resident_after(reads):
        for read in range(reads):
            data[read * 7 % len(data), read]
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident_after(100)
    assert resident_after(300) - before < 300 * 2 * 64 * 56 * 8 / 4, "a quarter of what was read"


def test_files_share_what_they_have_in_common(tmp_path):
    for number in range(3):
        write(tmp_path, f"{number}.h5")
    write(tmp_path, "other.h5", mask=torch.arange(37) % 2 == 0)
    *alike, other = index_of(tmp_path)
    assert len({id(entry.sampled) for entry in alike}) == 1
    assert len({id(entry.protocol) for entry in (*alike, other)}) == 1
    assert not torch.equal(other.sampled, alike[0].sampled)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("slab", [None, 2])
def test_items_of_files_of_any_length_lie_one_after_the_other(tmp_path, training, slab):
    for number, slices in enumerate((3, 1, 4)):
        mask = torch.arange(37) % 3 != 0 if number == 1 else None
        write(tmp_path, f"{number}.h5", slices=slices, mask=mask)
    options = {"training": training, "coil_maps": False, **PAIRS}
    data = SliceDataset(tmp_path, **options) if slab is None else SlabDataset(tmp_path, slab=slab, **options)
    found = [(item["name"], item["slice"]) for item in (data[number] for number in range(len(data)))]
    masks = [1 if training or number == 1 else 2 for number in range(3)]
    length = 1 if slab is None else slab
    places = [-(-slices // length) for slices in (3, 1, 4)]
    assert [name for name, _ in found] == [f"{n}.h5" for n in range(3) for _ in range(masks[n] * places[n])]
    if slab is None:
        assert [place for name, place in found if name == "2.h5"] == [n for n in range(4) for _ in range(masks[2])]
    for number in (-1, len(data)):
        with pytest.raises(IndexError):
            data[number]


class Disturbed(SliceDataset):
    """Does something in the loader's process before an item."""

    def __getitem__(self, index):
        self.disturb(self)
        return super().__getitem__(index)


def loaded(folder, disturb, workers):
    data = Disturbed(folder, **PAIRS)
    data.disturb = disturb
    return list(Loader(data, FileSampler(data), workers))


def remove(data):
    data.entries[0].path.unlink(missing_ok=True)


def truncate(data):
    os.truncate(data.entries[0].path, 3000)


def damage(data):
    with data.entries[0].path.open("r+b") as file:
        file.write(bytes(64))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("disturb", [remove, truncate, damage])
def test_a_file_that_goes_bad_under_the_loader_is_one_line_that_names_it(tmp_path, disturb, workers):
    write(tmp_path, "bad.h5")
    with pytest.raises(FileError) as caught:
        loaded(tmp_path, disturb, workers)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'bad.h5'}: expected")
    assert "\n" not in message
    assert "Traceback" not in message


def be_wrong(_):
    raise RuntimeError("of mine")


def test_other_errors_keep_their_traceback(tmp_path):
    write(tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*of mine"):
        loaded(tmp_path, be_wrong, 1)


def test_training_ends_in_that_line(tmp_path, capsys, monkeypatch):
    for folder in ("train", "val"):
        scan_file(tmp_path / folder, "bad.h5")
    load = items.Runs.read

    def removed(runs, entry, *rest):
        entry.path.unlink(missing_ok=True)
        runs.files.close(entry.path)
        return load(runs, entry, *rest)

    monkeypatch.setattr(items.Runs, "read", removed)
    recipe = {
        "data.train": tmp_path / "train", "data.validation": tmp_path / "val", "data.workers": 1, "data.batch_size": 1,
        "model.steps": 1, "model.hidden": "[4]", "model.strides": "[2]", "model.channels": 8, "model.head": "eta",
        "optimisation.updates": 2, "out": tmp_path / "out",
    }  # fmt: skip
    assert main(["train", *(f"--{name}={value}" for name, value in recipe.items())]) == 2
    error = capsys.readouterr().err
    assert error.startswith("invrim: ")
    assert "bad.h5: expected an HDF5 file, got nothing at this path" in error
    assert error.count("\n") == 1
