"""What datasets of slices and of slabs have in common: items of one run of slices each, drawn by seed and epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from invrim.data.augmentation import Augmentation
from invrim.data.batches import Draw, Item
from invrim.data.index import FileEntry, index_of
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS
from invrim.data.runs import Pairs, Run, Runs, pairs_of, require_readout

Place = tuple[range, int]
"""Slices of a file at which a run may start, and its length."""


class RunDataset(Dataset[Item], ABC):
    """Undersampled runs of slices with their targets.

    A subclass says where the runs of a file lie, and how an item lays one out. Headers are read at the start, slices on
    demand; what is kept grows with the files, not with their slices.

    Parameters
    ----------
    folder
        Files in the fastMRI schema (``.h5``) with targets. A file's own mask is used where it has one; lines that
        the scanner filled with zeros count as not sampled.
    accelerations, center_fractions
        Of the masks: of columns, or of points where a file has two phase encodings.
    training
        Draw a new mask for every item and epoch (see `set_epoch`), crop and flip. Else every slice occurs once for
        each acceleration, with masks seeded by the file name.
    readout_crop
        In training, keep this many rows, placed at random. Exact physics: the readout is fully sampled. Refused where
        rows are a phase encoding.
    image_crop
        In training, crop or pad images to this square before they are undersampled, as published, see `recrop`. Such
        files must be fully sampled, have no mask and one phase encoding.
    target_crop
        Compare no more than this central square of the target, as published.
    flip
        In training, mirror both axes at random (phase encodings only where all samples are there).
    coil_maps
        Whether items have ``maps``.
    masks
        Their kind, of `invrim.data.mask_kinds.LINE_MASKS`, or of ``POINT_MASKS`` where files have two phase encodings.
    seed
        Of masks, crops and flips.
    cache
        Folder, best on a disk of this machine, for copies of the files that are fast to read and cropped already, see
        `invrim.data.copies`; None reads the files themselves.
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
        masks: str = "random",
        seed: int = 0,
        cache: Path | None = None,
    ) -> None:
        self.training = training
        self.seed = seed
        self.epoch = 0
        self.entries = index_of(Path(folder))
        require_readout(self.entries, readout_crop)
        augmentation = Augmentation(readout_crop=readout_crop, flip=flip) if training else None
        self._runs = Runs(
            augmentation, image_crop=image_crop, target_crop=target_crop, coil_maps=coil_maps, masks=masks, cache=cache
        )
        self._runs.require_fit(self.entries)
        self._pairs: Pairs = list(zip(accelerations, center_fractions, strict=True))
        self._stops = list(accumulate(self._places(entry) * len(self._drawn(entry)) for entry in self.entries))
        """Numbers of the items after the last of every file."""

    @abstractmethod
    def _places(self, entry: FileEntry) -> int:
        """Say how many runs a file has."""

    @abstractmethod
    def _place(self, entry: FileEntry, number: int) -> Place:
        """Say where one of them lies."""

    @abstractmethod
    def _laid_out(self, run: Run) -> Item:
        """Lay out k-space, mask, maps, where there are some, and target of a run."""

    def __len__(self) -> int:
        return self._stops[-1]

    def shape_of(self, number: int) -> tuple[object, ...]:
        """Slices, matrix, coils and target size of an item: those that stack are equal."""
        entry, (_, count), _ = self._item(number)
        return count, *self._runs.shape_of(entry)

    def _drawn(self, entry: FileEntry) -> list[Pairs]:
        return pairs_of(entry, self._pairs, training=self.training)

    def _item(self, number: int) -> tuple[FileEntry, Place, Pairs]:
        """File, place in it, and pairs of acceleration and centre fraction of which the mask is drawn."""
        if not 0 <= number < len(self):
            raise IndexError(f"item {number} of {len(self)}")
        file = bisect_right(self._stops, number)
        entry, before = self.entries[file], self._stops[file - 1] if file else 0
        drawn = self._drawn(entry)
        place, pair = divmod(number - before, len(drawn))
        return entry, self._place(entry, place), drawn[pair]

    def file_of(self, number: int) -> str:
        """Name of the file an item is of."""
        return self._item(number)[0].path.name

    def __getitem__(self, index: int | tuple[int, int] | Draw) -> Item:
        """Load an item, by its number, or by number and epoch, as samplers draw it.

        The epoch travels with the number because a loader's processes do not see changes to the dataset.
        """
        number, epoch, weight = Draw(*index) if isinstance(index, tuple) else Draw(index, self.epoch)
        entry, (starts, count), pairs = self._item(number)
        rng = np.random.default_rng((self.seed, epoch, number))
        first = starts[int(rng.integers(len(starts)))]
        return {
            **self._laid_out(self._runs.read(entry, slice(first, first + count), pairs, rng)),
            "metadata": entry.protocol,
            "maximum": torch.tensor(entry.maximum),
            "name": entry.path.name,
            "slice": first,
            "weight": torch.tensor(weight),
        }

    def set_epoch(self, epoch: int) -> None:
        """Draw other places, masks, crops and flips from now on, for items asked for by number alone."""
        self.epoch = epoch
