"""deepinv both ways, on its physics of every layout: one real channel, three, one complex image, a stack."""

import math

import pytest
import torch

from deepinv_package import deepinv_or_skip
from invrim import IRIM
from invrim.errors import OptionError, ShapeError
from invrim.operators import LinearOperator, operator_norm
from invrim.testing import assert_adjoint, assert_gradient, assert_same_gradients

deepinv = deepinv_or_skip()
from invrim.interop.deepinv import (  # noqa: E402 (needs deepinv)
    ImageChannels,
    IRIMReconstructor,
    PhysicsOperator,
    least_squares,
)

physics_module = deepinv.physics
SIZE = (9, 12)


def kernel() -> torch.Tensor:
    """Not symmetric, not separable, positive, of sum 1."""
    weights = torch.arange(1.0, 16.0, dtype=torch.double).reshape(1, 1, 3, 5) ** 1.5
    return weights / weights.sum()


def blur(channels: int = 1):
    return physics_module.BlurFFT((channels, *SIZE), filter=kernel())


def inpainting(channels: int = 1):
    mask = (torch.rand(channels, *SIZE, dtype=torch.double) < 0.6).double()
    return physics_module.Inpainting((channels, *SIZE), mask=mask)


def mri():
    mask = (torch.rand(1, 2, *SIZE[:1], 1) < 0.6).double().expand(1, 2, *SIZE)
    return physics_module.MRI(mask=mask, img_size=(2, *SIZE))


def coils():
    maps = torch.randn(1, 3, *SIZE, dtype=torch.cdouble)
    mask = (torch.rand(1, 1, 1, SIZE[1]) < 0.6).double().expand(1, 1, *SIZE)
    return physics_module.MultiCoilMRI(mask=mask, coil_maps=maps, img_size=(2, *SIZE))


def fewer_pixels():
    return physics_module.Downsampling((1, 8, 12), filter=kernel(), factor=2, padding="circular")


def compressed_sensing():
    return physics_module.CompressedSensing(m=40, img_size=(1, *SIZE), dtype=torch.double)


def stack():
    return physics_module.StackedLinearPhysics([blur(), fewer_rows()])


def fewer_rows():
    mask = torch.zeros(1, *SIZE, dtype=torch.double)
    mask[:, ::2] = 1
    return physics_module.Inpainting((1, *SIZE), mask=mask)


PHYSICS = {
    "blur": (blur, 1, SIZE),
    "blur of colours": (lambda: blur(3), 3, SIZE),
    "inpainting": (inpainting, 1, SIZE),
    "inpainting of five bands": (lambda: inpainting(5), 5, SIZE),
    "downsampling": (fewer_pixels, 1, (8, 12)),
    "compressed sensing": (compressed_sensing, 1, SIZE),
    "MRI": (mri, 2, SIZE),
    "many-coil MRI": (coils, 2, SIZE),
    "stack": (stack, 1, SIZE),
}
each = pytest.mark.parametrize(("make", "channels", "size"), PHYSICS.values(), ids=PHYSICS)


def case(make, channels, size, seed=0):
    """Physics, deepinv's images and their measurement; a batch of two."""
    torch.manual_seed(seed)
    physics = make().double()
    x = torch.randn(2, channels, *size, dtype=torch.double)
    return physics, x, physics.A(x)


def model(channels: int, **options) -> IRIM:
    images = 1 if channels == 2 else channels
    torch.manual_seed(1)
    return IRIM(steps=2, hidden=[4, 5], strides=[1, 2], channels=4 * images + 2, images=images, **options).double()


@each
def test_physics_are_adjoint_and_their_gradient_is_autograds(make, channels, size):
    physics, _, y = case(make, channels, size)
    fidelity = least_squares(y, physics)
    x = torch.randn_like(fidelity.start())
    assert x.shape == ((2, *size) if channels <= 2 else (2, channels, *size))
    assert_adjoint(fidelity.operator, x, torch.randn_like(fidelity.data))
    assert_gradient(fidelity, x)


@each
def test_an_irim_is_a_reconstructor_of_any_physics(make, channels, size):
    physics, x, y = case(make, channels, size)
    reconstructor = IRIMReconstructor(model(channels))
    assert isinstance(reconstructor, deepinv.models.Reconstructor)
    found = reconstructor(y, physics)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert found.isfinite().all()
    with torch.no_grad():  # an untrained model in its place: the estimate, which the data alone make
        reconstructor.model.scale_blocks(0)
        reconstructor.model.head = None
    torch.testing.assert_close(reconstructor(y, physics), physics.A_adjoint(y))


@each
def test_inverted_gradients_are_stored_ones(make, channels, size):
    physics, _, y = case(make, channels, size)
    fidelity = least_squares(y, physics)
    machine = model(channels)
    assert_same_gradients(machine.chain, torch.randn(2, machine.channels, *size, dtype=torch.double), fidelity)


def test_gradients_reach_the_data_and_the_parameters_of_the_physics():
    grads = []
    for mode in ("store", "invert"):
        physics, _, y = case(blur, 1, SIZE)
        y = y.detach().requires_grad_()
        weights = kernel().requires_grad_()
        physics.update_parameters(filter=weights)
        IRIMReconstructor(model(1, backprop=mode))(y, physics).square().sum().backward()
        assert weights.grad.abs().sum() > 0
        grads.append(torch.cat([y.grad.flatten(), weights.grad.flatten()]))
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-12)


def test_deepinvs_trainer_trains_it(tmp_path):
    torch.manual_seed(0)
    physics = physics_module.BlurFFT((1, 16, 12), filter=kernel().float())
    images = torch.rand(8, 1, 16, 12)
    pairs = [{"x": x, "y": y} for x, y in zip(images, physics(images), strict=True)]
    loader = torch.utils.data.DataLoader(pairs, batch_size=4)
    reconstructor = IRIMReconstructor(model(1, head="eta").float())
    before = [p.detach().clone() for p in reconstructor.parameters()]
    trainer = deepinv.Trainer(
        model=reconstructor, physics=physics, train_dataloader=loader, losses=deepinv.loss.SupLoss(), epochs=1,
        optimizer=torch.optim.Adam(reconstructor.parameters(), 1e-3), save_path=None, device="cpu",
        verbose=False, show_progress_bar=False, non_blocking_transfers=False,
    )  # fmt: skip
    trained = trainer.train()
    assert trained is reconstructor
    assert any(not torch.equal(a, b) for a, b in zip(before, trained.parameters(), strict=True))


def test_the_norm_is_deepinvs():
    physics, x, _ = case(blur, 1, SIZE)
    theirs = float(physics.compute_sqnorm(x[0:1], verbose=False)) ** 0.5
    assert math.isclose(operator_norm(PhysicsOperator(physics), x), theirs, rel_tol=0.01)


# Teeth.


class Unscaled(ImageChannels):
    """A layout whose adjoint forgets half of the images."""

    def adjoint(self, y):
        return 0.5 * super().adjoint(y)


def test_the_law_rejects_a_layout_that_is_not_orthogonal():
    operator: LinearOperator = PhysicsOperator(mri()) @ Unscaled(2)
    x = torch.randn(2, *SIZE, dtype=torch.cdouble)
    with pytest.raises(AssertionError, match="the adjoint misses"):
        assert_adjoint(operator, x, torch.randn(2, 2, *SIZE, dtype=torch.double))


def test_what_does_not_fit_is_refused_in_words():
    physics, _, y = case(lambda: blur(3), 3, SIZE)
    with pytest.raises(OptionError, match=r"model of 3 images for physics of 3 channels, got one of 1\. Build it with"):
        IRIMReconstructor(model(1))(y, physics)
    with pytest.raises(OptionError, match=r"expected a deepinv LinearPhysics, got PhaseRetrieval"):
        least_squares(y, physics_module.PhaseRetrieval(PhysicsOperator(physics)))
    with pytest.raises(ShapeError, match="expected images"):
        model(1)(least_squares(y, physics), torch.zeros(2, *SIZE, dtype=torch.cdouble))
