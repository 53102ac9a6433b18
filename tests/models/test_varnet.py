"""The variational network: its calibration lines, its maps, its consistency with the data."""

import pytest
import torch

from invrim import CartesianMRI, LeastSquares
from invrim.errors import DataError, OptionError
from invrim.models import VarNet
from invrim.models.cartesian import calibration_block
from invrim.operators import FourierTransform, SamplingMask
from models.measurements import measurement

BLOCKS = {
    "1011110010": "0000110000",
    "0001111100": "0001111000",
    "1111111111": "1111111111",
    "0000010000": "0000010000",
    "0110110111": "0000110000",
    "011111010": "001111000",
    "1": "1",
}
"""Measured lines -> those that calibrate."""


def varnet() -> VarNet:
    torch.manual_seed(4)
    return VarNet(cascades=2, channels=3, pools=2, map_channels=2, map_pools=3)


def lines(word: str) -> torch.Tensor:
    return torch.tensor([float(letter) for letter in word])


@pytest.mark.parametrize("measured", BLOCKS)
@pytest.mark.parametrize("shape", [(1, 1, 1, -1), (1, 1, -1, 1)])
def test_calibration_block(measured, shape):
    mask = lines(measured).reshape(shape)
    assert torch.equal(calibration_block(mask), lines(BLOCKS[measured]).reshape(shape))


def test_every_slice_has_its_own_calibration_block():
    words = [word for word in BLOCKS if len(word) == 10]
    found = calibration_block(torch.stack([lines(word) for word in words])[:, None, None])
    assert torch.equal(found[:, 0, 0], torch.stack([lines(BLOCKS[word]) for word in words]))


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (lines("1111101111").reshape(1, 1, 1, -1), DataError, r"expected line 5 \(zero frequency\)"),
        (torch.ones(1, 1, 4, 6), OptionError, r"expected a mask of lines, .*got \(1, 1, 4, 6\)"),
    ],
)
def test_masks_that_cannot_calibrate(mask, error, message):
    with pytest.raises(error, match=message):
        calibration_block(mask)


@torch.no_grad()
def test_maps_have_unit_root_sum_of_squares_and_come_from_the_calibration_lines():
    model, fidelity = varnet(), measurement(3)
    mask = fidelity.operator.sampling.mask
    maps = model.sens_net(fidelity.data, mask)
    torch.testing.assert_close(torch.linalg.vector_norm(maps, dim=1), torch.ones(2, *maps.shape[2:]))
    outside = fidelity.data + 5 * mask * (1 - calibration_block(mask))
    assert not torch.equal(outside, fidelity.data)
    torch.testing.assert_close(model.sens_net(outside, mask), maps)


@torch.no_grad()
def test_without_its_nets_a_cascade_keeps_the_data():
    """G = 0 leaves only data consistency, which has nothing to say to what was measured."""
    model, fidelity = varnet(), measurement(3)
    for cascade in model.cascades:
        cascade.model = Nothing()
    coils = fidelity.data
    image = model(fidelity)
    from_data = torch.linalg.vector_norm(FourierTransform(2).adjoint(coils), dim=1)
    torch.testing.assert_close(image.abs(), from_data)


@torch.no_grad()
def test_maps_in_the_fidelity_and_samples_outside_the_mask_are_not_used():
    model, fidelity = varnet(), measurement(3)
    mask = fidelity.operator.sampling.mask
    others = CartesianMRI(mask, fidelity.operator.coils.maps.flip(1))
    dirty = fidelity.data + 7 * (1 - mask)
    torch.testing.assert_close(model(LeastSquares(others, dirty)), model(fidelity))


def test_only_cartesian_slices_are_taken():
    operator = SamplingMask(torch.ones(1, 1, 1, 16)) @ FourierTransform(2)
    with pytest.raises(OptionError, match=r"expected CartesianMRI of slices .*got Composition"):
        varnet()(LeastSquares(operator, torch.ones(2, 3, 16, 16) + 0j))


class Nothing(torch.nn.Module):
    def forward(self, images):
        return torch.zeros_like(images)
