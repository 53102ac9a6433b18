"""Slabs of neighbouring slices of many files, for models in 3D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from invrim.data.augmentation import Augmentation
from invrim.data.batches import Item
from invrim.data.index import SliceEntry, index_of
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS
from invrim.data.runs import Pairs, Runs, pairs_of, require_readout
from invrim.errors import OptionError


class SlabDataset(Dataset[Item]):
    """Undersampled slabs with their targets.

    An item holds ``kspace`` complex64 ``(coil, z, ky, kx)``, the two-dimensional transform of every slice; ``mask``
    float32 ``(1, 1, 1, kx)``, or ``(1, 1, ky, kx)`` of two phase encodings, the same for all its slices; ``maps``
    complex64 ``(coil, z, y, x)``; ``metadata`` float32 ``(8,)``; ``target`` float32 ``(z, y, x)``; ``maximum`` of the
    volume; ``name``, and ``slice``, the first. `invrim.operators.slab_fidelity` is their physics. A file of fewer
    slices than a slab is one slab. Headers are read at the start, slabs on demand.

    Parameters
    ----------
    folder, accelerations, center_fractions, readout_crop, image_crop, target_crop, flip, coil_maps, seed
        As for `invrim.data.dataset.SliceDataset`; a crop is refused where the readout is along the slices.
    slab
        Slices of a slab.
    training
        Draw a new place and a new mask for every item and epoch, as many slabs an epoch as cover the file; crop and
        flip. Else every slice occurs once for each acceleration, in slabs whose sizes differ by one slice at most.
    """

    def __init__(
        self,
        folder: Path,
        *,
        slab: int,
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
        self.seed = seed
        self.epoch = 0
        self.entries = index_of(Path(folder))
        require_readout(self.entries, readout_crop)
        augmentation = Augmentation(readout_crop=readout_crop, flip=flip) if training else None
        self._runs = Runs(augmentation, image_crop=image_crop, target_crop=target_crop, coil_maps=coil_maps)
        self._runs.require_fit(self.entries)
        pairs = list(zip(accelerations, center_fractions, strict=True))
        self._items: list[tuple[Sequence[SliceEntry], int, Pairs]] = []
        """Slices at which a slab may start, its size, and pairs of acceleration and centre fraction for its mask."""
        for _, group in groupby(self.entries, key=lambda entry: entry.path):
            volume = list(group)
            for first, count in slabs_of(len(volume), slab):
                starts, size = _anywhere(volume, slab) if training else (volume[first : first + 1], count)
                self._items += [(starts, size, chosen) for chosen in pairs_of(volume[0], pairs, training=training)]

    def __len__(self) -> int:
        return len(self._items)

    def shape_of(self, number: int) -> tuple[object, ...]:
        """Slices, matrix, coils and target size of an item: those that stack are equal."""
        starts, count, _ = self._items[number]
        return count, *self._runs.shape_of(starts[0])

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        """Load a slab by its number, or by ``(number, epoch)``, as `SliceDataset` does."""
        number, epoch = index if isinstance(index, tuple) else (index, self.epoch)
        starts, count, pairs = self._items[number]
        rng = np.random.default_rng((self.seed, epoch, number))
        entry = starts[int(rng.integers(len(starts)))]
        run = self._runs.read(entry, count, pairs, rng)
        return {
            "kspace": run.kspace.transpose(0, 1),
            "mask": run.mask[None, None],
            **({} if run.maps is None else {"maps": run.maps.transpose(0, 1)}),
            "metadata": entry.protocol,
            "target": run.target,
            "maximum": torch.tensor(entry.maximum),
            "name": entry.path.name,
            "slice": entry.index,
        }

    def set_epoch(self, epoch: int) -> None:
        """Draw other slabs, masks, crops and flips from now on, for items asked for by number alone."""
        self.epoch = epoch


def slabs_of(slices: int, slab: int) -> list[tuple[int, int]]:
    """Divide a volume into the fewest slabs of at most so many slices, as equal as can be: ``(first, count)`` each."""
    if slab < 1:
        raise OptionError(f"expected a slab of at least one slice, got {slab}. Raise it.")
    number = math.ceil(slices / slab)
    firsts = [part * slices // number for part in range(number + 1)]
    return [(first, stop - first) for first, stop in pairwise(firsts)]


def _anywhere(volume: Sequence[SliceEntry], slab: int) -> tuple[Sequence[SliceEntry], int]:
    """Where a slab of full size fits, and that size."""
    count = min(slab, len(volume))
    return volume[: len(volume) - count + 1], count
