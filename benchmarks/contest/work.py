"""One training step of every entry: how long it takes, and how much memory."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from contest.entries import Entry, recipe_of
from invrim.planning.memory import growth_during
from invrim.training.architectures import IRIMOptions
from invrim.training.build import build_model
from invrim.training.loaders import loaders
from invrim.training.module import Batch, ReconstructionTask
from invrim.training.recipe import Recipe
from stopwatch import cpu_seconds

ROUNDS = 6
COILS, SIZE = 13, 256
"""Of the slice on which memory is measured."""


def seconds_per_update(entries: dict[str, Entry], data: Path | None) -> dict[str, float]:
    """Mean over batches of an update, loading apart; the entries take turns on the same batches."""
    recipes = {name: recipe_of(entry, 100, Path("unused"), data) for name, entry in entries.items()}
    steps = {name: training_step(recipe) for name, recipe in recipes.items()}
    first = next(iter(recipes.values()))
    training, _ = loaders(first, build_model(first))
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    for turn, batch in enumerate(itertools.islice(itertools.cycle(training), ROUNDS + 1)):
        for name, step in steps.items():
            taken = cpu_seconds(partial(step, batch))
            if turn > 0:  # the first one warms up
                seconds[name].append(taken)
    return {name: statistics.mean(values) for name, values in seconds.items()}


def training_step(recipe: Recipe) -> Callable[[Batch], None]:
    """One update with fresh weights and the recipe's optimiser."""
    torch.manual_seed(recipe.seed)
    task = ReconstructionTask(build_model(recipe), recipe.optimisation)
    optimiser = task.configure_optimizers()["optimizer"]

    def step(batch: Batch) -> None:
        optimiser.zero_grad()
        task.loss(batch).backward()
        optimiser.step()

    return step


def peak_of_step(entry: Entry, *, by_inversion: bool) -> int:
    """Growth of this process during one training step on a whole slice, after the libraries' own on a small one."""
    recipe = recipe_of(entry, 100, Path("unused"))
    if isinstance(recipe.model, IRIMOptions):
        recipe = replace(recipe, model=replace(recipe.model, backprop="invert" if by_inversion else "store"))
    step = training_step(recipe)
    step(synthetic_batch((64, 64)))
    batch = synthetic_batch((SIZE, SIZE))
    return growth_during(lambda: step(batch))


def is_invertible(entry: Entry) -> bool:
    """Whether the model can be trained by inversion."""
    return isinstance(recipe_of(entry, 100, Path("unused")).model, IRIMOptions)


def synthetic_batch(size: Sequence[int]) -> Batch:
    """One slice of noise: memory does not depend on what is in it."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, 1, 1, size[1])
    mask[..., ::4] = 1
    mask[..., size[1] // 2 - 8 : size[1] // 2 + 8] = 1
    maps = torch.randn(1, COILS, *size, dtype=torch.cfloat, generator=generator)
    maps /= torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    kspace = torch.randn(1, COILS, *size, dtype=torch.cfloat, generator=generator) * mask
    target = torch.rand(1, *size, generator=generator)
    return {
        "kspace": kspace,
        "mask": mask,
        "maps": maps,
        "metadata": torch.zeros(1, 8),
        "target": target,
        "maximum": torch.ones(1),
        "name": ["noise"],
    }
