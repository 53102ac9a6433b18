"""Whose run lies in a folder: the recipe beside its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from invrim.errors import FileError, OptionError
from invrim.files import atomic_write, make_folder
from invrim.training.recipe import Recipe

RECIPE = "recipe.json"
_MAY_CHANGE = {
    "out", "devices", "nodes", "drift_warn", "drift_raise", "optimisation.updates", "optimisation.minutes",
}  # fmt: skip
"""How long, on what, how closely watched; a run that goes on with these changed is still the same run."""

_LATER: dict[str, dict[str, Any]] = {
    "data": {"slab": None},
    "model": {"kind": "irim"},
    "optimisation": {"every_step": False},
}
"""Fields that runs of earlier versions have not written down, and what they did."""


def find_checkpoint(recipe: Recipe) -> Path | None:
    """Return the last checkpoint of this recipe's run, or None where there is none to go on from.

    Raises
    ------
    OptionError
        If the folder holds a run of another recipe.
    FileError
        If it holds a run without a recipe, or with a damaged one.
    """
    last = recipe.out / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return None
    there, here = _read(recipe.out / RECIPE), json.loads(json.dumps(recipe.as_json()))
    for field, (old, new) in _differences(there, here):
        if field not in _MAY_CHANGE:
            raise OptionError(
                f"expected the recipe of the run in {recipe.out}, got another {field}: {new} here, {old} there. "
                f"Choose another out, or delete it."
            )
    return last


def write_recipe(recipe: Recipe) -> Path:
    """Write the recipe into its own ``out``."""
    path = make_folder(recipe.out) / RECIPE
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(recipe.as_json(), indent=1), encoding="utf-8")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        recipe = dict(json.loads(path.read_text(encoding="utf-8")))
        return {**recipe, **{group: {**fields, **recipe[group]} for group, fields in _LATER.items()}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"expected the recipe of the checkpoints in {path.parent}, got no readable {path.name}. "
            f"Choose another out, or delete it."
        ) from error


def _differences(old: Any, new: Any, field: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    """Dotted names of fields that differ, each with both values as JSON."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*new, *old]):
            yield from _differences(old.get(key), new.get(key), f"{field}.{key}" if field else key)
    elif old != new:
        yield field, (json.dumps(old), json.dumps(new))
