"""The benchmark of the Toeplitz data step runs, and both ways give one result."""

import json

from benchmarks.script import run_script


def test_both_ways_agree_and_their_ratio_is_written(tmp_path):
    run_script("nufft.py", "--out", tmp_path, "--coils", "3", "--size", "32", "--spokes", "5", "9", "--repeats", "1")
    rows = json.loads((tmp_path / "nufft.json").read_text(encoding="utf-8"))["results"]
    assert [row["spokes"] for row in rows] == [5, 9]
    assert all(row["ratio"] > 0 and row["relative_difference"] < 1e-5 for row in rows)
