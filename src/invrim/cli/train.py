"""invrim train"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invrim.errors import OptionError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from invrim.training import Recipe

_UNKNOWN_KEY = re.compile(
    r"Key '([\w.]+)' is not expected|[Uu]nrecognized arguments: -*([\w.]+)"
    r"|Group '([\w.]+)' does not accept option '([\w.]+)'|Option '([\w.]+)' is not accepted"
)
"""The ways in which jsonargparse says that there is no such key."""


def main(argv: Sequence[str]) -> None:
    from invrim.training import train

    print(f"weights -> {train(read_recipe(argv))}")


def read_recipe(argv: Sequence[str]) -> Recipe:
    """Build the recipe from ``--config FILE`` and flags, which win over the file."""
    from jsonargparse import ArgumentError, ArgumentParser, Namespace

    from invrim.training import Recipe

    parser = ArgumentParser(
        prog="invrim train",
        description="Train an i-RIM. A run is one recipe file.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="recipe file (YAML)")
    parser.add_class_arguments(Recipe, as_group=False)
    try:
        options: Namespace = parser.instantiate(parser.parse_args(list(argv)))
    except ArgumentError as error:
        raise OptionError(_explain(parser, str(error))) from None
    return Recipe(**{name: value for name, value in vars(options).items() if name != "config"})


def _explain(parser: ArgumentParser, message: str) -> str:
    """Shorten the parser's message to one line; for an unknown key, name the known ones like it."""
    known = [action.dest for action in parser._actions]
    unknown = _UNKNOWN_KEY.search(message)
    if unknown is None:
        return f"{' '.join(message.split())} See `invrim train --help`."
    key = ".".join(part for part in unknown.groups() if part)
    close = difflib.get_close_matches(key, known, n=1) or [name for name in known if name.endswith(f".{key}")]
    hint = f"Did you mean {close[0]!r}?" if close else "See `invrim train --help`."
    return f"expected a key of the recipe, got {key!r}. {hint}"
