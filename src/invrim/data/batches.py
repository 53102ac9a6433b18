"""Batches of items that stack, in an order of seed and epoch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import Sampler

Item = dict[str, Any]


class ItemsWithShapes(Protocol):
    """A dataset that knows which of its items stack."""

    def __len__(self) -> int: ...

    def shape_of(self, number: int) -> tuple[object, ...]:
        """What items that stack have in common."""


class ShapeBatchSampler(Sampler[list[tuple[int, int]]]):
    """Batches of items, slices or slabs, that have the same matrix, coils and target size, so that they stack.

    Yields lists of ``(number, epoch)``. Every pass is a new epoch, with its own order and its own masks. In a
    distributed run every process gets its own batches, equally many.
    """

    def __init__(self, dataset: ItemsWithShapes, batch_size: int, *, shuffle: bool = True, seed: int = 0) -> None:
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._made = 0
        groups: dict[tuple[object, ...], array[int]] = {}
        for number in range(len(dataset)):
            groups.setdefault(dataset.shape_of(number), array("q")).append(number)
        self._groups = [np.array(group) for group in groups.values()]

    def __len__(self) -> int:
        batches = sum(math.ceil(len(group) / self.batch_size) for group in self._groups)
        return math.ceil(batches / _processes()[1])

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epochs, first = divmod(self._made, len(self))
        epoch = self.epoch + epochs
        self.epoch, self._made = epoch + 1, 0
        rank, world = _processes()
        order, batches = self._batches(np.random.default_rng((self.seed, epoch)))
        for turn in range(first, len(self)):
            # The last turn starts over where batches run out: processes that wait for each other must not differ.
            start, stop = batches[(turn * world + rank) % len(batches)]
            yield [(number, epoch) for number in order[start:stop].tolist()]

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass that of ``epoch``."""
        self.epoch = epoch

    def go_on(self, batches: int) -> None:
        """Make the next pass the rest of the one that stopped after this many batches, counted from epoch 0."""
        self.epoch, self._made = 0, batches

    def _batches(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """All numbers in an order, and where in it each batch starts and stops, ``(n, 2)``: no object a number."""
        orders, bounds, first = [], [], 0
        for group in self._groups:
            orders.append(group[rng.permutation(len(group))] if self.shuffle else group)
            starts = np.arange(0, len(group), self.batch_size)
            stops = np.minimum(starts + self.batch_size, len(group))
            bounds.append(first + np.stack([starts, stops], axis=1))
            first += len(group)
        batches = np.concatenate(bounds)
        return np.concatenate(orders), batches[rng.permutation(len(batches))] if self.shuffle else batches


def collate(items: list[Item]) -> Item:
    """Stack the tensors of a batch and list the rest."""
    return {
        key: torch.stack([item[key] for item in items]) if isinstance(value, Tensor) else [item[key] for item in items]
        for key, value in items[0].items()
    }


def _processes() -> tuple[int, int]:
    """This process's rank and their number; one process where nothing is distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
