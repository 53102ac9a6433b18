"""The benchmark of coil maps runs on any scan of several coils."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from invrim.data.coil_maps import METHODS
from scans import scan_file

pytest.importorskip("sigpy")
ROOT = Path(__file__).resolve().parents[2]


def test_every_method_is_timed_and_scored(tmp_path):
    raw = scan_file(tmp_path, coils=3, slices=1)
    command = [sys.executable, str(ROOT / "benchmarks" / "coil_maps.py"), str(raw), "--out", str(tmp_path)]
    command += ["--accelerations", "2", "--repeats", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "coil_maps.json").read_text(encoding="utf-8"))["results"]
    assert set(results["seconds_per_slice"]) == {*METHODS, "sigpy espirit"}
    assert [row["maps"] for row in results["scores"]] == list(METHODS)
    assert all(0.5 < row["ssim"] <= 1 for row in results["scores"])
