"""The budget benchmark runs, and what it measures in fresh processes is within the budgets."""

import json

from benchmarks.script import run_script


def test_the_resident_set_stays_within_the_budgets(tmp_path):
    run_script(
        "budget.py", "--out", tmp_path, "--depth", "6", "--channels", "16", "--size", "256", "--budgets", "3",
        "--repeats", "1",
    )  # fmt: skip
    rows = json.loads((tmp_path / "budget.json").read_text(encoding="utf-8"))["results"]
    assert len(rows) == 3
    for row in rows:
        assert 0.5 * row["budget"] < row["peak"] <= row["budget"] + 2**20
        assert row["time_ratio_to_store"] > 0
