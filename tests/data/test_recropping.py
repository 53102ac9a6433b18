"""Another field of view: centre on centre, pixel for pixel."""

import pytest
import torch

from data.fastmri_files import write
from invrim.data.dataset import SliceDataset
from invrim.data.formats.fastmri import read_acquisition
from invrim.data.recropping import recrop
from invrim.errors import DataError
from invrim.operators import crop_centre, fft_centred, ifft_centred

PAIRS = {"accelerations": [2], "center_fractions": [0.25]}


@pytest.mark.parametrize("size", [(24, 37), (37, 24), (28, 28), (24, 24), (41, 40), (31, 50)])
def test_a_square_of_the_same_pixels(size):
    image = torch.randn(2, *size, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    square = ifft_centred(recrop(fft_centred(image), 28))
    assert square.shape == (2, 28, 28)
    common = [min(n, 28) for n in size]
    torch.testing.assert_close(crop_centre(square, common), crop_centre(image, common), atol=1e-5, rtol=0)
    torch.testing.assert_close(square.norm(), crop_centre(image, common).norm())


def test_images_are_cropped_before_they_are_undersampled(tmp_path):
    write(tmp_path, coils=2, target=(20, 22))
    scan = read_acquisition(tmp_path / "scan.h5")
    data = SliceDataset(tmp_path, image_crop=28, target_crop=18, **PAIRS)
    item = data[1]
    assert item["kspace"].shape == item["maps"].shape == (2, 28, 28)
    assert item["mask"].shape == (1, 1, 28)
    assert 0 < item["mask"].sum() < 28
    torch.testing.assert_close(item["kspace"], recrop(scan.kspace[1], 28) * item["mask"][0])
    assert torch.equal(item["target"], crop_centre(scan.target[1], (18, 18)))
    assert data.shape_of(1) == (1, (2, 28, 28), 1, (18, 18))
    assert item["maximum"] == scan.target.max()


def test_validation_sees_the_whole_image(tmp_path):
    write(tmp_path, coils=2, target=(20, 22))
    data = SliceDataset(tmp_path, image_crop=28, target_crop=18, training=False, **PAIRS)
    assert data[0]["kspace"].shape == (2, 24, 37)
    assert data[0]["target"].shape == (18, 18)
    assert data.shape_of(0) == (1, (2, 24, 37), 1, (18, 18))


def test_sizes_that_differ_stack_after_the_crop(tmp_path):
    write(tmp_path, "a.h5", coils=2, size=(24, 37))
    write(tmp_path, "b.h5", coils=2, size=(30, 41))
    data = SliceDataset(tmp_path, image_crop=20, **PAIRS)
    assert data.shape_of(0) == data.shape_of(5) == (1, (2, 20, 20), 1, (20, 20))
    assert data[0]["target"].shape == data[5]["target"].shape == (20, 20)


def test_a_file_that_is_undersampled_cannot_be_cropped(tmp_path):
    write(tmp_path, "masked.h5", mask=torch.arange(37) > 5)
    with pytest.raises(DataError, match=r"masked\.h5: expected a fully sampled file, since image_crop"):
        SliceDataset(tmp_path, image_crop=20, **PAIRS)


def test_maps_only_where_they_are_wanted(tmp_path):
    write(tmp_path, coils=3)
    assert "maps" not in SliceDataset(tmp_path, coil_maps=False, readout_crop=12, **PAIRS)[0]
