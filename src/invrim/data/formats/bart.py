"""Read and write BART's pairs of files: ``NAME.cfl`` with complex64 samples, ``NAME.hdr`` with the dimensions."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.zero_filled import acquisition_of_grid, grid_of_acquisition, require_cartesian
from invrim.errors import DataError, FileError, about
from invrim.files import atomic_write, require_file

_READOUT, _PHASE, _PARTITION, _COIL, _MAPS = range(5)
_TIME, _SLICE = 10, 13
_DIMENSIONS = 16
_VOLUMES = tuple(axis for axis in range(_MAPS + 1, _DIMENSIONS) if axis != _SLICE)
_SINGLE = tuple(axis for axis in range(_MAPS, _DIMENSIONS) if axis not in {_TIME, _SLICE})
_LONGEST_HEADER = 1 << 16
"""Characters; the dimensions are its beginning."""
_BYTES = np.dtype(np.complex64).itemsize


def read(path: Path) -> Acquisition:
    """Read Cartesian k-space.

    BART's dimensions 0 to 3 are readout, two phase encodings and coils, 13 is slices; whatever else is longer than 1,
    such as time, makes further volumes. What was not measured is zero. Two phase encodings make a volume, whose
    readout is transformed back, see `invrim.data.volumes`.

    Parameters
    ----------
    path
        Either file of the pair.

    Raises
    ------
    FileError
        One of the two is missing, or their sizes differ.
    DataError
        NaN or Inf, zeros alone, sets of coil maps, or samples along a trajectory.
    """
    array = read_array(path)
    name = path.with_suffix(".cfl").name
    with about(path.name):
        _require_cartesian(array.shape)
        ordered = array.transpose((*_VOLUMES, _SLICE, _COIL, _READOUT, _PARTITION, _PHASE, _MAPS))[..., 0]
        kspace = torch.from_numpy(np.ascontiguousarray(ordered)).flatten(0, len(_VOLUMES) - 1)
        if kspace.shape[4] == 1:
            kspace = kspace.transpose(3, 4)
        return acquisition_of_grid(name, kspace)


def read_array(path: Path) -> np.ndarray:
    """Read a pair as complex64 with 16 dimensions, in BART's order."""
    header, data = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    for part, other in ((header, data), (data, header)):
        if not part.exists() and other.exists():
            raise FileError(
                f"{other}: expected {part.name} beside it, got nothing there. BART's files are two: copy both."
            )
        require_file(part, "one of BART's files")
    shape = _dimensions(header)
    expected, found = prod(shape) * _BYTES, data.stat().st_size
    if found != expected:
        raise FileError(
            f"{data}: expected {expected} bytes for the {prod(shape)} samples of {header.name}, got {found}. "
            f"Copy both files again."
        )
    return np.fromfile(data, dtype="<c8").reshape(shape, order="F")


def write_array(path: Path, array: np.ndarray | Tensor) -> None:
    """Write an array, its axes in BART's order, as a pair of files that appears only when both are complete.

    An older pair is replaced then; never is there a header beside data that it does not describe.

    Raises
    ------
    FileError
        They cannot be written.
    """
    values = np.asarray(array, dtype="<c8")
    shape = (*values.shape, *(1,) * (_DIMENSIONS - values.ndim))
    header, data = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    if header.is_dir() or data.is_dir():
        raise FileError(f"cannot write {data} and {header.name}: one of them is a folder. Move it away.")
    # Contexts end in reverse: the data are renamed first, and what lacks its header is nothing to any reader.
    with atomic_write(header) as text, atomic_write(data) as samples:
        values.ravel(order="F").tofile(samples)
        text.write_text(f"# Dimensions\n{' '.join(map(str, shape))}\n", encoding="ascii")
        header.unlink(missing_ok=True)


def write_acquisition(path: Path, acquisition: Acquisition) -> None:
    """Write Cartesian k-space as `read` reads it: slices on dimension 13, volumes on 10.

    Raises
    ------
    DataError
        It lies along a trajectory.
    FileError
        The files cannot be written.
    """
    require_cartesian(acquisition, "a pair of BART's")
    grid = grid_of_acquisition(acquisition).cpu().numpy()
    write_array(path, _in_barts_order(grid, is_volume=grid.shape[3] > 1))


def left_out(acquisition: Acquisition) -> tuple[str, ...]:
    """Say in words what of an acquisition `write_acquisition` has no place for."""
    size, target = acquisition.image_size, acquisition.target
    parts = {
        "the image to recover": target is not None,
        f"the images' size, {size}": size is not None,
        "where the slices lie": acquisition.geometry is not None,
        "the noise scan": acquisition.noise is not None,
        ", ".join(sorted(set(acquisition.attributes) - {"phase_encodes"})): bool(acquisition.attributes),
    }
    return tuple(text for text, is_there in parts.items() if text and is_there)


def write_images(path: Path, images: Tensor, volumes: int = 1, *, is_volume: bool = False) -> None:
    """Write slices ``(n, y, x)`` with the dimensions that BART's own images of the same k-space have.

    Those are of `write_acquisition`: readout, which is y here, phase encoding, which is x, slices on 13 and volumes on
    10. Of two phase encodings the slices are positions along the readout, dimension 0, and y is dimension 2.

    Parameters
    ----------
    path
        Either file of the pair.
    images
        Of several volumes one after the other.
    volumes
        How many there are.
    is_volume
        Whether the slices are positions along the readout.

    Raises
    ------
    FileError
        The files cannot be written.
    """
    stack = images.detach().cpu().unflatten(0, (volumes, -1)).numpy()  # (volume, n, y, x)
    spread = stack[:, None, None] if is_volume else stack[:, :, None, None]  # (volume, slice, coil, kz, ky, kx)
    write_array(path, _in_barts_order(spread, is_volume=is_volume))


def _in_barts_order(grid: np.ndarray, *, is_volume: bool) -> np.ndarray:
    """Spread ``(volume, slice, coil, kz, ky, kx)`` over BART's dimensions; kz is the readout of a volume, else ky."""
    readout, partition = (3, 4) if is_volume else (4, 3)
    return np.expand_dims(grid.transpose(readout, 5, partition, 2, 0, 1), _SINGLE)


def _require_cartesian(shape: tuple[int, ...]) -> None:
    if shape[_MAPS] > 1:
        raise DataError(f"expected k-space, got {shape[_MAPS]} sets of maps. Give the k-space file.")
    if shape[_READOUT] == 1 and shape[_PHASE] > 1:
        raise DataError(
            f"expected k-space on a grid, got dimensions {shape[: _COIL + 1]}, as BART has samples along a trajectory. "
            f"Write both arrays to an .npz file."
        )


def _dimensions(header: Path) -> tuple[int, ...]:
    with header.open(encoding="utf-8", errors="replace") as file:  # paths further below may be in any encoding
        lines = [line.strip() for line in file.read(_LONGEST_HEADER).splitlines()]
    try:
        shape = tuple(int(word) for word in lines[lines.index("# Dimensions") + 1].split())
    except (ValueError, IndexError) as error:
        raise FileError(
            f"{header}: expected a line `# Dimensions` and one of whole numbers below it, got other content. "
            f"Give BART's own header."
        ) from error
    if not 1 <= len(shape) <= _DIMENSIONS or min(shape) < 1:
        raise FileError(
            f"{header}: expected 1 to {_DIMENSIONS} sizes above 0, got {str(list(shape))[:80]}. Correct the header."
        )
    return (*shape, *(1,) * (_DIMENSIONS - len(shape)))
