"""Every protocol against its definition, written again with scikit-image and numpy, on arrays and on a real brain."""

import math

import nibabel
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invrim.errors import DataError, OptionError, ShapeError
from invrim.evaluation import PROTOCOLS, evaluate_volume
from invrim.evaluation.alignment import heart_region
from invrim.metrics import vif
from shared_data import shared

SAME = 1e-6


def mean(values):
    return float(np.mean(list(values)))


def pairs(target, prediction):
    return list(zip(target, prediction, strict=True))


def nmse_of(x, y):
    return float(np.linalg.norm(x - y) ** 2 / np.linalg.norm(x) ** 2)


def scores(couples, data_range):
    """Of couples ``(target, prediction)`` of slices, each with the data range that the function says."""
    return {
        "nmse": mean(nmse_of(x, y) for x, y in couples),
        "psnr": mean(peak_signal_noise_ratio(x, y, data_range=data_range(x, y)) for x, y in couples),
        "ssim": mean(structural_similarity(x, y, data_range=data_range(x, y)) for x, y in couples),
    }


def centred(volume, height, width):
    top, left = (volume.shape[1] - height) // 2, (volume.shape[2] - width) // 2
    return volume[:, top : top + height, left : left + width]


def fastmri(target, prediction):
    side = target.shape[2]
    target, prediction = centred(target, side, side), centred(prediction, side, side)
    found = scores(pairs(target, prediction), lambda *_: target.max())
    whole = peak_signal_noise_ratio(target, prediction, data_range=target.max())
    return found | {"nmse": nmse_of(target, prediction), "psnr": whole}


def volume(target, prediction):
    side = target.shape[2]
    target, prediction = centred(target, side, side), centred(prediction, side, side)
    similarity = structural_similarity(target, prediction, data_range=target.max())
    return fastmri(target, prediction) | {"ssim": float(similarity)}


def slicewise(target, prediction):
    side = target.shape[2]
    target, prediction = centred(target, side, side), centred(prediction, side, side)
    return scores(pairs(target, prediction), lambda x, _: x.max())


def calgary(target, prediction):
    couples = [(x / x.max(), y / x.max()) for x, y in pairs(target[50:-50], prediction[50:-50])]
    found = scores(couples, lambda x, y: max(x.max(), y.max()) - min(x.min(), y.min()))
    del found["nmse"]
    return found | {"vif": mean(vif_of(x, y, 0.4) for x, y in couples)}


def cmrxrecon(target, prediction):
    """The middle slices are counted from 1 by Matlab, whose ``round`` takes halves up."""
    last = math.floor(len(target) / 2 + 0.5)
    size = [math.floor(target.shape[axis] / parts + 0.5) for axis, parts in ((1, 3), (2, 2))]
    first = [math.floor(target.shape[axis] / 2) + math.ceil(-size[axis - 1] / 2) for axis in (1, 2)]
    rows, columns = (slice(start, start + n) for start, n in zip(first, size, strict=True))
    couples = pairs(target[last - 2 : last, rows, columns], prediction[last - 2 : last, rows, columns])
    return scores([(x / x.max(), y / y.max()) for x, y in couples], lambda *_: 1)


def vif_of(x, y, noise):
    """Sheikh and Bovik's, on arrays: sums over windows by scipy, every exception of their code in its order."""
    tiny, seen, there = 1e-10, 0.0, 0.0
    for scale in range(1, 5):
        side = 2 ** (5 - scale) + 1
        impulse = np.zeros((side, side))
        impulse[side // 2, side // 2] = 1
        window = gaussian_filter(impulse, side / 5, mode="constant", radius=side // 2)
        window /= window.sum()
        rim = side // 2

        def local(image, window=window, rim=rim):
            return correlate(image, window, mode="constant")[rim:-rim, rim:-rim]

        if scale > 1:
            x, y = local(x)[::2, ::2], local(y)[::2, ::2]
        var_x, var_y = local(x * x) - local(x) ** 2, local(y * y) - local(y) ** 2
        covariance = local(x * y) - local(x) * local(y)
        var_x[var_x < 0] = 0
        var_y[var_y < 0] = 0
        gain = covariance / (var_x + tiny)
        rest = var_y - gain * covariance
        gain[var_x < tiny] = 0
        rest[var_x < tiny] = var_y[var_x < tiny]
        var_x[var_x < tiny] = 0
        gain[var_y < tiny] = 0
        rest[var_y < tiny] = 0
        rest[gain < 0] = var_y[gain < 0]
        gain[gain < 0] = 0
        rest[rest <= tiny] = tiny
        seen += np.log10(1 + gain**2 * var_x / (rest + noise)).sum()
        there += np.log10(1 + var_x / noise).sum()
    return seen / there


DEFINITIONS = {
    "fastmri": fastmri, "volume": volume, "slice": slicewise, "calgary": calgary, "cmrxrecon": cmrxrecon,
}  # fmt: skip


def arrays(slices, seed=0):
    """Slices of different brightness; the prediction is a fifth too bright in some."""
    random = np.random.default_rng(seed)
    target = random.random((slices, 51, 46)).cumsum(axis=-1) * random.uniform(0.2, 3, (slices, 1, 1))
    scale = random.choice([1.0, 1.2], (slices, 1, 1))
    return target, np.abs(scale * target + 0.3 * random.standard_normal(target.shape))


def found(protocol, target, prediction):
    return evaluate_volume(torch.from_numpy(target), torch.from_numpy(prediction), protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("unit", [1e-5, 1.0])
def test_protocols_are_their_published_definitions(protocol, unit):
    target, prediction = (unit * stack for stack in arrays(104 if protocol == "calgary" else 9))
    expected = DEFINITIONS[protocol](target, prediction)
    assert found(protocol, target, prediction) == pytest.approx(expected, rel=SAME)


def test_every_protocol_has_a_definition_and_each_rejects_the_others():
    target, prediction = arrays(104)
    assert set(DEFINITIONS) == set(PROTOCOLS)
    values = {name: found(name, target, prediction) for name in PROTOCOLS}
    for name in PROTOCOLS:
        for other, definition in DEFINITIONS.items():
            if other != name:
                assert values[name] != pytest.approx(definition(target, prediction), rel=SAME), (name, other)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_real_brain_scores_by_definition(protocol):
    image = nibabel.load(shared("mr_images/colin27_ch2.nii.gz"))
    target = np.asarray(image.dataobj, dtype=np.float64).transpose(2, 1, 0)[20:130, ::3, ::3]
    blurred = gaussian_filter(target, (0, 0.6, 0.6)) + np.abs(np.random.default_rng(0).normal(size=target.shape))
    assert found(protocol, target, blurred) == pytest.approx(DEFINITIONS[protocol](target, blurred), rel=SAME)


def test_scale_counts_but_for_cmrxrecon():
    target, prediction = arrays(9)
    assert found("cmrxrecon", target, 3 * prediction) == pytest.approx(found("cmrxrecon", target, prediction))
    assert found("slice", target, 3 * prediction)["nmse"] > 2 * found("slice", target, prediction)["nmse"]


def test_a_dark_slice_counts_only_by_its_own_maximum():
    target, prediction = arrays(4)
    dark, worse = target.copy(), prediction.copy()
    dark[1] *= 1e-3
    worse[1] = 0
    assert found("fastmri", dark, worse)["ssim"] > 0.7
    assert found("slice", dark, worse)["ssim"] < found("fastmri", dark, worse)["ssim"] - 0.1


def test_the_region_of_the_heart_follows_matlab():
    """Sizes whose third and half end in .5 or are odd; places by hand, from Matlab's crop."""
    stack = torch.arange(5 * 20 * 25.0).reshape(5, 20, 25)
    region, _ = heart_region(stack, stack)
    assert torch.equal(region, stack[1:3, 7:14, 6:19])
    alone, _ = heart_region(stack[:2], stack[:2])
    assert torch.equal(alone, stack[:2, 7:14, 6:19])


def test_a_larger_prediction_is_cropped_around_its_middle():
    target, prediction = arrays(104)
    larger = np.pad(prediction, ((0, 0), (3, 3), (4, 4)))
    for protocol in PROTOCOLS:
        assert found(protocol, target, larger) == pytest.approx(found(protocol, target, prediction))


def test_what_a_protocol_is_not_defined_for_says_so():
    target, prediction = arrays(9)
    with pytest.raises(ShapeError, match="target has 9 slices: expected more than 100"):
        found("calgary", target, prediction)
    empty = target.copy()
    empty[4] = 0
    for protocol in ("slice", "cmrxrecon"):
        with pytest.raises(DataError, match=r"target has 1 empty slices: .* choose protocol fastmri"):
            found(protocol, empty, prediction)
    target_of_many, prediction_of_many = arrays(104)
    target_of_many[51] = 0
    with pytest.raises(DataError, match="target has 1 empty slices"):
        found("calgary", target_of_many, prediction_of_many)
    with pytest.raises(DataError, match="prediction has 1 empty slices"):
        found("cmrxrecon", target, empty)
    with pytest.raises(OptionError, match="Give more slices"):
        found("volume", target[:6], prediction[:6])


def test_vif_refuses_images_without_a_coarsest_scale():
    image = torch.rand(2, 41, 43, dtype=torch.float64)
    torch.testing.assert_close(vif(image, image, 0.4), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-8)
    with pytest.raises(ShapeError, match="y and x at least 41"):
        vif(image[:, 1:], image[:, 1:], 0.4)
