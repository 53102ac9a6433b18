"""The baselines: better than nothing where they should be, in any units, for one coil and several."""

import sys

import pytest
import torch
from torch import Tensor

from invrim import CartesianMRI, LeastSquares
from invrim.data.coil_profiles import ring_of_coils
from invrim.data.masks import random_columns
from invrim.errors import MissingExtraError, OptionError
from invrim.models.baselines import CompressedSensing, ZeroFilled
from invrim.models.cg_sense import ConjugateGradientSENSE
from invrim.operators import FourierTransform, conjugate_gradient

SIZE = (61, 72)
"""Odd and even, not square: where the centre of a transform is wrong, it shows."""
GAIN = 2.0
"""Factor by which the error must shrink against zero-filled on a piecewise constant object."""


def phantom() -> Tensor:
    """Two different nested ellipses off centre, complex ``(2, y, x)``."""
    y = torch.linspace(-1, 1, SIZE[0])[:, None]
    x = torch.linspace(-1, 1, SIZE[1])
    head = ((y - 0.1) ** 2 / 0.5 + x**2 / 0.6 < 1).float()
    inner = ((y + 0.2) ** 2 / 0.08 + (x - 0.2) ** 2 / 0.1 < 1).float()
    phase = torch.polar(torch.ones(SIZE), 0.8 * x + 0.5 * y)
    return torch.stack([head - 0.6 * inner, 0.5 * head + 0.4 * inner]) * phase


def measure(image: Tensor, coils: int = 1, acceleration: float = 3) -> LeastSquares:
    masks = [random_columns(SIZE[1], [acceleration], [0.1], seed).float() for seed in range(len(image))]
    maps = ring_of_coils(coils, SIZE, torch.Generator().manual_seed(0))[None] if coils > 1 else None
    operator = CartesianMRI(torch.stack(masks)[:, None, None], maps)
    return LeastSquares(operator, operator(image))


def error(image: Tensor, truth: Tensor) -> Tensor:
    """Relative to the truth, for each slice."""
    return (image - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)


def assert_clearly_better(image: Tensor, fidelity: LeastSquares, truth: Tensor) -> None:
    before, after = error(ZeroFilled()(fidelity), truth), error(image, truth)
    assert (GAIN * after < before).all(), f"errors {after.tolist()} against {before.tolist()} zero-filled"


@pytest.fixture
def _bart() -> None:
    pytest.importorskip("bartorch")


def test_zero_filled_is_the_back_projection():
    fidelity = measure(phantom())
    assert torch.equal(ZeroFilled()(fidelity), fidelity.operator.adjoint(fidelity.data))


def test_cg_sense_unfolds_coils_and_leaves_one_coil_zero_filled():
    truth = phantom()
    coils, single = measure(truth, coils=5, acceleration=2), measure(truth)
    assert_clearly_better(ConjugateGradientSENSE(iterations=20)(coils), coils, truth)
    torch.testing.assert_close(ConjugateGradientSENSE()(single), single.start())


def test_cg_sense_stops_where_it_is_told():
    fidelity = measure(phantom(), coils=5)
    assert torch.equal(
        ConjugateGradientSENSE(iterations=3)(fidelity), conjugate_gradient(fidelity, fidelity.start(), 3)
    )
    with pytest.raises(OptionError, match="expected iterations >= 1, got 0"):
        ConjugateGradientSENSE(iterations=0)


@pytest.mark.usefixtures("_bart")
@pytest.mark.parametrize("coils", [1, 5])
def test_compressed_sensing_beats_zero_filled(coils):
    truth = phantom()
    fidelity = measure(truth, coils)
    image = CompressedSensing()(fidelity)
    assert image.shape == truth.shape
    assert image.dtype == torch.complex64
    assert_clearly_better(image, fidelity, truth)


@pytest.mark.usefixtures("_bart")
def test_the_check_rejects_maps_in_the_wrong_order():
    truth = phantom()
    fidelity = measure(truth, coils=5)
    wrong = CartesianMRI(fidelity.operator.sampling.mask, fidelity.operator.coils.maps.flip(1))
    image = CompressedSensing()(LeastSquares(wrong, fidelity.data))
    with pytest.raises(AssertionError, match="zero-filled"):
        assert_clearly_better(image, fidelity, truth)


@pytest.mark.usefixtures("_bart")
def test_units_do_not_matter_and_nothing_stays_nothing():
    truth = phantom()
    fidelity = measure(truth)
    scales = torch.tensor([3e-6, 0.0])[:, None, None, None]
    small, nothing = CompressedSensing()(LeastSquares(fidelity.operator, scales * fidelity.data))
    torch.testing.assert_close(small / 3e-6, CompressedSensing()(fidelity)[0], rtol=0, atol=1e-4)
    assert not nothing.any()


@pytest.mark.usefixtures("_bart")
def test_only_cartesian_slices_are_taken():
    volume = torch.zeros(2, 4, 6, 8, dtype=torch.complex64)
    operator = CartesianMRI(torch.ones(1, 1, 1, 6, 8), ndim=3)
    with pytest.raises(OptionError, match=r"expected CartesianMRI of slices \(ndim=2\), got ndim=3"):
        CompressedSensing()(LeastSquares(operator, operator(volume)))
    with pytest.raises(OptionError, match="got FourierTransform"):
        CompressedSensing()(LeastSquares(FourierTransform(2), volume))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bartorch", None)
    with pytest.raises(MissingExtraError, match=r"Run: pip install invrim\[bart\]"):
        CompressedSensing()(measure(phantom()))


def test_impossible_options_are_refused():
    with pytest.raises(OptionError, match="iterations >= 1"):
        CompressedSensing(iterations=0)
