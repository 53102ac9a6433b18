"""Batches from processes of their own, whose failures are one line here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler

from invrim.data.batches import Draw, Item, collate
from invrim.data.items import RunDataset
from invrim.errors import InvrimError


class Loader(DataLoader):
    """Batches of items, in an order of samplers of `invrim.data.batches`.

    Parameters
    ----------
    dataset
        Its files are opened by every process for itself, none before a process starts.
    order
        Which items make a batch.
    workers
        Processes; 0 loads where it is called.

    Raises
    ------
    DataError, FileError
        While it runs: of a file that cannot be used any more, as without processes, in one line that names the file.
    """

    def __init__(self, dataset: RunDataset, order: Sampler[list[Draw]], workers: int) -> None:
        super().__init__(
            dataset, batch_sampler=order, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0
        )

    def __iter__(self) -> Iterator[Item]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except InvrimError as error:
                raise type(error)(_said(error)) from None
            yield batch


def _said(error: InvrimError) -> str:
    """What an error said in the process that raised it, without the traceback that torch puts before it."""
    text: Any = str(error)
    _, mark, said = text.rpartition(f"{type(error).__qualname__}: ")
    return " ".join(said.split()) if mark and "Traceback" in text else text
