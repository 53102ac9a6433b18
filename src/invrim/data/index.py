"""What is in a folder of scans, made from file headers: an entry a file, none a slice."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from invrim.data.formats.fastmri import read_header, read_target
from invrim.errors import DataError, FileError
from invrim.files import visible_files


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """Where a file's slices lie, and what is known of them without reading them."""

    path: Path
    slices: int
    shape: tuple[int, int, int]
    """``(coil, ky, kx)`` of a slice."""
    target_name: str
    target_size: tuple[int, int]
    """``(y, x)``."""
    maximum: float
    """Of the whole volume."""
    phase_encodes: int
    """1 or 2, as `invrim.data.header.Header.phase_encodes`."""
    mask: Tensor | None
    """The file's own, bool ``(kx,)`` or ``(ky, kx)``."""
    sampled: Tensor
    """Measured lines or points, bool, as `invrim.data.header.Header.sampled`."""
    protocol: Tensor
    """Code of contrast and scanner ``(8,)``, as `invrim.data.header.Header.protocol`."""
    stamp: tuple[int, int] = (0, 0)
    """Size and time of change of the file, in bytes and nanoseconds, when its header was read."""


def index_of(folder: Path) -> list[FileEntry]:
    """List all ``.h5`` files of a folder, sorted by name.

    Tensors that files have in common are there once: a kilobyte or less a file.

    Raises
    ------
    FileError
        There are none, or one cannot be read.
    DataError
        A file has no target, or no positive maximum, or slices with masks of their own.
    """
    paths = visible_files(folder, ".h5")
    if not paths:
        raise FileError(
            f"expected a folder with .h5 files, got {folder}. Make some with `invrim simulate`, or correct the path."
        )
    common = _Common()
    return [_entry(path, common) for path in paths]


class _Common:
    """Hands out one tensor for all that are equal."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Tensor] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        array = np.ascontiguousarray(tensor.numpy())
        return self._known.setdefault((array.shape, array.dtype.str, array.tobytes()), tensor.contiguous())


def _entry(path: Path, common: _Common) -> FileEntry:
    header = read_header(path)
    if header.target_name is None or header.target_size is None:
        raise DataError(
            f"{path.name}: expected reconstruction_esc or reconstruction_rss to learn from, got neither. "
            f"Move the file out of the training folder."
        )
    if header.slice_masks:
        raise DataError(
            f"{path.name}: expected one mask for all slices to learn from, got one for each. Move the file out of the "
            f"training folder."
        )
    maximum = float(read_target(path).max()) if header.maximum is None else header.maximum
    if not 0 < maximum < math.inf:
        raise DataError(
            f"{path.name}: expected a largest intensity above 0, got {maximum:g}. Correct the attribute `max` or the "
            f"target, or move the file out of the folder."
        )
    stat = path.stat()
    return FileEntry(
        path=path,
        slices=header.slices,
        shape=(header.coils, *header.matrix),
        target_name=header.target_name,
        target_size=header.target_size,
        maximum=maximum,
        phase_encodes=header.phase_encodes,
        mask=None if header.mask is None else common(header.mask),
        sampled=common(header.sampled),
        protocol=common(header.protocol),
        stamp=(stat.st_size, stat.st_mtime_ns),
    )
