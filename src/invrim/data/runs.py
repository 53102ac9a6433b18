"""Neighbouring slices of a file, read and undersampled alike: what an item of a dataset is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from invrim.data.augmentation import Augmentation
from invrim.data.coil_maps import maps_from_calibration
from invrim.data.copies import LocalCopies, read_slices
from invrim.data.handles import OpenFiles
from invrim.data.index import FileEntry
from invrim.data.mask_kinds import draw_mask, require_mask_kind
from invrim.data.masks import Seed, seed_of
from invrim.errors import DataError, OptionError, about
from invrim.operators.crop import crop_centre

Pairs = Sequence[tuple[float, float]]
"""Acceleration and centre fraction, of which a mask is drawn."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """``n`` neighbouring slices with one mask."""

    kspace: Tensor
    """Complex64 ``(n, coil, ky, kx)``, zero where not sampled."""
    mask: Tensor
    """Float32 ``(1, kx)``, or ``(ky, kx)`` of two phase encodings."""
    maps: Tensor | None
    """Complex64 ``(n, coil, y, x)`` from the calibration samples of every whole slice; None where not wanted."""
    target: Tensor
    """Float32 ``(n, y, x)``."""


class Runs:
    """Reads runs, from files that stay open.

    Parameters
    ----------
    augmentation
        How runs are varied; None for validation: as they are, with masks seeded by the file name.
    image_crop
        In training, crop or pad images to this square before they are undersampled, see `recrop`.
    target_crop
        Compare no more than this central square of the target.
    coil_maps
        Whether maps are estimated.
    masks
        Their kind, see `invrim.data.mask_kinds`.
    cache
        Folder of `invrim.data.copies`; None reads the files themselves.
    """

    def __init__(
        self,
        augmentation: Augmentation | None,
        *,
        image_crop: int | None = None,
        target_crop: int | None = None,
        coil_maps: bool = True,
        masks: str = "random",
        cache: Path | None = None,
    ) -> None:
        self.augmentation = augmentation
        self.image_crop = None if augmentation is None else image_crop
        self.target_crop = target_crop
        self.coil_maps = coil_maps
        self.masks = masks
        self.files = OpenFiles()
        self._copies = None if cache is None else LocalCopies(cache, self.image_crop)

    def require_fit(self, entries: Sequence[FileEntry]) -> None:
        """Refuse files whose images cannot be cropped before they are undersampled, or not by this kind of mask."""
        for entry in entries:
            if entry.mask is None:
                with about(entry.path.name):
                    require_mask_kind(self.masks, entry.phase_encodes)
            if self.image_crop is not None and (entry.mask is not None or entry.phase_encodes == 2):
                got = "two phase encodings" if entry.mask is None else "a mask"
                raise DataError(
                    f"{entry.path.name}: expected a fully sampled file, since image_crop makes another k-space, got "
                    f"one with {got}. Move it out of the training folder, or leave image_crop out."
                )

    def shape_of(self, entry: FileEntry) -> tuple[object, ...]:
        """What slices that stack have in common."""
        shape = entry.shape if self.image_crop is None else (entry.shape[0], self.image_crop, self.image_crop)
        return shape, entry.phase_encodes, tuple(self._target_size(n) for n in entry.target_size)

    def read(self, entry: FileEntry, chosen: slice, pairs: Pairs, rng: np.random.Generator) -> Run:
        """Read neighbouring slices of a file, all undersampled by one mask."""
        kspace, target = self._load(entry, chosen)
        if self.augmentation is not None:
            complete = bool(entry.sampled.all())
            single = entry.phase_encodes == 1
            kspace, target = self.augmentation.mirror(kspace, target, rng, rows=single or complete, columns=complete)
        mask = self._mask(entry, pairs, rng)
        kspace = kspace * mask
        with about(entry.path.name):
            maps = maps_from_calibration(kspace, mask) if self.coil_maps else None
        if self.augmentation is not None:
            kspace, maps, target = self.augmentation.crop(kspace, maps, target, rng)
        target = crop_centre(target, [self._target_size(n) for n in target.shape[-2:]])
        return Run(kspace=kspace, mask=mask.float().reshape(-1, mask.shape[-1]), maps=maps, target=target)

    def _load(self, entry: FileEntry, chosen: slice) -> tuple[Tensor, Tensor]:
        """K-space and target of slices, cropped as the run wants them, of a local copy or of the file itself."""
        if self._copies is not None:
            return self._copies.read(entry, chosen, self.files)
        return read_slices(self.files.get(entry.path), entry, chosen, self.image_crop)

    def _mask(self, entry: FileEntry, pairs: Pairs, rng: np.random.Generator) -> Tensor:
        if entry.mask is not None:
            return entry.sampled
        seed: Seed = seed_of(entry.path.name) if self.augmentation is None else int(rng.integers(2**32))
        accelerations, center_fractions = zip(*pairs, strict=True)
        size = entry.shape[1:] if self.image_crop is None else (self.image_crop, self.image_crop)
        mask = draw_mask(
            self.masks, size, entry.phase_encodes,
            accelerations=accelerations, center_fractions=center_fractions, seed=seed,
        )  # fmt: skip
        return mask & entry.sampled if self.image_crop is None else mask

    def _target_size(self, n: int) -> int:
        return min(n, self.target_crop or n, self.image_crop or n)


def pairs_of(entry: FileEntry, pairs: Pairs, *, training: bool) -> list[Pairs]:
    """How often slices occur, and of which pairs each time a mask is drawn: in validation once for each pair."""
    return [pairs] if training or entry.mask is not None else [[pair] for pair in pairs]


def require_readout(entries: Sequence[FileEntry], readout_crop: int | None) -> None:
    """Refuse to leave rows out where they are no positions along the readout."""
    for entry in entries:
        if readout_crop is not None and entry.phase_encodes == 2:
            raise OptionError(
                f"{entry.path.name}: expected a readout within the slice to crop, got two phase encodings, whose "
                f"readout is along the slices. Leave readout_crop out, and choose a slab instead."
            )
