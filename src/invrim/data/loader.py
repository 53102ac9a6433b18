"""Batches from processes of their own, whose failures are one line here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from invrim.data.batches import Item, ShapeBatchSampler, collate
from invrim.data.items import RunDataset
from invrim.errors import DataError, InvrimError

_KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\) (exited unexpectedly|is killed by signal: \w+)")
"""How torch says that a process is gone."""


class Loader(DataLoader):
    """Batches of items of one shape, see `ShapeBatchSampler`.

    Parameters
    ----------
    dataset
        Its files are opened by every process for itself, none before a process starts.
    batch_size, shuffle, seed
        As of `ShapeBatchSampler`.
    workers
        Processes; 0 loads where it is called.
    made
        Batches that were made before; the first pass is what comes after them.

    Raises
    ------
    DataError, FileError
        While it runs: of a file that cannot be used any more, as without processes, in one line that names the file;
        or a process was killed.
    """

    def __init__(
        self, dataset: RunDataset, batch_size: int, workers: int, *, shuffle: bool, seed: int = 0, made: int = 0
    ) -> None:
        sampler = ShapeBatchSampler(dataset, batch_size, shuffle=shuffle, seed=seed)
        sampler.go_on(made)
        super().__init__(
            dataset, batch_sampler=sampler, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0
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
            except RuntimeError as error:
                killed = _KILLED.search(str(error))
                if killed is None:
                    raise
                raise DataError(
                    f"expected loader processes to live as long as training, got one that {killed[2]}, as when the "
                    f"system kills it for memory. Lower data.workers or data.batch_size, or give the job more memory."
                ) from None
            yield batch


def _said(error: InvrimError) -> str:
    """What an error said in the process that raised it, without the traceback that torch puts before it."""
    text: Any = str(error)
    _, mark, said = text.rpartition(f"{type(error).__qualname__}: ")
    return " ".join(said.split()) if mark and "Traceback" in text else text
