"""From a recipe's folders to batches."""

from __future__ import annotations

from functools import partial

from torch.utils.data import DataLoader

from invrim.data.batches import FileSampler, ShapeBatchSampler
from invrim.data.dataset import SliceDataset
from invrim.data.items import RunDataset
from invrim.data.loader import Loader
from invrim.data.slabs import SlabDataset
from invrim.errors import DataError, OptionError
from invrim.models import Reconstructor, coils_in_words
from invrim.training.recipe import Recipe


def loaders(recipe: Recipe, model: Reconstructor, batches: int = 0) -> tuple[DataLoader, DataLoader]:
    """Make the loaders of training and validation, of slices or slabs, that a model is for.

    That of training never ends, and starts after so many batches of each process.

    Raises
    ------
    OptionError
        If recipe fields contradict each other.
    DataError, FileError
        If a file cannot be used, or has other coils than a model without coil maps is for.
    """
    data = recipe.data
    require_space(model, data.slab)
    if len(data.accelerations) != len(data.center_fractions):
        raise OptionError(
            f"expected one center_fraction per acceleration, got {len(data.center_fractions)} for "
            f"{len(data.accelerations)}. Give one for each."
        )
    items = SliceDataset if data.slab is None else partial(SlabDataset, slab=data.slab)
    training = items(
        data.train, accelerations=data.accelerations, center_fractions=data.center_fractions, training=True,
        readout_crop=data.readout_crop, image_crop=data.image_crop, target_crop=data.target_crop, flip=data.flip,
        coil_maps=model.coil_maps, masks=data.masks, seed=recipe.seed,
        cache=data.cache,
    )  # fmt: skip
    validation = items(
        data.validation, accelerations=data.accelerations, center_fractions=data.center_fractions, training=False,
        target_crop=data.target_crop, coil_maps=model.coil_maps, masks=data.masks,
        cache=data.cache,
    )  # fmt: skip
    for dataset in (training, validation):
        _require_coils(dataset, model)
    order = ShapeBatchSampler(training, data.batch_size, seed=recipe.seed)
    order.go_on(batches)
    return Loader(training, order, data.workers), Loader(validation, FileSampler(validation), 0)


def slices_of(loader: DataLoader) -> dict[str, int]:
    """Count the slices of every file by its name."""
    dataset = loader.dataset
    assert isinstance(dataset, RunDataset)
    return {entry.path.name: entry.slices for entry in dataset.entries}


def require_space(model: Reconstructor, slab: int | None) -> None:
    """Slabs for models in 3D, slices for others."""
    if (model.ndim == 3) != (slab is not None):
        raise OptionError(
            f"expected data.slab where the model is in 3D, and only there, got a model in {model.ndim}D and a slab of "
            f"{'none' if slab is None else f'{slab} slices'}. Set data.slab to e.g. 32 for a model in 3D, else leave "
            f"it out."
        )


def _require_coils(dataset: RunDataset, model: Reconstructor) -> None:
    for entry in dataset.entries:
        if not model.coil_maps and entry.shape[0] != model.images:
            raise DataError(
                f"{entry.path}: expected {coils_in_words(model.images)}, for which a model without coil maps is made, "
                f"got {entry.shape[0]}. Move the file out of the folder, or train a model with coil maps."
            )
