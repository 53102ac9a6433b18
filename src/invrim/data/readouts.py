"""Readouts as a scanner sends them, one after the other, before they are put in their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from invrim.data.acquisition import Attribute
from invrim.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How readouts fill k-space.

    Triples are along readout, first and second phase encoding (partition): ISMRMRD's x, y and z.
    """

    matrix: tuple[int, int, int]
    """Encoded samples, oversampling included."""
    fov_mm: tuple[float, float, float]
    """Field of view of `matrix`."""
    image_fov_mm: tuple[float, float, float]
    """Field of view of the image that was asked for."""
    centre: tuple[int, int]
    """Steps of the two phase encodings that are zero frequency."""
    is_cartesian: bool = True
    acceleration: float = 1
    """As the protocol states it."""

    @property
    def image_size(self) -> tuple[int, int, int]:
        """Encoded voxels that lie in the field of view that was asked for."""
        sizes = [
            max(1, min(n, round(n * wanted / encoded)))
            for n, wanted, encoded in zip(self.matrix, self.image_fov_mm, self.fov_mm, strict=True)
        ]
        return sizes[0], sizes[1], sizes[2]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in millimetres."""
        x, y, z = (mm / n for mm, n in zip(self.fov_mm, self.matrix, strict=True))
        return x, y, z


@dataclass(frozen=True, kw_only=True)
class Readouts:
    """What was measured, and where each readout belongs; ``n`` of them."""

    samples: np.ndarray
    """Complex64 ``(n, coil, samples)``, in the order of growing frequency."""
    steps: np.ndarray
    """Integers ``(n, 2)``: the steps of both phase encodings."""
    slices: np.ndarray
    """Integers ``(n,)``."""
    volumes: np.ndarray
    """Integers ``(n,)``: equal within one image of the stack, e.g. a contrast or a repetition."""
    centre: int
    """Sample at zero frequency."""
    positions: np.ndarray
    """``(n, 3)``: centre of the field of view in millimetres, LPS+."""
    directions: np.ndarray
    """``(n, 3, 3)``: unit vectors of readout, phase and slice as rows, LPS+; zeros where not known."""
    trajectory: np.ndarray | None = None
    """``(n, samples, 2)`` in cycles per pixel along readout and phase direction; None on a Cartesian grid."""
    noise: np.ndarray | None = None
    """Of `invrim.data.acquisition.Acquisition.noise`."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Whatever else is known."""

    def __post_init__(self) -> None:
        if not len(self.samples) or 0 in self.samples.shape:
            raise DataError(
                f"expected readouts of at least one coil and sample, got {self.samples.shape} (readouts, coils, "
                f"samples). The file holds no image data."
            )
        if not np.isfinite(self.samples).all():
            bad = int(np.flatnonzero(~np.isfinite(self.samples).all(axis=(1, 2)))[0])
            raise DataError(f"expected finite samples, got NaN or Inf in readout {bad}. Leave it out of the file.")
