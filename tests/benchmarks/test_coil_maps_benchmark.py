"""The benchmark of coil maps runs on any scan of several coils."""

import json

import pytest

from benchmarks.script import run_script
from invrim.data.coil_maps import METHODS
from scans import scan_file

pytest.importorskip("sigpy")


def test_every_method_is_timed_and_scored(tmp_path):
    raw = scan_file(tmp_path, coils=3, slices=1)
    run_script("coil_maps.py", raw, "--out", tmp_path, "--accelerations", "2", "--repeats", "1")
    results = json.loads((tmp_path / "coil_maps.json").read_text(encoding="utf-8"))["results"]
    assert set(results["seconds_per_slice"]) == {*METHODS, "sigpy espirit"}
    assert [row["maps"] for row in results["scores"]] == list(METHODS)
    assert all(0.5 < row["ssim"] <= 1 for row in results["scores"])
