"""The engine benchmark runs, its engines agree, and one that cannot run here is named with its reason."""

import json
import math
from importlib import import_module
from pathlib import Path

from torch import nn

from benchmarks.script import ROOT, run_script


def test_engines_are_compared_in_time_memory_and_gradients(tmp_path):
    measured = _run(tmp_path, "--engines", "store", "invert", "budgeted", "paged")
    assert list(measured) == ["published", "store", "invert", "budgeted", "paged"]  # the reference joins by itself
    for facts in (measured["published"], measured["store"], measured["invert"], measured["budgeted"]):
        assert facts["within_tolerance"]
        assert "gradient of the first mixing" in facts["errors"]
        assert math.isfinite(facts["ratio"])
        assert facts["ratio"] > 0
        assert math.isfinite(facts["peak_bytes"])
    assert "needs a CUDA device" in measured["paged"]["unavailable"]
    assert "ratio" not in measured["paged"]


def test_what_was_measured_of_other_depths_is_kept(tmp_path):
    _run(tmp_path, "--engines", "store", "--what", "time", "--depths", "2", "3")
    before = _text(tmp_path)
    _run(tmp_path, "--engines", "store", "--what", "time", "--depths", "3", "4", "--add")
    kept, rows = (json.loads(text)["results"]["measurements"] for text in (before, _text(tmp_path)))
    assert [row["depth"] for row in rows] == [2, 2, 3, 3, 4, 4]
    assert rows[:2] == kept[:2]


def test_a_wrong_engine_is_flagged_and_an_impossible_one_explained(monkeypatch):
    registry, timing, work = _engines(monkeypatch)
    planted = {
        "backwards": registry.Engine(lambda work: nn.Sequential(*reversed(work.blocks))),
        "of tomorrow": registry.Engine(lambda work: nn.Sequential(*work.blocks, mode="tomorrow")),
        "elsewhere": registry.Engine(lambda _: import_module("no_such_library")),
    }
    for name, engine in planted.items():
        monkeypatch.setitem(registry.ENGINES, name, engine)
    small = work.make_work(work.SIZES["3d"].small(), 2, "bf16", "cpu")
    facts = timing.time_engines(["published", "store", *planted], small, "bf16", 1)
    assert facts["store"]["within_tolerance"]
    assert not facts["backwards"]["within_tolerance"]
    assert facts["of tomorrow"]["unavailable"].startswith("not available: TypeError: ")
    assert facts["elsewhere"]["unavailable"] == "not installed: No module named 'no_such_library'"


def test_nets_in_bf16_are_compared_with_those_in_float32(monkeypatch):
    registry, timing, work = _engines(monkeypatch)
    small = work.make_work(work.SIZES["2d-stride2"].small(), 2, "bf16", "cpu")
    facts = timing.time_engines(registry.with_references(["invert"], "bf16"), small, "bf16", 1)
    assert list(facts) == ["published", registry.FLOAT32, "invert"]
    assert facts[registry.FLOAT32]["ratio_to_float32"] == 1
    assert 0 < max(facts[registry.FLOAT32]["errors"].values()) < timing.TOLERANCE["bf16"]
    expected = facts["invert"]["ratio"] / facts[registry.FLOAT32]["ratio"]
    assert math.isclose(facts["invert"]["ratio_to_float32"], expected)


def test_engines_agree_to_round_off_in_float64(monkeypatch):
    """Float32 cannot tell a small fault from a flipped ReLU; float64 can."""
    _, timing, work = _engines(monkeypatch)
    small = work.make_work(work.SIZES["2d-stride1"].small(), 6, "float32", "cpu")
    blocks = [block.double() for block in small.blocks]
    small = work.Work(blocks, small.z.detach().double().requires_grad_(), small.cotangent.double())
    names = ["published", "store", "invert", "budgeted", "checkpoint", "sqrt-checkpoint", "nested-checkpoint"]
    for name, facts in timing.time_engines(names, small, "float32", 1).items():
        assert max(facts["errors"].values()) < 1e-10, name


def _engines(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return [import_module(f"engines.{name}") for name in ("registry", "timing", "work")]


def _run(folder: Path, *arguments: str) -> dict[str, dict]:
    """Engine -> facts of the quick benchmark at one size."""
    run_script("engine.py", "--quick", "--out", folder, *arguments, "--sizes", "2d-stride2", "--precisions", "float32")
    envelope = json.loads(_text(folder))
    return {facts["engine"]: facts for facts in envelope["results"]["measurements"]}


def _text(folder: Path) -> str:
    return (folder / "engine-quick.json").read_text(encoding="utf-8")
