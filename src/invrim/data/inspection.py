"""What is in a raw file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invrim.data.formats.fastmri import read_acquisition, read_header
from invrim.data.masks import calibration_lines

_EDGE = 0.05
"""Fraction of the readout at either end of k-space in which a smooth object leaves little but noise."""
_MAD_TO_DEVIATION = 1.4826
"""Median absolute value to standard deviation, for normal noise: 1 / 0.6745."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A file in figures, and its middle slice."""

    name: str
    slices: int
    coils: int
    matrix: tuple[int, int]
    """Readout and phase encoding, ``(ky, kx)``."""
    lines: int
    """Measured phase-encoding lines."""
    calibration: int
    """Of these, contiguous around the centre; 0 where the centre was not measured."""
    target: tuple[int, int] | None
    """Size of the image to recover, where the file holds one."""
    noise: float
    """Standard deviation of real and imaginary noise, in the file's units, from the edges of k-space."""
    mask: Tensor
    """Bool ``(kx,)``."""
    kspace: Tensor
    """The middle slice, complex64 ``(coil, ky, kx)``."""

    @property
    def acceleration(self) -> float:
        """Lines of the matrix for every measured one."""
        return self.matrix[1] / self.lines

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each figure, for people."""
        calibration = f"{self.calibration} lines" if self.calibration else "none: the centre was not measured"
        return [
            ("slices", str(self.slices)),
            ("coils", str(self.coils)),
            ("matrix", f"{self.matrix[0]} x {self.matrix[1]} (readout x phase encoding)"),
            ("sampling", "full" if self.lines == self.matrix[1] else f"{self.lines} of {self.matrix[1]} lines"),
            ("acceleration", f"{self.acceleration:.2f}"),
            ("calibration", calibration),
            ("noise", f"{self.noise:.3g} (standard deviation of real and imaginary part)"),
            ("target", "none" if self.target is None else f"{self.target[0]} x {self.target[1]}"),
        ]


def inspect_file(path: Path) -> Inspection:
    """Read a file's header and its middle slice.

    Raises
    ------
    FileError, DataError
        As `invrim.data.formats.fastmri.read_acquisition`.
    """
    header = read_header(path)
    middle = header.slices // 2
    kspace = read_acquisition(path, slice(middle, middle + 1)).kspace[0]
    mask = header.sampled
    block = calibration_lines(mask) if mask[len(mask) // 2] else slice(0, 0)
    return Inspection(
        name=header.name,
        slices=header.slices,
        coils=header.coils,
        matrix=header.matrix,
        lines=int(mask.sum()),
        calibration=block.stop - block.start,
        target=header.target_size,
        noise=noise_level(kspace, mask),
        mask=mask,
        kspace=kspace,
    )


def noise_level(kspace: Tensor, mask: Tensor) -> float:
    """Standard deviation of the noise of real and imaginary part, ``(coil, ky, kx)``; robust to some signal."""
    edge = max(1, round(_EDGE * kspace.shape[-2]))
    outer = torch.cat([kspace[:, :edge], kspace[:, -edge:]], dim=1)[..., mask]
    return _MAD_TO_DEVIATION * float(torch.view_as_real(outer).abs().median())
