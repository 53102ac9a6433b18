"""The loader's benchmark runs, and answers what it asks."""

import json

from benchmarks.script import run_script


def test_loading_is_measured_against_training(tmp_path):
    run_script("loader.py", "--quick", "--out", tmp_path)
    results = json.loads((tmp_path / "loader-quick.json").read_text(encoding="utf-8"))["results"]
    rows = results["loading"]
    assert [(row["cache"], row["workers"]) for row in rows] == [
        (cache, workers) for cache in ("none", "made", "there") for workers in (0, 1, 2)
    ]
    assert all(row["slices_per_second"] > 0 and 0 < row["waiting_share"] < 1 for row in rows)
    assert results["growth"]["descriptors"] <= 16
    assert results["index"]["slices"] == 4000
    assert results["index"]["bytes"] < 4000 * 500
