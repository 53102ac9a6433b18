"""Being told to stop: by a terminal, a scheduler, or whoever requeues a job."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from invrim.errors import StoppedError
from invrim.training.checkpoints import Checkpoints

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""SLURM sends the first at the end of a job's time, and either before it if asked (``--signal``)."""


class Interruption(Callback):
    """Write a checkpoint and stop before the next update once a process of the run received one of `SIGNALS`."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._received = 0
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here, after Lightning has put in handlers of its own, which would talk to other processes at any moment.
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.accumulate_grad_batches != 0:
            return
        if trainer.strategy.reduce_boolean_decision(bool(self._received), all=False):
            self.checkpoints.write(trainer)
            name = signal.Signals(self._received).name if self._received else "a signal to another process"
            raise StoppedError(f"stopped by {name} after {trainer.global_step} updates.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _note(self, number: int, _: FrameType | None) -> None:
        self._received = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
