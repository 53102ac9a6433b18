"""The benchmark of the Toeplitz data step runs, and both ways give one result."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_both_ways_agree_and_their_ratio_is_written(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "nufft.py"), "--out", str(tmp_path)]
    command += ["--coils", "3", "--size", "32", "--spokes", "5", "9", "--repeats", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    rows = json.loads((tmp_path / "nufft.json").read_text(encoding="utf-8"))["results"]
    assert [row["spokes"] for row in rows] == [5, 9]
    assert all(row["ratio"] > 0 and row["relative_difference"] < 1e-5 for row in rows)
