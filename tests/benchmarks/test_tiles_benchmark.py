"""The tiles benchmark runs, and what it measures in fresh processes keeps the project's bars."""

import json

from benchmarks.script import run_script


def test_tiles_keep_the_peak_at_three_states_at_any_depth(tmp_path):
    run_script("tiles.py", "--out", tmp_path, "--cases", "small", "--modes", "invert", "--repeats", "1")
    (row,) = json.loads((tmp_path / "tiles.json").read_text(encoding="utf-8"))["results"]["measurements"]
    assert min(row["time_ratios"].values()) > 0
    for peaks in row["peak_bytes"].values():
        assert abs(peaks["2"] - peaks["6"]) < 1e6
    assert row["peak_bytes"]["given"]["6"] < 3 * row["state_bytes"] + 1e6 < row["peak_bytes"]["whole"]["6"]
