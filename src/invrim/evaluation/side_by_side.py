"""The same reconstructions under every protocol, with the reason why the numbers differ."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track
from rich.table import Table

from invrim.data.formats.fastmri import read_reconstruction, read_target
from invrim.errors import DataError, OptionError, ShapeError, about
from invrim.evaluation.folders import pairs_of
from invrim.evaluation.protocols import PROTOCOLS, evaluate_volume
from invrim.evaluation.result import Evaluation
from invrim.evaluation.table import LABELS, count_in_words, format_mean, label_of
from invrim.files import atomic_write

ALL = "all"
"""What users type for it."""


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Scores under every protocol that is defined for all of the volumes."""

    evaluations: dict[str, Evaluation]
    """Name of the protocol -> scores."""
    undefined: dict[str, str]
    """Name of a protocol that is not defined for some volume -> why, of the first."""

    def as_json(self) -> dict[str, Any]:
        """Plain dictionary for `json.dump`, each evaluation as `Evaluation.as_json` has it."""
        return {
            "protocols": {name: evaluation.as_json() for name, evaluation in self.evaluations.items()},
            "undefined": self.undefined,
        }


def evaluate_side_by_side(targets: Path, predictions: Path, *, progress: bool = False) -> SideBySide:
    """Score every target under every protocol; arguments as of `invrim.evaluation.evaluate_folders`.

    Raises
    ------
    DataError, ShapeError
        A volume cannot be scored under any, e.g. since its prediction holds NaN.
    """
    scores: dict[str, dict[str, dict[str, float]]] = {name: {} for name in PROTOCOLS}
    undefined: dict[str, str] = {}
    pairs = pairs_of(targets, predictions)
    for path, other in track(pairs, description="evaluate (all)", disable=not progress):
        target, prediction = read_target(path), read_reconstruction(other)
        for name in PROTOCOLS:
            if name in undefined:
                continue
            try:
                with about(path.name):
                    scores[name][path.name] = evaluate_volume(target, prediction, name)
            except (DataError, ShapeError, OptionError) as error:
                if name == next(iter(PROTOCOLS)):  # what it asks of a volume all others do
                    raise
                undefined[name] = str(error)
    found = {name: Evaluation(protocol=name, volumes=volumes) for name, volumes in scores.items()}
    return SideBySide(
        evaluations={name: found[name] for name in PROTOCOLS if name not in undefined}, undefined=undefined
    )


def side_by_side_table(found: SideBySide) -> Table:
    """Protocols under each other, mean ± standard deviation over volumes; a metric that one lacks stays empty."""
    metrics = [metric for metric in LABELS if any(metric in one.mean for one in found.evaluations.values())]
    first = next(iter(found.evaluations.values()))
    table = Table(title=count_in_words("the same reconstructions", first), title_justify="left")
    table.add_column("protocol")
    for metric in metrics:
        table.add_column(label_of(metric), justify="right")
    for name, one in found.evaluations.items():
        table.add_row(name, *(format_mean(one, metric) if metric in one.mean else "" for metric in metrics))
    return table


def reasons(found: SideBySide) -> list[str]:
    """Why the numbers differ, and which protocols have none: a line each."""
    differ = [f"{name}: {PROTOCOLS[name].differs}." for name in found.evaluations]
    return differ + [f"{name}: not defined here. {reason}" for name, reason in found.undefined.items()]


def write_side_by_side(found: SideBySide, path: Path) -> Path:
    """Write `SideBySide.as_json` to a file, whole or not at all."""
    text = json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
