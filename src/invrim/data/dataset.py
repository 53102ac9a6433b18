"""Slices of many files, one at a time, for training and validation."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from invrim.data.coil_maps import maps_from_calibration
from invrim.data.formats.fastmri import kspace_slices, read_header
from invrim.data.formats.hdf5 import damage_as_file_error, dataset, open_handle
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS, random_columns, seed_of
from invrim.errors import DataError, FileError
from invrim.operators.fourier import fft_centred, ifft_centred

Item = dict[str, Any]

_OPEN_FILES = 16
"""Handles that a process keeps open; the least recently read file is closed first."""


@dataclass(frozen=True)
class _Entry:
    """Where a slice lies, and what is known of it without reading it."""

    path: Path
    index: int
    shape: tuple[int, int, int]
    """(coil, ky, kx)"""
    maximum: float
    mask: Tensor | None


class SliceDataset(Dataset[Item]):
    """Undersampled slices with their targets.

    An item holds ``kspace`` complex64 ``(coil, ky, kx)``, zero where not sampled; ``mask`` float32 ``(1, 1, kx)``;
    ``maps`` complex64 ``(coil, y, x)`` from the calibration lines, absent for one coil; ``target`` float32
    ``(y, x)``; ``maximum`` of the volume; ``name`` and ``slice``. Headers are read at the start, slices on demand.

    Parameters
    ----------
    folder
        Files in the fastMRI schema (``.h5``) with targets. A file's own mask is used where it has one.
    accelerations, center_fractions
        Of the random column masks.
    training
        Draw a new mask for every item and epoch (see `set_epoch`), crop and flip; else masks are seeded by file name.
    readout_crop
        In training, keep this many rows, placed at random. Exact physics: the readout is fully sampled.
    flip
        In training, mirror both axes at random.
    seed
        Of masks, crops and flips.
    """

    def __init__(
        self,
        folder: Path,
        *,
        accelerations: Sequence[float] = ACCELERATIONS,
        center_fractions: Sequence[float] = CENTER_FRACTIONS,
        training: bool = True,
        readout_crop: int | None = None,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        self.accelerations = accelerations
        self.center_fractions = center_fractions
        self.training = training
        self.readout_crop = readout_crop
        self.flip = flip
        self.seed = seed
        self.epoch = 0
        self.entries = _index(Path(folder))
        self._handles = _Handles()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        """Load a slice, by its number, or by ``(number, epoch)`` as `ShapeBatchSampler` asks for it.

        The epoch travels with the number because a loader's processes do not see changes to the dataset.
        """
        number, epoch = index if isinstance(index, tuple) else (index, self.epoch)
        entry = self.entries[number]
        rng = np.random.default_rng((self.seed, epoch, number))
        file = self._handles.get(entry.path)
        with damage_as_file_error(entry.path):
            kspace = kspace_slices(file, slice(entry.index, entry.index + 1))[0]
            target = torch.from_numpy(_target(file)[entry.index].astype(np.float32))
        if self.training:
            kspace, target = self._augment(kspace, target, rng)
        mask = entry.mask if entry.mask is not None else self._mask(entry, kspace.shape[-1], rng)
        kspace = kspace * mask
        item: Item = {
            "kspace": kspace,
            "mask": mask.to(torch.float32).reshape(1, 1, -1),
            "target": target,
            "maximum": torch.tensor(entry.maximum),
            "name": entry.path.name,
            "slice": entry.index,
        }
        if len(kspace) > 1:
            item["maps"] = maps_from_calibration(kspace[None], mask)[0]
        return item

    def set_epoch(self, epoch: int) -> None:
        """Draw other masks, crops and flips from now on."""
        self.epoch = epoch

    def _mask(self, entry: _Entry, columns: int, rng: np.random.Generator) -> Tensor:
        seed = int(rng.integers(2**32)) if self.training else seed_of(entry.path.name)
        return random_columns(columns, self.accelerations, self.center_fractions, seed)

    def _augment(self, kspace: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        mirrored = [axis for axis in (-2, -1) if self.flip and rng.random() < 0.5]
        rows = min(self.readout_crop or target.shape[0], target.shape[0])
        if not mirrored and rows == kspace.shape[-2]:
            return kspace, target
        image = ifft_centred(kspace)
        first = int(rng.integers(target.shape[0] - rows + 1))
        border = (image.shape[-2] - target.shape[0]) // 2
        image, target = image.narrow(-2, border + first, rows), target.narrow(-2, first, rows)
        return fft_centred(image.flip(mirrored)), target.flip(mirrored)


class ShapeBatchSampler(Sampler[list[tuple[int, int]]]):
    """Batches of slices that have the same matrix and coils, so that they stack.

    Yields lists of ``(number, epoch)``. Every pass is a new epoch, with its own order and its own masks.
    """

    def __init__(self, dataset: SliceDataset, batch_size: int, *, shuffle: bool = True, seed: int = 0) -> None:
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._groups: dict[tuple[object, ...], list[int]] = {}
        for number, entry in enumerate(dataset.entries):
            own_mask = entry.mask is not None
            self._groups.setdefault((entry.shape, own_mask), []).append(number)

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self._groups.values())

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        rng = np.random.default_rng((self.seed, epoch))
        batches = []
        for group in self._groups.values():
            order = rng.permutation(group) if self.shuffle else np.asarray(group)
            batches += [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        for batch in rng.permutation(len(batches)) if self.shuffle else range(len(batches)):
            yield [(int(number), epoch) for number in batches[batch]]


def collate(items: list[Item]) -> Item:
    """Stack the tensors of a batch and list the rest."""
    return {
        key: torch.stack([item[key] for item in items]) if isinstance(value, Tensor) else [item[key] for item in items]
        for key, value in items[0].items()
    }


class _Handles:
    """Open files of this process. A copy that arrives in another process starts empty: HDF5 handles do not travel."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, h5py.File] = OrderedDict()
        self._process = os.getpid()

    def get(self, path: Path) -> h5py.File:
        if self._process != os.getpid():
            self.__init__()  # type: ignore[misc]
        if path not in self._files:
            self._files[path] = open_handle(path)
        self._files.move_to_end(path)
        while len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return self._files[path]

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, _: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]


def _index(folder: Path) -> list[_Entry]:
    paths = sorted(folder.glob("*.h5"))
    if not paths:
        raise FileError(
            f"expected a folder with .h5 files, got {folder}. Make some with `invrim simulate`, or correct the path."
        )
    return [entry for path in paths for entry in _entries(path)]


def _entries(path: Path) -> list[_Entry]:
    header = read_header(path)
    if header.target_name is None:
        raise DataError(
            f"{path.name}: expected reconstruction_esc or reconstruction_rss to learn from, got neither. "
            f"Move the file out of the training folder."
        )
    maximum = header.maximum
    if maximum is None:
        with h5py.File(path) as file:
            maximum = float(np.max(_target(file)[()]))
    return [_Entry(path, index, (header.coils, *header.matrix), maximum, header.mask) for index in range(header.slices)]


def _target(file: h5py.File) -> h5py.Dataset:
    name = "reconstruction_rss" if "reconstruction_rss" in file else "reconstruction_esc"
    return dataset(file, name)
