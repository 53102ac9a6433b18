"""NMSE and PSNR by hand and by scikit-image."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from invrim.errors import ShapeError
from invrim.metrics import nmse, psnr


def volume(seed):
    return torch.rand(3, 7, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_is_scikit_images_psnr(function):
    prediction, target = volume(0), 3 * volume(1)
    expected = peak_signal_noise_ratio(target.numpy(), prediction.numpy(), data_range=target.max().item())
    assert abs(function(prediction, target).item() - expected) < 1e-9, "PSNR differs"


def test_psnr_takes_the_maximum_of_the_target_volume():
    assert_is_scikit_images_psnr(psnr)


@pytest.mark.parametrize(
    "fault", [lambda x, y: psnr(x, y, 1.0), lambda x, y: psnr(y, x), lambda x, y: psnr(x, y, (y.max() - y.min()))]
)
def test_the_law_rejects_another_peak(fault):
    with pytest.raises(AssertionError, match="PSNR differs"):
        assert_is_scikit_images_psnr(fault)


def test_nmse_is_relative_to_the_target_and_not_to_the_prediction():
    assert nmse(2 * volume(0), volume(0)).item() == pytest.approx(1.0)
    assert nmse(volume(0), 2 * volume(0)).item() == pytest.approx(0.25)
    assert nmse(torch.zeros(2, 3, 4), torch.ones(2, 3, 4)).item() == 1.0


def test_equal_volumes_have_no_error():
    assert nmse(volume(0), volume(0)).item() == 0.0
    assert psnr(volume(0), volume(0)).item() == math.inf


def test_float32_scanner_intensities_are_summed_in_float64():
    target = 1e-4 * volume(0).float()
    assert nmse(target * 1.5, target).dtype == torch.float64


def test_shapes_that_differ_are_refused():
    with pytest.raises(ShapeError, match=r"\(3, 7, 9\).*\(3, 7, 10\).*Crop both"):
        nmse(volume(0)[..., 1:], volume(0))
