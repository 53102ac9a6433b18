"""Convert raw files from one format to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from invrim.data.acquisition import Acquisition
from invrim.data.formats import archives, bart, fastmri
from invrim.data.formats.opening import open_scan
from invrim.data.zero_filled import require_cartesian
from invrim.errors import DataError, OptionError
from invrim.files import require_folder


def convert_file(path: Path, out: Path, axes: str | None = None) -> tuple[str, ...]:
    """Read a raw file of any format and write another; the whole k-space is in memory meanwhile.

    Parameters
    ----------
    path, axes
        As `invrim.data.formats.opening.open_scan` takes them.
    out
        Ending in ``.h5`` (fastMRI schema), ``.cfl`` (BART) or ``.npz``, whose arrays name their own axes.

    Returns
    -------
    What the new format has no place for, one line each.

    Raises
    ------
    OptionError
        Another suffix, or the result would overwrite the raw file.
    DataError
        The format cannot hold such a scan.
    FileError
        A file cannot be read or written.
    """
    suffix = out.suffix.lower()
    if suffix not in _WRITERS:
        raise OptionError(
            f"{out}: expected a raw file of {', '.join(_WRITERS)} to write, got {suffix or 'no suffix'}. Choose one."
        )
    write, kept = _WRITERS[suffix]
    if {file.resolve() for file in _files(path)} & {file.resolve() for file in _files(out)}:
        raise OptionError(f"expected a result away from the input, got {out} for {path}. Choose another name.")
    require_folder(out)
    scan = open_scan(path, axes)
    acquisition = scan.read()
    by_slice = acquisition.mask is not None and acquisition.mask.ndim == 3
    if acquisition.trajectory is None and not by_slice and not scan.header.sampled.all():
        acquisition = replace(acquisition, mask=scan.header.sampled)  # without what a scanner filled with zeros
    if acquisition.image_size is None and scan.header.target_size is not None:
        acquisition = replace(acquisition, image_size=scan.header.target_size)
    write(out, acquisition)
    return tuple(text for part, text in _parts(acquisition).items() if part not in kept)


def _write_fastmri(path: Path, acquisition: Acquisition) -> None:
    require_cartesian(acquisition, "the fastMRI schema")
    if acquisition.mask is not None and acquisition.mask.ndim == 3:
        raise DataError(
            f"{acquisition.name}: expected one mask for all slices, as the fastMRI schema has it, got one for each. "
            f"Write .npz or .cfl."
        )
    fastmri.write_acquisition(path, acquisition)


_WRITERS: dict[str, tuple[Callable[[Path, Acquisition], None], frozenset[str]]] = {
    ".h5": (_write_fastmri, frozenset({"target", "truth", "attributes"})),
    ".cfl": (bart.write_acquisition, frozenset({"volumes"})),
    ".npz": (archives.write_acquisition, frozenset({"target", "attributes", "size", "geometry", "volumes", "noise"})),
}
"""By suffix: who writes it, and which of `_parts` it holds."""


def _parts(acquisition: Acquisition) -> dict[str, str]:
    """What there is beside k-space and its mask, in words."""
    size, target = acquisition.image_size, acquisition.target
    whole = tuple(acquisition.kspace.shape[-2:]) if target is None else tuple(target.shape[-2:])
    parts = {
        "target": None if target is None else "the image to recover, {} x {}".format(*target.shape[-2:]),
        "truth": "the truth of the simulation" if acquisition.truth else None,
        "attributes": ", ".join(sorted(set(acquisition.attributes) - {"phase_encodes"})) or None,
        "size": f"the images' size, {size[0]} x {size[1]}" if size and size != whole else None,
        "geometry": None if acquisition.geometry is None else "where the slices lie",
        "volumes": f"that slices are of {acquisition.volumes} volumes" if acquisition.volumes > 1 else None,
        "noise": None if acquisition.noise is None else "the noise scan",
    }
    return {name: text for name, text in parts.items() if text}


def _files(path: Path) -> tuple[Path, ...]:
    """BART's scans are two files."""
    pair = (".cfl", ".hdr")
    return tuple(path.with_suffix(suffix) for suffix in pair) if path.suffix.lower() in pair else (path,)
