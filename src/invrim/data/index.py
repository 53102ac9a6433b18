"""A list of all slices in a folder, made from file headers."""

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from invrim.data.formats.fastmri import read_header, read_target
from invrim.errors import DataError, FileError
from invrim.files import visible_files


@dataclass(frozen=True, kw_only=True)
class SliceEntry:
    """Where a slice lies, and what is known of it without reading it."""

    path: Path
    index: int
    """Number of the slice in its file."""
    shape: tuple[int, int, int]
    """``(coil, ky, kx)``."""
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


def index_of(folder: Path) -> list[SliceEntry]:
    """List the slices of all ``.h5`` files of a folder, sorted by file name.

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
    return [entry for path in paths for entry in _entries(path)]


def _entries(path: Path) -> list[SliceEntry]:
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
    sampled, protocol = header.sampled, header.protocol
    return [
        SliceEntry(
            path=path,
            index=index,
            shape=(header.coils, *header.matrix),
            target_name=header.target_name,
            target_size=header.target_size,
            maximum=maximum,
            phase_encodes=header.phase_encodes,
            mask=header.mask,
            sampled=sampled,
            protocol=protocol,
        )
        for index in range(header.slices)
    ]
