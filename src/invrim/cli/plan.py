"""invrim plan"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from invrim.cli.console import parser, progress_bar
from invrim.cli.train import read_recipe
from invrim.errors import MemoryBudgetError, OptionError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from invrim.planning.forecast import Forecast, Planner
    from invrim.training import Recipe
    from invrim.training.rehearsal import Scan
    from invrim.training.variations import Variation

_EXAMPLE = {"steps": 8, "hidden": [32, 32, 64, 64, 64, 64, 32, 32], "strides": [1, 1, 2, 2, 2, 2, 1, 1], "channels": 32}
"""The model where neither a file nor a flag says what it is: 64 blocks."""
_MATRIX = (320, 320)
_WAITING = 3
"""Batches of a loader process: two that wait, as PyTorch prefetches them, and the one in the making."""
_TRIES = 4
_NAMES = {
    "parameters": "parameters",
    "gradients": "gradients",
    "optimiser": "optimiser's state",
    "average": "average of weights",
    "data": "data of a batch",
}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A recipe that fits."""

    name: str
    fields: dict[str, dict[str, Any]]
    bytes: int
    seconds: float


def main(argv: Sequence[str]) -> None:
    p = parser(
        "plan",
        "Foresee memory and time of a training run on this machine's processor, and what else would fit. Fields of a "
        "recipe are given as to `invrim train`, by --config FILE and flags such as --model.steps 12.",
    )
    p.add_argument("--matrix", nargs=2, type=int, metavar=("KY", "KX"), help="of the raw data; else what files have")
    p.add_argument("--coils", type=int, help="receivers; else what files have, or 1")
    p.add_argument("--target", nargs=2, type=int, metavar=("Y", "X"), help="of the target images; else the matrix")
    p.add_argument("--memory", help='to fit, such as "16GB"; then proposals are made')
    p.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options, fields = p.parse_known_args(argv)
    room = _room(options.memory)
    recipe = read_recipe([*_assumed(fields), *fields])
    scan, origin = _scan(recipe, options)
    from invrim.planning.forecast import Planner
    from invrim.training.rehearsal import rehearse, require_recipe, smallest_of

    require_recipe(recipe, scan)
    with progress_bar("calibrating") as progress, Planner(partial(rehearse, *smallest_of(recipe))) as planner:
        progress(0, 1)
        forecast = planner.forecast(partial(rehearse, recipe, scan))
        loaders = _loaders(recipe, planner, forecast)
        print(f"{recipe.model.kind}, {origin}")
        _print(_rows(recipe, forecast, loaders))
        progress(0, 1, "finding out what fits")
        proposals = [] if room is None else _proposals(planner, recipe, scan, room, forecast)
    for proposal in proposals:
        _print_proposal(proposal)
    if options.json is not None:
        figures = {
            "recipe": recipe.as_json(),
            "scan": asdict(scan),
            "forecast": {**asdict(forecast), "loaders": loaders},
            "memory": room,
            "proposals": [asdict(proposal) for proposal in proposals],
        }
        _write(options.json, figures)


def _room(memory: str | None) -> int | None:
    if memory is None:
        return None
    from invrim.invertible.budget import bytes_of

    return bytes_of(memory, what="--memory")


def _assumed(fields: Sequence[str]) -> list[str]:
    """What a recipe must say and a plan need not know: before everything else, so that all else wins over it."""
    if any(field.split("=")[0] == "--config" for field in fields):
        return []
    folders = {"train": "train", "validation": "validation"}
    assumed: dict[str, Any] = {"data": folders, "out": "out"}
    said = {field.split("=")[0].removeprefix("--") for field in fields if field.startswith("--")}
    if "optimisation.epochs" not in said:
        assumed["optimisation"] = {"updates": 10_000}
    if not {"model.kind", "model.preset"} & said:
        assumed["model"] = _EXAMPLE
    return ["--config", json.dumps(assumed)]


def _scan(recipe: Recipe, options: Namespace) -> tuple[Scan, str]:
    """Sizes of the scans: what flags say, else the largest of the recipe's own files, else an assumption."""
    from invrim.training.rehearsal import Scan, largest_scan

    found = largest_scan(recipe.data.train) if options.matrix is None and recipe.data.train.is_dir() else None
    coils = options.coils or (found.coils if found else getattr(recipe.model, "images", 1))
    matrix = options.matrix or (found.matrix if found else _MATRIX)
    target = options.target or (found.target if found else None)
    if min(*matrix, coils, *(target or ())) < 1:
        raise OptionError(f"expected sizes above 0, got matrix {matrix}, coils {coils}, target {target}. Raise them.")
    where = "as in " + str(recipe.data.train) if found else "as given" if options.matrix else "assumed: set --matrix"
    scan = Scan(matrix=(matrix[0], matrix[1]), coils=coils, target=None if target is None else (target[0], target[1]))
    return scan, f"matrix {matrix[0]} x {matrix[1]}, {coils} coil{'s' if coils > 1 else ''} ({where})"


def _loaders(recipe: Recipe, planner: Planner, forecast: Forecast) -> int:
    return recipe.data.workers * (planner.worker + _WAITING * forecast.held["data"])


def _rows(recipe: Recipe, forecast: Forecast, loaders: int) -> list[tuple[str, str]]:
    rows = [(_NAMES[name], _bytes(size)) for name, size in forecast.held.items() if size or name != "average"]
    rows.append(("activations and working space", _bytes(forecast.working)))
    rows.append(("Python and libraries", _bytes(forecast.libraries)))
    when = "validation" if forecast.in_validation else "an update"
    rows.append((f"training process, at the peak of {when}", _bytes(forecast.peak)))
    if loaders:
        rows.append((f"loader processes ({recipe.data.workers})", _bytes(loaders)))
        rows.append(("together", _bytes(forecast.peak + loaders)))
    rows.append(("time of an update", _duration(forecast.seconds)))
    updates = recipe.optimisation.updates
    if updates is not None:
        rows.append((f"time of {updates:,} updates", _duration(updates * forecast.seconds)))
    return rows


def _proposals(planner: Planner, recipe: Recipe, scan: Scan, room: int, base: Forecast) -> list[Proposal]:
    from invrim.training.rehearsal import rehearse
    from invrim.training.variations import variations

    def loaders(changed: Recipe) -> int:
        """As of the recipe itself, with its batch growing by slices."""
        batch = base.held["data"] * _slices(changed) / _slices(recipe)
        return round(changed.data.workers * (planner.worker + _WAITING * batch))

    def proposal(variation: Variation, size: int) -> Proposal:
        changed = variation.of(recipe, size)
        forecast = planner.forecast(partial(rehearse, changed, scan))
        total = forecast.worst + loaders(changed)
        return Proposal(name=variation.name, fields=variation.fields(size), bytes=total, seconds=forecast.seconds)

    def need(variation: Variation, size: int) -> float:
        changed = variation.of(recipe, size)
        return planner.peak(partial(rehearse, changed, scan)) + loaders(changed)

    def further(variation: Variation) -> Proposal | None:
        """As many more as there is room for, when each takes as much as the one before."""
        now, total = variation.now, base.worst + loaders(recipe)
        more, longer = planner.growth(*(partial(rehearse, variation.of(recipe, n), scan) for n in (now, 2 * now)))
        size = now + math.floor((room - total) * now / max(1, more))
        if size < variation.smallest:
            return None
        grown = (size - now) / now
        return Proposal(
            name=variation.name, fields=variation.fields(size), bytes=round(total + grown * more),
            seconds=base.seconds + grown * longer,
        )  # fmt: skip

    varied = variations(recipe)
    found = [
        further(variation)
        if variation.is_even
        else _fitting(variation, room, partial(need, variation), partial(proposal, variation))
        for variation in varied
    ]
    fitting = [one for one in found if one is not None]
    if not fitting:
        smallest = [proposal(variation, min(variation.smallest, variation.now)) for variation in varied]
        least = min(smallest, key=lambda one: one.bytes)
        raise MemoryBudgetError(
            f"expected --memory of at least {_rounded_up(least.bytes)} (with {_in_words(least.fields)}), got "
            f"{_bytes(room)}. Raise it, or plan a smaller recipe, e.g. with small tiles, a crop or fewer channels."
        )
    return fitting


def _fitting(
    variation: Variation, room: int, need: Callable[[int], float], proposal: Callable[[int], Proposal]
) -> Proposal | None:
    """The largest size that fits, once every convolution was tried: the search makes do with similar ones."""
    from invrim.planning.search import largest_that_fits

    size = largest_that_fits(need, room, variation.now, smallest=variation.smallest)
    for _ in range(_TRIES):
        if size is None or size < variation.smallest:
            return None
        found = proposal(size)
        if found.bytes <= room:
            return found
        size = min(size - 1, int(size * room / found.bytes))
    return None


def _slices(recipe: Recipe) -> int:
    return recipe.data.batch_size * (recipe.data.slab or 1)


def _print(rows: Sequence[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _print_proposal(proposal: Proposal) -> None:
    print(f"\n{proposal.name}: {_bytes(proposal.bytes)}, {_duration(proposal.seconds)} an update")
    plain = json.loads(json.dumps(proposal.fields))
    print("\n".join(f"  {line}" for line in yaml.safe_dump(plain, default_flow_style=None, width=100).splitlines()))


def _write(path: Path, figures: dict[str, Any]) -> None:
    from invrim.files import atomic_write

    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"figures -> {path}")


def _in_words(fields: dict[str, dict[str, Any]]) -> str:
    return ", ".join(f"{group}.{name} {value}" for group, values in fields.items() for name, value in values.items())


def _bytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def _rounded_up(count: float) -> str:
    return f"{-(-count // 10**7) * 10}MB"


def _duration(seconds: float) -> str:
    for limit, unit, text in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {text}"
    return f"{seconds / 86_400:.3g} days"
