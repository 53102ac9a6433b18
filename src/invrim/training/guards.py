"""What keeps one bad batch from ruining a run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from invrim.errors import TrainingError
from invrim.files import atomic_write


class FiniteUpdates(Callback):
    """Leave out updates whose loss or gradient is not finite; count them, and end the run beyond a number.

    The batch that ended it is saved for a post-mortem, ``post-mortem-UPDATE-PROCESS.pt`` in the run's folder, to be
    read by ``torch.load``. Gradients are the sums over all processes, so that these decide alike. Scaled gradients of
    float16 are left to their scaler, which finds its scale by leaving out updates.
    """

    def __init__(self, out: Path, allowed: int) -> None:
        self.out = out
        self.allowed = allowed
        self.skipped = 0
        self._batches: list[Any] = []

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped = state_dict["skipped"]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._batches = []
        self._batches.append(batch)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        norm = _gradient_norm(pl_module)
        if norm.isfinite() or getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        self.skipped += 1
        pl_module.zero_grad(set_to_none=True)  # optimisers pass over parameters without a gradient
        pl_module.log("train/skipped", float(self.skipped))
        what = f"a gradient of norm {norm.item():g} at update {trainer.global_step}, in {self._names()}"
        if self.skipped > self.allowed:
            path = self._save(trainer)
            raise TrainingError(
                f"expected at most {self.allowed} updates without a finite loss and gradient, got {what}. The batch is "
                f"in {path}; lower the learning rate or clip gradients, and start from the last checkpoint or in "
                f"another folder."
            )
        warnings.warn(
            f"expected a finite loss and gradient, got {what}: left out, {self.skipped} of at most {self.allowed}.",
            stacklevel=2,
        )

    def _names(self) -> list[str]:
        return [
            f"{name} slice {index}"
            for batch in self._batches
            for name, index in zip(batch["name"], batch["slice"], strict=True)
        ]

    def _save(self, trainer: Trainer) -> Path:
        path = self.out / f"post-mortem-{trainer.global_step}-{trainer.global_rank}.pt"
        with atomic_write(path) as temporary:
            torch.save(self._batches, temporary)
        return path


def _gradient_norm(module: LightningModule) -> Tensor:
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
