"""Read and write BART's pairs of files: ``NAME.cfl`` with complex64 samples, ``NAME.hdr`` with the dimensions."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.sampling_pattern import sampling_pattern
from invrim.data.volumes import acquisition_of_volume
from invrim.errors import DataError, FileError
from invrim.files import atomic_write, require_file

_READOUT, _PHASE, _PARTITION, _COIL, _MAPS = range(5)
_SLICE = 13
_DIMENSIONS = 16
_BYTES = np.dtype(np.complex64).itemsize


def read(path: Path) -> Acquisition:
    """Read Cartesian k-space.

    BART's dimensions 0 to 3 are readout, two phase encodings and coils, 13 is slices; whatever else is longer than 1,
    such as time, makes further volumes. What was not measured is zero.

    Parameters
    ----------
    path
        Either file of the pair.

    Raises
    ------
    FileError
        One of the two is missing, or their sizes differ.
    DataError
        NaN or Inf, or sets of coil maps.
    """
    array = read_array(path)
    if array.shape[_MAPS] > 1:
        raise DataError(f"{path}: expected k-space, got {array.shape[_MAPS]} sets of maps. Give the k-space file.")
    if not np.isfinite(array).all():
        raise DataError(f"{path}: expected finite k-space, got NaN or Inf. Set its bad samples to zero.")
    name = path.with_suffix(".cfl").name
    others = [axis for axis in range(_MAPS + 1, _DIMENSIONS) if axis != _SLICE]
    order = (*others, _SLICE, _COIL, _PARTITION, _READOUT, _PHASE, _MAPS)
    stack = torch.from_numpy(np.ascontiguousarray(array.transpose(order))).flatten(0, len(others) - 1)[..., 0]
    volumes, slices, _, partitions = stack.shape[:4]
    if partitions == 1:
        kspace = stack[:, :, :, 0].flatten(0, 1)
        return Acquisition(name=name, kspace=kspace, mask=sampling_pattern(kspace), volumes=volumes)
    if volumes * slices > 1:
        raise DataError(f"{path}: expected one volume, got {volumes * slices}. Extract one, e.g. with `bart slice`.")
    kspace = stack[0, 0].movedim(2, 1)  # (coil, readout, partition, phase)
    points = (kspace != 0).any(dim=1).any(dim=0)
    return acquisition_of_volume(name, kspace, points)


def read_array(path: Path) -> np.ndarray:
    """Read a pair as complex64 with 16 dimensions, in BART's order."""
    header, data = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    require_file(header, "BART's header")
    require_file(data, "BART's data")
    shape = _dimensions(header)
    expected, found = prod(shape) * _BYTES, data.stat().st_size
    if found != expected:
        raise FileError(
            f"{data}: expected {expected} bytes for the {prod(shape)} samples of {header.name}, got {found}. "
            f"Copy both files again."
        )
    return np.fromfile(data, dtype="<c8").reshape(shape, order="F")


def write_array(path: Path, array: np.ndarray | Tensor) -> None:
    """Write an array, its axes in BART's order, as a pair of files that appears only when complete.

    Raises
    ------
    FileError
        They cannot be written.
    """
    values = np.asarray(array, dtype="<c8")
    shape = (*values.shape, *(1,) * (_DIMENSIONS - values.ndim))
    # The data first: a header without data would be a damaged pair, data without a header are nothing yet.
    with atomic_write(path.with_suffix(".cfl")) as temporary:
        values.ravel(order="F").tofile(temporary)
    with atomic_write(path.with_suffix(".hdr")) as temporary:
        temporary.write_text(f"# Dimensions\n{' '.join(map(str, shape))}\n", encoding="ascii")


def _dimensions(header: Path) -> tuple[int, ...]:
    try:
        lines = header.read_text(encoding="ascii").splitlines()
        shape = tuple(int(word) for word in lines[lines.index("# Dimensions") + 1].split())
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise FileError(
            f"{header}: expected a line `# Dimensions` and one of whole numbers below it, got other content. "
            f"Give BART's own header."
        ) from error
    if not 1 <= len(shape) <= _DIMENSIONS or min(shape) < 1:
        raise FileError(f"{header}: expected 1 to {_DIMENSIONS} sizes above 0, got {list(shape)}. Correct the header.")
    return (*shape, *(1,) * (_DIMENSIONS - len(shape)))
