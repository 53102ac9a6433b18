"""The benchmark of shared volumes runs: the more processes, the less memory in each, for the same loss."""

import json

import pytest
import torch

from benchmarks.script import run_script


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")
def test_the_peak_falls_with_the_number_of_processes(tmp_path):
    run_script("shards.py", "--out", tmp_path, "--quick", "--modes", "invert")
    rows = json.loads((tmp_path / "shards.json").read_text(encoding="utf-8"))["results"]
    assert [row["processes"] for row in rows] == [1, 3]
    alone, together = (max(row["peak_bytes"]) for row in rows)
    assert together < 0.5 * alone
    for row in rows:
        assert row["loss"] == pytest.approx(rows[0]["loss"], rel=1e-6)
        assert row["cpu_seconds"] > 0
