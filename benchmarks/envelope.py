"""What every benchmark writes around its results: where, when and with what they came about."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from invrim.files import atomic_write
from invrim.report.provenance import collect_provenance

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("torch", "numpy", "h5py", "bartorch")


def write_results(
    name: str,
    question: str,
    setting: dict[str, Any],
    results: Any,
    *,
    folder: Path = RESULTS,
    packages: Sequence[str] = (),
) -> Path:
    """Write ``FOLDER/NAME.json``, complete or not at all.

    Parameters
    ----------
    name
        Of the benchmark.
    question
        What the results answer.
    setting
        What was held fixed.
    results
        The answer, anything that JSON can hold.
    folder
        Where the file goes.
    packages
        Whose versions matter besides `PACKAGES`.
    """
    envelope = {
        "question": question,
        "provenance": collect_provenance(),
        "versions": {package: _version(package) for package in (*PACKAGES, *packages)},
        "load": os.getloadavg()[0],
        "setting": setting,
        "results": results,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(envelope, indent=1) + "\n", encoding="utf-8")
    return path


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
