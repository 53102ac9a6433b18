"""fastMRI's own U-Net and variational network, on copied weights."""

import pytest
import torch

from invrim import CartesianMRI, LeastSquares
from invrim.models import UNet, VarNet
from invrim.models.cartesian import calibration_block

unet = pytest.importorskip("fastmri.models.unet", reason="fastmri is not installed", exc_type=ImportError)
varnet = pytest.importorskip("fastmri.models.varnet", reason="fastmri is not installed", exc_type=ImportError)

SAME = 1e-5
"""Relative; the same operations in float32."""


def measurement(coils: int, size: tuple[int, int]) -> LeastSquares:
    """Column masks with centres of 8 and 6 lines, different in the two slices."""
    generator = torch.Generator().manual_seed(2)
    mask = (torch.rand(2, 1, 1, size[1], generator=generator) < 0.3).float()
    centre = size[1] // 2
    for number, half in enumerate((4, 3)):
        mask[number, ..., centre - half - 1 : centre + half] = 1
        mask[number, ..., [centre - half - 1, centre + half]] = 0
    data = torch.randn(2, coils, *size, dtype=torch.cfloat, generator=generator)
    return LeastSquares(CartesianMRI(mask, data / data.abs()), 1e-5 * mask * data)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 48), (37, 43)])
def test_unet(size):
    torch.manual_seed(0)
    theirs = unet.Unet(1, 1, chans=5, num_pool_layers=3).eval()
    ours = UNet(channels=5, pools=3).eval()
    ours.net.load_state_dict(theirs.state_dict())
    fidelity = measurement(1, size)
    from fastmri.data.transforms import normalize_instance

    expected = []
    for magnitude in fidelity.start().abs():
        image, mean, std = normalize_instance(magnitude)
        expected.append(theirs(image.clamp(-6, 6)[None, None])[0, 0] * std + mean)
    assert relative(ours(fidelity).real, torch.stack(expected)) < SAME


def test_the_public_weights_fit():
    with torch.device("meta"):
        theirs = unet.Unet(1, 1, chans=256, num_pool_layers=4), varnet.VarNet()
        ours = UNet(channels=256).net, VarNet()
    for a, b in zip(theirs, ours, strict=True):
        shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()} for model in (a, b)]
        assert shapes[0] == shapes[1]


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 48), (37, 44)])
@pytest.mark.parametrize("coils", [1, 4])
def test_varnet(size, coils):
    torch.manual_seed(0)
    options = {"pools": 2, "chans": 3, "sens_pools": 3, "sens_chans": 2}
    theirs = varnet.VarNet(num_cascades=3, **options).eval()
    for number, cascade in enumerate(theirs.cascades):
        cascade.dc_weight.fill_(0.5 + 0.2 * number)
    ours = VarNet(cascades=3, channels=3, pools=2, map_channels=2, map_pools=3).eval()
    ours.load_state_dict(theirs.state_dict())
    fidelity = measurement(coils, size)
    kspace, mask = torch.view_as_real(fidelity.data), fidelity.operator.sampling.mask
    assert calibration_block(mask).sum(dim=-1).flatten().tolist() == [8, 6]
    expected = theirs(kspace, mask.bool()[..., None])
    assert relative(ours(fidelity).abs(), expected) < SAME
