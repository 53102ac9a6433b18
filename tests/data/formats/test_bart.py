"""BART's pairs of files, by BART itself where it is installed."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

from invrim.data.formats.bart import read_array, write_array
from invrim.data.formats.opening import open_scan
from invrim.errors import DataError, FileError, InvrimError
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
    with pytest.raises(FileError, match="expected BART's header"):
        open_scan(tmp_path / "a.cfl")


def test_damaged_files_end_in_one_line(tmp_path):
    write_array(tmp_path / "a", as_bart(KSPACE))
    rng = np.random.default_rng(0)
    for path in (tmp_path / "a.cfl", tmp_path / "a.hdr"):
        raw = path.read_bytes()
        for _ in range(20):
            data = bytearray(raw[: rng.integers(1, len(raw))])
            data[rng.integers(len(data))] = rng.integers(256)
            path.write_bytes(data)
            said = ""
            try:
                open_scan(tmp_path / "a.cfl").read()
            except InvrimError as error:
                said = str(error)
            assert "\n" not in said
        path.write_bytes(raw)


def test_barts_own_phantom_is_upright(tmp_path):
    if shutil.which("bart") is None:
        pytest.skip("bart is not on this machine")
    for command in (["phantom", "-k", "-s", "4", "-x", "64", "ksp"], ["phantom", "-x", "64", "img"]):
        subprocess.run(["bart", *command], cwd=tmp_path, check=True)
    image = torch.linalg.vector_norm(ifft_centred(open_scan(tmp_path / "ksp.cfl").read().kspace), dim=1)[0].numpy()
    truth = np.abs(read_array(tmp_path / "img.cfl").reshape(64, 64))
    likeness = {turn: np.corrcoef(image.ravel(), truth[::turn].ravel())[0, 1] for turn in (1, -1)}
    assert likeness[1] > likeness[-1] + 0.1, "upside down would be another picture"
    assert likeness[1] > 0.75, "the coils shade it"
