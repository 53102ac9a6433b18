"""What RIM, U-Net and VarNet have in common: laws of a reconstruction."""

import pytest
import torch

from invrim import RIM, CartesianMRI, LeastSquares
from invrim.errors import OptionError
from invrim.models import UNet, VarNet
from models.measurements import SIZE, first_slice, measurement

MODELS = {
    "RIM": lambda: RIM(steps=3, hidden=5),
    "RIM as released": lambda: RIM(steps=3, hidden=5, recurrent=False),
    "U-Net": lambda: UNet(channels=3, pools=3),
    "complex U-Net": lambda: UNet(channels=3, pools=2, sees="complex"),
    "VarNet": lambda: VarNet(cascades=2, channels=3, pools=2, map_channels=2, map_pools=3),
}

UNUSED = {
    "RIM as released": {"first.keeping.weight", "second.keeping.weight"},  # they read memories that are always empty
    "VarNet": {"cascades.0.dc_weight"},  # the first cascade begins with the data
}


@pytest.fixture(params=MODELS.values(), ids=list(MODELS))
def model(request):
    torch.manual_seed(4)
    return request.param().eval()


@torch.no_grad()
def test_one_set_of_weights_serves_any_number_of_coils(model):
    for coils in (1, 4, 7):
        image = model(measurement(coils))
        assert image.shape == (2, *SIZE)
        assert image.dtype == torch.cfloat


@torch.no_grad()
def test_units_do_not_matter(model):
    one, tiny = model(measurement(3)), model(measurement(3, scale=1e-6))
    torch.testing.assert_close(tiny * 1e6, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))


@torch.no_grad()
def test_slices_do_not_see_each_other_and_an_empty_one_stays_empty(model):
    both = measurement(3)
    alone = model(first_slice(both))
    torch.testing.assert_close(model(both)[:1], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))
    data = both.data.clone()
    data[1] = 0
    half_empty = model(LeastSquares(both.operator, data))
    torch.testing.assert_close(half_empty[:1], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))
    assert not half_empty[1].any()


def test_every_weight_that_is_used_learns_and_no_gradient_is_nan(model, request):
    fidelity = measurement(3)
    data = fidelity.data.clone()
    data[1] = 0
    model(LeastSquares(fidelity.operator, data)).abs().square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    dead = {name for name, parameter in model.named_parameters() if not parameter.grad.any()}
    assert dead == UNUSED.get(request.node.callspec.id, set())


def test_bfloat16_nets_give_complex64_images(model):
    fidelity = measurement(3)
    with torch.autocast("cpu", torch.bfloat16):
        image = model(fidelity)
    assert image.dtype == torch.cfloat
    single = model(fidelity)
    assert 0 < float((image - single).norm().detach() / single.norm().detach()) < 0.1


def test_volumes_are_refused(model):
    volume = LeastSquares(CartesianMRI(torch.ones(1, 1, 1, 1, 16), ndim=3), torch.randn(2, 1, 8, 8, 16) + 0j)
    with pytest.raises(ValueError, match=r"expected (a state \(b, \d, 2 spatial axes\)|CartesianMRI of slices)"):
        model(volume)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RIM(steps=0), "steps and hidden of at least 1, got 0 and 64"),
        (lambda: UNet(pools=0), "pools and channels of at least 1"),
        (lambda: UNet(dropout=1.0), "0 <= dropout < 1, got 4, 32 and 1"),
        (lambda: UNet(sees="phase"), "expected sees of .*got 'phase'"),
        (lambda: VarNet(cascades=0), "at least one cascade, got 0"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(OptionError, match=message):
        make()
