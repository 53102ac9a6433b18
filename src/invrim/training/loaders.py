"""From a recipe's folders to batches."""

from __future__ import annotations

from collections import Counter

from torch.utils.data import DataLoader

from invrim.data.dataset import ShapeBatchSampler, SliceDataset, collate
from invrim.errors import DataError, OptionError
from invrim.models import Reconstructor, coils_in_words
from invrim.training.recipe import Recipe


def loaders(recipe: Recipe, model: Reconstructor, made: int = 0) -> tuple[DataLoader, DataLoader]:
    """Make the loaders of training and validation slices that a model is for.

    Training goes on after the updates that were made.

    Raises
    ------
    OptionError
        If recipe fields contradict each other.
    DataError, FileError
        If a file cannot be used, or has other coils than a model without coil maps is for.
    """
    data = recipe.data
    if model.options.get("ndim", 2) != 2:
        raise OptionError(
            "expected a model of slices, since training reads one slice at a time, got one in 3D. Train it through "
            "invrim.IRIM on volumes of your own, or choose a model in 2D."
        )
    if len(data.accelerations) != len(data.center_fractions):
        raise OptionError(
            f"expected one center_fraction per acceleration, got {len(data.center_fractions)} for "
            f"{len(data.accelerations)}. Give one for each."
        )
    training = SliceDataset(
        data.train, accelerations=data.accelerations, center_fractions=data.center_fractions, training=True,
        readout_crop=data.readout_crop, image_crop=data.image_crop, target_crop=data.target_crop, flip=data.flip,
        coil_maps=model.coil_maps, seed=recipe.seed,
    )  # fmt: skip
    validation = SliceDataset(
        data.validation, accelerations=data.accelerations, center_fractions=data.center_fractions, training=False,
        target_crop=data.target_crop, coil_maps=model.coil_maps,
    )  # fmt: skip
    for dataset in (training, validation):
        _require_coils(dataset, model)
    # Lightning tells only samplers of single items, not of batches, at which epoch a run goes on.
    return (
        _loader(training, data.batch_size, data.workers, shuffle=True, seed=recipe.seed, made=made),
        _loader(validation, 1, 0, shuffle=False, seed=recipe.seed),
    )


def slices_of(loader: DataLoader) -> dict[str, int]:
    """Count the slices of every file by its name."""
    dataset = loader.dataset
    assert isinstance(dataset, SliceDataset)
    return dict(Counter(entry.path.name for entry in dataset.entries))


def _require_coils(dataset: SliceDataset, model: Reconstructor) -> None:
    for entry in dataset.entries:
        if not model.coil_maps and entry.shape[0] != model.images:
            raise DataError(
                f"{entry.path}: expected {coils_in_words(model.images)}, for which a model without coil maps is made, "
                f"got {entry.shape[0]}. Move the file out of the folder, or train a model with coil maps."
            )


def _loader(
    dataset: SliceDataset, batch_size: int, workers: int, *, shuffle: bool, seed: int, made: int = 0
) -> DataLoader:
    sampler = ShapeBatchSampler(dataset, batch_size, shuffle=shuffle, seed=seed)
    sampler.go_on(made)
    return DataLoader(
        dataset, batch_sampler=sampler, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0
    )
