"""Load the arrays of NumPy and MATLAB files from strangers: nothing is executed, nothing grows beyond the file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invrim.data.formats.hdf5 import dataset, open_read
from invrim.errors import FileError, InvrimError, MissingExtraError
from invrim.files import reason

_MOST_BYTES = 1 << 36
_DENSEST = 200
"""Times smaller than what it holds may a compressed file be; measured samples hardly shrink at all, zeros do."""
_KINDS = "biufc"
"""Numbers, not objects or text."""
_HDF5_MARK = b"MATLAB 7.3"


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Load all numeric arrays of a file by name; that of ``.npy`` is ``"kspace"``.

    Raises
    ------
    FileError
        Damaged, holding Python objects, or much larger inside than outside.
    """
    loaders = {".npy": _npy, ".npz": _npz, ".mat": _mat}
    try:
        return loaders[path.suffix.lower()](path)
    except InvrimError:
        raise
    except Exception as error:  # zipfile, numpy and scipy each have their own, and more than one
        raise FileError(
            f"{path}: expected a complete {path.suffix} file of numbers, got one that cannot be read "
            f"({reason(error)}). Write it again."
        ) from error


def _npy(path: Path) -> dict[str, np.ndarray]:
    # Mapped: a header that promises more than the file holds fails before memory is asked for.
    return {"kspace": np.array(np.load(path, mmap_mode="r", allow_pickle=False))}


def _npz(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        _require_plausible(path, sum(member.file_size for member in archive.infolist()))
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _mat(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as raw:
        is_hdf5 = raw.read(len(_HDF5_MARK)) == _HDF5_MARK
    if is_hdf5 or h5py.is_hdf5(path):
        return _mat_hdf5(path)
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as error:
        raise MissingExtraError(
            "expected the package scipy to read MATLAB files, got none installed. Run: pip install 'invrim[raw]'"
        ) from error
    _require_plausible(path, sum(int(np.prod(shape, dtype=object)) for _, shape, _ in whosmat(path)))
    found = loadmat(path)
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    return {name: array for name, array in arrays.items() if array.dtype.kind in _KINDS}


def _mat_hdf5(path: Path) -> dict[str, np.ndarray]:
    """MATLAB 7.3: axes are the other way round, complex numbers are pairs ``real`` and ``imag``."""
    found = {}
    with open_read(path) as file:
        names = [name for name in file if file.get(name, getclass=True) is h5py.Dataset]
        _require_plausible(path, sum(dataset(file, name).nbytes for name in names))
        for name in names:
            array = dataset(file, name)[()]
            if array.dtype.names == ("real", "imag"):
                array = array["real"] + 1j * array["imag"]
            if array.dtype.kind in _KINDS:
                found[name] = array.T
    return found


def _require_plausible(path: Path, inside: Any) -> None:
    outside = path.stat().st_size
    if inside > min(_MOST_BYTES, _DENSEST * outside + (1 << 20)):
        raise FileError(
            f"{path}: expected about as much in the file as its size, got {inside} bytes packed into {outside}. "
            f"Write it without compression."
        )
