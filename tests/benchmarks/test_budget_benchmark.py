"""The budget benchmark runs, and what it measures in fresh processes is within the budgets."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_resident_set_stays_within_the_budgets(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "budget.py"), "--out", str(tmp_path)]
    command += ["--depth", "6", "--channels", "16", "--size", "256", "--budgets", "3", "--repeats", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    rows = json.loads((tmp_path / "budget.json").read_text(encoding="utf-8"))["results"]
    assert len(rows) == 3
    for row in rows:
        assert 0.5 * row["budget"] < row["peak"] <= row["budget"] + 2**20
        assert row["time_ratio_to_store"] > 0
