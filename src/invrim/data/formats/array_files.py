"""Load the arrays of NumPy and MATLAB files from strangers: nothing is executed, nothing grows beyond the file."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import IO

import h5py
import numpy as np
from numpy.lib import format as npy

from invrim.data.formats.hdf5 import dataset, open_read
from invrim.data.formats.mat5 import read_mat5
from invrim.errors import FileError, InvrimError
from invrim.files import reason

_MOST_BYTES = 1 << 36
_DENSEST = 200
"""Times smaller than what it holds may a compressed file be; measured samples hardly shrink at all, zeros do."""
_ALWAYS = 1 << 20
"""Bytes that any file may hold, however small."""
_LONGEST_REASON = 120
"""Characters; some quote the file."""
_NUMBERS = "biufc"
_KINDS = _NUMBERS + "U"
"""Numbers and text, not objects."""
_HDF5_MARK = b"MATLAB 7.3"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Load all arrays of numbers, and those of text, by name; that of ``.npy`` is ``"kspace"``.

    Python objects are left where they are: to load them would be to run them.

    Raises
    ------
    FileError
        Damaged, or much larger inside than outside.
    """
    loaders = {".npy": _npy, ".npz": _npz, ".mat": _mat}
    try:
        return loaders[path.suffix.lower()](path)
    except InvrimError:
        raise
    except Exception as error:  # zipfile, zlib and numpy each have their own, and more than one
        raise FileError(
            f"{path}: expected a complete {path.suffix} file of numbers, got one that cannot be read "
            f"({reason(error)[:_LONGEST_REASON]}). Write it again."
        ) from error


def _npy(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        shape, dtype = _array_header(file)
        _require_bytes(path, shape, dtype, path.stat().st_size - file.tell())
    return {"kspace": np.load(path, allow_pickle=False)}


def _npz(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        _require_plausible(path, sum(member.file_size for member in members))
        for member in members:
            with archive.open(member) as file:
                shape, dtype = _array_header(file)
                if dtype.kind not in _KINDS:
                    continue
                _require_bytes(path, shape, dtype, member.file_size - file.tell())
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = npy.read_array(file, allow_pickle=False)
    return found


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of NumPy's format, where 1.0 and 2.0 are known")
    shape, _, dtype = _HEADERS[version](file)
    return shape, dtype


def _require_bytes(path: Path, shape: tuple[int, ...], dtype: np.dtype, found: int) -> None:
    """Before memory is asked for: as much of it as the header promises is there."""
    if dtype.kind in _KINDS and prod(shape) * dtype.itemsize != found:
        raise FileError(
            f"{path}: expected {prod(shape) * dtype.itemsize} bytes for an array {shape} of {dtype}, got {found}. "
            f"Copy it again."
        )


def _mat(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as raw:
        is_hdf5 = raw.read(len(_HDF5_MARK)) == _HDF5_MARK
    if is_hdf5 or h5py.is_hdf5(path):
        return _mat_hdf5(path)
    return read_mat5(path, lambda inside: _require_plausible(path, inside))


def _mat_hdf5(path: Path) -> dict[str, np.ndarray]:
    """MATLAB 7.3: axes are the other way round, complex numbers are pairs ``real`` and ``imag``."""
    found = {}
    with open_read(path) as file:
        names = [name for name in file if file.get(name, getclass=True) is h5py.Dataset]
        _require_plausible(path, sum(dataset(file, name).nbytes for name in names))
        for name in names:
            stored = dataset(file, name)
            array = stored[()]
            if stored.attrs.get("MATLAB_class") == b"char":
                found[name] = np.array("".join(map(chr, array.T.ravel())))
            elif array.dtype.names == ("real", "imag"):
                found[name] = (array["real"] + 1j * array["imag"]).T
            elif _is_array(array):
                found[name] = array.T
    return found


def _is_array(array: np.ndarray) -> bool:
    return array.dtype.kind in _KINDS


def _require_plausible(path: Path, inside: int) -> None:
    outside = path.stat().st_size
    if inside > min(_MOST_BYTES, _DENSEST * outside + _ALWAYS):
        raise FileError(
            f"{path}: expected about as much in the file as its size, got {inside} bytes packed into {outside}. "
            f"Write it without compression."
        )
