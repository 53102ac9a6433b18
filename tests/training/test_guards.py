"""Updates without a finite loss or gradient."""

import re
from dataclasses import replace

import h5py
import pytest
import torch

from invrim.errors import TrainingError
from invrim.training import train
from invrim.training.module import ReconstructionTask
from training.test_training import LIGHTNING, recipe
from training.written import last_checkpoint

pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]
__all__ = ["recipe"]


def tolerant(recipe, updates, allowed, **options):
    made = recipe(updates, **options)
    return replace(made, optimisation=replace(made.optimisation, max_skipped=allowed))


def breaking(monkeypatch, what: str, at: tuple[int, ...]) -> None:
    """Spoil the loss, or a gradient, of these updates."""
    loss = ReconstructionTask.loss

    def spoilt(task, batch):
        value = loss(task, batch)
        if task.global_step in at and task.training:
            if what == "loss":
                return value * float("inf")
            value.register_hook(lambda gradient: gradient * float("nan"))
        return value

    monkeypatch.setattr(ReconstructionTask, "loss", spoilt)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_updates_that_are_not_finite_are_left_out_and_counted(recipe, monkeypatch, what):
    breaking(monkeypatch, what, at=(1, 2))
    with pytest.warns(UserWarning, match="left out") as warned:
        train(tolerant(recipe, 4, 2))
    first, second = (str(one.message) for one in warned if "left out" in str(one.message))
    assert re.search(r"got a gradient of norm nan at update 1, in \['[ab]\.h5 slice \d.*1 of at most 2", first)
    assert "at update 2" in second
    checkpoint = last_checkpoint(recipe(4).out)
    assert checkpoint["global_step"] == 4
    assert checkpoint["callbacks"]["FiniteUpdates"] == {"skipped": 2}
    moments = checkpoint["optimizer_states"][0]["state"][0]
    assert moments["step"] == 2, "Adam has seen the two good ones alone"
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())


def test_one_more_than_allowed_ends_the_run_with_the_batch_saved(recipe, monkeypatch):
    breaking(monkeypatch, "loss", at=(1, 3))
    with (
        pytest.warns(UserWarning, match="left out, 1 of at most 1"),
        pytest.raises(
            TrainingError,
            match=r"at most 1 updates without a finite loss.* at update 3.*post-mortem-3-0",
        ),
    ):
        train(tolerant(recipe, 6, 1))
    (batch,) = torch.load(recipe(6).out / "post-mortem-3-0.pt", weights_only=True)
    assert batch["kspace"].ndim == 4
    assert batch["name"][0] in {"a.h5", "b.h5"}


def test_what_was_skipped_counts_on_when_a_run_goes_on(recipe, monkeypatch):
    breaking(monkeypatch, "loss", at=(1, 4))
    with pytest.warns(UserWarning, match="left out"):
        train(tolerant(recipe, 3, 1))
    with pytest.raises(TrainingError, match="at update 4"):
        train(tolerant(recipe, 6, 1))


def test_a_target_too_large_for_its_square(recipe):
    broken = tolerant(recipe, 5, 0)
    with h5py.File(broken.data.train / "a.h5", "a") as file:
        file["reconstruction_esc"][:] = 3e38  # finite, but its square is not
    with pytest.raises(TrainingError, match=r"expected at most 0 updates .* in \['a.h5 slice"):
        train(broken)
