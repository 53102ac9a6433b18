"""Coil maps from few calibration lines, against the truth of a simulation and a reference of a real scan."""

import numpy as np
import pytest
import torch

from invrim.data.adaptive_combination import adaptive_maps
from invrim.data.coil_maps import METHODS, estimate_maps, maps_from_calibration
from invrim.data.coil_profiles import ring_of_coils
from invrim.data.espirit import espirit_maps
from invrim.data.mask_planes import random_points
from invrim.data.masks import calibration_lines, random_columns
from invrim.errors import DataError, OptionError, ShapeError
from invrim.operators.fourier import fft_centred, ifft_centred
from shared_data import shared

SIZE = (61, 100)


def scan(seed: int = 0, coils: int = 5):
    """Two slices of a smooth blob, and the sensitivities that saw them."""
    generator = torch.Generator().manual_seed(seed)
    maps = ring_of_coils(coils, SIZE, generator)
    y, x = torch.linspace(-1, 1, SIZE[0]).view(-1, 1), torch.linspace(-1, 1, SIZE[1]).view(1, -1)
    blobs = torch.stack([((y / 0.7) ** 2 + (x / w) ** 2 < 1).float() * (1.2 - y * x) for w in (0.6, 0.75)])
    image = torch.polar(blobs, 0.5 + 0.8 * (x - y).expand(2, *SIZE))
    return fft_centred(maps * image.unsqueeze(1)), maps, blobs


def misalignment(found, reference, inside):
    """1 - |<found, reference>|^2 over the object: 0 when the maps agree up to a phase per pixel."""
    return float((1 - (found.conj() * reference).sum(1).abs().square())[inside].mean())


@pytest.mark.parametrize(("acceleration", "fraction", "bound"), [(4, 0.16, 0.01), (8, 0.08, 0.02)])
def test_maps_align_with_the_true_ones(acceleration, fraction, bound):
    kspace, maps, blobs = scan()
    mask = random_columns(SIZE[1], [acceleration], [fraction], 1)
    found = maps_from_calibration(kspace * mask, mask)
    assert found.shape == kspace.shape
    assert misalignment(found, maps, blobs > 0.1) < bound


def test_the_bound_rejects_the_maps_of_other_coils():
    kspace, maps, blobs = scan()
    mask = random_columns(SIZE[1], [4], [0.16], 1)
    assert misalignment(maps_from_calibration(kspace * mask, mask), maps.roll(1, 0), blobs > 0.1) > 0.1


def test_unit_root_sum_of_squares():
    kspace, _, _ = scan()
    norm = maps_from_calibration(kspace).abs().square().sum(dim=1)
    torch.testing.assert_close(norm, torch.ones_like(norm))


def test_only_the_calibration_block_is_read():
    kspace, _, _ = scan()
    mask = random_columns(SIZE[1], [4], [0.16], 1)
    centre = torch.zeros(SIZE[1])
    centre[SIZE[1] // 2 - 7 : SIZE[1] // 2 + 8] = 1
    torch.testing.assert_close(maps_from_calibration(kspace * mask, mask), maps_from_calibration(kspace * centre, mask))


def test_no_signal_gives_zero_maps():
    maps = maps_from_calibration(torch.zeros(2, 3, 9, 11, dtype=torch.complex64))
    assert torch.equal(maps, torch.zeros_like(maps))


def test_scale_does_not_matter():
    kspace, _, _ = scan()
    # A power of two, because rounding alone decides the maps where the object is not.
    torch.testing.assert_close(maps_from_calibration(2.0**-20 * kspace), maps_from_calibration(kspace))


def test_too_few_lines_and_missing_axes():
    kspace, _, _ = scan()
    mask = torch.zeros(SIZE[1])
    mask[SIZE[1] // 2] = 1
    with pytest.raises(DataError, match="at least 3 calibration lines around the centre of k-space, got 1"):
        maps_from_calibration(kspace, mask)
    with pytest.raises(ShapeError, match=r"expected k-space \(b, coil, ky, kx\)"):
        maps_from_calibration(kspace[0])


@pytest.mark.parametrize("lines", [[50], [49, 50], [49, 50, 51]], ids=["one", "two", "three"])
def test_one_coil_makes_do_with_any_line_at_the_centre(lines):
    kspace, _, _ = scan(coils=1)
    mask = torch.zeros(SIZE[1])
    mask[lines] = 1
    maps = maps_from_calibration(kspace * mask, mask)
    torch.testing.assert_close(maps.abs(), torch.ones_like(maps).abs())
    varies = not torch.allclose(maps, maps[..., :1].expand_as(maps), atol=1e-5)
    assert varies == (len(lines) == 3), "lines on both sides of the centre tell how the phase changes along x"
    assert not torch.allclose(maps, torch.ones_like(maps), atol=0.1), "the object's phase, not a placeholder"


def test_one_coil_without_its_centre_line_is_refused():
    kspace, _, _ = scan(coils=1)
    mask = torch.ones(SIZE[1])
    mask[SIZE[1] // 2] = 0
    with pytest.raises(DataError, match=r"expected line 50 \(zero frequency\) among the measured ones"):
        maps_from_calibration(kspace * mask, mask)


def test_a_real_head_at_eightfold_acceleration():
    data = np.load(shared("mr_raw/brain_cart_13ch_vfa.npz"))
    kspace, reference = torch.from_numpy(data["kspace"][2:]), torch.from_numpy(data["coil_maps"])
    reference = reference / reference.abs().square().sum(0).sqrt()
    image = ifft_centred(kspace).abs().square().sum(1).sqrt()
    mask = random_columns(224, [8], [0.04], 1)
    found = maps_from_calibration(kspace * mask, mask)
    # 0.010 measured with the cosine window, 0.033 with a Hann window of equal length both ways.
    assert misalignment(found, reference, image > 0.1 * image.max()) < 0.015


def lines_and_points():
    return {
        "lines": random_columns(SIZE[1], [4], [0.16], 1),
        "points": random_points(SIZE, [3], [0.04], 1),
        "all": None,
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", lines_and_points())
def test_every_method_gives_aligned_maps_and_a_nearly_real_image(method, name):
    kspace, maps, blobs = scan()
    mask = lines_and_points()[name]
    sampled = kspace if mask is None else kspace * mask
    found = estimate_maps(sampled, mask, method)
    assert misalignment(found, maps, blobs > 0.1) < 0.02
    combined = (found.conj() * ifft_centred(kspace)).sum(dim=1)
    assert combined.imag.norm() < 0.1 * combined.norm()
    assert combined.real[blobs > 0.1].min() > 0


def test_the_door_opens_what_is_behind_it():
    kspace, _, _ = scan()
    mask = random_columns(SIZE[1], [4], [0.16], 1)
    sampled = kspace * mask
    assert torch.equal(estimate_maps(sampled, mask), maps_from_calibration(sampled, mask))
    region = [slice(18, 42), calibration_lines(mask)]
    expected = {"adaptive": adaptive_maps(sampled, mask), "espirit": espirit_maps(sampled, calibration=region)}
    for method, maps in expected.items():
        found = estimate_maps(sampled, mask, method)
        torch.testing.assert_close(found.abs(), maps.abs())
        torch.testing.assert_close((found.conj() * maps).sum(dim=1).abs(), maps.abs().square().sum(dim=1))


@pytest.mark.parametrize("method", METHODS)
def test_one_coil_has_the_same_phase_by_every_method(method):
    kspace, _, blobs = scan(coils=1)
    inside = (blobs > 0.1).unsqueeze(1)
    found, expected = estimate_maps(kspace, method=method), maps_from_calibration(kspace)
    torch.testing.assert_close(found[inside], expected[inside])


def test_other_methods_and_too_few_lines_for_espirit():
    kspace, _, _ = scan()
    with pytest.raises(OptionError, match="by calibration, adaptive, espirit, got 'sake'"):
        estimate_maps(kspace, method="sake")
    mask = torch.zeros(SIZE[1])
    mask[48:53] = 1
    with pytest.raises(DataError, match=r"as wide as a patch, 6 along 2 axes, got \(24, 5\)"):
        estimate_maps(kspace * mask, mask, "espirit")
