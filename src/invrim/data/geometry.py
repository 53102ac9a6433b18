"""Where the voxels of a stack of slices lie in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invrim.errors import DataError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME = 1e-3
"""Relative; scanners write directions and positions in float32."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Affine map from voxels to millimetres.

    Voxels are ``(x, y, z)``: x along the last axis of a stack ``(slices, y, x)``, z along its slices.
    """

    affine: np.ndarray
    """Float64 ``(4, 4)``: voxel ``(x, y, z, 1)`` to ``(right, anterior, superior, 1)`` in millimetres, NIfTI's RAS+."""
    is_oriented: bool = True
    """Whether position and directions are the patient's; else only voxel sizes are, and the affine is diagonal."""

    @classmethod
    def of_spacing(cls, spacing: Sequence[float]) -> Geometry:
        """Voxel sizes along x, y and z in millimetres, and nothing else."""
        return cls(affine=np.diag([*map(float, spacing), 1.0]), is_oriented=False)

    @classmethod
    def of_slices(
        cls,
        centres: np.ndarray,
        directions: np.ndarray,
        spacing: Sequence[float],
        size: Sequence[int],
    ) -> Geometry:
        """Geometry of parallel slices, as ISMRMRD and DICOM describe them.

        Parameters
        ----------
        centres
            ``(slices, 3)``: where voxel ``(nx // 2, ny // 2)`` of every slice lies, in millimetres towards the
            patient's left, posterior and superior (LPS+).
        directions
            ``(3, 3)``: unit vectors of growing x, y and z as rows, LPS+.
        spacing
            Voxel sizes along x, y and z in millimetres; z where there is one slice only, else it follows from the
            centres.
        size
            ``(nx, ny)`` of a slice.

        Raises
        ------
        DataError
            Directions are not orthogonal, or slices are not parallel to each other at equal distances.
        """
        axes = np.asarray(directions, dtype=np.float64)
        if not np.allclose(axes @ axes.T, np.eye(3), atol=_SAME):
            raise DataError(
                f"expected orthogonal unit vectors as directions of readout, phase and slice, got "
                f"{np.round(axes, 4).tolist()}. Correct them in the header."
            )
        centres = np.asarray(centres, dtype=np.float64)
        steps = np.diff(centres, axis=0)
        between = steps[0] if len(steps) else spacing[2] * axes[2]
        if np.linalg.norm(between) < _SAME:
            raise DataError("expected slices at places of their own, got several at one. Correct their positions.")
        if len(steps) and np.abs(steps - between).max() > max(_SAME * float(np.linalg.norm(between)), _SAME):
            raise DataError(
                "expected slices at equal distances along one line, got "
                f"{np.round(steps, 3).tolist()} mm between them. Reconstruct them in groups that are."
            )
        lps = np.eye(4)
        lps[:3, 0], lps[:3, 1], lps[:3, 2] = spacing[0] * axes[0], spacing[1] * axes[1], between
        lps[:3, 3] = centres[0] - lps[:3, 0] * (size[0] // 2) - lps[:3, 1] * (size[1] // 2)
        return cls(affine=_LPS_TO_RAS @ lps)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes along x, y and z in millimetres."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def lps(self) -> np.ndarray:
        """The affine towards left, posterior and superior, as DICOM and ISMRMRD have it."""
        return _LPS_TO_RAS @ self.affine

    def moved(self, x: int, y: int, z: int) -> Geometry:
        """Geometry of a stack that begins ``(x, y, z)`` voxels later, because it was cropped."""
        if not self.is_oriented:
            return self
        affine = self.affine.copy()
        affine[:3, 3] = self.affine[:3, :3] @ [x, y, z] + self.affine[:3, 3]
        return Geometry(affine=affine)

    def cropped(self, before: Sequence[int], after: Sequence[int]) -> Geometry:
        """Geometry after `invrim.operators.crop_centre` has made ``after`` of ``before``, both ``(y, x)``."""
        y, x = ((n - min(n, m)) // 2 for n, m in zip(before, after, strict=True))
        return self.moved(x, y, 0)
