"""The loader's benchmark runs, and answers what it asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_loading_is_measured_against_training(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "loader.py"), "--quick", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "loader-quick.json").read_text(encoding="utf-8"))["results"]
    rows = results["loading"]
    assert [(row["cache"], row["workers"]) for row in rows] == [
        (cache, workers) for cache in ("none", "made", "there") for workers in (0, 1, 2)
    ]
    assert all(row["slices_per_second"] > 0 and 0 < row["waiting_share"] < 1 for row in rows)
    assert results["growth"]["descriptors"] <= 16
    assert results["index"]["slices"] == 4000
    assert results["index"]["bytes"] < 4000 * 500
