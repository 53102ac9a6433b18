"""From a recipe's folders to batches."""

from __future__ import annotations

from collections import Counter
from functools import partial

from torch.utils.data import DataLoader

from invrim.data.batches import ShapeBatchSampler, collate
from invrim.data.dataset import SliceDataset
from invrim.data.slabs import SlabDataset
from invrim.errors import OptionError
from invrim.training.recipe import Recipe


def loaders(recipe: Recipe, made: int = 0) -> tuple[DataLoader, DataLoader]:
    """Make the loaders of training and validation, of slices or slabs; training goes on after the updates made."""
    data = recipe.data
    if len(data.accelerations) != len(data.center_fractions):
        raise OptionError(
            f"expected one center_fraction per acceleration, got {len(data.center_fractions)} for "
            f"{len(data.accelerations)}. Give one for each."
        )
    items = SliceDataset if data.slab is None else partial(SlabDataset, slab=data.slab)
    training = items(
        data.train, accelerations=data.accelerations, center_fractions=data.center_fractions, training=True,
        readout_crop=data.readout_crop, flip=data.flip, seed=recipe.seed,
    )  # fmt: skip
    validation = items(
        data.validation, accelerations=data.accelerations, center_fractions=data.center_fractions, training=False
    )
    # Lightning tells only samplers of single items, not of batches, at which epoch a run goes on.
    return (
        _loader(training, data.batch_size, data.workers, shuffle=True, seed=recipe.seed, made=made),
        _loader(validation, 1, 0, shuffle=False, seed=recipe.seed),
    )


def slices_of(loader: DataLoader) -> dict[str, int]:
    """Count the slices of every file by its name."""
    dataset = loader.dataset
    assert isinstance(dataset, SliceDataset | SlabDataset)
    return dict(Counter(entry.path.name for entry in dataset.entries))


def _loader(
    dataset: SliceDataset | SlabDataset, batch_size: int, workers: int, *, shuffle: bool, seed: int, made: int = 0
) -> DataLoader:
    sampler = ShapeBatchSampler(dataset, batch_size, shuffle=shuffle, seed=seed)
    sampler.go_on(made)
    return DataLoader(
        dataset, batch_sampler=sampler, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0
    )
