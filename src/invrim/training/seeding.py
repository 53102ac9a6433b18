"""Random numbers of the nets, such as dropout's, that depend on the update and not on how the run came there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class SeededBatches(Callback):
    """Seed torch before every batch from the run's seed, the number of the batch and that of the process."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        (state,) = np.random.SeedSequence((self.seed, batch_idx, trainer.global_rank)).generate_state(1)
        torch.manual_seed(int(state))
