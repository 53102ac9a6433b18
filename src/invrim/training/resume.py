"""Whose run lies in a folder: the recipe beside its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from invrim.errors import FileError, OptionError
from invrim.files import atomic_write, make_folder
from invrim.training.checkpoints import FOLDER, checkpoints_in
from invrim.training.recipe import Recipe

RECIPE = "recipe.json"
_MAY_CHANGE = {
    "out", "devices", "nodes", "strategy", "data.workers", "data.cache", "drift_warn", "drift_raise",
    "optimisation.updates", "optimisation.epochs", "optimisation.minutes", "optimisation.max_skipped",
    "checkpoint_every",
}  # fmt: skip
"""How long, on what, how closely watched; a run that goes on with these changed is still the same run."""


def find_checkpoint(recipe: Recipe) -> Path | None:
    """Return the last undamaged checkpoint of this recipe's run, or None where there is none to go on from.

    Raises
    ------
    OptionError
        If the folder holds a run of another recipe.
    FileError
        If it holds a run without a recipe, or with a damaged one.
    """
    last = next((path for _, path in checkpoints_in(recipe.out / FOLDER)), None)
    if last is None:
        if (recipe.out / FOLDER / "last.ckpt").is_file():
            raise FileError(
                f"expected checkpoints update-*.ckpt in {recipe.out / FOLDER}, got last.ckpt of an earlier version, "
                f"which did not note enough to go on exactly. Choose another out, or delete it."
            )
        return None
    here = json.loads(json.dumps(recipe.as_json()))
    there = _completed(_read(recipe.out / RECIPE), _defaults(recipe))
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
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FileError(
            f"expected the recipe of the checkpoints in {path.parent}, got no readable {path.name}. "
            f"Choose another out, or delete it."
        ) from error


def _defaults(options: Any) -> dict[str, Any]:
    """What every field of a recipe, or of a group in it, is where nothing is said; required fields are left out."""
    defaults: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            defaults[field.name] = _defaults(value)
        elif field.default is not MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not MISSING:
            defaults[field.name] = field.default_factory()
    plain: dict[str, Any] = json.loads(json.dumps(defaults))
    return plain


def _completed(written: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Add the fields that an earlier version did not know yet: its runs did what is the default now."""
    both = [key for key in written if isinstance(written[key], dict) and isinstance(defaults.get(key), dict)]
    return {**defaults, **written, **{key: _completed(written[key], defaults[key]) for key in both}}


def _differences(old: Any, new: Any, field: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    """Dotted names of fields that differ, each with both values as JSON."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*new, *old]):
            yield from _differences(old.get(key), new.get(key), f"{field}.{key}" if field else key)
    elif old != new:
        yield field, (json.dumps(old), json.dumps(new))
