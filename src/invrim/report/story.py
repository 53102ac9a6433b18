"""What a report tells, as plain data: somebody else measured, somebody else draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from invrim.errors import DataError, OptionError, ShapeError
from invrim.evaluation import Evaluation

ZERO_FILLED = "zero-filled"
"""Name of the reference method in pictures, tables and `Case.metrics`."""

Image = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One slice, reconstructed by several methods."""

    title: str
    """What the reader looks at: subject, plane, acceleration."""
    target: Image
    """Magnitude ``(y, x)``, arbitrary units; the other images share them and the shape."""
    zero_filled: Image
    reconstruction: Image
    mask: NDArray[np.bool_]
    """``(kx,)``, True where a column of k-space was measured, low frequencies in the middle."""
    metrics: Mapping[str, Mapping[str, float]]
    """Method name -> ``psnr`` in dB and ``ssim``; a method without an entry is shown without numbers."""
    baseline: Image | None = None
    baseline_name: str | None = None
    reconstruction_name: str = "i-RIM"

    def __post_init__(self) -> None:
        if (self.baseline is None) != (self.baseline_name is None):
            raise OptionError(f"case {self.title!r} needs both baseline and baseline_name, or neither.")
        for name, image in self.methods.items():
            _check_image(name, image, self.target)
        if self.mask.ndim != 1 or not self.mask.any():
            raise ShapeError(f"mask is {self.mask.shape}: expected (kx,) with at least one measured column.")
        if unknown := set(self.metrics) - set(self.methods):
            raise OptionError(f"metrics of {', '.join(sorted(unknown))}: expected some of {', '.join(self.methods)}.")

    @property
    def methods(self) -> dict[str, Image]:
        """Method name -> image, worst expected first."""
        baseline = {} if self.baseline is None else {str(self.baseline_name): self.baseline}
        return {ZERO_FILLED: self.zero_filled, **baseline, self.reconstruction_name: self.reconstruction}


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """Scores of one method on one scan, or one set of scans, at one acceleration."""

    scan: str = ""
    """What was scanned; rows of one scan and acceleration stand together. May be empty where there is only one."""
    method: str
    acceleration: float
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class ValidationCurve:
    """Scores on held-out data during training; equally long lists."""

    steps: Sequence[int]
    ssim: Sequence[float]
    psnr: Sequence[float]
    """In dB."""

    def __post_init__(self) -> None:
        _check_lengths("validation", self.steps, {"ssim": self.ssim, "psnr": self.psnr})


@dataclass(frozen=True, kw_only=True)
class TrainingCurve:
    """How learning went."""

    steps: Sequence[int]
    """Optimiser updates at which `loss` was noted."""
    loss: Sequence[float]
    validation: ValidationCurve | None = None
    zero_filled_ssim: float | None = None
    """Reference on the same held-out data: what is reached without learning anything."""

    def __post_init__(self) -> None:
        _check_lengths("training", self.steps, {"loss": self.loss})


@dataclass(frozen=True, kw_only=True)
class MemoryCurve:
    """Peak memory of one training step against depth."""

    depths: Sequence[int]
    """Numbers of invertible blocks, ascending."""
    bytes: Mapping[str, Sequence[int]]
    """Backpropagation mode -> bytes at each depth."""
    setting: str = ""
    """What was measured, for the caption: image size, channels, machine."""

    def __post_init__(self) -> None:
        _check_lengths("memory", self.depths, self.bytes)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page from top to bottom; a part that is empty or None is left out."""

    title: str
    summary: str = ""
    """One or two sentences under the title."""
    cases: Sequence[Case] = ()
    table: Sequence[TableRow] = ()
    training: TrainingCurve | None = None
    memory: MemoryCurve | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Versions, machine, date, commit."""
    notes: Sequence[str] = ()
    """Paragraphs: what was done and what the numbers do not say."""


def _check_image(name: str, image: Image, target: Image) -> None:
    if image.ndim != 2 or image.shape != target.shape:
        raise ShapeError(f"{name} is {image.shape} but the target is {target.shape}: expected the same (y, x) twice.")
    if not (np.isfinite(image).all() and np.isfinite(target).all() and target.max() > 0):
        raise DataError(f"{name} or the target is NaN, infinite or empty: expected finite magnitudes.")


def _check_lengths(name: str, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
    for column, values in columns.items():
        if len(values) != len(steps) or not steps:
            raise ShapeError(f"{name} curve {column!r} has {len(values)} values for {len(steps)} steps: expected one.")
