"""The statements of docs/conventions.md that no other test pins."""

import copy
import re
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch

from invrim import IRIM, CartesianMRI, LeastSquares, ReversibleBlock
from invrim.data.acquisition import Acquisition
from invrim.data.coil_maps import maps_from_calibration
from invrim.data.formats.fastmri import read_acquisition, write_acquisition
from invrim.data.formats.nifti import read_volume
from invrim.data.masks import calibration_lines, random_columns, seed_of
from invrim.data.simulation import simulate_volume
from invrim.layers import OrthogonalMixing, ResidualNet
from invrim.operators import fft_centred, ifft_centred
from invrim.reconstruction import fidelity_of

ROOT = Path(__file__).resolve().parents[1]
MASK = torch.tensor([0, 1, 0, 1, 1, 1, 1, 0, 1, 0])
"""Not symmetric."""


def complex_noise(*shape):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


def small_model(**options):
    torch.manual_seed(0)
    return IRIM(steps=2, hidden=[3, 4], strides=[1, 2], channels=6, head="eta", **options)


def fidelity(scale):
    data = scale.reshape(-1, 1, 1, 1) * complex_noise(2, 1, 9, 10) * MASK
    return LeastSquares(CartesianMRI(MASK.reshape(1, 1, 1, -1)), data)


def test_every_statement_names_a_test_that_exists():
    page = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", page)
    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / (file or "tests/test_conventions.py")).read_text(encoding="utf-8")


def test_axes_of_images_and_kspace():
    maps = complex_noise(2, 3, 7, 10)
    operator = CartesianMRI(MASK.reshape(1, 1, 1, -1), maps)
    kspace = operator(complex_noise(2, 7, 10))
    assert kspace.shape == (2, 3, 7, 10)
    assert kspace.dtype == torch.complex64
    assert operator.adjoint(kspace).shape == (2, 7, 10)
    volume = CartesianMRI(MASK.reshape(1, 1, 1, 1, -1), complex_noise(2, 3, 4, 7, 10), ndim=3)
    assert volume(complex_noise(2, 4, 7, 10)).shape == (2, 3, 4, 7, 10)


def test_a_mask_is_true_where_measured():
    kspace = CartesianMRI(MASK.bool().reshape(1, 1, 1, -1))(complex_noise(2, 7, 10))
    assert torch.equal(kspace.abs().amax(dim=(0, 1, 2)) > 0, MASK.bool())


def test_one_coil_has_no_axis_in_files(tmp_path):
    for coils, shape in {1: (2, 7, 10), 3: (2, 3, 7, 10)}.items():
        kspace = complex_noise(2, coils, 7, 10)
        write_acquisition(tmp_path / "scan.h5", Acquisition(name="scan.h5", kspace=kspace))
        with h5py.File(tmp_path / "scan.h5") as file:
            assert file["kspace"].shape == shape
        assert torch.equal(read_acquisition(tmp_path / "scan.h5").kspace, kspace)


def test_volumes_are_ras_and_millimetres(tmp_path):
    stored = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    lps = nibabel.Nifti1Image(stored, np.diag([-2.0, -0.5, 1.5, 1.0]))
    nibabel.save(lps, tmp_path / "head.nii.gz")
    volume = read_volume(tmp_path / "head.nii.gz")
    assert np.array_equal(volume.array, stored[::-1, ::-1])
    assert volume.voxel_mm == (2.0, 0.5, 1.5)


@pytest.mark.parametrize("size", [(6, 9), (7, 10)])
def test_fourier_is_centred_and_unitary(size):
    point = torch.zeros(size, dtype=torch.complex64)
    point[size[0] // 2, size[1] // 2] = 1
    flat = torch.full(size, (size[0] * size[1]) ** -0.5, dtype=torch.complex64)
    torch.testing.assert_close(fft_centred(point), flat)
    torch.testing.assert_close(fft_centred(flat), point)
    torch.testing.assert_close(ifft_centred(fft_centred(x := complex_noise(*size))), x)


@pytest.mark.parametrize("name", ["file1000000.h5", "file1000007.h5", "other.h5"])
def test_masks_are_seeded_by_the_file_name(name):
    columns = 101
    generator = np.random.RandomState([ord(letter) for letter in name])
    choice = generator.randint(2)
    centre = round(columns * (0.08, 0.04)[choice])
    expected = generator.uniform(size=columns) < (columns / (4, 8)[choice] - centre) / (columns - centre)
    start = (columns - centre + 1) // 2
    expected[start : start + centre] = True
    assert np.array_equal(random_columns(columns, seed=seed_of(name)).numpy(), expected)


def test_maps_have_unit_root_sum_of_squares():
    kspace = complex_noise(2, 3, 9, 10)
    kspace[1] = 0
    root = torch.linalg.vector_norm(maps_from_calibration(kspace * MASK, _calibrated()), dim=1)
    torch.testing.assert_close(root[0], torch.ones(9, 10))
    assert torch.equal(root[1], torch.zeros(9, 10))


def test_maps_come_from_the_calibration_lines_alone():
    mask = _calibrated()
    kspace = complex_noise(2, 3, 9, 10) * mask
    lines = calibration_lines(mask)
    assert (lines.start, lines.stop) == (3, 9)
    changed = kspace.clone()
    changed[..., :2] += 5
    assert torch.equal(maps_from_calibration(changed, mask), maps_from_calibration(kspace, mask))


def test_one_coil_has_the_phase_of_the_image_as_its_map():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 33), torch.linspace(-1, 1, 40), indexing="ij")
    head = (y**2 + 1.3 * x**2 < 0.6).float()
    kspace = fft_centred(torch.polar(head, 0.7 + x - 0.5 * y * x)[None, None])
    mask = torch.zeros(40)
    mask[12:29] = 1
    acquisition = Acquisition(name="scan.h5", kspace=kspace * mask, mask=mask)
    fidelity = fidelity_of(acquisition)
    maps = maps_from_calibration(kspace * mask, mask)
    assert torch.equal(fidelity.start(), (maps.conj() * ifft_centred(kspace * mask)).sum(dim=1))
    combined = (maps.conj() * ifft_centred(kspace))[0, 0]
    assert combined.imag.norm() < 0.02 * combined.norm()


def _calibrated():
    mask = torch.zeros(10, dtype=torch.bool)
    mask[[0, 3, 4, 5, 6, 7, 8]] = True
    return mask


def test_snr_of_the_simulation():
    stack = np.zeros((3, 60, 50), dtype=np.float32)
    stack[:, 10:45, 8:40] = np.linspace(300, 700, 35, dtype=np.float32)[None, :, None]
    noisy, clean = (simulate_volume(stack, "scan.h5", coils=2, snr=snr, seed=3) for snr in (20.0, float("inf")))
    assert torch.equal(noisy.target, torch.linalg.vector_norm(ifft_centred(noisy.kspace), dim=1))
    one_coil = simulate_volume(stack, "scan.h5", snr=20.0, seed=3).target
    torch.testing.assert_close(clean.target, one_coil, rtol=0, atol=1e-5)
    assert np.percentile(one_coil[one_coil > 0], 99.9) == pytest.approx(1, rel=1e-5)
    expected = float(one_coil[one_coil > 0.1].mean()) / 20
    for noise in (noisy.kspace - clean.kspace, ifft_centred(noisy.kspace - clean.kspace)):
        # 9,000 draws of a complex number for each coil: their deviation is known to a percent.
        assert noise.real.std() == pytest.approx(expected, rel=0.03)
        assert noise.imag.std() == pytest.approx(expected, rel=0.03)


def test_intensities_are_normalised_over_the_centre():
    model = IRIM(steps=1, hidden=[2], strides=[4], channels=4, head="eta")
    start = 7 * complex_noise(2, 331, 325)
    start[:, :5] = 1000
    start[:, :, -2:] = 1000
    seen = []
    model.chain.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        model(LeastSquares(CartesianMRI(torch.ones(1, 1, 1, 325)), fft_centred(start)[:, None]), start)
    centre = seen[0][:, :2, 5:325, 2:322]
    torch.testing.assert_close(centre.flatten(1).std(dim=1), torch.ones(2))


def test_reconstruction_scales_with_the_data():
    model, scale = small_model(), torch.tensor([1e-5, 300.0])
    with torch.no_grad():
        one, other = model(fidelity(torch.ones(2))), model(fidelity(scale))
    torch.testing.assert_close(other / scale.reshape(-1, 1, 1), one, rtol=1e-4, atol=1e-4)


def test_a_slice_of_zeros_stays_zero():
    with torch.no_grad():
        image = small_model()(fidelity(torch.tensor([0.0, 1.0])))
    assert not image[0].any()
    assert image[1].any()


def test_layout_of_the_state():
    model = IRIM(steps=1, hidden=[2], strides=[1], channels=19, images=2, multiplicity=2, metadata=3)
    images = complex_noise(2, 2, 5, 4)
    metadata = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    state = model.initial_state(images, metadata)
    assert state.shape == (2, 19, 5, 4)
    assert torch.equal(state[:, :4], images.real.repeat(1, 2, 1, 1))
    assert torch.equal(state[:, 4:8], images.imag.repeat(1, 2, 1, 1))
    assert not state[:, 8:16].any()
    assert torch.equal(state[:, 16:, 2, 3], metadata)


def test_a_stride_pads_and_crops():
    net = ResidualNet(3, 4, 2, stride=4)
    x = torch.randn(2, 3, 7, 10)
    padded = torch.nn.functional.pad(x, (0, 2, 0, 1))
    torch.testing.assert_close(net(x), net(padded)[..., :7, :10])
    assert (net(x) != 0).all()
    assert ResidualNet(3, 4, 2, stride=4, ndim=3).stride == (1, 4, 4)


def test_the_state_stays_float32():
    block, z = ReversibleBlock(5, 4), torch.randn(2, 5, 7, 6)
    seen = []
    block.net.down.register_forward_hook(lambda *arguments: seen.append(arguments[-1].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        out = block(z)
    assert seen == [torch.bfloat16]
    assert out.dtype == torch.float32
    assert not torch.equal(out, out.bfloat16().float())


def test_reflections_multiply_in_float64():
    mixing = OrthogonalMixing(16)
    assert torch.equal(mixing.matrix(), copy.deepcopy(mixing).double().matrix().float())
