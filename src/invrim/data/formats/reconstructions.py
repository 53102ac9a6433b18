"""Reconstructed images on disk: one HDF5 file per volume, dataset `reconstruction`, as the fastMRI challenge has it."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Attribute
from invrim.data.formats.fastmri_header import target_name
from invrim.data.formats.hdf5 import dataset, open_read, open_write
from invrim.errors import DataError, FileError, ShapeError


def write_reconstruction(path: Path, images: Tensor, attributes: Mapping[str, Attribute]) -> None:
    """Write ``images``, real ``(slices, y, x)``, as float32; the file appears only when complete.

    Raises
    ------
    ShapeError
        The images have other axes.
    DataError
        The images are complex.
    FileError
        The file cannot be written.
    """
    if images.ndim != 3:
        raise ShapeError(f"expected images (slices, y, x), got shape {tuple(images.shape)}. Add or remove axes.")
    if images.is_complex():
        raise DataError("expected magnitude images, got complex ones. Take their absolute value.")
    with open_write(path) as file:
        file["reconstruction"] = images.detach().cpu().numpy().astype(np.float32)
        file.attrs.update(attributes)


def read_reconstruction(path: Path) -> Tensor:
    """The images of a prediction, float32 ``(slices, y, x)``."""
    with open_read(path) as file:
        return _images(file, "reconstruction")


def read_target(path: Path) -> Tensor:
    """The images to recover, float32 ``(slices, y, x)``, of an acquisition file.

    Raises
    ------
    FileError
        The file has none, e.g. because it belongs to a challenge's test set.
    """
    with open_read(path) as file:
        name = target_name(file)
        if name is None:
            raise FileError(
                f"{path}: expected `reconstruction_rss` or `reconstruction_esc`, got {', '.join(sorted(file))}. "
                f"Use a file with a known target."
            )
        return _images(file, name)


def _images(file: h5py.File, name: str) -> Tensor:
    stored = dataset(file, name)
    if stored.ndim != 3 or stored.dtype.kind not in "fiu":
        raise DataError(
            f"{file.filename}: expected `{name}` real (slices, y, x), got {stored.dtype} of shape {stored.shape}. "
            f"Store magnitude images."
        )
    return torch.from_numpy(np.asarray(stored[()], dtype=np.float32))
