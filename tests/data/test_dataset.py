"""Items, batches and files of the slice dataset."""

import math
import multiprocessing
import pickle
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data.fastmri_files import HEADER, write
from invrim.data.augmentation import Augmentation
from invrim.data.batches import Draw, FileSampler, ShapeBatchSampler, collate
from invrim.data.dataset import SliceDataset
from invrim.data.formats.fastmri import read_acquisition, write_acquisition
from invrim.data.handles import OpenFiles
from invrim.data.masks import random_columns, seed_of
from invrim.data.simulation import simulate_volume
from invrim.errors import DataError, FileError
from invrim.operators.crop import crop_centre
from invrim.operators.fourier import fft_centred, ifft_centred

PAIRS = {"accelerations": [3, 5], "center_fractions": [0.3, 0.2]}


def same(first, second) -> bool:
    return all(torch.equal(first[k], second[k]) for k in first if isinstance(first[k], torch.Tensor))


def noise_free(folder, name="scan.h5", coils=1, size=(24, 37)):
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    stack = np.stack([(np.hypot(y / 0.8, x / 0.7 - 0.1) < 1) * (1.5 + y + n * x / 3) for n in range(3)])
    scan = simulate_volume(stack, name, coils=coils, snr=math.inf)
    write_acquisition(folder / name, scan)
    return scan


def test_a_validation_item(tmp_path):
    write(tmp_path, coils=2)
    data = SliceDataset(tmp_path, training=False, **PAIRS)
    scan = read_acquisition(tmp_path / "scan.h5")
    assert len(data) == 2 * 3, "every slice once for each acceleration"
    for number in range(6):
        index, pair = divmod(number, 2)
        chosen = PAIRS["accelerations"][pair : pair + 1], PAIRS["center_fractions"][pair : pair + 1]
        mask = random_columns(37, *chosen, seed_of("scan.h5"))
        item = data[number]
        assert torch.equal(item["kspace"], scan.kspace[index] * mask)
        assert torch.equal(item["mask"], mask.float().reshape(1, 1, 37))
        assert torch.equal(item["target"], scan.target[index])
        assert item["maximum"] == scan.target.max()
        assert item["maps"].shape == (2, 24, 37)
        assert (item["name"], item["slice"]) == ("scan.h5", index)


def test_the_map_of_one_coil_is_a_phase(tmp_path):
    write(tmp_path, coils=1)
    maps = SliceDataset(tmp_path, **PAIRS)[0]["maps"]
    assert maps.shape == (1, 24, 37)
    torch.testing.assert_close(maps.abs(), torch.ones(1, 24, 37))


def test_a_crop_keeps_the_maps_of_the_whole_slice(tmp_path):
    write(tmp_path, coils=3)
    whole = SliceDataset(tmp_path, **PAIRS)[1]["maps"]
    cropped = SliceDataset(tmp_path, readout_crop=9, **PAIRS)[1]["maps"]
    assert any(torch.equal(cropped, whole[:, top : top + 9]) for top in range(24 - 9 + 1))


def test_training_masks_change_with_epoch_and_slice_only(tmp_path):
    write(tmp_path, slices=4)
    data = SliceDataset(tmp_path, seed=1, **PAIRS)
    assert same(data[2], data[2])
    assert not torch.equal(data[2]["mask"], data[3]["mask"])
    assert not same(data[2], data[2, 1])
    data.set_epoch(1)
    assert same(data[2], data[2, 1])
    assert not same(data[2], SliceDataset(tmp_path, seed=2, **PAIRS)[2, 1])


@pytest.mark.parametrize("coils", [1, 3])
def test_augmented_kspace_still_is_the_transform_of_its_target(tmp_path, coils):
    noise_free(tmp_path, coils=coils)
    data = SliceDataset(tmp_path, readout_crop=17, flip=True, accelerations=[1], center_fractions=[0.3])
    tops = set()
    for epoch in range(12):
        item = data[1, epoch]
        assert item["kspace"].shape == (coils, 17, 37)
        image = ifft_centred(item["kspace"])
        # Unit root sum of squares of the coils survives crop and flip, so the combined magnitude is the target.
        torch.testing.assert_close(image.abs().square().sum(0).sqrt(), item["target"], atol=1e-5, rtol=0)
        tops.add(round(float(item["target"].sum()), 3))
    assert len(tops) > 2


def test_a_target_smaller_than_the_readout_is_its_centre():
    image = torch.randn(2, 24, 30, dtype=torch.complex64)
    target = image[0, 4:20].abs()
    augment = Augmentation(readout_crop=10, flip=True)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        kspace, mirrored = augment.mirror(fft_centred(image), target, rng, columns=True)
        kspace, maps, cropped = augment.crop(kspace, ifft_centred(kspace), mirrored, rng)
        torch.testing.assert_close(ifft_centred(kspace)[0].abs(), cropped, atol=1e-5, rtol=0)
        torch.testing.assert_close(maps[0].abs(), cropped, atol=1e-5, rtol=0)
    kspace = fft_centred(image)
    untouched = Augmentation().crop(kspace, image, target, np.random.default_rng(0))
    assert [x.shape for x in untouched] == [(2, 24, 30), (2, 24, 30), (16, 30)]


@pytest.mark.parametrize("size", [(24, 16), (11, 9), (11, 16), (24, 9)])
def test_image_and_target_are_mirrored_about_the_same_point(size):
    image = torch.randn(2, 25, 16, dtype=torch.complex64)
    target = crop_centre(image, size)[0].abs()
    seen = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        kspace, mirrored = Augmentation(flip=True).mirror(fft_centred(image), target, rng, columns=True)
        torch.testing.assert_close(crop_centre(ifft_centred(kspace), size)[0].abs(), mirrored, atol=1e-5, rtol=0)
        seen.add(float(mirrored[0, 0]))
    assert len(seen) == 4, "neither axis, either, and both"


def test_a_crop_leaves_lines_that_were_not_measured_empty():
    mask = torch.arange(30) % 3 == 0
    kspace = fft_centred(torch.randn(2, 24, 30, dtype=torch.complex64)) * mask
    target = torch.ones(24, 30)
    cropped, _, _ = Augmentation(readout_crop=10).crop(kspace, kspace, target, np.random.default_rng(0))
    assert torch.equal(cropped[..., ~mask], torch.zeros(2, 10, 20, dtype=torch.complex64))


def test_the_files_own_mask_is_kept_under_flips(tmp_path):
    mask = torch.arange(37) % 4 == 2
    mask[15:23] = True
    write(tmp_path, mask=mask)
    data = SliceDataset(tmp_path, flip=True)
    scan = read_acquisition(tmp_path / "scan.h5")
    for epoch in range(6):
        item = data[0, epoch]
        assert torch.equal(item["mask"].flatten().bool(), mask)
        columns = item["kspace"].abs().square().sum(dim=(0, 1))
        expected = (scan.kspace[0] * mask).abs().square().sum(dim=(0, 1))
        torch.testing.assert_close(columns, expected, rtol=1e-4, atol=1e-4)


def test_lines_that_the_scanner_filled_with_zeros_are_not_sampled(tmp_path):
    with h5py.File(write(tmp_path), "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=37, maximum=29, center=15)
    mask = SliceDataset(tmp_path, accelerations=[1], center_fractions=[0.3], flip=True)[0]["mask"].flatten()
    assert torch.equal(mask, ((torch.arange(37) >= 3) & (torch.arange(37) < 33)).float())


def test_folders_that_cannot_be_learnt_from(tmp_path):
    with pytest.raises(FileError, match=r"expected a folder with \.h5 files"):
        SliceDataset(tmp_path)
    with h5py.File(write(tmp_path), "a") as file:
        del file["reconstruction_rss"]
    with pytest.raises(DataError, match=r"scan\.h5: expected reconstruction_esc or reconstruction_rss"):
        SliceDataset(tmp_path)


def test_the_maximum_is_computed_where_the_file_does_not_state_it(tmp_path):
    with h5py.File(write(tmp_path), "a") as file:
        del file.attrs["max"]
        largest = file["reconstruction_rss"][()].max()
    assert SliceDataset(tmp_path)[1]["maximum"] == largest


def three_shapes(folder) -> None:
    write(folder, "a.h5", slices=5, coils=2)
    write(folder, "b.h5", slices=4, coils=1)
    write(folder, "c.h5", slices=3, coils=2)
    write(folder, "d.h5", slices=3, coils=2, target=(20, 31))


def test_batches_stack_and_cover_everything_once(tmp_path):
    three_shapes(tmp_path)
    data = SliceDataset(tmp_path, **PAIRS)
    sampler = ShapeBatchSampler(data, 2, seed=4)
    batches = list(sampler.epoch(0))
    assert len(batches) == sampler.per_epoch()
    assert sorted(draw.number for batch in batches for draw in batch) == list(range(15))
    for batch in batches:
        stacked = collate([data[draw] for draw in batch])
        assert len(stacked["name"]) == len(stacked["kspace"]) == len(batch)
        assert stacked["mask"].shape == (len(batch), 1, 1, 37)


def test_the_order_is_that_of_seed_and_epoch(tmp_path):
    three_shapes(tmp_path)
    sampler = ShapeBatchSampler(SliceDataset(tmp_path), 2, seed=4)
    length = sampler.per_epoch()
    two_epochs = list(islice(sampler, 2 * length))
    assert two_epochs == [*sampler.epoch(0), *sampler.epoch(1)]
    assert two_epochs[:length] != [[draw._replace(epoch=0) for draw in batch] for batch in two_epochs[length:]]
    sampler.go_on(length + 3)
    assert list(islice(sampler, 2)) == two_epochs[length + 3 : length + 5]
    plain = ShapeBatchSampler(SliceDataset(tmp_path), 4, shuffle=False)
    assert next(iter(plain)) == [Draw(0), Draw(1), Draw(2), Draw(3)]


def test_processes_share_what_one_takes_with_larger_batches(tmp_path, monkeypatch):
    three_shapes(tmp_path)
    data = SliceDataset(tmp_path)
    shares = []
    for rank in range(3):
        monkeypatch.setattr("invrim.data.batches.processes", lambda rank=rank: (rank, 3))
        shares.append(list(ShapeBatchSampler(data, 2, seed=4).epoch(5)))
    monkeypatch.undo()
    whole = list(ShapeBatchSampler(data, 6, seed=4).epoch(5))
    assert len(whole) == ShapeBatchSampler(data, 2).per_epoch(3) == 4
    for batch, *parts in zip(whole, *shares, strict=True):
        weights = [draw.number for part in parts for draw in part if draw.weight > 0]
        assert sorted(weights) == sorted(draw.number for draw in batch)
        for part in parts:  # the mean of weighted means is the mean of the whole
            taken = len(part) if part[0].weight > 0 else 0
            assert {draw.weight for draw in part} == {taken * 3 / len(batch)}
    assert any(draw.weight == 0 for share in shares for part in share for draw in part) == any(
        len(batch) < 3 for batch in whole
    )


def test_files_stay_whole_and_processes_take_equally_many_turns(tmp_path, monkeypatch):
    three_shapes(tmp_path)
    data = SliceDataset(tmp_path, training=False, **PAIRS)
    files, turns, seen = [], [], []
    for rank in range(2):
        monkeypatch.setattr("invrim.data.batches.processes", lambda rank=rank: (rank, 2))
        sampler = FileSampler(data)
        draws = [draw for (draw,) in sampler]
        turns.append((len(draws), len(sampler)))
        seen += [draw.number for draw in draws if draw.weight]
        files.append({data.file_of(draw.number) for draw in draws if draw.weight})
    assert turns[0] == turns[1]
    assert turns[0][0] == turns[0][1]
    assert files[0].isdisjoint(files[1])
    assert sorted(seen) == list(range(len(data)))


def test_a_loader_with_workers_gives_what_the_parent_reads(tmp_path):
    three_shapes(tmp_path)
    data = SliceDataset(tmp_path, **PAIRS)
    data[0]  # leaves an open file in the parent, which the workers must not use
    loader = DataLoader(
        data, batch_sampler=ShapeBatchSampler(data, 2, seed=4), num_workers=1, collate_fn=collate,
        multiprocessing_context=multiprocessing.get_context("fork"),
    )  # fmt: skip
    expected = [collate([data[draw] for draw in batch]) for batch in ShapeBatchSampler(data, 2, seed=4).epoch(0)]
    for got, want in zip(islice(loader, len(expected)), expected, strict=True):
        assert got["name"] == want["name"]
        assert same(got, want)


def test_a_pickled_copy_reads_the_same(tmp_path):
    write(tmp_path)
    data = SliceDataset(tmp_path, **PAIRS)
    data[0]
    assert same(pickle.loads(pickle.dumps(data))[1], data[1])


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_a_thousand_reads_leak_no_handles(tmp_path):
    for number in range(20):
        write(tmp_path, f"{number}.h5", slices=2, coils=1, size=(8, 11))
    data = SliceDataset(tmp_path, training=False, accelerations=[2], center_fractions=[0.3])
    assert not data._runs.files._files
    before = open_descriptors()
    for read in range(1000):
        data[read * 7 % len(data)]
    assert open_descriptors() - before <= data._runs.files.limit


def test_the_least_recently_read_file_is_closed(tmp_path):
    paths = [write(tmp_path, f"{number}.h5", slices=1, coils=1, size=(5, 7)) for number in range(3)]
    files = OpenFiles(limit=2)
    first, second = files.get(paths[0]), files.get(paths[1])
    assert files.get(paths[0]) is first
    files.get(paths[2])
    assert first
    assert not second


@pytest.mark.parametrize("coils", [1, 2])
def test_a_single_centre_line_trains_one_coil_and_is_named_for_several(tmp_path, coils):
    write(tmp_path, coils=coils, mask=torch.arange(37) % 6 == 0)
    data = SliceDataset(tmp_path)
    if coils == 1:
        assert data[1]["maps"].shape == (1, 24, 37)
    else:
        with pytest.raises(DataError, match=r"^scan\.h5: expected at least 3 calibration lines"):
            data[1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_target_that_is_not_finite_is_named(tmp_path, value):
    with h5py.File(write(tmp_path), "a") as file:
        file["reconstruction_rss"][1, 2, 3] = value
    data = SliceDataset(tmp_path)
    with pytest.raises(DataError, match=r"^scan\.h5: expected finite .*`reconstruction_rss`, got .* in slice 1\."):
        data[1]
    assert data[0]["target"].isfinite().all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_maximum_that_scales_nothing_is_refused(tmp_path, value):
    with h5py.File(write(tmp_path), "a") as file:
        file.attrs["max"] = value
    with pytest.raises(DataError, match=rf"^scan\.h5: expected a largest intensity above 0, got {value:g}\."):
        SliceDataset(tmp_path)


def test_files_that_are_still_being_written_are_left_alone(tmp_path):
    write(tmp_path)
    (tmp_path / ".partial-7-b.h5").write_bytes(b"half")
    assert len(SliceDataset(tmp_path)) == 3
