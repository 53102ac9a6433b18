"""docs/instruments.md keeps its word: its links lead somewhere, its names exist, its claims are the measured ones."""

import json
import re
from pathlib import Path

from invrim import operators

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "instruments.md").read_text(encoding="utf-8")
BAR = 2.0
"""Decibels over the standard method."""


def results(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["results"]


def test_links_and_files_are_there():
    named = [ROOT / "docs" / link for link in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE)]
    named += [ROOT / path for path in re.findall(r"`(examples/\w+\.py)`", PAGE)]
    assert len(named) > 4
    assert [path for path in named if not path.is_file()] == []


def test_operators_exist():
    (listed,) = re.findall(r"\| operator \|.*?\n\n", PAGE, re.DOTALL)
    named = re.findall(r"^\| `(\w+)\(", listed, re.MULTILINE)
    assert len(named) > 4
    assert all(hasattr(operators, name) for name in named)


def test_the_measured_gain_over_filtered_back_projection():
    groups = results("tomography")["mean"]
    assert len(groups) == 4
    assert all(scores["i-RIM"] > scores["FBP"] + BAR for scores in groups.values())


def test_the_measured_place_before_wiener_and_total_variation():
    """On average; not on every photograph."""
    scores = results("deconvolution")["mean"].values()
    mean = {method: sum(one[method] for one in scores) / len(scores) for method in ("Wiener", "TV", "i-RIM")}
    assert mean["i-RIM"] > mean["Wiener"] + BAR
    assert mean["i-RIM"] > mean["TV"] + 0.25
