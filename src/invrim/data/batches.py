"""Batches of items that stack, in an order of seed and epoch."""

from __future__ import annotations

import math
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
        self._groups: dict[tuple[object, ...], list[int]] = {}
        for number in range(len(dataset)):
            self._groups.setdefault(dataset.shape_of(number), []).append(number)

    def __len__(self) -> int:
        batches = sum(math.ceil(len(group) / self.batch_size) for group in self._groups.values())
        return math.ceil(batches / _processes()[1])

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epochs, first = divmod(self._made, len(self))
        epoch = self.epoch + epochs
        self.epoch, self._made = epoch + 1, 0
        rank, world = _processes()
        batches = self._batches(np.random.default_rng((self.seed, epoch)))
        for turn in range(first, len(self)):
            # The last turn starts over where batches run out: processes that wait for each other must not differ.
            yield [(number, epoch) for number in batches[(turn * world + rank) % len(batches)]]

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass that of ``epoch``."""
        self.epoch = epoch

    def go_on(self, batches: int) -> None:
        """Make the next pass the rest of the one that stopped after this many batches, counted from epoch 0."""
        self.epoch, self._made = 0, batches

    def _batches(self, rng: np.random.Generator) -> list[list[int]]:
        batches: list[list[int]] = []
        for group in self._groups.values():
            order = [group[i] for i in rng.permutation(len(group))] if self.shuffle else group
            batches += [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))] if self.shuffle else batches


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
