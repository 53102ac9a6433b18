"""From a raw file of any format to one of a format that is written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from invrim.data.acquisition import Acquisition
from invrim.data.formats import archives, bart
from invrim.data.formats.fastmri import FastMRIScan, write_acquisition
from invrim.data.formats.opening import open_scan
from invrim.data.header import Header
from invrim.errors import OptionError
from invrim.files import require_folder, require_separate

WRITERS: dict[str, Callable[[Path, Acquisition], None]] = {
    ".h5": write_acquisition,
    ".cfl": bart.write_acquisition,
    ".npz": archives.write_acquisition,
}
"""Suffix -> what writes an acquisition into files of it, whole or not at all."""


def convert_file(path: Path, out: Path, axes: str | None = None) -> Header:
    """Read a raw file, and write all that is known of it as ``out``, or say what the format has no place for.

    Masks that are drawn later, as an experiment, are seeded by the name of the file, and so become others.

    Parameters
    ----------
    path, axes
        As of `invrim.data.formats.opening.open_scan`. The file is in memory as a whole, about twice.
    out
        Its suffix, one of `WRITERS`, says which format.

    Returns
    -------
    Header
        Of what was read; what was left out is among its notices.

    Raises
    ------
    OptionError
        A suffix that is not written here, ``out`` is ``path``, or ``path`` is of that format already.
    DataError
        It was measured along a trajectory, and the format has no place for one.
    FileError
        Either file cannot be read or written.
    """
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise OptionError(
            f"expected a file of {', '.join(WRITERS)} to write, got {out}. Give it one of these suffixes."
        )
    sources = _files(path)
    require_separate([(sources[min(n, len(sources) - 1)], file) for n, file in enumerate(_files(out))])
    require_folder(out)
    scan = open_scan(path, axes)
    if isinstance(scan, FastMRIScan) and write is write_acquisition:
        raise OptionError(
            f"{path}: expected a raw file of another format, got one that is in the fastMRI schema already. Copy it."
        )
    header, acquisition = scan.header, scan.read()
    if header.is_cartesian and not header.slice_masks and not header.sampled.all():
        acquisition = replace(acquisition, mask=header.sampled)  # without lines that the scanner filled with zeros
    if header.scanner is not None:
        acquisition = replace(acquisition, attributes={**acquisition.attributes, "scanner": header.scanner})
    write(out, acquisition)
    lost = bart.left_out(acquisition) if write is bart.write_acquisition else ()
    return replace(header, notices=(*header.notices, *(f"left out of {out.suffix}: {part}" for part in lost)))


def _files(path: Path) -> tuple[Path, ...]:
    """BART's scans are two files."""
    pair = (".cfl", ".hdr")
    return tuple(path.with_suffix(suffix) for suffix in pair) if path.suffix.lower() in pair else (path,)
