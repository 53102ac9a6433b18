"""Slices of many files, one at a time, for training and validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset, Sampler

from invrim.data.augmentation import Augmentation
from invrim.data.coil_maps import maps_from_calibration
from invrim.data.formats.fastmri import kspace_slices
from invrim.data.formats.hdf5 import damage_as_file_error, dataset
from invrim.data.handles import OpenFiles
from invrim.data.index import SliceEntry, index_of
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS, random_columns, seed_of
from invrim.data.recropping import recrop
from invrim.errors import DataError, about
from invrim.operators.crop import crop_centre

Item = dict[str, Any]


class SliceDataset(Dataset[Item]):
    """Undersampled slices with their targets.

    An item holds ``kspace`` complex64 ``(coil, ky, kx)``, zero where not sampled; ``mask`` float32 ``(1, 1, kx)``;
    ``maps`` complex64 ``(coil, y, x)`` from the calibration lines of the whole slice; ``metadata`` float32 ``(8,)``, as
    `invrim.data.protocol` codes the scan; ``target`` float32 ``(y, x)``; ``maximum`` of the volume; ``name`` and
    ``slice``. Headers are read at the start, slices on demand.

    Parameters
    ----------
    folder
        Files in the fastMRI schema (``.h5``) with targets. A file's own mask is used where it has one; lines that
        the scanner filled with zeros count as not sampled.
    accelerations, center_fractions
        Of the random column masks.
    training
        Draw a new mask for every item and epoch (see `set_epoch`), crop and flip. Else every slice occurs once for
        each acceleration, with masks seeded by the file name.
    readout_crop
        In training, keep this many rows, placed at random. Exact physics: the readout is fully sampled.
    image_crop
        In training, crop or pad images to this square before they are undersampled, as published, see `recrop`. Such
        files must be fully sampled and have no mask.
    target_crop
        Compare no more than this central square of the target, as published.
    flip
        In training, mirror both axes at random (the phase encoding only where all its lines are there).
    coil_maps
        Whether items have ``maps``.
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
        image_crop: int | None = None,
        target_crop: int | None = None,
        flip: bool = False,
        coil_maps: bool = True,
        seed: int = 0,
    ) -> None:
        self.training = training
        self.image_crop = image_crop if training else None
        self.target_crop = target_crop
        self.coil_maps = coil_maps
        self.augmentation = Augmentation(readout_crop=readout_crop, flip=flip)
        self.seed = seed
        self.epoch = 0
        self.entries = index_of(Path(folder))
        if self.image_crop is not None:
            _require_no_masks(self.entries)
        pairs = list(zip(accelerations, center_fractions, strict=True))
        self._items = [
            (entry, chosen)
            for entry in self.entries
            for chosen in ([pairs] if training or entry.mask is not None else [[pair] for pair in pairs])
        ]
        """Slices, each with the pairs of acceleration and centre fraction of which its mask is drawn."""
        self._files = OpenFiles()

    def __len__(self) -> int:
        return len(self._items)

    def shape_of(self, number: int) -> tuple[object, ...]:
        """Matrix, coils and target size of an item: those that stack are equal."""
        entry, _ = self._items[number]
        shape = entry.shape if self.image_crop is None else (entry.shape[0], self.image_crop, self.image_crop)
        return shape, tuple(self._target_size(n) for n in entry.target_size)

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        """Load a slice, by its number, or by ``(number, epoch)`` as `ShapeBatchSampler` asks for it.

        The epoch travels with the number because a loader's processes do not see changes to the dataset.
        """
        number, epoch = index if isinstance(index, tuple) else (index, self.epoch)
        entry, pairs = self._items[number]
        rng = np.random.default_rng((self.seed, epoch, number))
        kspace, target = self._read(entry)
        if self.training:
            complete = bool(entry.sampled.all())
            kspace, target = self.augmentation.mirror(kspace, target, rng, columns=complete)
        if self.image_crop is not None:
            kspace = recrop(kspace, self.image_crop)
        mask = self._mask(entry, pairs, rng)
        kspace = kspace * mask
        maps = None
        if self.coil_maps:
            with about(entry.path.name):
                maps = maps_from_calibration(kspace[None], mask)[0]
        if self.training:
            kspace, maps, target = self.augmentation.crop(kspace, maps, target, rng)
        return {
            "kspace": kspace,
            "mask": mask.to(torch.float32).reshape(1, 1, -1),
            **({} if maps is None else {"maps": maps}),
            "metadata": entry.protocol,
            "target": crop_centre(target, [self._target_size(n) for n in target.shape]),
            "maximum": torch.tensor(entry.maximum),
            "name": entry.path.name,
            "slice": entry.index,
        }

    def set_epoch(self, epoch: int) -> None:
        """Draw other masks, crops and flips from now on, for items asked for by number alone."""
        self.epoch = epoch

    def _read(self, entry: SliceEntry) -> tuple[Tensor, Tensor]:
        file = self._files.get(entry.path)
        with damage_as_file_error(entry.path):
            kspace = kspace_slices(file, slice(entry.index, entry.index + 1))[0]
            target = dataset(file, entry.target_name)[entry.index].astype(np.float32)
        if not np.isfinite(target).all():
            raise DataError(
                f"{entry.path.name}: expected finite intensities in `{entry.target_name}`, got NaN or Inf in slice "
                f"{entry.index}. Correct the target, or move the file out of the folder."
            )
        return kspace, torch.from_numpy(target)

    def _mask(self, entry: SliceEntry, pairs: list[tuple[float, float]], rng: np.random.Generator) -> Tensor:
        if entry.mask is not None:
            return entry.sampled
        seed = int(rng.integers(2**32)) if self.training else seed_of(entry.path.name)
        accelerations, center_fractions = zip(*pairs, strict=True)
        if self.image_crop is not None:
            return random_columns(self.image_crop, accelerations, center_fractions, seed)
        return random_columns(entry.shape[-1], accelerations, center_fractions, seed) & entry.sampled

    def _target_size(self, n: int) -> int:
        return min(n, self.target_crop or n, self.image_crop or n)


def _require_no_masks(entries: Sequence[SliceEntry]) -> None:
    for entry in entries:
        if entry.mask is not None:
            raise DataError(
                f"{entry.path.name}: expected a fully sampled file, since image_crop makes another k-space, got one "
                f"with a mask. Move it out of the training folder, or leave image_crop out."
            )


class ShapeBatchSampler(Sampler[list[tuple[int, int]]]):
    """Batches of slices that have the same matrix, coils and target size, so that they stack.

    Yields lists of ``(number, epoch)``. Every pass is a new epoch, with its own order and its own masks. In a
    distributed run every process gets its own batches, equally many.
    """

    def __init__(self, dataset: SliceDataset, batch_size: int, *, shuffle: bool = True, seed: int = 0) -> None:
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._made = 0
        self._groups: dict[tuple[object, ...], list[int]] = {}
        for number in range(len(dataset)):
            self._groups.setdefault(dataset.shape_of(number), []).append(number)

    def __len__(self) -> int:
        batches = sum(math.ceil(len(group) / self.batch_size) for group in self._groups.values())
        return math.ceil(batches / _processes()[1])

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epochs, first = divmod(self._made, len(self))
        epoch = self.epoch + epochs
        self.epoch, self._made = epoch + 1, 0
        rank, world = _processes()
        batches = self._batches(np.random.default_rng((self.seed, epoch)))
        for turn in range(first, len(self)):
            # The last turn starts over where batches run out: processes that wait for each other must not differ.
            yield [(number, epoch) for number in batches[(turn * world + rank) % len(batches)]]

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass that of ``epoch``."""
        self.epoch = epoch

    def go_on(self, batches: int) -> None:
        """Make the next pass the rest of the one that stopped after this many batches, counted from epoch 0."""
        self.epoch, self._made = 0, batches

    def _batches(self, rng: np.random.Generator) -> list[list[int]]:
        batches: list[list[int]] = []
        for group in self._groups.values():
            order = [group[i] for i in rng.permutation(len(group))] if self.shuffle else group
            batches += [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))] if self.shuffle else batches


def collate(items: list[Item]) -> Item:
    """Stack the tensors of a batch and list the rest."""
    return {
        key: torch.stack([item[key] for item in items]) if isinstance(value, Tensor) else [item[key] for item in items]
        for key, value in items[0].items()
    }


def _processes() -> tuple[int, int]:
    """This process's rank and their number; one process where nothing is distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
