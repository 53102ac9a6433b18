"""Batches of items that stack, in an order of seed and epoch, shared out among the processes of a run."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import Sampler

Item = dict[str, Any]


class Draw(NamedTuple):
    """One item as a sampler asks for it."""

    number: int
    epoch: int = 0
    weight: float = 1.0
    """Of its batch in the mean over processes; 0 for an item that only fills a process's turn."""


class ItemsWithShapes(Protocol):
    """A dataset that knows which of its items stack."""

    def __len__(self) -> int: ...

    def shape_of(self, number: int) -> tuple[object, ...]:
        """What items that stack have in common."""


class ItemsOfFiles(Protocol):
    """A dataset that knows which of its items are of one file."""

    def __len__(self) -> int: ...

    def file_of(self, number: int) -> str:
        """The file an item is of."""


class ShapeBatchSampler(Sampler[list[Draw]]):
    """Batches of items, slices or slabs, that have the same matrix, coils and target size, so that they stack.

    Epochs follow each other without end, each with its own order and its own masks. In a distributed run the processes
    share every batch, which is as large as all of theirs together: so many processes learn from what one would learn
    from with a batch size as many times as large. Where items run out, shares differ, and so do their weights, such
    that the mean of the processes' weighted means is the mean of the whole batch.
    """

    def __init__(self, dataset: ItemsWithShapes, batch_size: int, *, shuffle: bool = True, seed: int = 0) -> None:
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self._made = 0
        groups: dict[tuple[object, ...], array[int]] = {}
        for number in range(len(dataset)):
            groups.setdefault(dataset.shape_of(number), array("q")).append(number)
        self._groups = [np.array(group) for group in groups.values()]

    def __iter__(self) -> Iterator[list[Draw]]:
        first, made = divmod(self._made, self.per_epoch(processes()[1]))
        for epoch in count(first):
            yield from islice(self.epoch(epoch), made, None)
            made = 0

    def go_on(self, batches: int) -> None:
        """Start where a run stopped after this many batches."""
        self._made = batches

    def per_epoch(self, world: int = 1) -> int:
        """Batches of an epoch that so many processes share."""
        return sum(math.ceil(len(group) / (self.batch_size * world)) for group in self._groups)

    def epoch(self, epoch: int) -> Iterator[list[Draw]]:
        """This process's batches of an epoch."""
        rank, world = processes()
        order, batches = self._batches(np.random.default_rng((self.seed, epoch)), self.batch_size * world)
        for start, stop in batches:
            batch = order[start:stop].tolist()
            share = batch[rank::world]
            weight = len(share) * world / len(batch)
            yield [Draw(number, epoch, weight) for number in share or batch[:1]]

    def _batches(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """All numbers in an order, and where in it each batch starts and stops, ``(n, 2)``: no object a number."""
        orders, bounds, first = [], [], 0
        for group in self._groups:
            orders.append(group[rng.permutation(len(group))] if self.shuffle else group)
            starts = np.arange(0, len(group), size)
            bounds.append(first + np.stack([starts, np.minimum(starts + size, len(group))], axis=1))
            first += len(group)
        batches = np.concatenate(bounds)
        return np.concatenate(orders), batches[rng.permutation(len(batches))] if self.shuffle else batches


class FileSampler(Sampler[list[Draw]]):
    """Every item once, one at a time, in a distributed run all items of a file in one process.

    Files go, the largest first, to the process with the fewest items. All processes take equally many turns, which
    those with fewer items fill with items of weight 0.
    """

    def __init__(self, dataset: ItemsOfFiles) -> None:
        self._files: dict[str, list[int]] = {}
        for number in range(len(dataset)):
            self._files.setdefault(dataset.file_of(number), []).append(number)

    def __len__(self) -> int:
        return max(map(len, self._shares()))

    def __iter__(self) -> Iterator[list[Draw]]:
        shares = self._shares()
        mine = shares[processes()[0]]
        yield from ([Draw(number)] for number in mine)
        yield from ([Draw(0, weight=0.0)] for _ in range(len(self) - len(mine)))

    def _shares(self) -> list[list[int]]:
        shares: list[list[int]] = [[] for _ in range(processes()[1])]
        for items in sorted(self._files.values(), key=len, reverse=True):
            min(shares, key=len).extend(items)
        return shares


def collate(items: list[Item]) -> Item:
    """Stack the tensors of a batch and list the rest."""
    return {
        key: torch.stack([item[key] for item in items]) if isinstance(value, Tensor) else [item[key] for item in items]
        for key, value in items[0].items()
    }


def processes() -> tuple[int, int]:
    """This process's rank and their number; one process where nothing is distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
