"""A recipe made wider, deeper, or with more of the data at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from invrim.training.architectures import (
    IRIMOptions,
    PresetOptions,
    RIMOptions,
    UNetOptions,
    VarNetOptions,
)
from invrim.training.recipe import SHORTEST_SLAB, Recipe

_UNIT = 8
"""Widths of an i-RIM and a RIM are varied in steps of so many channels."""


@dataclass(frozen=True)
class Variation:
    """One thing of a recipe, at any size from 1 on."""

    name: str
    now: int
    """The size nearest to the recipe's own."""
    fields: Callable[[int], dict[str, dict[str, Any]]]
    """What the recipe says at a size, by group and name."""
    smallest: int = 1
    """Size below which there is no such recipe."""
    is_even: bool = False
    """Whether going one further takes as much every time."""

    def of(self, recipe: Recipe, size: int) -> Recipe:
        """Return the recipe at a size."""
        changed = {group: replace(getattr(recipe, group), **values) for group, values in self.fields(size).items()}
        return replace(recipe, **changed)


def variations(recipe: Recipe) -> list[Variation]:
    """What there is to vary: width, depth, batch, and the slab where there is one; of a preset only the last two."""
    width, depth = _width(recipe.model), _depth(recipe.model)
    found = [variation for variation in (width, depth) if variation is not None]
    found.append(Variation("largest batch", recipe.data.batch_size, lambda n: {"data": {"batch_size": n}}))
    if recipe.data.slab is not None:
        shortest = SHORTEST_SLAB if "ssim3d" in recipe.optimisation.loss else 1
        found.append(Variation("largest slab", recipe.data.slab, lambda n: {"data": {"slab": n}}, shortest))
    return found


def _width(model: Any) -> Variation | None:
    if isinstance(model, IRIMOptions):
        channels, hidden = model.channels, model.hidden

        def fields(n: int) -> dict[str, dict[str, Any]]:
            wider = _UNIT * n / channels
            return {"model": {"channels": _UNIT * n, "hidden": tuple(max(1, round(wider * h)) for h in hidden)}}

        smallest = math.ceil((4 * model.images * model.multiplicity + model.metadata) / _UNIT)
        return Variation("widest", max(smallest, channels // _UNIT), fields, smallest)
    if isinstance(model, RIMOptions):
        return Variation("widest", max(1, model.hidden // _UNIT), lambda n: {"model": {"hidden": _UNIT * n}})
    if isinstance(model, UNetOptions | VarNetOptions):
        return Variation("widest", model.channels, lambda n: {"model": {"channels": n}})
    return None


def _depth(model: Any) -> Variation | None:
    if isinstance(model, PresetOptions | UNetOptions):
        return None
    field = "cascades" if isinstance(model, VarNetOptions) else "steps"
    is_even = getattr(model, "memory_budget", None) is None
    return Variation("deepest", getattr(model, field), lambda n: {"model": {field: n}}, is_even=is_even)
