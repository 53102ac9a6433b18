"""Slabs: that they are slabs, where they lie, what they hold, and that validation sees every slice once."""

from collections import Counter

import pytest
import torch

from data.fastmri_files import write
from invrim.data.batches import ShapeBatchSampler, collate
from invrim.data.coil_maps import maps_from_calibration
from invrim.data.dataset import SliceDataset
from invrim.data.formats.fastmri import read_acquisition, read_header, write_acquisition
from invrim.data.mask_planes import random_points
from invrim.data.masks import seed_of
from invrim.data.simulation import simulate_volume
from invrim.data.slabs import SlabDataset, slabs_of
from invrim.data.volumes import acquisition_of_volume
from invrim.errors import DataError, OptionError, ShapeError
from invrim.operators import fft_centred, ifft_centred
from scans import phantom

PAIRS = {"accelerations": [3, 5], "center_fractions": [0.2, 0.1]}


def planes(folder, name="scan.h5", *, mask=True, coils=2, slices=5, size=(24, 37)):
    """A volume with two phase encodings."""
    scan = simulate_volume(
        phantom(slices, size), name, coils=coils, acceleration=4 if mask else 1, snr=50, phase_encodes=2
    )
    write_acquisition(folder / name, scan)
    return scan


def test_a_training_slab_has_its_slices_and_they_are_neighbours(tmp_path):
    """The code released in 2019 took at most one slice, so that nothing was ever trained in 3D."""
    write(tmp_path, slices=9)
    scan = read_acquisition(tmp_path / "scan.h5")
    data = SlabDataset(tmp_path, slab=4, seed=1, **PAIRS)
    starts = Counter()
    for epoch in range(40):
        for number in range(len(data)):
            item = data[number, epoch]
            first = item["slice"]
            assert item["kspace"].shape == (2, 4, 24, 37)
            assert torch.equal(item["target"], scan.target[first : first + 4])
            mask = item["mask"].bool()
            assert mask.shape == (1, 1, 1, 37)
            assert torch.equal(item["kspace"], (scan.kspace[first : first + 4] * mask[0]).transpose(0, 1))
            starts[first] += 1
    assert len(data) == 3, "as many slabs an epoch as cover the file"
    assert set(starts) == set(range(6)), "wherever a slab fits"
    assert max(starts.values()) < 3 * min(starts.values())


def test_places_and_masks_are_those_of_seed_and_epoch(tmp_path):
    write(tmp_path, slices=30, size=(8, 37), coils=1)
    data, other = SlabDataset(tmp_path, slab=3, seed=1, **PAIRS), SlabDataset(tmp_path, slab=3, seed=2, **PAIRS)

    def drawn(dataset, epoch):
        return [
            (item["slice"], tuple(item["mask"].flatten().tolist())) for item in (dataset[n, epoch] for n in range(10))
        ]

    assert drawn(data, 0) == drawn(data, 0)
    places = [[first for first, _ in drawn(*which)] for which in ((data, 0), (data, 1), (other, 0))]
    assert places[0] != places[1] != places[2] != places[0]
    data.set_epoch(1)
    assert data[4]["slice"] == drawn(data, 1)[4][0]


@pytest.mark.parametrize("slab", [1, 4, 5, 9, 40])
def test_validation_sees_every_slice_once_for_each_acceleration(tmp_path, slab):
    write(tmp_path, "a.h5", slices=9, size=(8, 37), coils=1)
    write(tmp_path, "b.h5", slices=2, size=(8, 37), coils=1)
    data = SlabDataset(tmp_path, slab=slab, training=False, **PAIRS)
    seen = Counter()
    for number in range(len(data)):
        item = data[number]
        count = len(item["target"])
        assert count <= slab
        seen.update((item["name"], item["slice"] + n, float(item["mask"].sum())) for n in range(count))
    assert set(seen.values()) == {1}
    assert Counter(name for name, _, _ in seen) == {"a.h5": 2 * 9, "b.h5": 2 * 2}


def test_slabs_are_as_equal_as_can_be():
    assert slabs_of(50, 32) == [(0, 25), (25, 25)]
    assert slabs_of(9, 4) == [(0, 3), (3, 3), (6, 3)]
    assert slabs_of(7, 3) == [(0, 2), (2, 2), (4, 3)]
    with pytest.raises(OptionError, match="a slab of at least one slice, got 0"):
        slabs_of(7, 0)


def test_the_slices_of_a_slab_are_those_that_slices_are_learned_from(tmp_path):
    write(tmp_path, slices=3, coils=3)
    slab = SlabDataset(tmp_path, slab=3, training=False, **PAIRS)[1]
    alone = SliceDataset(tmp_path, training=False, **PAIRS)
    for z in range(3):
        item = alone[2 * z + 1]
        assert torch.equal(slab["kspace"][:, z], item["kspace"])
        assert torch.equal(slab["maps"][:, z], item["maps"])
        assert torch.equal(slab["target"][z], item["target"])
        assert torch.equal(slab["mask"][:, 0], item["mask"])


def test_crop_and_flip_are_the_same_for_all_slices(tmp_path):
    scan = simulate_volume(phantom(5, (24, 37)), "scan.h5", snr=torch.inf)
    write_acquisition(tmp_path / "scan.h5", scan)
    data = SlabDataset(tmp_path, slab=3, readout_crop=17, flip=True, accelerations=[1], center_fractions=[0.3], seed=3)
    seen = set()
    for epoch in range(12):
        item = data[1, epoch]
        assert item["kspace"].shape == (1, 3, 17, 37)
        torch.testing.assert_close(ifft_centred(item["kspace"])[0].abs(), item["target"], atol=1e-5, rtol=0)
        seen.add(round(float(item["target"][:, 0].sum()), 4))
    assert len(seen) > 3


def test_slabs_of_a_size_stack(tmp_path):
    write(tmp_path, "a.h5", slices=9, coils=2)
    write(tmp_path, "b.h5", slices=3, coils=2)
    planes(tmp_path, "c.h5", mask=False)
    data = SlabDataset(tmp_path, slab=4, **PAIRS)
    batches = [collate([data[draw] for draw in batch]) for batch in ShapeBatchSampler(data, 2).epoch(0)]
    shapes = sorted((tuple(batch["kspace"].shape), tuple(batch["mask"].shape[1:])) for batch in batches)
    lines, points = (1, 1, 1, 37), (1, 1, 24, 37)
    assert shapes == [
        ((1, 2, 3, 24, 37), lines), ((1, 2, 4, 24, 37), lines), ((2, 2, 4, 24, 37), lines), ((2, 2, 4, 24, 37), points),
    ]  # fmt: skip


def test_two_phase_encodings_are_drawn_as_points(tmp_path):
    planes(tmp_path, mask=False)
    validation = SlabDataset(tmp_path, slab=5, training=False, **PAIRS)
    item = validation[1]
    assert torch.equal(item["mask"][0, 0].bool(), random_points((24, 37), [5], [0.1], seed_of("scan.h5")))
    assert not item["kspace"][..., ~item["mask"][0, 0].bool()].any()
    training = SlabDataset(tmp_path, slab=2, **PAIRS)
    assert training[0]["mask"].shape == (1, 1, 24, 37)
    assert not torch.equal(training[0, 0]["mask"], training[0, 1]["mask"])


def test_a_files_own_points_are_kept_and_nothing_is_mirrored(tmp_path):
    scan = planes(tmp_path)
    data = SlabDataset(tmp_path, slab=5, flip=True)
    for epoch in range(4):
        item = data[0, epoch]
        assert torch.equal(item["mask"][0, 0].bool(), scan.mask)
        assert torch.equal(item["target"], scan.target)
    slices = SliceDataset(tmp_path, flip=True)
    assert torch.equal(slices[2]["mask"][0].bool(), scan.mask)


def test_rows_that_are_a_phase_encoding_cannot_be_cropped(tmp_path):
    planes(tmp_path)
    for make in (SliceDataset, lambda folder, **options: SlabDataset(folder, slab=2, **options)):
        with pytest.raises(OptionError, match=r"scan\.h5: expected a readout within the slice .* choose a slab"):
            make(tmp_path, readout_crop=8)


def test_a_target_that_is_not_finite_names_its_slice(tmp_path):
    import h5py

    with h5py.File(write(tmp_path, slices=5), "a") as file:
        file["reconstruction_rss"][3, 2, 3] = torch.nan
    with pytest.raises(DataError, match=r"got NaN or Inf in slice 3\."):
        SlabDataset(tmp_path, slab=4, training=False, accelerations=[2], center_fractions=[0.3])[1]


def test_files_of_two_phase_encodings_come_back(tmp_path):
    scan = planes(tmp_path)
    header, back = read_header(tmp_path / "scan.h5"), read_acquisition(tmp_path / "scan.h5")
    assert header.phase_encodes == 2
    assert torch.equal(header.mask, scan.mask)
    assert torch.equal(header.sampled, scan.mask)
    assert torch.equal(back.kspace, scan.kspace)
    assert not scan.kspace[..., ~scan.mask].any()
    full = planes(tmp_path, "full.h5", mask=False)
    assert full.mask is None
    assert read_header(tmp_path / "full.h5").phase_encodes == 2
    assert read_header(tmp_path / "full.h5").sampled.shape == (24, 37)


def test_a_mask_and_the_stated_phase_encodings_must_agree(tmp_path):
    import h5py

    planes(tmp_path)
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        file.attrs["phase_encodes"] = 1
    with pytest.raises(DataError, match="expected the attribute `phase_encodes` 1 or 2, as many as the mask has axes"):
        read_header(tmp_path / "scan.h5")


def test_a_volume_becomes_slices_along_its_readout():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 6, 9, 10, dtype=torch.complex64, generator=generator)
    mask = random_points((9, 10), [2], [0.1], 0)
    scan = acquisition_of_volume("a.h5", fft_centred(images, 3) * mask, mask, target=images[0].abs())
    torch.testing.assert_close(scan.kspace, (fft_centred(images) * mask).transpose(0, 1))
    assert scan.attributes["phase_encodes"] == 2
    with pytest.raises(ShapeError, match="Move the fully sampled readout to the second axis"):
        acquisition_of_volume("a.h5", images, mask.mT)


@pytest.mark.parametrize("coils", [1, 3])
def test_maps_come_from_the_block_of_points_around_the_centre(coils):
    scan = simulate_volume(phantom(2, (48, 40)), "a.h5", coils=coils, snr=torch.inf, acceleration=4, phase_encodes=2)
    maps = maps_from_calibration(scan.kspace, scan.mask)
    inside = scan.target > 0.1
    truth = scan.truth["maps"] * torch.polar(torch.ones_like(scan.target), scan.truth["image"].angle())[:, None]
    error = (maps - truth).abs().square().sum(dim=1).sqrt()[inside].mean()
    assert error < 0.3
    changed = scan.kspace.clone()
    changed[..., :10, :] = 7
    torch.testing.assert_close(maps_from_calibration(changed, scan.mask), maps)


def test_too_few_points_calibrate_one_coil_but_not_several():
    mask = torch.zeros(9, 12)
    mask[4, 3:10] = 1
    kspace = torch.randn(2, 3, 9, 12, dtype=torch.complex64) * mask
    with pytest.raises(DataError, match=r"at least 3 x 3 calibration points .* got 1 x 7"):
        maps_from_calibration(kspace, mask)
    assert maps_from_calibration(kspace[:, :1], mask).shape == (2, 1, 9, 12)
