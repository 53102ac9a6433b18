"""What is in a raw file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invrim.data.formats.opening import open_scan
from invrim.data.mask_planes import calibration_block
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
    """Measured phase-encoding lines, or points of two phase encodings."""
    calibration: tuple[int, ...]
    """Lines, or rows and columns of points, contiguous around the centre; 0 where the centre was not measured."""
    target: tuple[int, int] | None
    """Size of the image to recover, where the file holds one."""
    noise: float
    """Standard deviation of real and imaginary noise, in the file's units, from the edges of k-space."""
    mask: Tensor
    """Bool ``(kx,)``, or ``(ky, kx)`` of two phase encodings."""
    kspace: Tensor
    """The middle slice, complex64 ``(coil, ky, kx)``."""

    @property
    def acceleration(self) -> float:
        """Lines or points of the matrix for every measured one."""
        return self.mask.numel() / self.lines

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each figure, for people."""
        what, axes = ("lines", "readout x phase encoding") if self.mask.ndim == 1 else ("points", "two phase encodings")
        block = f"{' x '.join(map(str, self.calibration))} {what}"
        full = self.lines == self.mask.numel()
        return [
            ("slices", str(self.slices)),
            ("coils", str(self.coils)),
            ("matrix", f"{self.matrix[0]} x {self.matrix[1]} ({axes})"),
            ("sampling", "full" if full else f"{self.lines} of {self.mask.numel()} {what}"),
            ("acceleration", f"{self.acceleration:.2f}"),
            ("calibration", block if all(self.calibration) else "none: the centre was not measured"),
            ("noise", f"{self.noise:.3g} (standard deviation of real and imaginary part)"),
            ("target", "none" if self.target is None else f"{self.target[0]} x {self.target[1]}"),
        ]


def inspect_file(path: Path, axes: str | None = None) -> Inspection:
    """Read a file's header and its middle slice.

    Arguments and errors as of `invrim.data.formats.opening.open_scan`.
    """
    scan = open_scan(path, axes)
    header = scan.header
    middle = header.slices // 2
    kspace = scan.read(slice(middle, middle + 1)).kspace[0]
    mask = header.sampled
    return Inspection(
        name=header.name,
        slices=header.slices,
        coils=header.coils,
        matrix=header.matrix,
        lines=int(mask.sum()),
        calibration=_calibration(mask),
        target=header.target_size,
        noise=noise_level(kspace, mask),
        mask=mask,
        kspace=kspace,
    )


def _calibration(mask: Tensor) -> tuple[int, ...]:
    if not mask[tuple(n // 2 for n in mask.shape)]:
        return (0,) * mask.ndim
    if mask.ndim == 2:
        return tuple(2 * half + 1 for half in calibration_block(mask))
    block = calibration_lines(mask)
    return (block.stop - block.start,)


def noise_level(kspace: Tensor, mask: Tensor) -> float:
    """Standard deviation of the noise of real and imaginary part, ``(coil, ky, kx)``; robust to some signal.

    Of two phase encodings, from the outermost of the measured points, as many as the edges of a readout would be.
    """
    if mask.ndim == 2:
        y, x = ((torch.arange(n) - n // 2) / n for n in mask.shape)
        away = torch.maximum(y[:, None].abs(), x.abs())[mask]
        outer = kspace[:, mask][:, away.topk(max(1, round(2 * _EDGE * len(away)))).indices]
    else:
        edge = max(1, round(_EDGE * kspace.shape[-2]))
        outer = torch.cat([kspace[:, :edge], kspace[:, -edge:]], dim=1)[..., mask]
    return _MAD_TO_DEVIATION * float(torch.view_as_real(outer).abs().median())
