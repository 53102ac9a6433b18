"""The benchmark of models trains, weighs and scores what it says, from data of its own."""

import json

from benchmarks.script import run_script
from scans import scan_file


def test_a_model_is_trained_scored_and_weighed(tmp_path):
    for folder, coils in (("train", 1), ("val", 1), ("test", 1), ("real", 3)):
        scan_file(tmp_path / "data" / folder, f"{folder}.h5", coils=coils, slices=2)
    before = {"setting": {"minutes": 8.0, "updates": 2}, "results": {"entries": {"steps-1": {}}, "baselines": {}}}
    (tmp_path / "steps.json").write_text(json.dumps(before), encoding="utf-8")
    run_script(
        "models.py", "steps", "--entries", "steps-2", "--updates", "2", "--data", str(tmp_path / "data"), "--add",
        "--out", tmp_path, "--runs", str(tmp_path / "runs"), OMP_NUM_THREADS="1",
    )  # fmt: skip
    entries = json.loads((tmp_path / "steps.json").read_text(encoding="utf-8"))["results"]["entries"]
    assert list(entries) == ["steps-1", "steps-2"]
    facts = entries["steps-2"]
    assert facts["updates"] == 2
    assert set(facts["scores"]) == {"test 4x", "test 8x", "real 4x", "real 8x"}
    assert all(0 < scores["ssim"] < 1 for scores in facts["scores"].values())
    assert facts["memory_bytes"]["invert"] < facts["memory_bytes"]["store"] / 2
