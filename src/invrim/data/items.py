"""What datasets of slices and of slabs have in common: items of one run of slices each, drawn by seed and epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from invrim.data.augmentation import Augmentation
from invrim.data.batches import Draw, Item
from invrim.data.index import SliceEntry, index_of
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS
from invrim.data.runs import Run, Runs, pairs_of, require_readout

Place = tuple[Sequence[SliceEntry], int]
"""Slices at which a run may start, and its length."""


class RunDataset(Dataset[Item], ABC):
    """Undersampled runs of slices with their targets.

    A subclass says where the runs of a file lie, and how an item lays one out. Headers are read at the start, slices on
    demand.

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
    ) -> None:
        self.training = training
        self.seed = seed
        self.epoch = 0
        self.entries = index_of(Path(folder))
        require_readout(self.entries, readout_crop)
        augmentation = Augmentation(readout_crop=readout_crop, flip=flip) if training else None
        self._runs = Runs(
            augmentation, image_crop=image_crop, target_crop=target_crop, coil_maps=coil_maps, masks=masks
        )
        self._runs.require_fit(self.entries)
        pairs = list(zip(accelerations, center_fractions, strict=True))
        files = [list(group) for _, group in groupby(self.entries, key=lambda entry: entry.path)]
        self._items = [
            (place, chosen)
            for file in files
            for place in self._places(file)
            for chosen in pairs_of(file[0], pairs, training=training)
        ]
        """Places, each with the pairs of acceleration and centre fraction of which its mask is drawn."""

    @abstractmethod
    def _places(self, file: list[SliceEntry]) -> Iterator[Place]:
        """Say where the runs of a file lie, given its slices."""

    @abstractmethod
    def _laid_out(self, run: Run) -> Item:
        """Lay out k-space, mask, maps, where there are some, and target of a run."""

    def __len__(self) -> int:
        return len(self._items)

    def shape_of(self, number: int) -> tuple[object, ...]:
        """Matrix, coils and target size of an item: those that stack are equal."""
        (starts, _), _ = self._items[number]
        return self._runs.shape_of(starts[0])

    def file_of(self, number: int) -> str:
        """Name of the file an item is of."""
        (starts, _), _ = self._items[number]
        return starts[0].path.name

    def __getitem__(self, index: int | tuple[int, int] | Draw) -> Item:
        """Load an item, by its number, or by number and epoch, as samplers draw it.

        The epoch travels with the number because a loader's processes do not see changes to the dataset.
        """
        number, epoch, weight = Draw(*index) if isinstance(index, tuple) else Draw(index, self.epoch)
        (starts, count), pairs = self._items[number]
        rng = np.random.default_rng((self.seed, epoch, number))
        entry = starts[int(rng.integers(len(starts)))]
        return {
            **self._laid_out(self._runs.read(entry, count, pairs, rng)),
            "metadata": entry.protocol,
            "maximum": torch.tensor(entry.maximum),
            "name": entry.path.name,
            "slice": entry.index,
            "weight": torch.tensor(weight),
        }

    def set_epoch(self, epoch: int) -> None:
        """Draw other places, masks, crops and flips from now on, for items asked for by number alone."""
        self.epoch = epoch
