"""docs/engine.md keeps its word: its example runs and learns, its tests exist, its links lead somewhere."""

import re
from pathlib import Path

import pytest
import torch

from invrim import InvertibleChain
from invrim.planning.memory import saved_bytes

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def example():
    """What the names of the example stand for after it has run."""
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": "engine"}
    exec(compile(EXAMPLE, "docs/engine.md", "exec"), names)
    return names


def test_the_example_is_short():
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) < 20


def test_the_example_learns_at_constant_memory(example):
    model, step = example["model"], example["Step"]
    assert isinstance(model, InvertibleChain)
    z = torch.randn(64, 16)
    with torch.no_grad():
        untrained, trained = (
            float((chain(z) - z.roll(1, dims=1)).square().mean())
            for chain in (InvertibleChain([step() for _ in model.steps]), model)
        )
    assert trained < 0.5 * untrained
    assert saved_bytes(model, z) == saved_bytes(InvertibleChain([step(), step()]), z) == z.nbytes
    assert saved_bytes(InvertibleChain(model.steps, backprop="store"), z) > len(model.steps) * z.nbytes
    assert model.drift(z) < 1e-5


def test_every_statement_names_a_test_that_exists():
    named = re.findall(r"`(?:([\w/]+\.py)::)?(test_\w+)`", PAGE)
    assert len(named) > 40
    for file, name in named:
        path = file.replace("battery/", "tests/invertible/battery/", 1) or "tests/test_engine_page.py"
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"


def test_no_part_of_the_battery_is_left_out():
    files = {path.name for path in (ROOT / "tests" / "invertible" / "battery").glob("test_*.py")}
    assert files == set(re.findall(r"`battery/(test_\w+\.py)", PAGE))
