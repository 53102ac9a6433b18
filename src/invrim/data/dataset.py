"""Slices of many files, one at a time, for training and validation."""

from __future__ import annotations

from invrim.data.batches import Item
from invrim.data.index import FileEntry
from invrim.data.items import Place, RunDataset
from invrim.data.runs import Run


class SliceDataset(RunDataset):
    """Undersampled slices with their targets.

    An item holds ``kspace`` complex64 ``(coil, ky, kx)``, zero where not sampled; ``mask`` float32 ``(1, 1, kx)``,
    or ``(1, ky, kx)`` of two phase encodings; ``maps`` complex64 ``(coil, y, x)`` from the calibration samples of the
    whole slice; ``metadata`` float32 ``(8,)``, as `invrim.data.protocol` codes the scan; ``target`` float32 ``(y, x)``;
    ``maximum`` of the volume; ``name`` and ``slice``.
    Parameters are those of `invrim.data.items.RunDataset`.
    """

    def _places(self, entry: FileEntry) -> int:
        return entry.slices

    def _place(self, entry: FileEntry, number: int) -> Place:
        return range(entry.slices)[number : number + 1], 1

    def _laid_out(self, run: Run) -> Item:
        return {
            "kspace": run.kspace[0],
            "mask": run.mask[None],
            **({} if run.maps is None else {"maps": run.maps[0]}),
            "target": run.target[0],
        }
