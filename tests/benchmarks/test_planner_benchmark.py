"""The benchmark of the planner runs, and even where libraries are all but everything a forecast is no guess."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_plan_is_compared_with_training(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "planner.py"), "--quick", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    found = json.loads((tmp_path / "planner.json").read_text(encoding="utf-8"))["results"]
    assert found["summary"]["cases"] == len(found["cases"]) == 2
    for row in found["cases"]:
        assert row["held_as_foreseen"]
        assert abs(row["error"]) < 0.1
        assert row["libraries_bytes"] < row["measured_bytes"]
        assert row["held_bytes"]["parameters"] == row["held_bytes"]["gradients"] > 0
        assert row["foreseen_seconds"] > 0 < row["measured_seconds"]
