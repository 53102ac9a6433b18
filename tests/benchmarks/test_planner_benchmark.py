"""The benchmark of the planner runs, and even where libraries are all but everything a forecast is no guess."""

import json

from benchmarks.script import run_script


def test_a_plan_is_compared_with_training(tmp_path):
    run_script("planner.py", "--quick", "--out", tmp_path)
    found = json.loads((tmp_path / "planner.json").read_text(encoding="utf-8"))["results"]
    assert found["summary"]["cases"] == len(found["cases"]) == 2
    for row in found["cases"]:
        assert row["held_as_foreseen"]
        assert abs(row["error"]) < 0.1
        assert row["worst_foreseen_bytes"] >= row["foreseen_bytes"]
        assert row["libraries_bytes"] < row["measured_bytes"]
        assert row["held_bytes"]["parameters"] == row["held_bytes"]["gradients"] > 0
        assert row["foreseen_seconds"] > 0 < row["measured_seconds"]
