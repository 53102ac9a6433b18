"""A training run of a few updates on made-up data: what planning measures, and what it foresees."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from invrim.data.batches import Item, collate
from invrim.data.index import index_of
from invrim.errors import OptionError
from invrim.models import Reconstructor, coils_in_words
from invrim.training.architectures import IRIMOptions
from invrim.training.build import build_model
from invrim.training.loaders import require_space
from invrim.training.module import ReconstructionTask
from invrim.training.recipe import Data, Optimisation, Recipe
from invrim.training.run import averaging, fastest_precision, without_remarks


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Sizes of the scans that a recipe would be trained on."""

    matrix: tuple[int, int]
    """Rows and columns of a slice's k-space, ``(ky, kx)``."""
    coils: int = 1
    """Receivers."""
    target: tuple[int, int] | None = None
    """Rows and columns of the target images, the centre of the matrix; None: all of it."""

    def training_shapes(self, data: Data) -> tuple[tuple[int, int], tuple[int, int]]:
        """K-space and target of a training slice, cropped as the recipe says."""
        matrix, target = self.matrix, self.target or self.matrix
        if data.image_crop is not None:
            matrix = (data.image_crop, data.image_crop)
            target = _at_most(target, data.image_crop)
        if data.readout_crop is not None:
            rows = min(data.readout_crop, target[0])
            matrix, target = (rows, matrix[1]), (rows, target[1])
        return matrix, _at_most(target, data.target_crop)

    def validation_shapes(self, data: Data) -> tuple[tuple[int, int], tuple[int, int]]:
        """K-space and target of a slice in validation, which is never cropped but for the comparison."""
        return self.matrix, _at_most(self.target or self.matrix, data.target_crop)


def rehearse(
    recipe: Recipe, scan: Scan, stage: Callable[[str], None] = lambda _: None, *, updates: int = 2
) -> dict[str, int]:
    """Build the recipe's model and train it for some updates, then validate once, on made-up scans.

    All is as in `invrim.training.train`, Lightning's trainer included, but for files: nothing is read or written,
    and batches are made in this process. On one device.

    Parameters
    ----------
    recipe
        Its folders need not exist.
    scan
        Sizes of the scans.
    stage
        Told when something begins: each ``"update"``, the ``"validation"``, and the ``"end"``.
    updates
        At least two: gradients and the optimiser's state are there from the second on.

    Returns
    -------
    Bytes of ``"parameters"``, ``"gradients"``, ``"optimiser"``, ``"average"`` of weights, and ``"data"`` of a batch.
    """
    model = build_model(recipe)
    task = ReconstructionTask(model, replace(recipe.optimisation, updates=updates, epochs=None))
    loaders = _loaders(recipe, scan, model, updates)
    watch = _Watch(stage)
    with without_remarks():
        trainer = _trainer(recipe, updates, watch)
        trainer.fit(task, *loaders)
    stage("end")
    parameters = list(model.parameters())
    states = [
        value for optimiser in trainer.optimizers for state in optimiser.state.values() for value in state.values()
    ]
    average = _bytes(parameters) if recipe.optimisation.ema_decay is not None else 0
    return {
        "parameters": _bytes(parameters),
        "gradients": watch.gradients,
        "optimiser": _bytes(states),
        "average": average,
        "data": watch.batch,
    }


def smallest_of(recipe: Recipe) -> tuple[Recipe, Scan]:
    """A run on next to nothing for which the libraries load what the recipe's needs, and the scan for it."""
    volume = recipe.data.slab is not None
    model = IRIMOptions(steps=1, hidden=(16, 16), strides=(1, 2), channels=16, ndim=3 if volume else 2)
    data = Data(
        train=recipe.data.train, validation=recipe.data.validation, slab=4 if volume else None, batch_size=1, workers=0
    )
    optimisation = Optimisation(updates=1, optimiser=recipe.optimisation.optimiser, clip=recipe.optimisation.clip)
    smallest = Recipe(data=data, model=model, optimisation=optimisation, out=recipe.out, precision=recipe.precision)
    return smallest, Scan(matrix=(48, 44), coils=2)


def require_recipe(recipe: Recipe, scan: Scan) -> None:
    """Refuse a recipe whose model cannot be built, or not be trained on such scans; allocates nothing.

    Raises
    ------
    OptionError
        If fields contradict each other or the scan.
    """
    with torch.device("meta"):
        model = build_model(recipe)
    require_space(model, recipe.data.slab)
    if not model.coil_maps and scan.coils != model.images:
        raise OptionError(
            f"expected {coils_in_words(model.images)}, for which a model without coil maps is made, got {scan.coils}. "
            f"Set --coils {model.images}, or plan a model with coil maps."
        )


def largest_scan(folder: Path) -> Scan:
    """Sizes of the largest slices among a folder's files."""
    entry = max(index_of(folder), key=lambda entry: math.prod(entry.shape))
    coils, *matrix = entry.shape
    return Scan(matrix=(matrix[0], matrix[1]), coils=coils, target=entry.target_size)


class _Watch(Callback):
    """Passes on what begins, and looks at the sizes of a batch and of the gradients."""

    def __init__(self, stage: Callable[[str], None]) -> None:
        self.stage = stage
        self.batch = self.gradients = 0

    def on_train_batch_start(self, _trainer: Trainer, _task: LightningModule, batch: Item, _index: int) -> None:
        self.batch = _bytes(batch.values())
        self.stage("update")

    def on_train_batch_end(self, _trainer: Trainer, task: LightningModule, *_: object) -> None:
        self.gradients = _bytes(parameter.grad for parameter in task.parameters())

    def on_validation_start(self, _trainer: Trainer, _task: LightningModule) -> None:
        self.stage("validation")


def _trainer(recipe: Recipe, updates: int, watch: Callback) -> Trainer:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return Trainer(
        accelerator="cpu",
        devices=1,
        precision=fastest_precision() if recipe.precision == "auto" else recipe.precision,
        max_steps=updates,
        max_epochs=-1,
        val_check_interval=updates,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=recipe.optimisation.clip,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        callbacks=[*averaging(recipe), watch],
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class _MadeUp(Dataset[Item]):
    """Items as `invrim.data.SliceDataset` and `SlabDataset` have them, with random intensities."""

    def __init__(
        self,
        length: int,
        matrix: tuple[int, int],
        target: tuple[int, int],
        *,
        coils: int,
        slab: int | None,
        maps: bool,
    ) -> None:
        self.length = length
        self.matrix = matrix
        self.target = target
        self.coils = coils
        self.slices = () if slab is None else (slab,)
        self.maps = maps

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Item:
        shape = (self.coils, *self.slices, *self.matrix)
        mask = (torch.arange(self.matrix[1]) % 4 == 0).float().reshape(*(1 for _ in shape[:-1]), -1)
        maps = {"maps": _complex(shape) / self.coils**0.5} if self.maps else {}
        return {
            "kspace": _complex(shape) * mask,
            "mask": mask,
            **maps,
            "target": torch.rand(*self.slices, *self.target),
            "metadata": torch.full((8,), 1 / 8),
            "maximum": torch.ones(()),
            "name": "made up",
            "slice": index,
            "weight": torch.ones(()),
        }


def _loaders(
    recipe: Recipe, scan: Scan, model: Reconstructor, updates: int
) -> tuple[DataLoader[Item], DataLoader[Item]]:
    data = recipe.data
    batch = data.batch_size
    training, validation = (
        _MadeUp(length, *shapes, coils=scan.coils, slab=data.slab, maps=model.coil_maps)
        for length, shapes in (
            (updates * batch, scan.training_shapes(data)),
            (1, scan.validation_shapes(data)),
        )
    )
    return DataLoader(training, batch, collate_fn=collate), DataLoader(validation, 1, collate_fn=collate)


def _complex(shape: Sequence[int]) -> Tensor:
    return torch.complex(torch.randn(shape), torch.randn(shape))


def _bytes(values: Iterable[Any]) -> int:
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))


def _at_most(sizes: tuple[int, int], largest: int | None) -> tuple[int, int]:
    return sizes if largest is None else (min(sizes[0], largest), min(sizes[1], largest))
