"""The machine as a whole."""

import pytest
import torch

from invrim import IRIM, CartesianMRI, LeastSquares
from invrim.errors import OptionError, ShapeError
from invrim.layers import residual
from invrim.layers.step_code import StepCode
from invrim.operators import FourierTransform, SamplingMask, conjugate_gradient
from invrim.testing import assert_inverse, assert_same_gradients

SMALL = {"hidden": [4, 5], "strides": [1, 2], "channels": 12}


def measurement(coils: int = 1, scale: float = 1.0, size: tuple[int, int] = (10, 13)) -> LeastSquares:
    torch.manual_seed(3)
    mask = (torch.rand(2, 1, 1, size[1]) < 0.5).float()
    maps = torch.randn(2, coils, *size, dtype=torch.cfloat) if coils > 1 else None
    return LeastSquares(CartesianMRI(mask, maps), scale * torch.randn(2, coils, *size, dtype=torch.cfloat))


def model(**options) -> IRIM:
    torch.manual_seed(4)
    return IRIM(steps=3, **{**SMALL, **options})


@pytest.mark.parametrize("head", ["learned", "eta"])
@pytest.mark.parametrize("share_weights", [False, True])
def test_one_set_of_weights_serves_any_number_of_coils(head, share_weights):
    machine = model(head=head, share_weights=share_weights, multiplicity=2)
    for coils in (1, 4, 7):
        assert machine(measurement(coils)).shape == (2, 10, 13)


def test_shared_weights_are_one_set():
    def count(machine: IRIM) -> int:
        return sum(p.numel() for p in machine.chain.parameters())

    assert count(model()) == 3 * count(model(share_weights=True))


def test_units_do_not_matter():
    machine = model()
    one, tiny = machine(measurement()), machine(measurement(scale=1e-6))
    torch.testing.assert_close(tiny * 1e6, one, rtol=1e-3, atol=1e-4)


def test_the_data_set_the_intensity_whatever_the_start():
    machine = model(head="eta")
    fidelity, tiny = measurement(), measurement(scale=1e-6)
    assert torch.equal(machine(fidelity, fidelity.start()), machine(fidelity))
    from_zero = machine(fidelity, torch.zeros(2, 10, 13, dtype=torch.cfloat))
    assert from_zero.abs().mean() > 1e-3
    again = machine(tiny, torch.zeros(2, 10, 13, dtype=torch.cfloat))
    torch.testing.assert_close(again * 1e6, from_zero, rtol=1e-3, atol=1e-4)


def test_zero_data_reconstruct_to_zeros():
    assert torch.equal(model()(measurement(scale=0.0)), torch.zeros(2, 10, 13, dtype=torch.cfloat))


def test_an_empty_slice_does_not_disturb_its_neighbour():
    fidelity = measurement()
    data = fidelity.data.clone()
    data[0] = 0
    machine = model()
    both = machine(LeastSquares(fidelity.operator, data))
    assert torch.equal(both[0], torch.zeros_like(both[0]))
    torch.testing.assert_close(both[1], machine(fidelity)[1])


def test_backprop_modes_agree():
    grads = []
    for mode in ("store", "invert"):
        machine = model(backprop=mode).double()
        torch.manual_seed(5)
        data = torch.randn(2, 1, 10, 13, dtype=torch.cdouble)
        machine(LeastSquares(CartesianMRI(torch.ones(1, 1, 1, 13).double()), data)).abs().sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in machine.parameters()]))
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-9)


def test_volumes_and_coilwise_images():
    volume = LeastSquares(
        CartesianMRI(torch.ones(1, 1, 1, 1, 9), ndim=3), torch.randn(2, 1, 3, 7, 9, dtype=torch.cfloat)
    )
    assert model(ndim=3)(volume).shape == (2, 3, 7, 9)
    operator = SamplingMask((torch.rand(2, 1, 1, 9) < 0.5).float()) @ FourierTransform(2)
    coilwise = LeastSquares(operator, torch.randn(2, 3, 7, 9, dtype=torch.cfloat))
    assert model(images=3)(coilwise).shape == (2, 3, 7, 9)


def coilwise_measurement(coils: int) -> LeastSquares:
    operator = SamplingMask((torch.rand(2, 1, 1, 9) < 0.5).float()) @ FourierTransform(2)
    return LeastSquares(operator, torch.randn(2, coils, 7, 9, dtype=torch.cfloat))


def test_one_image_is_combined_of_several():
    machine = model(images=3, head="combined")
    fidelity = coilwise_measurement(3)
    images = machine(fidelity)
    assert images.shape == (2, 7, 9)
    assert machine.head.up.weight.shape[1] == 2
    assert not machine.coil_maps
    torch.testing.assert_close(machine.magnitude(fidelity, images), images.abs())


def test_coil_images_are_combined_in_magnitude():
    stack = torch.randn(2, 3, 7, 9, dtype=torch.cfloat)
    rss = stack.abs().square().sum(dim=1).sqrt()
    torch.testing.assert_close(model(images=3, head="eta").magnitude(coilwise_measurement(3), stack), rss)


def test_halves_take_imaginary_parts_from_the_second_half_of_the_state():
    """Channels 0 to 2 of 14 are the real parts of three images; their imaginary parts are 3 to 5, or 7 to 9."""
    z = torch.randn(2, 14, 7, 9)
    for head, imaginary in (("eta", slice(3, 6)), ("halves", slice(7, 10))):
        read = model(images=3, channels=14, head=head).read(z)
        assert torch.equal(read, torch.complex(z[:, :3], z[:, imaginary]))


def test_slack_is_added_to_the_standard_deviation():
    """As published: with slack the network sees weak data weaker, and data far above it as ever."""
    machine, published = model(head="eta"), model(head="eta", normalisation_slack=1e-6)
    torch.testing.assert_close(published(measurement()), machine(measurement()), rtol=1e-4, atol=1e-4)
    fidelity = measurement(scale=1e-6)
    std = torch.view_as_real(fidelity.start()).flatten(1).std(dim=1).reshape(2, 1, 1)
    expected = []
    published.chain.register_forward_pre_hook(lambda _, inputs: expected.append(inputs[0][:, 0]))
    published(fidelity)
    torch.testing.assert_close(expected[0], fidelity.start().real / (std + 1e-6))


def test_metadata_reaches_the_result():
    machine = model(metadata=2)
    fidelity = measurement()
    a = machine(fidelity, metadata=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert not torch.equal(a, machine(fidelity))
    with pytest.raises(ShapeError, match=r"expected metadata \(2, 2\)"):
        machine(fidelity, metadata=torch.ones(2, 3))


def test_a_small_gain_starts_near_the_zero_filled_image():
    machine = model(head="eta")
    machine.scale_blocks(0.0)
    fidelity = measurement()
    torch.testing.assert_close(machine(fidelity), fidelity.start())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 3}, "at least 4 channels"),
        ({"strides": [1]}, "as many strides as hidden widths"),
        ({"head": "none"}, "expected a head of learned, combined, eta, halves, got 'none'"),
        ({"multiplicity": 3, "metadata": 1}, "at least 13 channels"),
        ({"map_channels": 2, "coil_maps": False}, "expected coil maps to correct, got map_channels 2"),
        ({"map_channels": 2, "images": 2}, "without: coil_maps True, images 2"),
        ({"head": "halves", "channels": 13}, "an even number of channels for head 'halves', got 13"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(OptionError, match=message):
        model(**options)


def test_a_fidelity_without_start_asks_for_one():
    class OnlyGradient:
        def value(self, x):
            return x.abs().square().sum()

        def gradient(self, x):
            return x

    with pytest.raises(OptionError, match="Pass start="):
        model()(OnlyGradient())
    assert model()(OnlyGradient(), torch.randn(2, 8, 8, dtype=torch.cfloat)).shape == (2, 8, 8)


@pytest.mark.parametrize("images", [1, 2])
def test_the_first_estimate_is_cg_sense_if_asked(images):
    fidelity = measurement(coils=4 if images == 1 else images)
    if images == 2:
        fidelity = LeastSquares(SamplingMask(torch.ones(2, 1, 1, 13)), fidelity.data)
    machine = model(images=images, head="eta", cg_iterations=5)
    solution = conjugate_gradient(fidelity, fidelity.start(), 5)
    torch.testing.assert_close(machine(fidelity), machine(fidelity, solution), rtol=1e-4, atol=1e-4)
    machine.scale_blocks(0)
    torch.testing.assert_close(machine(fidelity), solution, rtol=1e-4, atol=1e-4)


def test_cg_iterations_below_zero():
    with pytest.raises(OptionError, match="expected cg_iterations >= 0, got -1"):
        model(cg_iterations=-1)


@pytest.mark.parametrize("tile", [4, "auto"])
def test_tiles_and_strips_do_not_change_the_reconstruction(tile, monkeypatch):
    monkeypatch.setattr(residual, "_STRIP_BYTES", {"cpu": (1.0, 1.0)})
    whole, tiled = model(tile=None), model(tile=tile)
    images, gradients = [], []
    for machine in (tiled, whole):
        images.append(machine(measurement()))
        gradients.append(torch.autograd.grad(images[-1].abs().sum(), list(machine.parameters())))
    torch.testing.assert_close(*images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)
    assert [block.tile for block in model(tile=(4, 6)).chain.steps if hasattr(block, "tile")] == 6 * [(4, 6)]
    with pytest.raises(OptionError, match=r"a tile of positive multiples of the stride \(2, 2\), got 5\."):
        model(tile=5)


def test_a_memory_budget_reaches_the_chain():
    assert model(memory_budget="1GB").chain.memory_budget == 10**9


@pytest.mark.parametrize("head", ["learned", "eta"])
@pytest.mark.parametrize("backprop", ["store", "invert", "exact"])
def test_estimates_after_every_step_are_those_of_shorter_machines(head, backprop):
    """The first t steps of a machine are a machine of t steps, and a loss on all reaches every weight."""
    machine, fidelity = model(head=head, backprop=backprop), measurement(3)
    every = machine(fidelity, every_step=True)
    assert every.shape == (3, 2, 10, 13)
    torch.testing.assert_close(every[-1], machine(fidelity))
    weights = machine.state_dict()
    for steps in (1, 2):
        shorter = IRIM(steps=steps, **{**SMALL, "head": head, "backprop": backprop})
        shorter.load_state_dict({name: weights[name] for name in shorter.state_dict()})
        torch.testing.assert_close(every[steps - 1], shorter(fidelity))
    every.abs().mean().backward()
    assert all(p.grad is not None for p in machine.parameters())


def test_step_codes_tell_shared_blocks_apart():
    machine, fidelity = model(share_weights=True, step_codes=True).double(), measurement(3).double()
    codes = [step for step in machine.chain.flattened() if isinstance(step, StepCode)]
    assert len({id(code) for code in codes}) == 3
    start = machine(fidelity)
    with torch.no_grad():
        for i, code in enumerate(codes):
            code.shift.copy_(torch.arange(10) * 0.1 * (i + 1))
    assert not torch.allclose(machine(fidelity), start)
    z = torch.randn(2, 12, 10, 13, dtype=torch.double)
    assert_inverse(machine.chain, z, fidelity)
    assert_same_gradients(machine.chain, z, fidelity)
    with pytest.raises(OptionError, match="expected step_codes with share_weights"):
        model(step_codes=True)


@pytest.mark.parametrize("coils", [1, 3])
def test_refined_maps_learn_through_every_data_step_at_constant_memory(coils):
    machine = model(map_channels=2, map_pools=1, head="eta")
    operator = measurement(coils).operator
    maps = torch.randn(2, coils, 10, 13, dtype=torch.cfloat)
    maps /= torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    fidelity = LeastSquares(CartesianMRI(operator.sampling.mask, maps), measurement(coils).data)
    torch.testing.assert_close(machine(fidelity), without_map_net(machine)(fidelity))  # it starts as the identity

    *_, last = machine.maps.net.up_conv[-1].children()
    torch.nn.init.normal_(last.weight)
    grads = {}
    for mode in ("store", "invert"):
        machine.chain.backprop = mode
        machine.zero_grad()
        machine(fidelity).abs().mean().backward()
        grads[mode] = torch.cat([p.grad.flatten() for p in machine.maps.parameters()])
    assert grads["store"].norm() > 0
    torch.testing.assert_close(
        grads["invert"], grads["store"], rtol=1e-3, atol=1e-4 * float(grads["store"].abs().max())
    )
    refined = machine.maps(fidelity).operator.coils.maps
    torch.testing.assert_close(torch.linalg.vector_norm(refined, dim=1), torch.ones(2, 10, 13))


def test_maps_to_refine_have_to_be_there():
    with pytest.raises(OptionError, match="expected coil maps to refine"):
        model(map_channels=2, map_pools=1)(measurement(1))


def without_map_net(machine: IRIM) -> IRIM:
    same = IRIM(**{**machine.options, "map_channels": 0})
    same.load_state_dict(machine.state_dict(), strict=False)
    return same
