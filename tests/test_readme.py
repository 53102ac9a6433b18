"""The README keeps its word: its code runs, its numbers are the measured ones, its links lead somewhere."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from invrim.data.formats.fastmri import write_acquisition
from invrim.data.simulation import simulate_volume
from invrim.models import shipped_weights

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("fill_tables")


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A small scan.h5 in the working folder."""
    monkeypatch.chdir(tmp_path)
    stack = np.zeros((2, 36, 100), dtype=np.float32)
    stack[:, 6:30, 15:80] = 1
    stack[:, 12:20, 30:50] = 2
    write_acquisition(tmp_path / "scan.h5", simulate_volume(stack, "scan.h5", coils=3, acceleration=4))


@pytest.mark.parametrize("code", BLOCKS, ids=["reconstruction", "engine"])
def test_python_blocks_run(code, scan, capsys):
    if 'load_model("brain")' in code and "brain" not in shipped_weights():
        pytest.skip("weights/brain.safetensors does not ship yet: make weights")
    torch.manual_seed(0)
    names = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    if "images" in names:
        assert names["images"].shape == (2, 36, 100)
        assert names["images"].isfinite().all()
    else:
        assert all(parameter.grad is not None for parameter in names["chain"].parameters())
        drift = float(capsys.readouterr().out.rsplit(":", 1)[1])
        assert drift < 200 * 1e-5  # float32 round-off, 200 steps that each amplify it a little


def test_tables_are_the_measured_ones(tables):
    for page, regions in tables.PAGES.items():
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text, regions=regions) == text, f"{page.name}: run `python docs/fill_tables.py`"


def test_the_law_rejects_a_number_typed_by_hand(tables, tmp_path):
    origin = {"provenance": {"date": "2026-01-02 03:04 UTC", "processor": "a CPU", "torch": "2.13.0"}}
    scores = {"per_volume": {"mean": {"nmse": 0.01, "psnr": 33.456, "ssim": 0.9}}}
    quality = {**origin, "setting": {"protocol": "fastmri"}, "results": {"test 4x": {"i-RIM": scores}}}
    measured = {"depths": [8, 1000], "peak_bytes": {"invert": [2.5e6, 2.5e6]}, "state_bytes": 1e6}
    depth = {**origin, "results": measured}
    for name, content in {"quality": quality, "depth": depth}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    text = tables.filled(README, tmp_path)
    assert "| unseen subject, simulated, one coil | 4x | i-RIM | 0.0100 | 33.46 | 0.900 |" in text
    assert "| `invert` | 2.5 MB | 2.5 MB |" in text
    assert tables.filled(text.replace("33.46", "34.46"), tmp_path) == text


def test_commands_are_those_of_the_command_line():
    main = pytest.importorskip("invrim.cli.main")
    assert set(re.findall(r"^\| `invrim ([\w-]+)", README, re.MULTILINE)) == set(main.COMMANDS)


def test_links_lead_somewhere():
    missing = [link for link in re.findall(r"\]\((?!http)([^)#]+)\)", README) if not (ROOT / link).is_file()]
    assert missing == []
