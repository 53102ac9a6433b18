"""The benchmark of the drift watch runs, and takes out of a step what it says."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from invrim import InvertibleChain
from plain_autograd import blocks, state

ROOT = Path(__file__).resolve().parents[2]


def test_a_watch_is_a_small_part_of_a_step(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "drift.py"), "--out", str(tmp_path)]
    command += ["--blocks", "6", "--channels", "32", "--size", "48", "--steps", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    step = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))["results"]["steps"]["6"]
    assert step["ratio"] > 0
    assert 0 < step["watch_fraction"] < 0.01


def test_what_it_takes_out_is_the_watch(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    chain, watched = InvertibleChain(blocks()), []
    monkeypatch.setattr(chain.watch, "note", watched.append)
    with import_module("drift").unwatched():
        chain(state()).sum().backward()
    assert watched == []
    chain(state()).sum().backward()
    assert len(watched) == 1
