"""SSIM: scikit-image's value, a true gradient, and a test that rejects the usual mistakes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from invrim.errors import OptionError, ShapeError
from invrim.metrics import slice_similarity, ssim

SAME = 1e-6


def pair(shape=(3, 21, 34), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator, dtype=torch.float64).cumsum(-1)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (target + noise).to(dtype), target.to(dtype)


def assert_equals_skimage(function, prediction, target, data_range):
    found = function(prediction, target, data_range)
    for value, x, y in zip(found, prediction.numpy(), target.numpy(), strict=True):
        expected = structural_similarity(y, x, data_range=float(data_range))
        assert abs(value.item() - expected) < SAME, f"SSIM is {value.item()}, scikit-image has {expected}"


@given(
    shape=st.tuples(st.integers(2, 3), st.integers(7, 40), st.integers(7, 40)),
    seed=st.integers(0, 2**31),
    unit=st.sampled_from([1e-4, 1.0, 3e5]),
)
def test_valid_padding_equals_scikit_image_in_any_unit(shape, seed, unit):
    prediction, target = (unit * image for image in pair(shape, seed))
    assert_equals_skimage(ssim, prediction, target, target.max())


FAULTS = {
    "range of each slice": lambda x, y, _: ssim(x, y, y.amax(dim=(1, 2))),
    "range 1": lambda x, y, _: ssim(x, y, 1.0),
    "range of the prediction": lambda x, y, _: ssim(x, y, x.max()),
    "mirrored border": lambda x, y, peak: ssim(x, y, peak, padding="reflect"),
    "larger window": lambda x, y, peak: ssim(x, y, peak, window=11),
    "population covariance": lambda x, y, peak: _population_ssim(x / peak, y / peak),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_law_rejects_another_definition(fault):
    prediction, target = pair()
    with pytest.raises(AssertionError, match="scikit-image has"):
        assert_equals_skimage(fault, prediction, target, target.max())


def _population_ssim(x, y):
    pool = F.avg_pool2d if x.ndim == 3 else F.avg_pool3d
    mean = lambda image: pool(image[:, None], 7, stride=1)[:, 0]  # noqa: E731
    variances = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    covariance = mean(x * y) - mean(x) * mean(y)
    luminance = (2 * mean(x) * mean(y) + 1e-4) / (mean(x) ** 2 + mean(y) ** 2 + 1e-4)
    return (luminance * (2 * covariance + 9e-4) / (variances + 9e-4)).flatten(1).mean(dim=1)


def test_reflect_padding_averages_over_all_pixels_of_the_mirrored_image():
    """As the authors' loss: population covariance."""
    prediction, target = pair()
    x, y = (torch.from_numpy(np.pad(image.numpy(), ((0, 0), (3, 3), (3, 3)), "reflect")) / 5 for image in pair())
    found = ssim(prediction, target, 5.0, padding="reflect")
    torch.testing.assert_close(found, _population_ssim(x, y))
    assert (found - ssim(x, y, 1.0)).abs().min() > 1e-5


@given(
    shape=st.tuples(st.just(2), st.integers(7, 11), st.integers(7, 20), st.integers(7, 20)),
    seed=st.integers(0, 2**31),
    unit=st.sampled_from([1e-4, 1.0, 3e5]),
)
def test_of_volumes_it_equals_scikit_image_in_3d(shape, seed, unit):
    prediction, target = (unit * image for image in pair(shape, seed))
    assert_equals_skimage(ssim, prediction, target, target.max())


@pytest.mark.parametrize(
    "fault",
    [
        lambda x, y, peak: slice_similarity(x, y, peak.expand(2)),
        lambda x, y, peak: ssim(x, y, peak, padding="reflect"),
        lambda x, y, peak: ssim(x, y, peak, window=5),
        lambda x, y, peak: ssim(x.transpose(1, 2), y.transpose(1, 2), 1.1 * peak),
    ],
    ids=["slice by slice", "mirrored border", "smaller window", "another range"],
)
def test_the_law_in_3d_rejects_another_definition(fault):
    prediction, target = pair((2, 8, 14, 11))
    with pytest.raises(AssertionError, match="scikit-image has"):
        assert_equals_skimage(fault, prediction, target, target.max())


def test_slices_of_a_volume_are_averaged():
    prediction, target = pair((2, 3, 9, 11))
    ranges = torch.tensor([3.0, 7.0])
    expected = [ssim(x, y, r).mean() for x, y, r in zip(prediction, target, ranges, strict=True)]
    torch.testing.assert_close(slice_similarity(prediction, target, ranges), torch.stack(expected))
    flat = slice_similarity(prediction[:, 1], target[:, 1], ranges)
    torch.testing.assert_close(flat, ssim(prediction[:, 1], target[:, 1], ranges))


def test_reflect_padding_mirrors_slices_too():
    prediction, target = pair((2, 7, 8, 9))
    sides = ((0, 0), (3, 3), (3, 3), (3, 3))
    mirrored = [torch.from_numpy(np.pad(image.numpy(), sides, "reflect")) for image in (prediction, target)]
    found = ssim(prediction, target, 5.0, padding="reflect")
    torch.testing.assert_close(found, _population_ssim(*(image / 5 for image in mirrored)))


def test_gradient_in_3d_is_the_true_one():
    prediction, target = pair((2, 7, 8, 7))
    assert torch.autograd.gradcheck(
        lambda x: ssim(x, target, 4.0, padding="reflect"), prediction.requires_grad_(), atol=1e-7, fast_mode=True
    )


@pytest.mark.parametrize("padding", ["valid", "reflect"])
def test_gradient_is_the_true_one(padding):
    prediction, target = pair((2, 9, 8))
    peak = target.amax(dim=(1, 2))
    assert torch.autograd.gradcheck(
        lambda x: ssim(x, target, peak, padding=padding), prediction.requires_grad_(), atol=1e-7
    )


def test_a_range_for_each_image_scores_each_as_if_alone():
    prediction, target = pair()
    ranges = torch.tensor([3.0, 7.0, 11.0])
    alone = torch.cat([ssim(x[None], y[None], r) for x, y, r in zip(prediction, target, ranges, strict=True)])
    torch.testing.assert_close(ssim(prediction, target, ranges), alone)


def test_float32_holds_as_a_loss_on_a_bright_flat_background():
    """Flat at the data range itself is where E[x^2] - E[x]^2 cancels most."""
    prediction, target = pair(seed=3)
    x, y = 1 + 1e-3 * prediction, 1 + 1e-3 * target
    torch.testing.assert_close(ssim(x.float(), y.float(), 1.0).double(), ssim(x, y, 1.0), rtol=0, atol=1e-4)


def test_an_empty_image_has_a_finite_gradient():
    prediction = torch.zeros(2, 9, 11, requires_grad=True)
    ssim(prediction, torch.zeros(2, 9, 11), 1e-5, padding="reflect").sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    prediction, target = pair(dtype=torch.bfloat16)
    assert ssim(prediction, target, 20.0).dtype == torch.float32


def test_wrong_arguments_are_refused_with_the_remedy():
    image = torch.ones(2, 9, 11)
    with pytest.raises(ShapeError, match=r"\(2, 9, 10\).*Crop both"):
        ssim(image[..., :-1], image, 1.0)
    with pytest.raises(ShapeError, match=r"one an image \(2,\)"):
        ssim(image, image, torch.ones(3))
    with pytest.raises(OptionError, match="odd number"):
        ssim(image, image, 1.0, window=8)
    with pytest.raises(OptionError, match="odd number"):
        ssim(image, image, 1.0, window=11)
    with pytest.raises(OptionError, match=r"\(5, 9, 11\) voxels .*Give more slices, or score slice by slice"):
        ssim(torch.ones(2, 5, 9, 11), torch.ones(2, 5, 9, 11), 1.0)
    with pytest.raises(ShapeError, match=r"\(b, y, x\), or \(b, z, y, x\), twice"):
        ssim(image[0], image[0], 1.0)
    with pytest.raises(OptionError, match=r"'same'.*expected 'valid'"):
        ssim(image, image, 1.0, padding="same")
