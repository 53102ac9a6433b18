"""What happens to a run from outside ends it in one line."""

import multiprocessing
import os
import signal
from dataclasses import replace

import pytest
import torch

from invrim.errors import FileError, MemoryBudgetError, RunError
from invrim.training import train
from invrim.training.module import ReconstructionTask
from training.test_resuming import at
from training.test_training import LIGHTNING, recipe

pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]
__all__ = ["at", "recipe"]


def test_a_loader_that_the_system_kills(recipe, at):
    made = recipe(40)
    at(3, lambda: [os.kill(child.pid, signal.SIGKILL) for child in multiprocessing.active_children()])
    with pytest.raises(
        RunError,
        match=r"got (process \d+ killed( by signal Killed)?|a broken connection to one)\. Often memory ran out: "
        r"lower data\.",
    ):
        train(replace(made, data=replace(made.data, workers=1)))


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore"),
            RunError,
            "CUDA out of memory",
        ),
        (
            RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried"),
            RunError,
            "not enough mem",
        ),
        (OSError(28, "No space left on device"), FileError, "no space left on device"),
        (
            ConnectionResetError(104, "Connection reset by peer"),
            RunError,
            "loader processes.* broken connection to one",
        ),
        (EOFError(), RunError, "broken connection to one"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed"), RunError, "got one that ended"),
    ],
)
def test_what_runs_out_is_said_in_one_line(recipe, monkeypatch, error, expected, words):
    def fail(task, batch):
        raise error

    monkeypatch.setattr(ReconstructionTask, "loss", fail)
    with pytest.raises(expected, match=words) as raised:
        train(recipe(2))
    assert "\n" not in str(raised.value)
    assert "start again to go on from it" in str(raised.value)


def test_a_killed_loader_is_noticed_in_whatever_runs_then(recipe, monkeypatch):
    def fail(task, batch):
        try:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
        except RuntimeError as error:
            raise TypeError("unsupported callable") from error

    monkeypatch.setattr(ReconstructionTask, "loss", fail)
    with pytest.raises(RunError, match=r"got process 7 killed by signal Killed\. Often memory ran out"):
        train(recipe(2))


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryBudgetError("too little")], ids=["bug", "told already"])
def test_other_errors_are_not_hidden(recipe, monkeypatch, error):
    def fail(task, batch):
        raise error

    monkeypatch.setattr(ReconstructionTask, "loss", fail)
    with pytest.raises(type(error), match=rf"^{error}$") as raised:
        train(recipe(2))
    assert type(raised.value) is type(error)
