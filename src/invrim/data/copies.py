"""Copies of training files on a local disk, fast to read: not compressed, single precision, cropped already."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from invrim.data.formats.fastmri import kspace_slices
from invrim.data.formats.hdf5 import damage_as_file_error, dataset, open_write
from invrim.data.handles import OpenFiles
from invrim.data.index import FileEntry
from invrim.data.recropping import recrop
from invrim.errors import DataError, FileError, WriteError
from invrim.files import make_folder
from invrim.operators.crop import crop_centre

FORMAT = 1
"""Version of what is in a copy; others are made again."""


class LocalCopies:
    """One copy of every file, made when it is first read, whole or not at all.

    A copy's name holds a hash of the file's path, size, time of change and crop: of a file that has changed since the
    index was made another is made. Every slice has a checksum; a damaged copy is made again. Nothing is ever removed:
    the folder may be deleted at any time, also while it is in use.

    Parameters
    ----------
    folder
        Made where there is none. Several processes may share it.
    image_crop
        Crop or pad images to this square, as `invrim.data.recropping.recrop` does.
    """

    def __init__(self, folder: Path, image_crop: int | None = None) -> None:
        self.folder = make_folder(Path(folder))
        self.image_crop = image_crop
        self._has_room = True

    def path_of(self, entry: FileEntry) -> Path:
        """Where the copy of a file lies."""
        key = repr((FORMAT, str(entry.path.resolve()), entry.stamp, entry.target_name, self.image_crop))
        return self.folder / f"{entry.path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.h5"

    def read(self, entry: FileEntry, chosen: slice, files: OpenFiles) -> tuple[Tensor, Tensor]:
        """Read slices as `read_slices` does.

        Raises
        ------
        FileError, DataError
            The file itself cannot be used.
        """
        path = self.path_of(entry)
        if path.is_file():
            try:
                return _stored(files.get(path), chosen)
            except FileError:  # damaged, or removed meanwhile: made again
                files.close(path)
        if self._make(path, entry, files):
            return _stored(files.get(path), chosen)
        return read_slices(files.get(entry.path), entry, chosen, self.image_crop)

    def _make(self, path: Path, entry: FileEntry, files: OpenFiles) -> bool:
        """Write a file's copy slice by slice; False, and a warning the first time, where there is no room for it."""
        if not self._has_room:
            return False
        source = files.get(entry.path)
        try:
            with open_write(path) as copy:
                for index in range(entry.slices):
                    kspace, target = read_slices(source, entry, slice(index, index + 1), self.image_crop)
                    for name, tensor in (("kspace", kspace), ("target", target)):
                        if index == 0:
                            shape = (entry.slices, *tensor.shape[1:])
                            array = tensor.numpy()
                            copy.create_dataset(name, shape, array.dtype, chunks=array.shape, fletcher32=True)
                        copy[name][index] = tensor[0].numpy()
        except WriteError as error:
            self._has_room = False
            warnings.warn(f"{error} Training goes on without the rest of the cache.", stacklevel=2)
        finally:
            files.close(entry.path)
        return self._has_room


def read_slices(file: h5py.File, entry: FileEntry, chosen: slice, image_crop: int | None) -> tuple[Tensor, Tensor]:
    """Read k-space, complex64 ``(n, coil, ky, kx)``, and targets, float32 ``(n, y, x)``, cropped if asked for.

    Raises
    ------
    FileError
        The file is damaged.
    DataError
        NaN or Inf.
    """
    with damage_as_file_error(entry.path):
        kspace = kspace_slices(file, chosen)
        images = dataset(file, entry.target_name)[chosen].astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2)))
    if bad.size:
        raise DataError(
            f"{entry.path.name}: expected finite intensities in `{entry.target_name}`, got NaN or Inf in slice "
            f"{chosen.start + bad[0]}. Correct the target, or move the file out of the folder."
        )
    target = torch.from_numpy(images)
    if image_crop is None:
        return kspace, target
    return recrop(kspace, image_crop), crop_centre(target, [min(n, image_crop) for n in target.shape[-2:]])


def _stored(copy: h5py.File, chosen: slice) -> tuple[Tensor, Tensor]:
    with damage_as_file_error(Path(copy.filename)):
        kspace, target = (dataset(copy, name)[chosen] for name in ("kspace", "target"))
        return torch.from_numpy(kspace), torch.from_numpy(target)
