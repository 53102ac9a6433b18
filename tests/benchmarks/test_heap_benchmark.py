"""The benchmark of the heap measures a chain both ways."""

import json

from benchmarks.script import run_script


def test_both_ways_are_measured(tmp_path):
    run_script("heap.py", "--depths", 2, 6, "--size", 64, "--starts", 2, "--out", tmp_path)
    results = json.loads((tmp_path / "heap.json").read_text(encoding="utf-8"))["results"]
    assert set(results["grown_bytes"]) == {"before the walk", "amid the walk"}
    for shallow, deep in results["grown_bytes"].values():
        assert len(shallow) == len(deep) == 2
        assert min(*shallow, *deep) > results["state_bytes"]
