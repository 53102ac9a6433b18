"""What a scan can have beyond the fastMRI schema, in a group `invrim` that other readers of the schema pass over."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.formats.hdf5 import dataset
from invrim.data.geometry import Geometry
from invrim.errors import DataError

_GROUP = "invrim"
_MASKS = f"{_GROUP}/masks"


@dataclass(frozen=True, kw_only=True)
class Extras:
    """As the fields of the same names of `invrim.data.acquisition.Acquisition`."""

    geometry: Geometry | None = None
    image_size: tuple[int, int] | None = None
    volumes: int = 1
    noise: Tensor | None = None
    notices: tuple[str, ...] = ()
    has_masks: bool = False
    """Whether `read_masks` finds some."""


def write_extras(file: h5py.File, acquisition: Acquisition) -> None:
    """Write what is there to write; no group of nothing."""
    arrays, mask = {}, acquisition.mask
    if acquisition.geometry is not None:
        arrays["affine"] = acquisition.geometry.affine
        arrays["is_oriented"] = np.array(acquisition.geometry.is_oriented)
    if acquisition.image_size is not None:
        arrays["image_size"] = np.array(acquisition.image_size)
    if acquisition.volumes != 1:
        arrays["volumes"] = np.array(acquisition.volumes)
    if acquisition.noise is not None:
        arrays["noise"] = acquisition.noise.cpu().numpy()
    if mask is not None and mask.ndim == 3:
        arrays["masks"] = mask.cpu().numpy().astype(np.uint8)
    for name, array in arrays.items():
        file[f"{_GROUP}/{name}"] = array
    if acquisition.notices:
        file[f"{_GROUP}/notices"] = [notice.encode() for notice in acquisition.notices]


def read_extras(file: h5py.File, slices: int) -> Extras:
    """Read what `write_extras` wrote; defaults where there is nothing.

    Parameters
    ----------
    file
        Open.
    slices
        Of its k-space.

    Raises
    ------
    DataError
        Something has another shape than it can have.
    """
    if _GROUP not in file:
        return Extras()
    affine = _array(file, "affine", (4, 4))
    size = _array(file, "image_size", (2,))
    volumes = _array(file, "volumes", ())
    noise = _array(file, "noise", None)
    notices = _array(file, "notices", None)
    if volumes is not None and (volumes < 1 or slices % int(volumes)):
        raise DataError(
            f"{file.filename}: expected `{_GROUP}/volumes` to divide the {slices} slices, got {volumes}. Correct it."
        )
    return Extras(
        geometry=None if affine is None else _geometry(file, affine),
        image_size=None if size is None else (int(size[0]), int(size[1])),
        volumes=1 if volumes is None else int(volumes),
        noise=None if noise is None else torch.from_numpy(noise.astype(np.complex64)),
        has_masks=_MASKS in file,
        notices=() if notices is None else tuple(bytes(notice).decode(errors="replace") for notice in notices),
    )


def read_masks(file: h5py.File, kspace: h5py.Dataset, chosen: slice) -> Tensor | None:
    """Masks of the chosen slices where they differ, bool ``(slices, 1 or ky, kx)``; None where one does for all."""
    if _MASKS not in file:
        return None
    stored = dataset(file, _MASKS)
    ky, kx = kspace.shape[-2:]
    if stored.shape not in ((len(kspace), 1, kx), (len(kspace), ky, kx)):
        raise DataError(
            f"{file.filename}: expected `{_MASKS}` ({len(kspace)}, 1 or {ky}, {kx}), got shape {stored.shape}. "
            f"Store one mask per slice of `kspace`."
        )
    return torch.from_numpy(stored[chosen].astype(bool))


def _array(file: h5py.File, name: str, shape: tuple[int, ...] | None) -> np.ndarray | None:
    path = f"{_GROUP}/{name}"
    if path not in file:
        return None
    stored = dataset(file, path)
    if shape is not None and stored.shape != shape:
        raise DataError(f"{file.filename}: expected `{path}` of shape {shape}, got {stored.shape}. Rewrite it.")
    return np.asarray(stored[()])


def _geometry(file: h5py.File, affine: np.ndarray) -> Geometry:
    oriented = _array(file, "is_oriented", ())
    return Geometry(affine=affine.astype(np.float64), is_oriented=oriented is None or bool(oriented))
