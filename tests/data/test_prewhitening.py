"""Prewhitening: what noise becomes, what happens to units, and which noise is refused."""

import pytest
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.prewhitening import mix_coils, noise_covariance, prewhitened, whitening_matrix
from invrim.errors import DataError, ShapeError
from scans import scan

COILS, SAMPLES = 5, 20_000


def mixing(seed: int = 0) -> torch.Tensor:
    """How noise couples between coils of different gains, as strongly as it may."""
    coupling = torch.randn(COILS, COILS, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    gains = torch.tensor([1.0, 0.02, 3.0, 10.0, 0.3], dtype=torch.float64)
    return gains[:, None] * (torch.eye(COILS) + 0.4 * coupling)


def white(*shape: int, seed: int = 1) -> torch.Tensor:
    """Variance 1 in real and in imaginary part."""
    return torch.view_as_complex(torch.randn(*shape, 2, generator=torch.Generator().manual_seed(seed)))


def noise(scale: float = 1.0, seed: int = 1) -> torch.Tensor:
    return (scale * mixing() @ white(COILS, SAMPLES, seed=seed).to(torch.complex128)).to(torch.complex64)


def test_noise_becomes_white_with_unit_variance_in_real_and_imaginary_part():
    # Squares of 1e-23 do not exist in float32.
    learned, fresh = noise(1e-23, seed=1), noise(1e-23, seed=2)
    matrix = whitening_matrix(noise_covariance(learned))
    made = matrix @ fresh.to(torch.complex128)
    # 20,000 samples know a variance to one percent.
    torch.testing.assert_close(made.real.var(dim=1), torch.ones(COILS, dtype=torch.float64), rtol=0, atol=0.05)
    torch.testing.assert_close(made.imag.var(dim=1), torch.ones(COILS, dtype=torch.float64), rtol=0, atol=0.05)
    torch.testing.assert_close(noise_covariance(made), 2 * torch.eye(COILS, dtype=torch.complex128), rtol=0, atol=0.06)
    assert (noise_covariance(fresh * 1e23).abs() - 2 * torch.eye(COILS)).abs().max() > 1, "it was not white before"


def test_the_matrix_is_lower_triangular_and_the_first_coil_only_scaled():
    matrix = whitening_matrix(noise_covariance(noise()))
    assert torch.equal(matrix, matrix.tril())
    assert matrix[0, 0].real > 0
    assert matrix[0, 0].imag == 0


def test_coils_are_mixed_by_the_matrix():
    kspace, matrix = white(2, COILS, 7, 6), white(3, COILS, seed=4)
    expected = torch.stack([sum(matrix[v, c] * kspace[:, c] for c in range(COILS)) for v in range(3)], dim=1)
    torch.testing.assert_close(mix_coils(matrix, kspace), expected)


def test_an_acquisition_keeps_the_noise_power_of_its_root_sum_of_squares():
    acquisition = Acquisition(name="a.h5", kspace=mix_coils(mixing(), white(2, COILS, 9, 8)), noise=noise())
    whitened = prewhitened(acquisition)
    covariance = noise_covariance(whitened.noise)
    level = float(noise_covariance(noise()).diagonal().real.mean())
    torch.testing.assert_close(covariance, level * torch.eye(COILS, dtype=torch.complex128), rtol=0, atol=1e-4 * level)
    assert whitened.kspace.dtype == torch.complex64
    power = whitened.kspace.abs().square().mean(dim=(0, 2, 3))
    assert power.max() / power.min() < 1.5, "k-space that was noise itself is white, too"


def test_white_noise_changes_nothing_but_what_its_estimate_is_off():
    kspace = white(2, COILS, 9, 8, seed=3)
    acquisition = Acquisition(name="a.h5", kspace=kspace, noise=0.01 * white(COILS, 400_000))
    torch.testing.assert_close(prewhitened(acquisition).kspace, kspace, rtol=0, atol=0.03)


def test_without_noise_or_with_one_coil_nothing_happens():
    for acquisition in (scan(coils=3), Acquisition(name="a.h5", kspace=white(2, 1, 9, 8), noise=white(1, 100))):
        assert prewhitened(acquisition) is acquisition


def silent():
    return torch.cat([noise()[:2], torch.zeros(1, SAMPLES), noise()[3:]])


def repeated():
    return torch.cat([noise(), 2j * noise()[1:2]])


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (
            noise()[:, :49],
            DataError,
            "expected at least 50 noise samples for 5 coils, got 49. Give a longer noise scan",
        ),
        (silent(), DataError, "expected noise from every coil, got none from coil 2. Leave it out"),
        (
            repeated(),
            DataError,
            "expected coils with noise of their own, got a singular covariance .* Leave out coils that repeat others",
        ),
        (noise() / 0, DataError, "expected finite noise"),
        (noise()[:, :, None], ShapeError, r"expected noise \(coil, samples\), got \(5, 20000, 1\)"),
    ],
    ids=["short", "silent", "repeated", "nan", "one axis"],
)
def test_noise_that_is_no_base(bad, error, message):
    with pytest.raises(error, match=rf"^a\.h5: {message}"):
        prewhitened(Acquisition(name="a.h5", kspace=white(2, len(bad), 9, 8), noise=bad))


def test_noise_of_other_coils_is_refused():
    with pytest.raises(ShapeError, match=r"^a\.h5: expected noise of 4 coils, got 5"):
        prewhitened(Acquisition(name="a.h5", kspace=white(2, 4, 9, 8), noise=noise()))
