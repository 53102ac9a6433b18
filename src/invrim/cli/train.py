"""invrim train"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from invrim.errors import OptionError, StoppedError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from invrim.training import Recipe

_UNKNOWN_KEY = re.compile(
    r"Key '([\w.]+)' is not expected|[Uu]nrecognized arguments: -*([\w.]+)"
    r"|Group '([\w.]+)' does not accept option '([\w.]+)'|Option '([\w.]+)' is not accepted"
)
"""The ways in which jsonargparse says that there is no such key."""
_WRONG_VALUE = re.compile(r'Parser key "([\w.]+)":.*(?:Got|Given) value: (.*)', re.DOTALL)
"""What it says of a key and a value that does not fit."""
_WANTED = re.compile(r"Expected an? (?:<class '(\w+)'>|typing\.Literal\[([^]]*)])")
"""And of what would: types, or words."""


_ABBREVIATIONS = {"lr": "learning_rate", "max_steps": "updates"}
"""What people call fields elsewhere."""
_IN_YAML = {"int": "a whole number", "float": "a number", "str": "text", "tuple": "a list", "NoneType": "null"}
"""What types are called where recipes are written."""
_ALIKE = 0.6
"""Of `difflib`'s ratio; below, a suggestion would be a guess."""


def main(argv: Sequence[str]) -> None:
    recipe = read_recipe(argv)
    from lightning.pytorch.utilities import rank_zero_only

    from invrim.training import train

    say = rank_zero_only(print)  # the first process of a run speaks for all
    try:
        say(f"weights -> {train(recipe)}")
    except StoppedError as stopped:  # as whoever sent the signal wished: no failure
        say(f"{stopped} A checkpoint is in {recipe.out}; the same command goes on from there.")


def read_recipe(argv: Sequence[str]) -> Recipe:
    """Build the recipe from ``--config FILE`` and flags, which win over the file."""
    from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

    from invrim.training import KINDS, PresetOptions, Recipe

    kind, preset = _model_of(argv, list(KINDS))
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog="invrim train",
        description="Train a model: an i-RIM, or with --model.kind a baseline. A run is one recipe file.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="recipe file (YAML)")
    parser.add_class_arguments(Recipe, as_group=False, skip={"model"})
    parser.add_class_arguments(PresetOptions if preset else KINDS[kind], "model")
    try:
        options: Namespace = parser.instantiate(parser.parse_args(list(argv)))
    except ArgumentError as error:
        raise OptionError(_explain(parser, str(error))) from None
    return Recipe(**{name: value for name, value in vars(options).items() if name != "config"})


def _model_of(argv: Sequence[str], kinds: Sequence[str]) -> tuple[str, bool]:
    """Look ahead for the kind of model, and whether a preset is named: on them depends what other fields there are.

    Without a kind, an i-RIM. What cannot be read here is left for the parser to complain about.
    """
    looking = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    looking.add_argument("--config", action="append", default=[])
    looking.add_argument("--model.kind", dest="kind")
    looking.add_argument("--model.preset", dest="preset")
    try:
        known, _ = looking.parse_known_args(list(argv))
    except argparse.ArgumentError:
        return kinds[0], False
    models = [*(_model_in(Path(config)) for config in known.config), {"kind": known.kind, "preset": known.preset}]
    kind = next((model["kind"] for model in reversed(models) if model.get("kind") is not None), kinds[0])
    if kind not in kinds:
        raise OptionError(f"expected model.kind of {', '.join(kinds)}, got {kind!r}. Choose one of them.")
    return str(kind), any(model.get("preset") is not None for model in models)


def _model_in(config: Path) -> dict[str, object]:
    try:
        recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    model = recipe.get("model") if isinstance(recipe, dict) else None
    return model if isinstance(model, dict) else {}


def _explain(parser: ArgumentParser, message: str) -> str:
    """Shorten the parser's message to one line; for an unknown key, name the known ones like it."""
    unknown = _UNKNOWN_KEY.search(message)
    if unknown is None:
        return f"{' '.join(_of_wrong_value(message).split())} See `invrim train --help`."
    key = ".".join(part for part in unknown.groups() if part)
    close = _closest(key, [action.dest for action in parser._actions])
    hint = "See `invrim train --help`." if close is None else f"Did you mean {close!r}?"
    return f"expected a key of the recipe, got {key!r}. {hint}"


def _of_wrong_value(message: str) -> str:
    """Say of a value that does not fit what would; any other message stays as it is."""
    wrong = _WRONG_VALUE.search(message)
    wanted = [_IN_YAML.get(kind, kind) or words for kind, words in _WANTED.findall(message)]
    return message if wrong is None or not wanted else f"expected {wrong[1]} of {' or '.join(wanted)}, got {wrong[2]}."


def _closest(key: str, known: Sequence[str]) -> str | None:
    """Find the field most like an unknown key by the last part of its name: a field, never a group of them."""
    fields = [name for name in known if not any(other.startswith(f"{name}.") for other in known)]
    group, _, word = key.rpartition(".")
    word = _ABBREVIATIONS.get(word, word)

    def likeness(field: str) -> tuple[float, float]:
        here, _, name = field.rpartition(".")
        return difflib.SequenceMatcher(None, word, name).ratio(), float(here == group)

    best = max(fields, key=likeness)
    return best if likeness(best)[0] >= _ALIKE else None
