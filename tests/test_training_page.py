"""docs/training.md keeps its word: its tests exist, its fields are a recipe's, its tables say what was measured."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

from invrim.training import Optimisation, Recipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
PROVENANCE = {"date": "2026-01-02", "processor": "a processor", "torch": "2"}


def test_every_statement_names_a_test_that_exists():
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", PAGE)
    assert len(named) > 10
    for file, name in named:
        assert f"def {name}" in (ROOT / "tests" / "training" / file).read_text(encoding="utf-8")


def test_its_fields_are_those_of_a_recipe():
    assert set(re.findall(r"`optimisation\.(\w+)", PAGE)) <= {field.name for field in fields(Optimisation)}
    known = {field.name for field in fields(Recipe)}
    assert {"devices", "nodes", "strategy", "checkpoint_every"} <= known & set(re.findall(r"`(\w+)[:`]", PAGE))


def test_tables_say_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    tables = importlib.import_module("training_tables")
    facts = {
        "kills": 5, "kills_while_writing": 2, "runs": 4, "identical": 3,
        "seconds_of_a_run": 9.6, "seconds_to_go_on": 7.1,
    }  # fmt: skip
    written = tables.kills_table({"provenance": PROVENANCE, "setting": {"updates": 60}, "results": {"unet": facts}})
    assert "| U-Net, dropout | 5 | 2 | 4 | 3 |" in written
    results = {"minutes": 12.3, "growth": -0.0012, "resident_mb": [1.0]}
    written = tables.endurance_sentence({"provenance": PROVENANCE, "setting": {"updates": 10_000}, "results": results})
    assert "In 10,000 updates of a tiny model, 12 minutes" in written
    assert "changed by -0.12 %" in written


def test_tables_of_costs_say_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    tables = importlib.import_module("training_tables")
    modes = [
        {"blocks": 1024, "voxels": 4096, "mode": mode, "peak_bytes": peak, "seconds": 1.5}
        for mode, peak in (("store", 2.5e9), ("invert", 5e8))
    ]
    checkpoint = {
        "parameters": 1_000_000, "checkpoint_bytes": 1.2e7, "seconds_to_write": 0.25, "seconds_to_begin": 1,
        "seconds_to_go_on": 1.5,
    }  # fmt: skip
    process = {"processes": 2, "slices_per_second": 3.14, "seconds": 1.27, "peak_bytes": 6e8}
    results = {"depth": modes, "volume": modes, "processes": [process], "checkpoints": [checkpoint]}
    result = {"provenance": PROVENANCE, "setting": {"cores": 2}, "results": results}
    assert "| 1,024 | 2.5 GB, 1.50 s | 500 MB, 1.50 s |" in tables.depth_table(result)
    assert "| 4,096 | 2.5 GB, 1.50 s |" in tables.volume_table(result)
    assert "| 2 | 3.1 | 1.27 s | 600 MB |" in tables.processes_table(result)
    assert "| 1,000,000 | 12 MB | 0.25 s | 1.00 s | 1.50 s |" in tables.checkpoints_table(result)
