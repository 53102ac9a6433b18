"""What is in a fastMRI-schema file, without loading its k-space."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Attribute
from invrim.data.formats.encoding import scanner_model, voxel_sizes, zero_padding
from invrim.data.formats.fastmri_extras import read_extras
from invrim.data.formats.hdf5 import attributes, dataset, open_read
from invrim.data.geometry import Geometry
from invrim.data.header import Header
from invrim.errors import DataError, about

Read = TypeVar("Read")

_TARGETS = ("reconstruction_rss", "reconstruction_esc")
"""Root sum of squares of several coils, and the emulated single coil's image: the challenge's targets of either."""


def read_header(path: Path) -> Header:
    """Read sizes, mask and attributes in milliseconds, whatever the size of the file.

    Raises
    ------
    FileError
        The file is missing, not HDF5, cut short, or has no `kspace`.
    DataError
        `kspace` has the wrong axes or type, the mask the wrong length, or no line was measured.
    """
    with open_read(path) as file:
        return header_of(file)


def header_of(file: h5py.File) -> Header:
    """`read_header` of an open file."""
    kspace = dataset(file, "kspace")
    _require_kspace(file.filename, kspace)
    matrix = (kspace.shape[-2], kspace.shape[-1])
    target = target_name(file)
    plain = attributes(file)
    maximum = plain.get("max")
    mask = _mask(file, matrix) if "mask" in file else None
    extras = read_extras(file, kspace.shape[0])
    scanner = plain.get("scanner")
    header = Header(
        name=Path(file.filename).name,
        slices=kspace.shape[0],
        coils=kspace.shape[1] if kspace.ndim == 4 else 1,
        matrix=matrix,
        phase_encodes=_phase_encodes(file.filename, plain, mask),
        mask=mask,
        slice_masks=extras.has_masks,
        padding=_from_xml(file, zero_padding),
        scanner=_from_xml(file, scanner_model) or (scanner if isinstance(scanner, str) else None),
        target_name=target,
        target_size=_target_size(file, target, kspace.shape[0]) if target else extras.image_size,
        maximum=float(maximum) if isinstance(maximum, int | float) else None,
        attributes=plain,
        geometry=extras.geometry or _geometry(file),
        volumes=extras.volumes,
        notices=extras.notices,
    )
    if not header.sampled.any():
        raise DataError(
            f"{file.filename}: expected at least one measured line, got none in `mask` and `ismrmrd_header`. "
            f"Correct or delete the mask."
        )
    return header


def target_name(file: h5py.File) -> str | None:
    """Dataset with the image to recover, of two the one that belongs to the number of coils; None without any.

    A file may hold a target alone; only a single coil's k-space, which has no coil axis, changes the choice.
    """
    single = "kspace" in file and dataset(file, "kspace").ndim == 3
    return next((name for name in (reversed(_TARGETS) if single else _TARGETS) if name in file), None)


def _require_kspace(path: str, kspace: h5py.Dataset) -> None:
    if kspace.ndim not in (3, 4) or 0 in kspace.shape:
        raise DataError(
            f"{path}: expected `kspace` (slices, ky, kx) or (slices, coil, ky, kx), got shape {kspace.shape}. "
            f"Reorder or add axes."
        )
    if kspace.dtype.kind != "c":
        raise DataError(
            f"{path}: expected `kspace` of complex64, got {kspace.dtype}. Join real and imaginary part into one "
            f"complex array."
        )


def _from_xml(file: h5py.File, read: Callable[[bytes], Read | None]) -> Read | None:
    if "ismrmrd_header" not in file:
        return None
    with about(file.filename):
        return read(dataset(file, "ismrmrd_header")[()])


def _geometry(file: h5py.File) -> Geometry | None:
    sizes = _from_xml(file, voxel_sizes)
    return None if sizes is None else Geometry.of_spacing(sizes)


def _mask(file: h5py.File, matrix: tuple[int, int]) -> Tensor:
    stored = dataset(file, "mask")
    columns = matrix[1]
    if stored.shape != matrix and stored.size != columns:
        raise DataError(
            f"{file.filename}: expected a mask of {columns} lines (the last axis of `kspace`) or of {matrix} points, "
            f"got shape {stored.shape}. Store one value per phase-encoding line, or per point of two phase encodings."
        )
    shape = matrix if stored.shape == matrix else (columns,)
    return torch.from_numpy(np.asarray(stored[()]).reshape(shape).astype(bool))


def _phase_encodes(path: str, plain: Mapping[str, Attribute], mask: Tensor | None) -> int:
    """Of the attribute `phase_encodes`, or of the mask where there is none; without either, 1."""
    drawn = None if mask is None else mask.ndim
    stated = plain.get("phase_encodes", drawn or 1)
    if stated not in (1, 2) or drawn not in (None, stated):
        raise DataError(
            f"{path}: expected the attribute `phase_encodes` 1 or 2, as many as the mask has axes, got {stated} and a "
            f"mask of {drawn or 'no'} axes. Correct the attribute."
        )
    return int(stated)


def _target_size(file: h5py.File, name: str, count: int) -> tuple[int, int]:
    shape = dataset(file, name).shape
    if len(shape) != 3 or shape[0] != count:
        raise DataError(
            f"{file.filename}: expected `{name}` of {count} slices (slices, y, x), got shape {shape}. "
            f"Store one image per slice of `kspace`."
        )
    return shape[1], shape[2]
