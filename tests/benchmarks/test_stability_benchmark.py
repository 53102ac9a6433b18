"""The stability study runs, goes on after an interruption, and walks back as the engine does."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from invrim import InvertibleChain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def test_the_quick_study_runs_resumes_and_is_drawn(tmp_path, study):
    jobs = _run(tmp_path)
    assert {job["kind"] for job in jobs} == {"initialisation", "gain", "long", "short"}
    first = [job for job in jobs if job["layer"] == "orthogonal"]
    for errors in (errors for job in first for errors in job["errors"] if errors["precision"] == "exact"):
        assert errors["inversion_error"] == 0
    for job in jobs:
        assert job["errors"][0]["gradient_error"] < 1e-4  # float32, 4 layers
    path = tmp_path / "stability-quick.json"
    envelope = json.loads(path.read_text(encoding="utf-8"))
    envelope["results"]["jobs"] = [{**job, "seconds": -1.0} for job in jobs[1:]]
    path.write_text(json.dumps(envelope), encoding="utf-8")
    again = _run(tmp_path)
    assert [job["seconds"] < 0 for job in again] == [True] * (len(jobs) - 1) + [False]
    figure = study("stability_figure").stability_figure(json.loads(path.read_text(encoding="utf-8")))
    assert all(axes.get_lines() for axes in figure.axes)


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        *((layer, "invert") for layer in ("orthogonal", "additive", "real-nvp", "glow-exp", "glow-sigmoid-fitted")),
        ("orthogonal", "exact"),
    ],
)
def test_the_walk_back_is_the_engines(layer, mode, study):
    contestant = study("stability_study.contestants").CONTESTANTS[layer]
    task = study("stability_study.task")
    batch = task.draw_batch(2, 0)
    steps = study("stability_study.contestants").make_steps(contestant, 5, 3, batch[0], 1.0)
    network = task.Network(steps, batch)
    loss, _ = study("stability_study.walks").backpropagate(network, mode, batch)
    walked = [parameter.grad for parameter in network.parameters()]
    network.zero_grad(set_to_none=True)
    again = network.loss(InvertibleChain(steps, backprop=mode)(batch[0]), batch[1])
    again.backward()
    assert loss == again.item()
    for got, parameter in zip(walked, network.parameters(), strict=True):
        assert torch.equal(got, parameter.grad)


def test_a_loss_that_explodes_counts_as_diverged(study):
    training, task = study("stability_study.training"), study("stability_study.task")
    batch = training.validation_batch()
    contestant = study("stability_study.contestants").CONTESTANTS["real-nvp"]
    make = study("stability_study.contestants").make_steps
    wild, tame = (task.Network(make(contestant, 4, 0, batch[0], 1.0), batch) for _ in range(2))
    run = training.train(wild, "invert", steps=30, rate=3.0, seed=0)
    assert run["diverged_at"] > 1
    assert run["final_loss"] is None
    tame = training.train(tame, "invert", steps=2, rate=1e-5, seed=0)
    assert tame["diverged_at"] is None
    assert tame["final_loss"] == tame["loss"][-1]


def _run(folder: Path) -> list[dict]:
    command = [sys.executable, str(ROOT / "benchmarks" / "stability.py"), "--quick", "--out", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return json.loads((folder / "stability-quick.json").read_text(encoding="utf-8"))["results"]["jobs"]
