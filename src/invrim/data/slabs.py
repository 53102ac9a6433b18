"""Slabs of neighbouring slices of many files, for models in 3D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from invrim.data.batches import Item
from invrim.data.index import FileEntry
from invrim.data.items import Place, RunDataset
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS
from invrim.data.runs import Run
from invrim.errors import OptionError


class SlabDataset(RunDataset):
    """Undersampled slabs with their targets.

    An item holds ``kspace`` complex64 ``(coil, z, ky, kx)``, the two-dimensional transform of every slice; ``mask``
    float32 ``(1, 1, 1, kx)``, or ``(1, 1, ky, kx)`` of two phase encodings, the same for all its slices; ``maps``
    complex64 ``(coil, z, y, x)``; ``metadata`` float32 ``(8,)``; ``target`` float32 ``(z, y, x)``; ``maximum`` of the
    volume; ``name``, and ``slice``, the first. `invrim.operators.slab_fidelity` is their physics. A file of fewer
    slices than a slab is one slab.

    Parameters
    ----------
    folder, accelerations, center_fractions, readout_crop, image_crop, target_crop, flip, coil_maps, masks, seed, cache
        As for `invrim.data.items.RunDataset`; a crop is refused where the readout is along the slices.
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
        masks: str = "random",
        seed: int = 0,
        cache: Path | None = None,
    ) -> None:
        self._slab = slab
        super().__init__(
            folder, accelerations=accelerations, center_fractions=center_fractions, training=training,
            readout_crop=readout_crop, image_crop=image_crop, target_crop=target_crop, flip=flip, coil_maps=coil_maps,
            masks=masks, seed=seed, cache=cache,
        )  # fmt: skip

    def _places(self, entry: FileEntry) -> int:
        return len(slabs_of(entry.slices, self._slab))

    def _place(self, entry: FileEntry, number: int) -> Place:
        if self.training:
            count = min(self._slab, entry.slices)
            return range(entry.slices - count + 1), count
        first, count = slabs_of(entry.slices, self._slab)[number]
        return range(first, first + 1), count

    def _laid_out(self, run: Run) -> Item:
        return {
            "kspace": run.kspace.transpose(0, 1),
            "mask": run.mask[None, None],
            **({} if run.maps is None else {"maps": run.maps.transpose(0, 1)}),
            "target": run.target,
        }


def slabs_of(slices: int, slab: int) -> list[tuple[int, int]]:
    """Divide a volume into the fewest slabs of at most so many slices, as equal as can be: ``(first, count)`` each."""
    if slab < 1:
        raise OptionError(f"expected a slab of at least one slice, got {slab}. Raise it.")
    number = math.ceil(slices / slab)
    firsts = [part * slices // number for part in range(number + 1)]
    return [(first, stop - first) for first, stop in pairwise(firsts)]
