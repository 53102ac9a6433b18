"""A training run, described completely: what `invrim train --config recipe.yaml` reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from invrim.errors import OptionError
from invrim.training.architectures import ModelOptions

LossName = Literal["ssim", "l1", "ssim+l1"]


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
    readout_crop: int | None = None
    """Train on this many rows of the readout, drawn at random; exact, since the readout is fully sampled."""
    flip: bool = True
    """Mirror training slices at random."""
    batch_size: int = 8
    """Slices per update; slices of one batch have the same matrix and coils."""
    workers: int = 1
    """Loader processes; 0 loads in the training process."""

    def __post_init__(self) -> None:
        _require_positive(batch_size=self.batch_size, readout_crop=self.readout_crop)


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How long and how fast to learn."""

    updates: int
    """Optimiser updates."""
    optimiser: Literal["adam", "muon"] = "adam"
    """Adam as published, or Muon, which learns more from every update; see `invrim.training.muon`."""
    learning_rate: float = 1e-4
    """Peak step size of Adam; of Muon's kernels it is a tenth of the peak relative step."""
    warmup: int = 0
    """Updates over which the step size rises to its peak."""
    schedule: Literal["constant", "cosine", "step"] = "step"
    """Step size after the warm-up: constant, to zero along a cosine, or divided by ten every `decay_every` updates."""
    decay_every: int | None = None
    """For "step"; a third of the updates if None."""
    loss: LossName = "ssim"
    """SSIM as published, L1, or their sum."""
    every_step: bool = False
    """Average the loss over the estimates after all steps, as published for the RIM, not of the last alone."""
    ema_decay: float | None = None
    """Validate and keep a running average of the weights, of which every update leaves this part; None: no average."""
    clip: float | None = None
    """Largest gradient norm; larger ones are scaled down."""
    minutes: float | None = None
    """Stop after this wall-clock time, even before all updates are done."""

    def __post_init__(self) -> None:
        _require_positive(updates=self.updates, decay_every=self.decay_every, learning_rate=self.learning_rate)
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise OptionError(f"expected ema_decay between 0 and 1, got {self.ema_decay}. Try 0.999.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run."""

    data: Data
    model: ModelOptions
    optimisation: Optimisation
    out: Path
    """Folder for checkpoints, logs and the final weights; a run found there is resumed."""
    seed: int = 0
    """Of initialisation, masks, order and augmentation."""
    validate_every: int = 500
    """Updates between validations."""
    devices: int | Literal["auto"] = "auto"
    """Processes or accelerators, as Lightning counts them."""
    nodes: int = 1
    """Machines."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Of the nets; the state is always float32. "auto" is bf16-mixed where the processor multiplies in bfloat16."""
    drift_warn: float | None = 1e-3
    """Relative error of activations recomputed by inversion from which training warns, once; None never warns."""
    drift_raise: float | None = None
    """The same error, from which training ends; None goes on at any. What it is stands in the log, `train/drift`."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Free words that travel inside the weights file: data sources, licences."""

    def __post_init__(self) -> None:
        _require_positive(validate_every=self.validate_every, nodes=self.nodes)
        _require_positive(drift_warn=self.drift_warn, drift_raise=self.drift_raise)
        _require_fit(self.model.kind, self.optimisation)

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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, Path) else value
