"""The tiles benchmark runs, and what it measures in fresh processes keeps the project's bars."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_tiles_keep_the_peak_at_three_states_at_any_depth(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "tiles.py"), "--out", str(tmp_path)]
    command += ["--cases", "small", "--modes", "invert", "--repeats", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    (row,) = json.loads((tmp_path / "tiles.json").read_text(encoding="utf-8"))["results"]["measurements"]
    assert row["time_ratio"] > 0
    for peaks in row["peak_bytes"].values():
        assert abs(peaks["2"] - peaks["6"]) < 1e6
    assert row["peak_bytes"]["tiled"]["6"] < 3 * row["state_bytes"] + 1e6 < row["peak_bytes"]["whole"]["6"]
