"""A training run, described completely: what `invrim train --config recipe.yaml` reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from invrim.errors import OptionError
from invrim.training.architectures import IRIMOptions, ModelOptions, PresetOptions

LossName = Literal["ssim", "l1", "ssim+l1", "ssim3d", "ssim3d+l1"]

SHORTEST_SLAB = 13
"""Slices for the loss ssim3d: its window covers 7, and validation may divide 14 slices into two slabs of 7."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which scans, and how they are undersampled."""

    train: Path
    """Folder of fully sampled fastMRI-schema files (.h5) to learn from."""
    validation: Path
    """Folder of files to validate on; masks there are seeded by file name, the same every time."""
    accelerations: tuple[int, ...] = (4, 8)
    """Accelerations, drawn with equal probability for every training slice."""
    center_fractions: tuple[float, ...] = (0.08, 0.04)
    """Fraction of fully sampled centre lines, one for each acceleration."""
    masks: str = "random"
    """Kind of mask, one of `invrim.data.mask_kinds`: random, equispaced_fraction, magic, gaussian, poisson, ..."""
    readout_crop: int | None = None
    """Train on this many rows of the readout, drawn at random; exact, since the readout is fully sampled."""
    image_crop: int | None = None
    """Crop or pad training images to this square before they are undersampled, as published; makes another k-space."""
    target_crop: int | None = None
    """Compare no more than this central square of the target, as published."""
    slab: int | None = None
    """Learn from slabs of this many neighbouring slices, drawn at random, in 3D; None: from slices, in 2D."""
    flip: bool = True
    """Mirror training slices at random."""
    batch_size: int = 8
    """Slices, or slabs, per update; those of one batch have the same matrix and coils."""
    workers: int = 1
    """Loader processes; 0 loads in the training process."""
    cache: Path | None = None
    """Folder, best on a local disk, for copies of the files that are fast to read; None reads the files themselves."""

    def __post_init__(self) -> None:
        from invrim.data.mask_kinds import require_mask_kind

        require_mask_kind(self.masks)
        _require_positive(
            batch_size=self.batch_size,
            readout_crop=self.readout_crop,
            image_crop=self.image_crop,
            target_crop=self.target_crop,
            slab=self.slab,
        )
        if self.readout_crop is not None and self.image_crop is not None:
            raise OptionError(
                f"expected one of readout_crop and image_crop, got {self.readout_crop} and {self.image_crop}. Leave "
                f"one out."
            )


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How long and how fast to learn."""

    updates: int | None = None
    """Optimiser updates."""
    epochs: int | None = None
    """Instead of updates: passes over the training slices; several processes share one."""
    optimiser: Literal["adam", "muon"] = "adam"
    """Adam as published, or Muon, which learns more from every update; see `invrim.training.muon`."""
    learning_rate: float = 1e-4
    """Peak step size of Adam; of Muon's kernels it is a tenth of the peak relative step."""
    warmup: int = 0
    """Updates over which the step size rises to its peak."""
    schedule: Literal["constant", "cosine", "step"] = "step"
    """Step size after the warm-up: constant, to zero along a cosine, or divided by ten every `decay_every` updates."""
    decay_every: int | None = None
    """For "step", in the unit of the length, updates or epochs; a third of the length if None."""
    loss: LossName = "ssim"
    """SSIM as published, of every slice; "ssim3d" of slabs, with windows over 7 slices; L1, or a sum."""
    every_step: bool = False
    """Average the loss over the estimates after all steps, as published for the RIM, not of the last alone."""
    ema_decay: float | None = None
    """Validate and keep a running average of the weights, of which every update leaves this part; None: no average."""
    clip: float | None = None
    """Largest gradient norm; larger ones are scaled down."""
    accumulate: int = 1
    """Batches of which an update takes the mean gradient."""
    max_skipped: int = 10
    """Updates of a run that may be left out because loss or gradient is not finite; one more ends it."""
    minutes: float | None = None
    """Stop after this wall-clock time, even before all updates are done."""

    def __post_init__(self) -> None:
        _require_positive(
            updates=self.updates,
            epochs=self.epochs,
            decay_every=self.decay_every,
            accumulate=self.accumulate,
            learning_rate=self.learning_rate,
        )
        if (self.updates is None) == (self.epochs is None):
            raise OptionError(
                f"expected updates or epochs, one of the two, got {self.updates} and {self.epochs}. Say how long to "
                f"train in one of them."
            )
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise OptionError(f"expected ema_decay between 0 and 1, got {self.ema_decay}. Try 0.999.")

    def in_updates(self, per_epoch: int) -> Optimisation:
        """Count length and decay in updates, of which an epoch has so many."""
        if self.epochs is None:
            return self
        decay_every = None if self.decay_every is None else self.decay_every * per_epoch
        return replace(self, updates=self.epochs * per_epoch, epochs=None, decay_every=decay_every)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run."""

    data: Data
    model: ModelOptions
    optimisation: Optimisation
    out: Path
    """Folder for checkpoints, logs and the final weights; a run found there is resumed."""
    start_from: str | None = None
    """Weights to train further, of a model of the same kind and sizes: a file, or the name of weights that ship."""
    seed: int = 0
    """Of initialisation, masks, order and augmentation."""
    validate_every: int | None = 500
    """Updates between validations; None validates after every epoch."""
    checkpoint_every: int = 500
    """Updates between checkpoints, besides one after every validation; a run that is killed goes on from the last."""
    devices: int | Literal["auto"] = "auto"
    """Processes or accelerators, as Lightning counts them."""
    nodes: int = 1
    """Machines."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """What several processes share: batches ("ddp"), or weights, gradients and the optimiser's state, too ("fsdp")."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Of the nets; the state is always float32. "auto" is bf16-mixed where the processor multiplies in bfloat16."""
    drift_warn: float | Literal["auto"] | None = "auto"
    """Relative error of activations recomputed by inversion from which training warns, once: "auto" is 1e-3, or 7.8e-3
    with nets in bfloat16, whose own round-off is larger; None never warns."""
    drift_raise: float | None = None
    """The same error, from which training ends; None goes on at any. What it is stands in the log, `train/drift`."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Free words that travel inside the weights file: data sources, licences."""

    def __post_init__(self) -> None:
        _require_positive(validate_every=self.validate_every, checkpoint_every=self.checkpoint_every, nodes=self.nodes)
        drift_warn = None if self.drift_warn == "auto" else self.drift_warn
        _require_positive(drift_warn=drift_warn, drift_raise=self.drift_raise)
        _require_fit(self.model.kind, self.optimisation)
        if self.strategy == "fsdp":
            _require_whole_free(self.optimisation)
        _require_space(self.model, self.data, self.optimisation)

    def as_json(self) -> dict[str, Any]:
        """Return the recipe with paths as words, for the weights file."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _require_positive(**fields: float | None) -> None:
    for name, value in fields.items():
        if value is not None and not value > 0:
            raise OptionError(f"expected {name} above 0, got {value}. Raise it.")


def _require_fit(kind: str, optimisation: Optimisation) -> None:
    if optimisation.every_step and kind not in {"irim", "rim"}:
        raise OptionError(
            f"expected model.kind irim or rim for a loss on every step, got {kind}. Leave optimisation.every_step out."
        )
    if optimisation.optimiser == "muon" and kind != "irim":
        raise OptionError(
            f"expected model.kind irim for Muon, which is for weight-normalised kernels, got {kind}. "
            f"Set optimisation.optimiser to adam."
        )


def _require_whole_free(optimisation: Optimisation) -> None:
    """Refuse what looks at whole weights where every process has a part of them."""
    if optimisation.optimiser == "muon" or optimisation.ema_decay is not None:
        raise OptionError(
            f"expected Adam and no running average of weights that processes share, got optimiser "
            f"{optimisation.optimiser} and ema_decay {optimisation.ema_decay}. Change them, or set strategy to ddp."
        )


def _require_space(model: ModelOptions, data: Data, optimisation: Optimisation) -> None:
    """Slabs for models in 3D, as far as a recipe says which those are, and windows that fit into slabs."""
    ndim = model.ndim if isinstance(model, IRIMOptions) else 2
    known = not isinstance(model, PresetOptions)
    if known and (ndim == 3) != (data.slab is not None):
        got = "none" if data.slab is None else f"{data.slab} slices"
        raise OptionError(
            f"expected data.slab where the model is in 3D, and only there, got model.ndim {ndim} and a slab of {got}. "
            f"Set model.ndim (of an i-RIM) to 3 and data.slab to e.g. 32, or leave both out."
        )
    if "ssim3d" in optimisation.loss and (data.slab is None or data.slab < SHORTEST_SLAB):
        raise OptionError(
            f"expected data.slab of at least {SHORTEST_SLAB} slices for the loss {optimisation.loss}, got {data.slab}. "
            f"Raise it, or use the loss ssim."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, Path) else value
