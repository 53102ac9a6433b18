"""Checkpoints that survive whatever kills a run.

A checkpoint is written under a temporary name, forced to the disk, read back, and only then given its name, which
holds its number of updates and its hash. Older ones are removed after that, but for the one before it and the best that
either of them knows.
"""

from __future__ import annotations

import fcntl
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from invrim.errors import FileError, RunError
from invrim.files import make_folder, reason, sha256_of

FOLDER = "checkpoints"
_DIGITS = 16
"""Of the hash in a name."""
_NAME = re.compile(rf"update-(\d+)-([0-9a-f]{{{_DIGITS}}})\.ckpt")
_PARTIAL = ".partial-"
_KEPT = 2
"""The last ones: should the newest be damaged on the disk, there is the one before."""
_locks: set[IO[str]] = set()
"""Of the runs under way in this process."""


def _let_go_of_locks() -> None:
    """In a forked process: a loader's process that outlives a killed run by seconds must not keep its folder locked."""
    for lock in _locks:
        lock.close()
    _locks.clear()


os.register_at_fork(after_in_child=_let_go_of_locks)


class PlainCheckpointIO(TorchCheckpointIO):
    """Writes straight into the file, without a copy of everything in memory, and through to the disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


class Checkpoints(Callback):
    """Write a checkpoint every so many updates and after every validation, and remember the best.

    They are written at the start of the next update, or at the end of the run, when nothing of the last one is under
    way any more: a run that goes on from there is, bit for bit, the run that was not interrupted.

    Parameters
    ----------
    out
        Folder of the run.
    every
        Updates between checkpoints, besides those after validations.
    """

    def __init__(self, out: Path, every: int) -> None:
        self.folder = out / FOLDER
        self.every = every
        self.best_scores: dict[str, float] = {}
        """Of the validation with the best SSIM, with its updates; empty before there was one."""
        self._due = False
        self._written: int | None = None
        self._best_of: dict[int, int | None] = {}
        """Of the checkpoints written here, the best that each knows."""

    @property
    def best(self) -> Path | None:
        """The undamaged checkpoint with the best scores."""
        return next((path for updates, path in checkpoints_in(self.folder) if updates == self._best_updates), None)

    @property
    def _best_updates(self) -> int | None:
        return int(self.best_scores["updates"]) if self.best_scores else None

    def state_dict(self) -> dict[str, Any]:
        return {"best_scores": self.best_scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_scores = state_dict["best_scores"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._written = trainer.global_step
        self._best_of = {trainer.global_step: self._best_updates}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._due = True
        scores = {name: float(trainer.callback_metrics[f"validation/{name}"]) for name in ("ssim", "psnr")}
        if not self.best_scores or scores["ssim"] > self.best_scores["ssim"]:
            self.best_scores = {"updates": trainer.global_step, **scores}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Lightning counts a batch too many for its logs where it goes on right after a validation.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        begun = batch_idx % trainer.accumulate_grad_batches != 0
        if not begun and (self._due or trainer.global_step % self.every == 0):
            self.write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count every batch that has begun as one that is still to come."""
        loop = checkpoint["loops"]["fit_loop"]
        for progress in loop["epoch_loop.batch_progress"]["total"], loop["epoch_loop.batch_progress"]["current"]:
            progress.update(dict.fromkeys(progress, progress["completed"]))

    def write(self, trainer: Trainer) -> None:
        """Write a checkpoint of this moment, unless there is one."""
        updates = trainer.global_step
        self._due = False
        if updates == self._written:
            return
        temporary = self.folder / f"{_PARTIAL}{updates}.ckpt"
        with _writing(temporary, clear=trainer.is_global_zero):
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                _require_intact(temporary)
                temporary.replace(self.folder / f"update-{updates:08d}-{_hash(temporary)}.ckpt")
                _through_to_disk(self.folder)
        self._written = updates
        self._best_of[updates] = self._best_updates
        if trainer.is_global_zero:
            self._remove_older()

    def _remove_older(self) -> None:
        last = sorted(self._best_of)[-_KEPT:]
        needed = {*last, *(self._best_of[updates] for updates in last)}
        for path in self.folder.glob("update-*.ckpt"):
            name = _NAME.fullmatch(path.name)
            if name and int(name[1]) not in needed:
                path.unlink(missing_ok=True)


def updates_of(checkpoint: Path) -> int:
    """How many updates a checkpoint has, by its name."""
    name = _NAME.fullmatch(checkpoint.name)
    assert name is not None
    return int(name[1])


def checkpoints_in(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the updates and paths of undamaged checkpoints, the newest first; damaged ones are warned of."""
    for path in sorted(folder.glob("update-*.ckpt"), reverse=True):
        name = _NAME.fullmatch(path.name)
        if name is None:
            continue
        if (found := _hash(path)) == name[2]:
            yield int(name[1]), path
        else:
            warnings.warn(
                f"{path}: expected a checkpoint with the hash {name[2]} of its name, got {found}: it is damaged. "
                f"The one before it is taken.",
                stacklevel=2,
            )


@contextmanager
def the_only_run(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder, and clear away what a killed one was writing; the first process does it for all.

    Raises
    ------
    RunError
        If a run is under way there.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    folder = make_folder(out / FOLDER)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(
                f"expected a folder that no other run is writing to, got {out}, where one is under way. Wait for it, "
                f"stop it, or choose another out."
            ) from error
        _locks.add(lock)
        try:
            for partial in folder.glob(f"{_PARTIAL}*"):
                partial.unlink(missing_ok=True)
            yield
        finally:
            _locks.discard(lock)


@contextmanager
def _writing(temporary: Path, *, clear: bool) -> Iterator[None]:
    """Say in one line why a checkpoint could not be written; its writer leaves nothing of it."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch says a full disk with a RuntimeError
        if not clear:
            raise
        raise FileError(
            f"cannot write a checkpoint to {temporary.parent}: {reason(error)}. Earlier ones are as they were; make "
            f"room or choose another out, and start again to go on."
        ) from error
    finally:
        if clear:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _require_intact(path: Path) -> None:
    """Read a checkpoint back: its parts must have the checksums that they had in memory."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise FileError(f"expected to read back what was written to {path}, got another {damaged}. Check the disk.")


def _hash(path: Path) -> str:
    return sha256_of(path)[:_DIGITS]


def _through_to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
