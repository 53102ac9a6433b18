"""Runs that are stopped, killed, or find their last checkpoint damaged."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file

from invrim.errors import FileError, RunError, StoppedError
from invrim.models import read_header
from invrim.training import UNetOptions, train
from invrim.training import run as running
from invrim.training.checkpoints import FOLDER, checkpoints_in, the_only_run
from training.test_training import LIGHTNING, recipe
from training.written import recipes_in

pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]
__all__ = ["recipe"]


class At(Callback):
    """Do something at the start of an update."""

    def __init__(self, update, action):
        self.update, self.action = update, action

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.update:
            self.action()


@pytest.fixture
def at(monkeypatch):
    """Have the next runs do something at an update, after a checkpoint was written there."""
    averaging = running.averaging
    callbacks: list[At] = []
    monkeypatch.setattr(running, "averaging", lambda recipe: [*averaging(recipe), *callbacks])

    def arrange(update, action):
        callbacks[:] = [At(update, action)]

    return arrange


def demanding(recipe, updates, name, **optimisation):
    """Validation, checkpoints and epochs that do not fall on the same updates; a running average; a schedule."""
    made = recipe(updates, name)
    chosen = replace(
        made.optimisation,
        schedule="cosine",
        warmup=3,
        updates=13,
        **{"ema_decay": 0.7, "accumulate": 2, **optimisation},
    )
    return replace(made, validate_every=4, checkpoint_every=3, optimisation=chosen)


def same_tensors(one, two):
    first, second = load_file(one), load_file(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Killed(BaseException):
    pass


def die():
    raise Killed


def log(folder, name):
    """Values by update, of all the runs in a folder."""
    rows = {}
    for path in sorted(folder.glob("logs/run-*/metrics.csv")):
        header, *lines = path.read_text().splitlines()
        columns = header.split(",")
        for line in lines:
            row = dict(zip(columns, line.split(","), strict=True))
            if row.get(name):
                rows[int(row["step"])] = row[name]
    return rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights of a run that nothing stopped."""
    return train(demanding(recipes_in(tmp_path_factory.mktemp("whole")), 13, "run"))


def test_a_run_that_died_anywhere_ends_with_the_same_bits(recipe, at, whole):
    """Between updates of an accumulation, before, at and after validations and checkpoints."""
    for update in (1, 6, 8, 11):
        at(update, die)
        with pytest.raises(Killed):
            train(demanding(recipe, 13, "parts"))
    at(99, die)
    parts = train(demanding(recipe, 13, "parts"))
    assert same_tensors(whole, parts)
    assert log(whole.parent, "validation/ssim") == log(parts.parent, "validation/ssim")
    assert sorted(log(whole.parent, "validation/ssim")) == [3, 7, 11, 13]


def test_a_run_that_died_after_its_last_update_has_nothing_left_but_to_write_its_weights(recipe, monkeypatch, whole):
    with monkeypatch.context() as patched:
        patched.setattr(running, "_best", lambda *_: die())
        with pytest.raises(Killed):
            train(demanding(recipe, 13, "parts"))
    parts = train(demanding(recipe, 13, "parts"))
    assert same_tensors(whole, parts)
    assert read_header(parts)["recipe"]["validation"] == read_header(whole)["recipe"]["validation"]


def test_dropout_does_not_depend_on_what_came_before(recipe, at):
    def made(name):
        return replace(demanding(recipe, 13, name), model=UNetOptions(channels=3, pools=1, dropout=0.4))

    whole = train(made("whole"))
    at(7, die)
    with pytest.raises(Killed):
        train(made("parts"))
    at(99, die)
    assert same_tensors(whole, train(made("parts")))


def test_a_signal_writes_a_checkpoint_and_stops(recipe, at, whole):
    for update, number in ((5, signal.SIGTERM), (10, signal.SIGUSR1)):
        at(update, lambda number=number: os.kill(os.getpid(), number))
        before = signal.getsignal(number)
        with pytest.raises(StoppedError, match=rf"stopped by {number.name} after {update} updates"):
            train(demanding(recipe, 13, "parts"))
        assert signal.getsignal(number) == before
        assert next(checkpoints_in(demanding(recipe, 13, "parts").out / FOLDER))[0] == update
    at(99, die)
    assert same_tensors(whole, train(demanding(recipe, 13, "parts")))


def test_a_damaged_checkpoint_is_said_and_the_one_before_it_taken(recipe, at, whole):
    at(11, die)
    with pytest.raises(Killed):
        train(demanding(recipe, 13, "parts"))
    folder = demanding(recipe, 13, "parts").out / FOLDER
    *_, before, last = sorted(folder.glob("update-*.ckpt"))
    assert (before.name[:15], last.name[:15]) == ("update-00000008", "update-00000009")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    at(99, die)
    with pytest.warns(UserWarning, match=r"update-00000009.*it is damaged\. The one before it is taken"):
        parts = train(demanding(recipe, 13, "parts"))
    assert same_tensors(whole, parts)


def test_the_last_two_checkpoints_are_kept_and_the_best(recipe):
    folder = train(replace(recipe(9), validate_every=100, checkpoint_every=2)).parent / FOLDER
    assert [updates for updates, _ in checkpoints_in(folder)] == [9, 8]


def test_a_full_disk_ends_the_run_in_one_line_and_leaves_what_was_there(recipe, monkeypatch):
    made = replace(recipe(9), validate_every=100, checkpoint_every=4)
    written = []
    save = torch.save

    def full(checkpoint, file):
        written.append(file)
        save(checkpoint, file)
        if len(written) == 2:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 192 vs 86")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(FileError, match=r"cannot write a checkpoint to .*Earlier ones are as they were; make room"):
        train(made)
    assert [path.name[:15] for path in (made.out / FOLDER).glob("*.ckpt")] == ["update-00000004"]
    assert not list((made.out / FOLDER).glob(".partial*"))


def test_two_runs_in_one_folder_are_refused(recipe, at):
    made = recipe(3)

    def another():
        with pytest.raises(RunError, match=r"where one is under way. Wait for it, stop it, or choose another out"):
            train(made)
        die()

    at(1, another)
    with pytest.raises(Killed):
        train(made)


def test_a_loaders_process_that_outlives_its_run_does_not_keep_the_folder_locked(tmp_path):
    """It notices only after some seconds that the run was killed."""
    here, there = os.pipe()
    with the_only_run(tmp_path):
        child = os.fork()
        if child == 0:
            os.write(there, b"!")
            signal.pause()
        os.read(here, 1)
    try:
        with the_only_run(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_run_of_an_earlier_version_is_not_silently_begun_again(recipe):
    folder = recipe(1).out / FOLDER
    folder.mkdir(parents=True)
    (folder / "last.ckpt").touch()
    with pytest.raises(FileError, match=r"got last\.ckpt of an earlier version"):
        train(recipe(1))


SCRIPT = """
    import sys, pickle
    from invrim.training import train
    train(pickle.load(open(sys.argv[1], "rb")))
"""


def test_a_run_that_is_killed_outright_ends_with_the_same_bits(recipe, tmp_path):
    """By SIGKILL, with a loader's process, at three moments, one of them when a checkpoint is being written."""

    def made(name):
        one = demanding(recipe, 13, name)
        return replace(one, data=replace(one.data, workers=1), checkpoint_every=1)

    whole = train(made("whole"))
    (tmp_path / "recipe.pickle").write_bytes(pickle.dumps(made("parts")))
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "recipe.pickle")]
    folder = tmp_path / "parts" / FOLDER

    def writing():
        return any(folder.glob(".partial*"))

    def beyond(update):
        return lambda: any(int(path.name[7:15]) >= update for path in folder.glob("update-*"))

    for moment in (beyond(2), writing, beyond(9)):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 90
        while not moment() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert same_tensors(whole, tmp_path / "parts" / "weights.safetensors")
