"""MATLAB's files of versions 5 to 7: the arrays that scipy reads, and no crash where scipy's reader has one."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from invrim.data.formats.array_files import load_arrays
from invrim.data.formats.mat5 import read_mat5
from invrim.errors import FileError, InvrimError
from shared_data import shared

FOLDER = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
REAL = sorted(path.name for path in FOLDER.glob("test*_[67]*.mat") if "hdf5" not in path.name) or ["none"]
"""Written by MATLAB itself, versions 6 to 7.4, on machines of either byte order."""
ARRAYS = {
    "kspace": np.arange(24).reshape(2, 3, 4) * (1 - 2j),
    "single": np.arange(6, dtype=np.float32).reshape(3, 2) + np.complex64(1j),
    "integers": np.arange(-3, 3, dtype=np.int16)[None],
    "flags": np.array([[True, False]]),
    "empty": np.zeros((0, 3)),
}


def everything_plausible(_):
    pass


def numeric(found):
    return {
        name: value for name, value in found.items() if isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_it_reads_what_scipy_writes(tmp_path, compressed):
    more = {"axes": "coil ky kx", "who": {"name": "nobody"}, "cell": np.array([1, "a"], dtype=object)}
    scipy.io.savemat(tmp_path / "a.mat", {**ARRAYS, **more}, do_compression=compressed)
    found = read_mat5(tmp_path / "a.mat", everything_plausible)
    assert set(found) == {*ARRAYS, "axes"}
    assert str(found["axes"]) == "coil ky kx"
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("name", REAL)
def test_it_reads_what_scipy_reads(name):
    if not (FOLDER / name).is_file():
        pytest.skip("scipy is installed without MATLAB's files of its tests")
    expected = numeric(scipy.io.loadmat(FOLDER / name))
    found = numeric(read_mat5(FOLDER / name, everything_plausible))
    assert set(found) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


def test_a_real_file():
    path = shared("ct/htc2022_01a_full.mat")
    assert not numeric(load_arrays(path)), "a structure alone"


def test_damage_crashes_nothing(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {**ARRAYS, "who": {"name": "nobody"}})
    raw, path = (tmp_path / "a.mat").read_bytes(), tmp_path / "a.mat"
    rng = np.random.default_rng(0)
    read = 0
    for number in range(300):
        data = bytearray(raw[: rng.integers(len(raw))] if number % 3 == 0 else raw)
        for place in rng.integers(0, max(len(data), 1), 3 if data else 0):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        said = ""
        try:
            read += bool(load_arrays(path))
        except InvrimError as error:
            said = str(error)
        assert "\n" not in said
    assert 0 < read < 300


def test_a_changed_sample_of_a_compressed_array_is_noticed(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": np.random.default_rng(0).normal(size=500)}, do_compression=True)
    data = bytearray((tmp_path / "a.mat").read_bytes())
    data[-1] ^= 1  # of the checksum
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(FileError, match=r"expected a complete \.mat file"):
        load_arrays(tmp_path / "a.mat")


def test_nothing_grows_beyond_the_file(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": np.zeros(1 << 20)}, do_compression=True)
    with pytest.raises(FileError, match="packed into"):
        load_arrays(tmp_path / "a.mat")


def test_other_versions_say_what_to_do(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": np.eye(2) + 1j}, format="4")
    with pytest.raises(FileError, match="Save it again with -v7"):
        load_arrays(tmp_path / "a.mat")
