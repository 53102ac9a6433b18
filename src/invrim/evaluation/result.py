"""What an evaluation found, and the JSON file it travels in."""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invrim.errors import FileError
from invrim.files import atomic_write


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of some volumes under one protocol."""

    protocol: str
    """Name of the protocol."""
    volumes: dict[str, dict[str, float]]
    """File name -> metric -> value."""

    @property
    def mean(self) -> dict[str, float]:
        """Metric -> mean over volumes."""
        return {name: statistics.fmean(values) for name, values in self._columns().items()}

    @property
    def std(self) -> dict[str, float]:
        """Metric -> sample standard deviation over volumes (divisor n - 1, as fastMRI's); 0 for a single volume."""
        return {name: _spread(values) for name, values in self._columns().items()}

    def as_json(self) -> dict[str, Any]:
        """Plain dictionary for `json.dump`; a PSNR that is infinite becomes null, for which JSON has no number."""
        return {
            "protocol": self.protocol,
            "mean": _plain(self.mean),
            "std": _plain(self.std),
            "volumes": {file: _plain(scores) for file, scores in self.volumes.items()},
        }

    def _columns(self) -> dict[str, list[float]]:
        names = next(iter(self.volumes.values()))
        return {name: [scores[name] for scores in self.volumes.values()] for name in names}


def write_evaluation(evaluation: Evaluation, path: Path) -> Path:
    """Write `Evaluation.as_json` to a file, whole or not at all."""
    text = json.dumps(evaluation.as_json(), indent=2, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def read_evaluation(path: Path) -> Evaluation:
    """Read a file that `write_evaluation` wrote; mean and deviation are computed anew from the volumes."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        volumes = {file: _restored(scores) for file, scores in content["volumes"].items()}
        return Evaluation(protocol=content["protocol"], volumes=volumes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"{path} is not an evaluation: expected JSON with 'protocol' and 'volumes', got {error!r}. "
            f"Write it with `invrim evaluate --json`."
        ) from error


def _spread(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def _plain(scores: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def _restored(scores: dict[str, float | None]) -> dict[str, float]:
    return {name: math.inf if value is None else value for name, value in scores.items()}
