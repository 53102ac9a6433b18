"""K-space from plain arrays, whose axes somebody has to name."""

import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from invrim.data.formats.arrays import guess_axes
from invrim.data.formats.opening import open_scan
from invrim.data.trajectories import radial
from invrim.errors import DataError, FileError, OptionError, ShapeError
from invrim.operators import ifft_centred
from scans import scan
from shared_data import shared

KSPACE = scan(coils=3).kspace.numpy()  # (slice 3, coil 3, ky 48, kx 40)


def test_axes_in_any_order_give_the_same(tmp_path):
    np.save(tmp_path / "a.npy", KSPACE)
    np.save(tmp_path / "b.npy", KSPACE.transpose(3, 2, 1, 0))
    first = open_scan(tmp_path / "a.npy", "slice coil ky kx").read().kspace
    second = open_scan(tmp_path / "b.npy", "kx ky coil slice").read().kspace
    torch.testing.assert_close(first, torch.from_numpy(KSPACE), rtol=0, atol=0)
    torch.testing.assert_close(second, first, rtol=0, atol=0)


def test_one_coil_and_one_slice_need_no_axes_of_their_own(tmp_path):
    np.save(tmp_path / "a.npy", KSPACE[0, 0])
    assert open_scan(tmp_path / "a.npy", "ky kx").read().kspace.shape == (1, 1, 48, 40)


def test_volumes_come_one_after_the_other(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([KSPACE, 2 * KSPACE]))
    acquisition = open_scan(tmp_path / "a.npy", "volume slice coil ky kx").read()
    assert (acquisition.volumes, len(acquisition.kspace)) == (2, 6)
    torch.testing.assert_close(acquisition.kspace[3], torch.from_numpy(2 * KSPACE[0]))


def test_a_volume_with_two_phase_encodings(tmp_path):
    points = np.random.default_rng(0).random((12, 9)) < 0.6
    points[6, 4] = True
    volume = (np.random.default_rng(1).normal(size=(2, 7, 12, 9)) * points).astype(np.complex64)
    np.save(tmp_path / "a.npy", volume)
    acquisition = open_scan(tmp_path / "a.npy", "coil kz ky kx").read()
    assert acquisition.kspace.shape == (7, 2, 12, 9)
    assert acquisition.mask.numpy().tolist() == points.tolist()


@pytest.mark.parametrize("suffix", ["npz", "mat", "mat 7.3"])
def test_containers(tmp_path, suffix):
    path = tmp_path / f"a.{suffix.split()[0]}"
    if suffix == "npz":
        np.savez_compressed(path, kspace=KSPACE, coil_maps=KSPACE[0], flip_deg=np.arange(3.0))
    elif suffix == "mat":
        scipy.io.savemat(path, {"rawdata": KSPACE, "sens": KSPACE[0], "who": "nobody"})
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            pairs = np.empty(KSPACE.T.shape, [("real", "f4"), ("imag", "f4")])
            pairs["real"], pairs["imag"] = KSPACE.T.real, KSPACE.T.imag
            file["kspace"] = pairs
    acquisition = open_scan(path, "slice coil ky kx").read()
    torch.testing.assert_close(acquisition.kspace, torch.from_numpy(KSPACE), rtol=0, atol=0)


def test_lines_and_points_are_found_by_their_zeros(tmp_path):
    lines = np.arange(40) % 3 == 2
    np.save(tmp_path / "lines.npy", KSPACE * lines)
    assert open_scan(tmp_path / "lines.npy", "slice coil ky kx").read().mask.tolist() == lines.tolist()
    points = np.random.default_rng(0).random((48, 40)) < 0.5
    np.save(tmp_path / "points.npy", KSPACE * points)
    header = open_scan(tmp_path / "points.npy", "slice coil ky kx").header
    assert header.phase_encodes == 2
    assert header.mask.tolist() == points.tolist()
    by_slice = np.stack([np.roll(lines, n) for n in range(3)])[:, None, None]
    np.save(tmp_path / "each.npy", KSPACE * by_slice)
    assert open_scan(tmp_path / "each.npy", "slice coil ky kx").read().mask.tolist() == by_slice[:, 0].tolist()


def test_a_trajectory_beside_the_samples(tmp_path):
    trajectory = radial(11, 32).numpy()
    samples = np.ones((2, 3, 11, 32), np.complex64)
    np.savez(tmp_path / "a.npz", kspace=samples, traj=trajectory)
    scan = open_scan(tmp_path / "a.npz", "slice coil readouts samples")
    acquisition = scan.read()
    assert (scan.header.matrix, scan.header.is_cartesian) == ((16, 16), False)
    assert scan.header.notices == ("no image_size in the file: 16 x 16, half as many pixels as samples",)
    assert acquisition.trajectory.tolist() == trajectory[None].tolist()
    np.savez(tmp_path / "b.npz", kspace=samples, traj=trajectory, image_size=(20, 18))
    assert open_scan(tmp_path / "b.npz", "slice coil readouts samples").header.matrix == (20, 18)
    np.savez(tmp_path / "c.npz", kspace=samples, traj=32 * trajectory)
    with pytest.raises(DataError, match="in cycles per pixel"):
        open_scan(tmp_path / "c.npz", "slice coil readouts samples")
    np.savez(tmp_path / "d.npz", kspace=samples, traj=trajectory[:5])
    with pytest.raises(ShapeError, match="expected a trajectory"):
        open_scan(tmp_path / "d.npz", "slice coil readouts samples")


@pytest.mark.parametrize(
    ("shape", "guess"),
    [
        ((48, 40), "ky kx"),
        ((8, 230, 180), "coil ky kx"),
        ((230, 180, 8), "ky kx coil"),
        ((3, 13, 224, 224), "slice coil ky kx"),
    ],
)
def test_without_axes_a_guess_is_made(tmp_path, shape, guess):
    assert guess_axes(shape) == guess
    np.save(tmp_path / "a.npy", np.ones(shape, np.complex64))
    with pytest.raises(OptionError, match=f'It looks like --axes "{guess}"'):
        open_scan(tmp_path / "a.npy")


@pytest.mark.parametrize("axes", ["coil ky", "slice coil ky ky", "slice coil x y", "slice coil kz ky"])
def test_axes_that_do_not_fit(tmp_path, axes):
    np.save(tmp_path / "a.npy", KSPACE)
    with pytest.raises(OptionError, match="expected 4 different axes"):
        open_scan(tmp_path / "a.npy", axes)


def test_nothing_is_executed_and_nothing_grows(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match=r"expected a complete \.npy file of numbers"):
        open_scan(tmp_path / "objects.npy", "ky kx")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kspace.npy", bytes(1 << 27))
    with pytest.raises(FileError, match="packed into"):
        open_scan(tmp_path / "bomb.npz", "ky kx")
    header = np.lib.format.header_data_from_array_1_0(np.ones((2, 2), np.complex64)) | {"shape": (1 << 20, 1 << 20)}
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(FileError, match=r"expected 8796093022208 bytes .* got 0"):
        open_scan(tmp_path / "huge.npy", "ky kx")


def test_nan_and_files_without_kspace(tmp_path):
    np.save(tmp_path / "nan.npy", np.full((4, 4), np.nan, np.complex64))
    with pytest.raises(DataError, match="expected finite k-space"):
        open_scan(tmp_path / "nan.npy", "ky kx")
    np.savez(tmp_path / "a.npz", image=np.ones((4, 4)))
    with pytest.raises(DataError, match="expected complex k-space"):
        open_scan(tmp_path / "a.npz", "ky kx")


def test_a_real_poisson_disc_scan():
    scan = open_scan(shared("mr_raw/brain_cart_8ch_poisson.npy"), "coil ky kx")
    header = scan.header
    assert (header.coils, header.matrix, header.phase_encodes) == (8, (230, 180), 2)
    assert header.mask.float().mean() == pytest.approx(0.124, abs=0.002)
    assert ifft_centred(scan.read().kspace).isfinite().all()
