"""Two processes that train together, over gloo, as `invrim train` starts them."""

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
import yaml

from invrim.training.checkpoints import FOLDER, checkpoints_in
from training.test_training import recipe
from training.written import last_checkpoint

__all__ = ["recipe"]


def run(recipe, out, **changes):
    """Start `invrim train` with this recipe in a process of its own, and as many more as it asks for."""
    made = replace(recipe, out=out, **changes)
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(plain(made.as_json())))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "invrim.cli.main", "train", "--config", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def plain(value):
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None and inner != {}}
    return list(value) if isinstance(value, tuple) else value


def ended(process):
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return out


def scores(out):
    with next((out / "logs").glob("run-*/metrics.csv")).open() as file:
        return [float(row["validation/ssim"]) for row in csv.DictReader(file) if row["validation/ssim"]]


@pytest.fixture
def learning(recipe):
    made = recipe(6)
    return replace(made, validate_every=3, optimisation=replace(made.optimisation, clip=0.01))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_learns_from_twice_the_batch(learning, tmp_path, strategy):
    """Also where a batch of two slices of a file of three, and one of one, leave a process with less, or nothing."""
    ended(run(learning, tmp_path / "one", devices=1, data=replace(learning.data, batch_size=4)))
    ended(run(learning, tmp_path / "two", devices=2, strategy=strategy))
    whole, shared = (last_checkpoint(tmp_path / name)["state_dict"] for name in ("one", "two"))
    assert whole.keys() == shared.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(shared[name], tensor, rtol=0, atol=1e-6)
    assert scores(tmp_path / "two") == pytest.approx(scores(tmp_path / "one"), abs=1e-6)


def test_a_signal_to_the_first_process_stops_both_and_they_go_on(learning, tmp_path):
    longer = replace(learning, optimisation=replace(learning.optimisation, updates=40), checkpoint_every=5)
    stopped = run(longer, tmp_path / "run", devices=2)
    folder = tmp_path / "run" / FOLDER
    deadline = time.monotonic() + 120
    while not any(folder.glob("update-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    assert ended(stopped).count("stopped by SIGTERM after") == 1, "the first process speaks for both"
    assert next(checkpoints_in(folder))[0] < 40
    assert ended(run(longer, tmp_path / "run", devices=2)).count("weights -> ") == 1
    assert last_checkpoint(tmp_path / "run")["global_step"] == 40
