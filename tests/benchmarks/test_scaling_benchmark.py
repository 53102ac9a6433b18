"""The benchmark of what training costs runs, and its figure is drawn from what it and the others write."""

import json
import shutil

from benchmarks.script import ROOT, run_script

OTHERS = ("shards", "loader", "planner")


def test_costs_are_measured_and_drawn(tmp_path):
    run_script("scaling.py", "--quick", "--out", tmp_path)
    found = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))["results"]
    for study in ("depth", "volume"):
        peaks = {row["mode"]: row["peak_bytes"] for row in found[study]}
        assert peaks["invert"] < peaks["store"]
        assert all(row["seconds"] > 0 for row in found[study])
    (two,) = found["processes"]
    assert two["processes"] == 2
    assert two["peak_bytes"] > 1e8, "libraries alone are more"
    (checkpoint,) = found["checkpoints"]
    assert checkpoint["checkpoint_bytes"] > 3 * 4 * checkpoint["parameters"], "weights and two moments"
    assert checkpoint["seconds_to_go_on"] > 0 < checkpoint["seconds_to_write"]
    for name in OTHERS:
        shutil.copy(ROOT / "benchmarks" / "results" / f"{name}.json", tmp_path)
    run_script("scaling_figure.py", "--results", tmp_path, "--out", tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
