"""The benchmark of the drift watch runs, and takes out of a step what it says."""

import json
from importlib import import_module

from benchmarks.script import ROOT, run_script
from invrim import InvertibleChain
from plain_autograd import blocks, state


def test_a_watch_is_a_small_part_of_a_step(tmp_path):
    run_script("drift.py", "--out", tmp_path, "--blocks", "6", "--channels", "32", "--size", "48", "--steps", "3")
    step = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))["results"]["steps"]["6"]
    assert step["ratio"] > 0
    assert 0 < step["watch_fraction"] < 0.01


def test_what_it_takes_out_is_the_watch(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    chain, watched = InvertibleChain(blocks()), []
    monkeypatch.setattr(chain.watch, "note", lambda *noted: watched.append(noted))
    with import_module("drift").unwatched():
        chain(state()).sum().backward()
    assert watched == []
    chain(state()).sum().backward()
    assert len(watched) == 1
