"""The learning problem, as Lightning sees it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from invrim.metrics import psnr, slice_similarity, ssim
from invrim.models import IRIM, Reconstructor, reconstruct
from invrim.operators import LeastSquares, cartesian_fidelity, crop_centre, slab_fidelity
from invrim.training.losses import reconstruction_loss
from invrim.training.muon import Muon
from invrim.training.recipe import Optimisation
from invrim.typing import Image

Batch = dict[str, Any]


class ReconstructionTask(LightningModule):
    """Reconstruct undersampled slices or slabs, compare the magnitude with the target."""

    def __init__(self, model: Reconstructor, optimisation: Optimisation) -> None:
        super().__init__()
        self.model = model
        self.optimisation = optimisation

    def forward(self, batch: Batch) -> Tensor:
        """Return magnitudes ``(b, [z,] y, x)``, cropped to the target."""
        fidelity = _fidelity(batch)
        return self._magnitudes(fidelity, reconstruct(self.model, fidelity, batch["metadata"]), batch)

    def loss(self, batch: Batch) -> Tensor:
        """Of the last estimate, or the mean over those of all steps."""

        def loss(magnitudes: Tensor) -> Tensor:
            return reconstruction_loss(self.optimisation.loss, magnitudes, batch["target"], batch["maximum"])

        if not self.optimisation.every_step:
            return loss(self(batch))
        fidelity = _fidelity(batch)
        estimates = reconstruct(self.model, fidelity, batch["metadata"], every_step=True)
        return torch.stack([loss(self._magnitudes(fidelity, images, batch)) for images in estimates]).mean()

    def configure_model(self) -> None:
        """Share the weights out among the processes where the run's strategy is to."""
        if isinstance(self.trainer.strategy, ModelParallelStrategy) and not isinstance(self.model, FSDPModule):
            assert self.device_mesh is not None
            fully_shard(self.model, mesh=self.device_mesh["data_parallel"])

    def on_train_start(self) -> None:
        if not isinstance(self.model, FSDPModule):
            self._clear_gradients()

    def optimizer_zero_grad(self, _epoch: int, _index: int, optimizer: Optimizer) -> None:
        if isinstance(self.model, FSDPModule):  # whose parameters are not the optimiser's between forward and backward
            optimizer.zero_grad()
        else:
            self._clear_gradients()

    def _clear_gradients(self) -> None:
        """Fill gradients with zeros, in memory that stays the same, and make those that are missing.

        Made by the backward pass they would lie between the large blocks that it frees, which then fit for nothing:
        the more steps, the more memory, although the walk back needs none for them.
        """
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
            elif parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, prog_bar=True)
        # A loss without a value has no gradient either, in no process: the update is left out, see `FiniteUpdates`.
        value = loss if loss.isfinite() else loss * torch.nan
        return value * batch["weight"].mean()

    def on_after_backward(self) -> None:
        """Log how far inversion missed the true states in this backward pass; nothing where all were stored."""
        drift = self.model.chain.watch.take() if isinstance(self.model, IRIM) else None
        if drift is not None:
            self.log("train/drift", drift)

    def on_validation_epoch_start(self) -> None:
        self._totals: dict[str, float] = defaultdict(float)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add up scores; slices count alike, in whichever batch and process they are."""
        prediction, target, maximum = self(batch).float(), batch["target"], batch["maximum"]
        scores = {
            "ssim": slice_similarity(prediction, target, maximum).mean(),
            "psnr": torch.stack([psnr(*one) for one in zip(prediction, target, maximum, strict=True)]).mean(),
        }
        if "ssim3d" in self.optimisation.loss:
            scores["ssim3d"] = ssim(prediction, target, maximum).mean()
        slices = float(batch["weight"].mean()) * target.flatten(0, -3).shape[0]
        for name, score in scores.items():
            self._totals[name] += slices * float(score)
        self._totals["slices"] += slices
        if index == 0:
            self._show(_middle(prediction), _middle(target), maximum[0])

    def on_validation_epoch_end(self) -> None:
        """Take the means over the slices of all processes."""
        sums = torch.tensor(list(self._totals.values()), device=self.device)
        *scores, slices = self.trainer.strategy.reduce(sums, reduce_op="sum")
        for name, score in zip(self._totals, scores, strict=False):
            self.log(f"validation/{name}", score / slices, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        method = {"adam": torch.optim.Adam, "muon": Muon}[self.optimisation.optimiser]
        optimizer = method(self.model.parameters(), lr=self.optimisation.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor(self.optimisation))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _magnitudes(self, fidelity: LeastSquares, images: Image, batch: Batch) -> Tensor:
        return crop_centre(self.model.magnitude(fidelity, images), batch["target"].shape[-2:])

    def _show(self, prediction: Tensor, target: Tensor, maximum: Tensor) -> None:
        panels = torch.cat([target, prediction, 5 * (prediction - target).abs()], dim=-1) / maximum
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    "target, reconstruction, error x5", panels.clamp(0, 1)[None].cpu(), self.global_step
                )


def _fidelity(batch: Batch) -> LeastSquares:
    physics = slab_fidelity if batch["target"].ndim == 4 else cartesian_fidelity
    return physics(batch["kspace"], batch["mask"], batch.get("maps"))


def _middle(images: Tensor) -> Tensor:
    """The first image, of a slab its middle slice."""
    first = images[0]
    return first if first.ndim == 2 else first[len(first) // 2]


def learning_rate_factor(optimisation: Optimisation) -> Callable[[int], float]:
    """Step size at an update, as a fraction of its peak; the length is in updates."""
    total, warmup = optimisation.updates, optimisation.warmup
    assert total is not None
    decay_every = optimisation.decay_every or max(1, total // 3)

    def factor(update: int) -> float:
        if update < warmup:
            return (update + 1) / warmup
        if optimisation.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (update - warmup) / max(1, total - warmup))))
        return 0.1 ** (update // decay_every) if optimisation.schedule == "step" else 1.0

    return factor
