"""BART's pairs of files, by BART itself where it is installed."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.formats.bart import read_array, write_acquisition, write_array, write_images
from invrim.data.formats.opening import open_scan
from invrim.data.volumes import acquisition_of_volume
from invrim.errors import DataError, FileError
from invrim.operators import ifft_centred
from scans import scan

KSPACE = scan(coils=3).kspace.numpy()  # (slice 3, coil 3, ky 48, kx 40)


def as_bart(kspace: np.ndarray) -> np.ndarray:
    """``(slice, coil, readout, phase)`` as dimensions 0, 1, 3 and 13."""
    stack = kspace.transpose(2, 3, 1, 0)
    return stack.reshape(stack.shape[0], stack.shape[1], 1, stack.shape[2], *(1,) * 9, stack.shape[3])


@pytest.mark.parametrize("suffix", [".cfl", ".hdr"])
def test_slices_and_coils(tmp_path, suffix):
    write_array(tmp_path / "a", as_bart(KSPACE))
    acquisition = open_scan(tmp_path / f"a{suffix}").read()
    torch.testing.assert_close(acquisition.kspace, torch.from_numpy(KSPACE), rtol=0, atol=0)
    assert (acquisition.name, acquisition.mask) == ("a.cfl", None)


def test_names_with_dots_keep_them(tmp_path):
    write_array(tmp_path / "a.b.cfl", as_bart(KSPACE))
    assert open_scan(tmp_path / "a.b.cfl").read().name == "a.b.cfl"


def test_time_makes_volumes(tmp_path):
    write_array(tmp_path / "a", np.stack([as_bart(KSPACE)[..., 0], 2 * as_bart(KSPACE)[..., 0]], axis=10))
    acquisition = open_scan(tmp_path / "a.cfl").read()
    assert acquisition.volumes == 2
    torch.testing.assert_close(acquisition.kspace[1], torch.from_numpy(2 * KSPACE[0]))


def test_partitions_make_a_volume(tmp_path):
    rng = np.random.default_rng(0)
    volume = (rng.normal(size=(7, 12, 9, 2)) + 1j).astype(np.complex64)  # readout, phase, partition, coil
    volume[:, 3] = 0
    write_array(tmp_path / "a", volume)
    acquisition = open_scan(tmp_path / "a.cfl").read()
    assert acquisition.kspace.shape == (7, 2, 9, 12)
    assert acquisition.mask.shape == (9, 12)
    assert not acquisition.mask[:, 3].any()


def test_arrays_come_back(tmp_path):
    array = (np.arange(24).reshape(2, 3, 4) * (1 + 2j)).astype(np.complex64)
    write_array(tmp_path / "a", array)
    assert np.array_equal(read_array(tmp_path / "a.cfl").reshape(2, 3, 4, order="F"), array)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("# Dimensions\n48 40 1 3 1 1 1 1 1 1 1 1 1 4\n", "expected 184320 bytes"),
        ("# Dimensions\n99999999 99999999 99999999\n", "bytes for the"),
        ("# Dimensions\n-48 40\n", "expected 1 to 16 sizes above 0"),
        ("# Dimensions\nmany\n", "expected a line `# Dimensions`"),
        ("nothing\n", "expected a line `# Dimensions`"),
    ],
)
def test_headers_that_do_not_fit(tmp_path, header, message):
    write_array(tmp_path / "a", as_bart(KSPACE))
    (tmp_path / "a.hdr").write_text(header)
    with pytest.raises(FileError, match=message):
        open_scan(tmp_path / "a.cfl")


def test_half_a_pair_and_nan(tmp_path):
    write_array(tmp_path / "a", np.full((4, 4), np.nan, np.complex64))
    with pytest.raises(DataError, match="expected finite k-space"):
        open_scan(tmp_path / "a.cfl")
    (tmp_path / "a.hdr").unlink()
    with pytest.raises(FileError, match=r"a\.cfl: expected a\.hdr beside it, got nothing there"):
        open_scan(tmp_path / "a.cfl")


@pytest.fixture
def bart(tmp_path):
    """Run BART itself in the test's folder."""
    if shutil.which("bart") is None:
        pytest.skip("bart is not on this machine")
    return lambda *command: subprocess.run(["bart", *command], cwd=tmp_path, check=True, capture_output=True)


def rss(path):
    return torch.linalg.vector_norm(ifft_centred(open_scan(path).read().kspace), dim=1).numpy()


def test_barts_own_images_are_ours(tmp_path, bart):
    bart("phantom", "-k", "-s", "8", "-x", "64", "ksp")
    bart("fft", "-iu", "3", "ksp", "coils")
    bart("rss", "8", "coils", "img")
    expected = np.abs(read_array(tmp_path / "img.cfl").reshape(64, 64, order="F"))
    np.testing.assert_allclose(rss(tmp_path / "ksp.cfl")[0], expected, atol=1e-5 * expected.max())
    assert np.abs(expected - expected[::-1]).mean() > 0.1 * expected.mean(), "upside down would be another picture"
    bart("phantom", "-x", "64", "truth")
    truth = np.abs(read_array(tmp_path / "truth.cfl").reshape(64, 64, order="F"))
    assert np.corrcoef(expected.ravel(), truth.ravel())[0, 1] > 0.75, "the coils shade it"


@pytest.mark.parametrize("size", [(48, 40), (47, 39), (46, 39)])
def test_bart_reads_what_is_written_and_has_the_same_centre(tmp_path, bart, size):
    kspace = np.ascontiguousarray(KSPACE[..., : size[0], : size[1]])
    write_acquisition(tmp_path / "a.cfl", Acquisition(name="a.h5", kspace=torch.from_numpy(kspace)))
    bart("fft", "-iu", "3", "a", "coils")
    bart("rss", "8", "coils", "img")
    expected = np.abs(read_array(tmp_path / "img.cfl").reshape(*size, 3, order="F"))
    np.testing.assert_allclose(rss(tmp_path / "a.cfl"), expected.transpose(2, 0, 1), atol=1e-5 * expected.max())


def test_a_volume_is_barts_transform_over_three_axes(tmp_path, bart):
    bart("phantom", "-3", "-k", "-s", "2", "-x", "24", "ksp")
    bart("fft", "-iu", "7", "ksp", "coils")
    bart("rss", "8", "coils", "img")
    expected = np.abs(read_array(tmp_path / "img.cfl").reshape(24, 24, 24, order="F"))  # readout, phase, partition
    found = rss(tmp_path / "ksp.cfl")  # (readout, partition, phase)
    np.testing.assert_allclose(found, expected.transpose(0, 2, 1), atol=1e-5 * expected.max())


def bart_images(bart, folder, axes):
    """Root sum of squares by BART, of a.cfl."""
    bart("fft", "-iu", axes, "a", "coils")
    bart("rss", "8", "coils", "img")
    return np.abs(read_array(folder / "img.cfl"))


def test_images_have_the_dimensions_of_barts_own(tmp_path, bart):
    acquisition = scan(coils=3, slices=6)
    write_acquisition(tmp_path / "a.cfl", replace(acquisition, volumes=2))
    images = torch.linalg.vector_norm(ifft_centred(acquisition.kspace), dim=1)
    write_images(tmp_path / "b.cfl", images, volumes=2)
    expected = bart_images(bart, tmp_path, "3")
    np.testing.assert_allclose(read_array(tmp_path / "b.cfl"), expected, atol=1e-5 * expected.max())


def test_images_of_a_volume_have_the_dimensions_of_barts_own(tmp_path, bart):
    kspace = torch.randn(2, 7, 12, 9, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    acquisition = acquisition_of_volume("a.h5", kspace, torch.ones(12, 9).bool())
    write_acquisition(tmp_path / "a.cfl", acquisition)
    images = torch.linalg.vector_norm(ifft_centred(acquisition.kspace), dim=1)
    write_images(tmp_path / "b.cfl", images, is_volume=True)
    expected = bart_images(bart, tmp_path, "7")
    assert expected.shape[:3] == (7, 9, 12)
    np.testing.assert_allclose(read_array(tmp_path / "b.cfl"), expected, atol=1e-5 * expected.max())


def test_samples_along_a_trajectory_are_refused(tmp_path):
    write_array(tmp_path / "a", np.ones((1, 32, 11, 3), np.complex64))
    with pytest.raises(DataError, match=r"^a\.cfl: expected k-space on a grid, got dimensions \(1, 32, 11, 3\)"):
        open_scan(tmp_path / "a.cfl")


def test_sets_of_maps_are_no_kspace(tmp_path):
    write_array(tmp_path / "a", np.ones((8, 9, 1, 3, 2), np.complex64))
    with pytest.raises(DataError, match="got 2 sets of maps"):
        open_scan(tmp_path / "a.cfl")


def test_headers_may_name_any_folder(tmp_path):
    write_array(tmp_path / "a", as_bart(KSPACE))
    header = (tmp_path / "a.hdr").read_bytes()
    (tmp_path / "a.hdr").write_bytes(
        header.replace(b"\n", b" \r\n") + "# Command\nfft /home/J\u00f6rg".encode("latin-1")
    )
    assert open_scan(tmp_path / "a.cfl").header.slices == 3


@pytest.mark.parametrize("older", [False, True])
def test_a_full_disk_leaves_no_half_pair(tmp_path, monkeypatch, older):
    if older:
        write_array(tmp_path / "a", as_bart(KSPACE))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)  # by then the samples are written
    with pytest.raises(FileError, match="no space left on device"):
        write_array(tmp_path / "a", np.ones((4, 4), np.complex64))
    assert sorted(path.name for path in tmp_path.iterdir()) == (["a.cfl", "a.hdr"] if older else [])
    if older:
        assert open_scan(tmp_path / "a.cfl").header.matrix == (48, 40)


def test_an_older_pair_is_replaced_as_a_pair(tmp_path):
    write_array(tmp_path / "a", as_bart(KSPACE))
    write_array(tmp_path / "a", np.ones((5, 6), np.complex64))
    assert open_scan(tmp_path / "a.cfl").header.matrix == (5, 6)
    (tmp_path / "b.hdr").mkdir()
    with pytest.raises(FileError, match="one of them is a folder"):
        write_array(tmp_path / "b", np.ones((5, 6), np.complex64))
    assert not (tmp_path / "b.cfl").exists()
