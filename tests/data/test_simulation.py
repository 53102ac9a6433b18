"""The simulated scan is what its documentation says."""

import math

import numpy as np
import pytest
import torch

from invrim.data.appearance import Appearance
from invrim.data.coil_profiles import ring_of_coils
from invrim.data.masks import random_columns, seed_of
from invrim.data.simulation import SliceChoice, simulate_volume
from invrim.errors import DataError, OptionError
from invrim.operators.fourier import ifft_centred

SIZE = (45, 52)


@pytest.fixture(scope="module")
def stack():
    y, x = np.mgrid[-1 : 1 : SIZE[0] * 1j, -1 : 1 : SIZE[1] * 1j]
    inside = (y / 0.8) ** 2 + (x / 0.6) ** 2 < 1
    return np.stack([300.0 * inside * (1 + 0.3 * np.cos(5 * x + n) * y) for n in range(6)] + [np.zeros(SIZE)])


@pytest.mark.parametrize("coils", [1, 5])
def test_without_noise_the_combined_image_is_the_target(stack, coils):
    scan = simulate_volume(stack, "a.h5", coils=coils, snr=math.inf, seed=3)
    combined = (scan.truth["maps"].conj() * ifft_centred(scan.kspace)).sum(dim=1)
    torch.testing.assert_close(combined, scan.truth["image"], atol=2e-6, rtol=0)
    torch.testing.assert_close(combined.abs(), scan.target, atol=2e-6, rtol=0)


@pytest.mark.parametrize("coils", [1, 5])
def test_the_noise_has_the_stated_level_in_the_combined_image(stack, coils):
    scan = simulate_volume(stack, "a.h5", coils=coils, snr=20, seed=3)
    noise = (scan.truth["maps"].conj() * ifft_centred(scan.kspace)).sum(dim=1) - scan.truth["image"]
    magnitude = scan.truth["image"].abs()
    signal = magnitude[magnitude > 0.1].mean()
    # 14,000 pixels: the deviation's own standard error is 0.6 %.
    assert signal / noise.real.std() == pytest.approx(20, rel=0.03)
    assert signal / noise.imag.std() == pytest.approx(20, rel=0.03)


def test_the_looks_are_in_image_and_target(stack):
    looks = Appearance(fat=3, receive_bias=1, tissue_phase=0.5)
    plain = simulate_volume(stack, "a.h5", snr=math.inf)
    scan = simulate_volume(stack, "a.h5", snr=math.inf, appearance=looks)
    torch.testing.assert_close(scan.target, looks.magnitude(plain.target))
    assert scan.attributes["max"] == scan.target.max()
    smooth_phase = plain.truth["image"] / plain.target.clamp(min=1e-9)
    torch.testing.assert_close(
        scan.truth["image"], torch.polar(scan.target, 0.5 * scan.target) * smooth_phase, atol=1e-5, rtol=1e-5
    )


def test_intensities_are_scaled_and_empty_slices_left_out(stack):
    scan = simulate_volume(stack, "a.h5")
    assert len(scan.kspace) == 6
    assert scan.target[scan.target > 0].quantile(0.999) == pytest.approx(1, abs=0.01)
    assert scan.attributes["max"] == scan.target.max()
    assert len(simulate_volume(stack, "a.h5", choice=SliceChoice(every=4)).kspace) == 2


def test_equal_seeds_give_equal_bits(stack):
    first, same, other = (simulate_volume(stack, "a.h5", coils=3, acceleration=4, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.kspace, same.kspace)
    assert not torch.equal(first.kspace, other.kspace)


def test_undersampling_follows_the_protocol(stack):
    assert simulate_volume(stack, "a.h5").mask is None
    scan = simulate_volume(stack, "a.h5", acceleration=4)
    assert torch.equal(scan.mask, random_columns(SIZE[1], [4], [0.08], seed_of("a.h5")))
    assert not scan.kspace[..., ~scan.mask].any()
    assert scan.kspace[..., scan.mask].abs().min() > 0


def test_the_ring_is_smooth_distinct_and_normalised():
    maps = ring_of_coils(7, SIZE, torch.Generator().manual_seed(0))
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(SIZE))
    # A phase that wraps around a coil would jump by up to 2 between neighbours.
    assert max(maps.diff(dim=1).abs().max(), maps.diff(dim=2).abs().max()) < 0.3
    gram = torch.einsum("iyx,jyx->ij", maps.abs(), maps.abs())
    assert (gram - torch.diag(gram.diag())).max() < 0.9 * gram.diag().max()
    assert torch.equal(ring_of_coils(1, SIZE, torch.Generator()), torch.ones(1, *SIZE, dtype=torch.complex64))


@pytest.mark.parametrize("bad", [np.zeros((2, 5, 7)), np.full((2, 5, 7), np.nan), -np.ones((2, 5, 7)), np.ones((5, 7))])
def test_stacks_that_are_no_images(bad):
    with pytest.raises(DataError, match=r"expected finite magnitudes \(slices, y, x\)"):
        simulate_volume(bad, "a.h5")


def test_options_out_of_range(stack):
    with pytest.raises(DataError, match="slices with at least 90% object, got none"):
        simulate_volume(stack, "a.h5", choice=SliceChoice(min_signal=0.9))
    with pytest.raises(OptionError, match="expected coils >= 1 and snr > 0, got 0 and 30"):
        simulate_volume(stack, "a.h5", coils=0)
    for snr in (0, math.nan):
        with pytest.raises(OptionError, match=f"expected coils >= 1 and snr > 0, got 1 and {snr}"):
            simulate_volume(stack, "a.h5", snr=snr)
    for acceleration in (0, math.nan, math.inf):
        with pytest.raises(OptionError, match=f"expected an acceleration >= 1, got {acceleration}"):
            simulate_volume(stack, "a.h5", acceleration=acceleration)
    with pytest.raises(OptionError, match="expected every >= 1, got 0"):
        SliceChoice(every=0)
