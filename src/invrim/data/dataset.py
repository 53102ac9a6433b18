"""Slices of many files, one at a time, for training and validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from invrim.data.augmentation import Augmentation
from invrim.data.batches import Item
from invrim.data.index import index_of
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS
from invrim.data.runs import Runs, pairs_of, require_readout


class SliceDataset(Dataset[Item]):
    """Undersampled slices with their targets.

    An item holds ``kspace`` complex64 ``(coil, ky, kx)``, zero where not sampled; ``mask`` float32 ``(1, 1, kx)``,
    or ``(1, ky, kx)`` of two phase encodings; ``maps`` complex64 ``(coil, y, x)`` from the calibration samples of the
    whole slice; ``metadata`` float32 ``(8,)``, as `invrim.data.protocol` codes the scan; ``target`` float32 ``(y, x)``;
    ``maximum`` of the volume; ``name`` and ``slice``. Headers are read at the start, slices on demand.

    Parameters
    ----------
    folder
        Files in the fastMRI schema (``.h5``) with targets. A file's own mask is used where it has one; lines that
        the scanner filled with zeros count as not sampled.
    accelerations, center_fractions
        Of the random masks: of columns, or of points where a file has two phase encodings.
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
        self.seed = seed
        self.epoch = 0
        self.entries = index_of(Path(folder))
        require_readout(self.entries, readout_crop)
        augmentation = Augmentation(readout_crop=readout_crop, flip=flip) if training else None
        self._runs = Runs(augmentation, image_crop=image_crop, target_crop=target_crop, coil_maps=coil_maps)
        self._runs.require_fit(self.entries)
        pairs = list(zip(accelerations, center_fractions, strict=True))
        self._items = [
            (entry, chosen) for entry in self.entries for chosen in pairs_of(entry, pairs, training=training)
        ]
        """Slices, each with the pairs of acceleration and centre fraction of which its mask is drawn."""

    def __len__(self) -> int:
        return len(self._items)

    def shape_of(self, number: int) -> tuple[object, ...]:
        """Matrix, coils and target size of an item: those that stack are equal."""
        entry, _ = self._items[number]
        return self._runs.shape_of(entry)

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        """Load a slice, by its number, or by ``(number, epoch)`` as `ShapeBatchSampler` asks for it.

        The epoch travels with the number because a loader's processes do not see changes to the dataset.
        """
        number, epoch = index if isinstance(index, tuple) else (index, self.epoch)
        entry, pairs = self._items[number]
        rng = np.random.default_rng((self.seed, epoch, number))
        run = self._runs.read(entry, 1, pairs, rng)
        return {
            "kspace": run.kspace[0],
            "mask": run.mask[None],
            **({} if run.maps is None else {"maps": run.maps[0]}),
            "metadata": entry.protocol,
            "target": run.target[0],
            "maximum": torch.tensor(entry.maximum),
            "name": entry.path.name,
            "slice": entry.index,
        }

    def set_epoch(self, epoch: int) -> None:
        """Draw other masks, crops and flips from now on, for items asked for by number alone."""
        self.epoch = epoch
