"""Open a raw file of any format: which one it is follows from its suffix, or, of HDF5, from what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from invrim.data.formats.fastmri import FastMRIScan
from invrim.data.formats.hdf5 import open_read
from invrim.data.formats.ismrmrd import ismrmrd_group
from invrim.data.scan import LoadedScan, Scan
from invrim.errors import FileError, OptionError
from invrim.files import require_file

HDF5_SUFFIXES = (".h5", ".hdf5", ".mrd")
READERS = {
    ".cfl": "bart",
    ".hdr": "bart",
    ".dat": "twix",
    ".npy": "arrays",
    ".npz": "arrays",
    ".mat": "arrays",
}
"""Suffix -> module beside this one, whose ``read(path)`` returns an `Acquisition`."""
_SECOND_OF_PAIR = ".hdr"
NEED_AXES = "arrays"
"""Of these the axes must be said: ``read(path, axes)``."""


def open_scan(path: Path, axes: str | None = None) -> Scan:
    """Open a raw file.

    Parameters
    ----------
    path
        fastMRI or ISMRMRD HDF5, BART ``.cfl`` or ``.hdr``, Siemens ``.dat``, NumPy ``.npy`` or ``.npz``, ``.mat``.
    axes
        Names of an array's axes, e.g. ``"coil ky kx"``; only of arrays, which do not say it themselves.

    Raises
    ------
    FileError
        Missing, damaged, or of no known format.
    DataError
        What the file says contradicts itself.
    OptionError
        Axes for a file that needs none.
    MissingExtraError
        The format is read by a package that is not installed.
    """
    path = Path(path)
    require_file(path)
    suffix = path.suffix.lower()
    reader = READERS.get(suffix)
    if axes is not None and not needs_axes(path):
        raise OptionError(
            f"{path}: expected --axes for arrays only, got {axes!r} for {suffix or 'no suffix'}. Drop it."
        )
    if reader is None and suffix not in HDF5_SUFFIXES:
        known = ", ".join(sorted({*HDF5_SUFFIXES, *READERS}))
        raise FileError(
            f"{path}: expected a raw file of {known}, got {suffix or 'no suffix'}. Convert it to one of these."
        )
    if reader is None:
        reader = "ismrmrd" if _is_ismrmrd(path) else None
    if reader is None:
        return FastMRIScan(path)
    read = import_module(f"invrim.data.formats.{reader}").read
    return LoadedScan(read(path, axes) if needs_axes(path) else read(path))


def needs_axes(path: Path) -> bool:
    """Whether the axes of such a file must be said."""
    return READERS.get(path.suffix.lower()) == NEED_AXES


def find_scans(inputs: Sequence[Path]) -> list[Path]:
    """List raw files, each once, sorted by path; a folder stands for all that lie in it, not in folders below.

    Raises
    ------
    FileError
        A folder without any.
    """
    found: dict[Path, Path] = {}
    for path in inputs:
        for scan in _scans_of(path) if path.is_dir() else [path]:
            found.setdefault(scan.resolve(), scan)
    return sorted(found.values())


def _scans_of(folder: Path) -> list[Path]:
    suffixes = {*HDF5_SUFFIXES, *READERS} - {_SECOND_OF_PAIR}
    # Hidden files are what nobody has finished writing.
    scans = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    if not scans:
        raise FileError(
            f"{folder}: expected a folder with raw files of {', '.join(sorted(suffixes))}, got none in it. Correct the "
            f"path; folders below it are not searched."
        )
    return scans


def _is_ismrmrd(path: Path) -> bool:
    with open_read(path) as file:
        return "kspace" not in file and ismrmrd_group(file) is not None
