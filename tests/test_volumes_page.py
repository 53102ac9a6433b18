"""docs/volumes.md keeps its word: its recipe is one, its tests exist, its arithmetic is that of the measurements."""

import importlib
import re
from pathlib import Path

import pytest
import torch

from invrim.cli.train import read_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "volumes.md").read_text(encoding="utf-8")


def test_the_recipe_is_of_400_layers(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(text)
    recipe = read_recipe(["--config", str(tmp_path / "recipe.yaml")])
    assert recipe.model.steps * len(recipe.model.hidden) * 5 == 400
    assert (recipe.model.ndim, recipe.data.slab) == (3, 32)


def test_every_statement_names_a_test_that_exists():
    slabs, shards = PAGE.split("## One volume over several processes")
    named = []
    for text, home in {slabs: "tests/data/test_slabs.py", shards: "tests/sharding/test_shards.py"}.items():
        found = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", text)
        named += [(file or home, name) for file, name in found]
    assert len(named) > 15
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")
def test_the_example_of_a_shared_volume_runs_in_a_world_of_one(monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    world = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    names: dict[str, object] = {"__name__": "volumes"}
    try:
        exec(compile(example, "docs/volumes.md", "exec"), names)
        assert names["volume"].shape == (1, 12, 20, 24)
    finally:
        torch.distributed.destroy_process_group()


def row(case, step, *, coils=1, tile="auto", layers=40, channels=32, slab=(32, 256, 256)):
    state = 4 * channels * slab[0] * slab[1] * slab[2]
    return {
        "case": case, "coils": coils, "tile": tile, "layers": layers, "channels": channels, "slab": list(slab),
        "state_bytes": state, "step_bytes": step, "parameter_bytes": 1e7 * layers / 40, "gradient_bytes": 1e7,
        "optimiser_bytes": 2e7, "peak_bytes": step, "process_peak_bytes": step + 4e8, "cpu_seconds": 60,
    }  # fmt: skip


@pytest.fixture
def volume_tables(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("volume_tables")


def test_the_law_is_that_of_its_cases(volume_tables):
    voxels = 32 * 256 * 256
    state, data = 4 * 32 * voxels, 8 * voxels
    rows = [
        row("40 layers", 3 * state + 4e7 + 2 * data),
        row("40 layers, 64 slices", 1.5 * state + 4e7 + data, slab=(64, 128, 128)),
        row("40 layers, 8 coils", 2 * state + 9 * 8 * data, coils=8),
        row("40 layers, whole", 7 * state + 2 * data, tile=None),
        row("400 layers", 3 * state + 4e7 + 2 * data, layers=400),
    ]
    law = volume_tables.Law.of({"results": rows})
    assert (law.whole, law.states, law.strips, law.physics) == pytest.approx((7, 3, 4e7, 9))
    for one in rows:
        coils = 8 * one["coils"] * voxels * one["state_bytes"] / state
        assert law.step(one["state_bytes"], coils, strips=one["tile"] == "auto") == pytest.approx(one["step_bytes"])
    assert law.libraries == pytest.approx(4e8)
    for memory in (8e9, 141e9):
        channels, slices = law.widest(memory, strips=True), law.most_slices(memory, strips=False)
        assert law.total(channels, 32, strips=True) <= memory < law.total(channels + 8, 32, strips=True)
        assert law.total(32, slices, strips=False) <= memory < law.total(32, slices + 1, strips=False)
    by_hand = 4e8 + 4 * 1.3e8 + 2 * 2 * state + 9 * 8 * data
    assert by_hand > 4e8 + 4 * 1.3e8 + 3 * 2 * state + 4e7 + 2 * 8 * data
    assert law.total(64, 32, strips=True) == pytest.approx(by_hand)
