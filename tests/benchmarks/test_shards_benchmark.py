"""The benchmark of shared volumes runs: the more processes, the less memory in each, for the same loss."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")
def test_the_peak_falls_with_the_number_of_processes(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "shards.py"), "--out", str(tmp_path)]
    command += ["--quick", "--modes", "invert"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    rows = json.loads((tmp_path / "shards.json").read_text(encoding="utf-8"))["results"]
    assert [row["processes"] for row in rows] == [1, 3]
    alone, together = (max(row["peak_bytes"]) for row in rows)
    assert together < 0.5 * alone
    for row in rows:
        assert row["loss"] == pytest.approx(rows[0]["loss"], rel=1e-6)
        assert row["cpu_seconds"] > 0
