"""Carry out a recipe: train, keep the best, leave weights that stand on their own."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    LearningRateMonitor,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import ModelParallelStrategy
from rich.console import Console
from torch.utils.data import DataLoader

from invrim.data.batches import ShapeBatchSampler
from invrim.models import save_model
from invrim.models.weights import copy_weights
from invrim.training.build import build_model
from invrim.training.checkpoints import Checkpoints, PlainCheckpointIO, checkpoints_in, the_only_run, updates_of
from invrim.training.failures import in_one_line
from invrim.training.guards import FiniteUpdates
from invrim.training.interruption import Interruption
from invrim.training.loaders import loaders, slices_of
from invrim.training.module import ReconstructionTask
from invrim.training.recipe import Optimisation, Recipe
from invrim.training.resume import find_checkpoint, write_recipe
from invrim.training.seeding import SeededBatches

WEIGHTS = "weights.safetensors"


def train(recipe: Recipe) -> Path:
    """Train a model and return its weights file, ``recipe.out / "weights.safetensors"``.

    The weights are those with the best validation SSIM. A run that stopped before its end continues from its last
    checkpoint, as if it had not been stopped; the recipe beside it, ``recipe.json``, must be the same but for updates,
    epochs, minutes, devices and limits of drift. Logs are in CSV and TensorBoard form in
    ``recipe.out / "logs" / "run-N"``, a new N each time.

    Raises
    ------
    OptionError
        If recipe fields contradict each other, or ``recipe.out`` holds the run of another recipe.
    FileError, DataError
        If the data cannot be used.
    WeightsError
        If ``recipe.start_from`` holds another model.
    TrainingError, DriftError
        If too many updates have no finite loss and gradient, or inversion is less exact than ``recipe.drift_raise``
        demands.
    RunError
        If memory did not suffice, a loader's process was killed, or another run is under way in ``recipe.out``.
    StoppedError
        If a signal asked the run to stop; it has written a checkpoint.
    """
    _quieten()
    with the_only_run(recipe.out):
        return _train(recipe)


def _train(recipe: Recipe) -> Path:
    last = find_checkpoint(recipe)
    seed_everything(recipe.seed, workers=True, verbose=False)
    model = build_model(recipe)
    if recipe.start_from is not None and last is None:
        copy_weights(recipe.start_from, model)
    updates = 0 if last is None else updates_of(last)
    training, validation = loaders(recipe, model, batches=updates * recipe.optimisation.accumulate)
    per_epoch = _updates_per_epoch(training, recipe)
    optimisation = recipe.optimisation.in_updates(per_epoch)
    task = ReconstructionTask(model, optimisation)
    checkpoints = Checkpoints(recipe.out, recipe.checkpoint_every)
    trainer = _trainer(recipe, optimisation, per_epoch, checkpoints)
    if trainer.is_global_zero:
        write_recipe(recipe)
    with without_remarks(), in_one_line(recipe):
        trainer.fit(task, training, validation, ckpt_path=last)
        weights, scores = _best(trainer, task, validation, checkpoints)
    if trainer.is_global_zero:
        _export(weights, recipe, (training, validation), scores)
    trainer.strategy.barrier()
    return recipe.out / WEIGHTS


def _trainer(recipe: Recipe, optimisation: Optimisation, per_epoch: int, checkpoints: Checkpoints) -> Trainer:
    updates = optimisation.updates
    assert updates is not None
    validate_every = min(recipe.validate_every or per_epoch, updates)
    on_terminal = Console().is_terminal
    return Trainer(
        accelerator="auto",
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=_strategy(recipe),
        precision=fastest_precision() if recipe.precision == "auto" else recipe.precision,
        max_steps=updates,
        max_epochs=-1,  # updates alone count; for Lightning, all are of one epoch
        max_time=_duration(optimisation.minutes),
        accumulate_grad_batches=optimisation.accumulate,
        val_check_interval=validate_every * optimisation.accumulate,
        check_val_every_n_epoch=None,
        gradient_clip_val=optimisation.clip,
        use_distributed_sampler=False,
        log_every_n_steps=min(10, updates),
        logger=[logger(recipe.out, "logs", _next_log(recipe.out)) for logger in (CSVLogger, TensorBoardLogger)],
        callbacks=[
            checkpoints,  # first: at the end of a run averaging puts its weights in the place of the last
            *averaging(recipe),
            Interruption(checkpoints),
            SeededBatches(recipe.seed),
            FiniteUpdates(recipe.out, optimisation.max_skipped),
            LearningRateMonitor("step"),
            *([_Bar()] if on_terminal else []),
        ],
        plugins=[PlainCheckpointIO(), *_cluster()],
        enable_checkpointing=False,  # of Lightning's own kind
        enable_progress_bar=on_terminal,
        enable_model_summary=False,
    )


def _strategy(recipe: Recipe) -> ModelParallelStrategy | Literal["auto"]:
    """Lightning's own choice, which is DDP for several processes, or FSDP with checkpoints that are one whole file."""
    if recipe.strategy == "ddp" or _processes(recipe) == 1:
        return "auto"
    return ModelParallelStrategy(
        data_parallel_size=_processes(recipe), tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def averaging(recipe: Recipe) -> list[Callback]:
    """Keep a running average of the weights, if the recipe says so."""
    decay = recipe.optimisation.ema_decay
    return [] if decay is None else [EMAWeightAveraging(decay=decay, use_buffers=False)]


def _cluster() -> list[SLURMEnvironment]:
    """SLURM's environment where we are in one; requeueing is left to who started the job, see `Interruption`."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


class _Bar(RichProgressBar):
    """Counts updates, not epochs."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "Training"


def fastest_precision() -> Literal["32-true", "bf16-mixed"]:
    """Choose bfloat16 nets only where the hardware has them: emulated on a CPU they are several times slower."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    # Older versions of torch cannot tell what the CPU has.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16-mixed" if any(has for name, has in capabilities.items() if "bf16" in name) else "32-true"


def _updates_per_epoch(training: DataLoader, recipe: Recipe) -> int:
    order = training.batch_sampler
    assert isinstance(order, ShapeBatchSampler)
    return math.ceil(order.per_epoch(_processes(recipe)) / recipe.optimisation.accumulate)


def _processes(recipe: Recipe) -> int:
    """How many processes share an epoch; Lightning knows it only once it has started."""
    if recipe.devices != "auto":
        return recipe.devices * recipe.nodes
    return max(1, torch.cuda.device_count()) * recipe.nodes


def _best(
    trainer: Trainer, task: ReconstructionTask, validation: DataLoader, checkpoints: Checkpoints
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return weights and scores of the best checkpoint or the last one; whole, also where processes share them."""
    # The running average, if there is one, is in the file, but not in a model that had nothing left to learn.
    newest = next((path for _, path in checkpoints_in(checkpoints.folder)), None)
    last = trainer.strategy.lightning_module_state_dict() if newest is None else _weights_in(newest)
    if not isinstance(trainer.strategy, ModelParallelStrategy):  # whose parts are those of the file already
        task.load_state_dict(last)
    scores = {"updates": trainer.global_step, **_validate(trainer, task, validation)}
    if not checkpoints.best_scores or checkpoints.best_scores["ssim"] <= scores["ssim"]:
        return last, scores
    best = checkpoints.best
    return (last, scores) if best is None else (_weights_in(best), checkpoints.best_scores)


def _weights_in(checkpoint: Path) -> dict[str, Any]:
    weights: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    return weights


def _validate(trainer: Trainer, task: ReconstructionTask, validation: DataLoader) -> dict[str, float]:
    (scores,) = trainer.validate(task, validation, verbose=False)
    return {name.removeprefix("validation/"): float(score) for name, score in scores.items()}


def _export(
    weights: dict[str, Any], recipe: Recipe, data: tuple[DataLoader, DataLoader], scores: dict[str, float]
) -> None:
    model = build_model(recipe)
    model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})
    training, validation = (slices_of(loader) for loader in data)
    provenance = {
        "recipe": recipe.as_json(),
        "seed": recipe.seed,
        "data": {"training": training, "validation": validation},
        "updates": int(scores["updates"]),
        "validation": {name: scores[name] for name in ("ssim", "psnr")},
        "torch": torch.__version__,
    }
    save_model(model, recipe.out / WEIGHTS, recipe=provenance)


def _next_log(out: Path) -> str:
    """Name the folder of this run's logs; those of earlier runs stay."""
    return f"run-{len(list((out / 'logs').glob('run-*')))}"


def _quieten() -> None:
    """Keep Lightning's remarks on devices and its other products off the terminal; warnings still come."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def without_remarks() -> Iterator[None]:
    """Leave out warnings of Lightning that do not concern our runs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # more than a small machine's cores
        warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated.*")  # Lightning's own use of torch
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval")  # in updates, not epochs
        warnings.filterwarnings("ignore", message=".*WeightAveraging doesn't support sharding")  # refused by the recipe
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint")  # ShapeBatchSampler goes on
        yield


def _duration(minutes: float | None) -> timedelta | None:
    return None if minutes is None else timedelta(minutes=minutes)
