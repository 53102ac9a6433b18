"""docs/trajectories.md keeps its word: its code runs, its links lead somewhere, its claim is the measured one."""

import json
import re
from pathlib import Path

import torch

from invrim import NonCartesianMRI
from invrim.data.coil_profiles import ring_of_coils
from scans import phantom

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "trajectories.md").read_text(encoding="utf-8")
BAR = 3.0
"""Times that the data step is faster than the transforms, at 32 coils."""


def measure(trajectory, size):
    maps = ring_of_coils(4, size, torch.Generator().manual_seed(0))
    return NonCartesianMRI(trajectory, size, maps[None])(torch.from_numpy(phantom(2, size)) + 0j)


def test_the_block_reconstructs_what_was_measured():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {"measure": measure}
    exec(compile(code, "trajectories.md", "exec"), names)
    truth = torch.from_numpy(phantom(2, names["size"]))
    before, after = ((x.abs() - truth).norm() / truth.norm() for x in (names["fidelity"].start(), names["images"]))
    assert after < 0.7 * before


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []


def test_the_measured_data_step_keeps_the_bar():
    result = json.loads((ROOT / "benchmarks" / "results" / "nufft.json").read_text(encoding="utf-8"))
    assert result["setting"]["coils"] == 32
    assert all(row["ratio"] >= BAR for row in result["results"])
