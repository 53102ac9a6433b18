"""The stability study runs, goes on after an interruption, and walks back as the engine does."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from invrim import InvertibleChain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module


@pytest.fixture
def quick(study, tmp_path, monkeypatch):
    """Runs the quick study, or what is missing of it, and returns what it wrote."""
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # of this process, whose other tests may want more

    def run(*arguments: str):
        study("stability").main(["--quick", "--out", str(tmp_path), *arguments])
        return json.loads((tmp_path / "stability-quick.json").read_text(encoding="utf-8"))

    return run


def test_the_quick_study_runs_and_is_drawn(quick, study):
    envelope = quick()
    jobs = envelope["results"]["jobs"]
    assert {job["kind"] for job in jobs} == {"rates", "long", "initialisation", "depths", "gain", "as they come"}
    for job in jobs:
        for errors in job["errors"]:
            if errors["precision"] == "exact":
                assert errors["inversion_error"] == 0
            if errors["precision"] == "float32":
                assert errors["gradient_error"] < 1e-4  # 5 layers
    figure = study("stability_figure").stability_figure(envelope)
    assert all(axes.get_lines() for axes in figure.axes)
    tables = study("stability_tables")
    assert "| orthogonal mixing, additive (ours), `exact` |" in tables.training_table(envelope)
    assert "not measured" not in tables.precision_table(envelope)


def test_the_study_goes_on_where_it_was_interrupted(quick, study, monkeypatch):
    measured = []

    def do(job):
        measured.append(job)
        if len(measured) == 5:
            raise KeyboardInterrupt
        return {**job, "loss": [1.0, 0.5], "diverged": False, "errors": [], "seconds": 0.0}

    monkeypatch.setattr(study("stability"), "do", do)
    with pytest.raises(KeyboardInterrupt):
        quick()
    jobs = quick()["results"]["jobs"]
    assert len(measured) == len(jobs) + 1  # the fifth a second time
    assert {job["study"] for job in jobs} == {study("stability_study.definition").fingerprint()}
    measured.clear()
    quick()
    assert measured == []
    with pytest.raises(KeyboardInterrupt):
        quick("--fresh")
    assert len(measured) == 5  # none was taken over


def test_jobs_of_another_study_are_not_taken_over(tmp_path, study):
    path = tmp_path / "stability.json"
    jobs = [{"seed": 0, "study": "this"}, {"seed": 1, "study": "another"}, {"seed": 2}]
    path.write_text(json.dumps({"results": {"jobs": jobs}}), encoding="utf-8")
    assert study("stability").finished(path, "this") == jobs[:1]
    assert study("stability").finished(tmp_path / "none.json", "this") == []


def test_only_what_changes_results_makes_another_study(tmp_path, study):
    fingerprint = study("stability_study.definition").fingerprint
    variants = ('"""Text."""\nNOISE = 0.5\n', "# why\nNOISE = 0.50\n", "NOISE = 0.6\n")
    files = [tmp_path / f"{number}.py" for number in range(3)]
    for file, text in zip(files, variants, strict=True):
        file.write_text(text, encoding="utf-8")
    first, same, other = (fingerprint([file]) for file in files)
    assert first == same != other


def test_later_jobs_take_the_rate_that_learned_best(study):
    plan = study("stability_study.plan")
    done = [
        {"kind": "rates", "mode": "store", "layer": "additive", "rate": rate, "loss": [1.0, loss], "diverged": diverged}
        for rate, loss, diverged in ((1e-4, 0.5, False), (3e-4, 0.3, False), (1e-3, 0.1, True))
    ]
    assert plan.best_rate(done, "additive") == 3e-4
    assert plan.best_rate([{**job, "diverged": True} for job in done], "additive") == 1e-4


def test_the_task_rewards_looking_at_neighbours(study):
    """A mean over few pixels, with weights that anybody might guess, beats the best readout of single pixels."""
    task = study("stability_study.task")
    z, clean = task.validation_batch()
    smooth = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
    guess = torch.nn.functional.conv2d(z[:, :4] + z[:, 4:], smooth.expand(4, 1, 3, 3) / 2, padding=1, groups=4)
    assert (guess - clean).square().mean() < 0.7 * task.readout_loss()


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


def test_a_loss_that_explodes_ends_the_training(study):
    training, task = study("stability_study.training"), study("stability_study.task")
    batch = task.validation_batch()
    contestant = study("stability_study.contestants").CONTESTANTS["real-nvp"]
    make = study("stability_study.contestants").make_steps
    wild, tame = (task.Network(make(contestant, 4, 0, batch[0], 1.0), batch) for _ in range(2))
    run = training.train(wild, "invert", updates=30, rate=3.0, seed=0)
    assert run["stopped_at"] > 1
    assert run["diverged"]
    run = training.train(tame, "invert", updates=12, rate=1e-3, seed=0)
    assert run["stopped_at"] is None
    assert run["at"] == [0, 10, 12]
    assert run["diverged"] is (run["loss"][-1] > run["loss"][0])


def test_a_loss_that_stays_above_its_start_is_no_training(study, monkeypatch):
    training, task = study("stability_study.training"), study("stability_study.task")
    losses = iter([0.1, 0.2, 0.05, 0.11, 0.12])  # after 0, 10, 20, 30 and 40 updates
    monkeypatch.setattr(training, "_look", lambda *found: _note(found, next(losses)))
    network = task.Network([], task.validation_batch())
    run = training.train(network, "store", updates=40, rate=0.0, seed=0)
    assert run["diverged"]
    assert run["stopped_at"] is None


def _note(found: tuple, loss: float) -> float:
    _network, _mode, update, curve = found
    curve["at"].append(update)
    curve["loss"].append(loss)
    return loss
