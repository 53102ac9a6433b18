"""What is in a raw file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from nibabel.orientations import aff2axcodes
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.formats.opening import open_scan
from invrim.data.gridding import calibration_square, gridded, near_samples
from invrim.data.header import Header
from invrim.data.mask_planes import calibration_block
from invrim.data.masks import calibration_lines
from invrim.data.scan import common_mask
from invrim.operators import ifft_centred

_WHAT = ("points", "lines", "points")
"""What is sampled or not, by the number of phase encodings; 0 along a trajectory."""
_AXES = ("of the trajectory's grid", "readout x phase encoding", "two phase encodings")
_EDGE = 0.05
"""Fraction of the readout at either end of k-space in which a smooth object leaves little but noise."""
_MAD_TO_DEVIATION = 1.4826
"""Median absolute value to standard deviation, for normal noise: 1 / 0.6745."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A file in figures, and its middle slice."""

    header: Header
    middle: Acquisition
    """The middle slice."""
    calibration: tuple[int, ...]
    """Lines, or rows and columns of points, contiguous around the centre; 0 where the centre was not measured."""
    noise: float
    """Standard deviation of real and imaginary noise, in the file's units, from the edges of k-space."""
    mask: Tensor
    """What the middle slice has: bool ``(kx,)``, or ``(ky, kx)`` of two phase encodings, or, of a trajectory, of the
    points of the grid that have a sample near them."""

    @property
    def lines(self) -> int:
        """Measured phase-encoding lines, or points of two phase encodings, or readouts along a trajectory."""
        return int(self.mask.sum()) if self.header.is_cartesian else self.middle.kspace.shape[-2]

    @property
    def acceleration(self) -> float:
        """Lines or points of the matrix for every measured one; of a trajectory, points of the grid."""
        return self.mask.numel() / int(self.mask.sum())

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each figure, for people."""
        header = self.header
        several = f" ({header.volumes} volumes of {header.slices // header.volumes})" if header.volumes > 1 else ""
        block = f"{' x '.join(map(str, self.calibration))} {_WHAT[header.phase_encodes]}"
        scanner = [("scanner", header.scanner)] if header.scanner else []
        return [
            *scanner,
            ("slices", f"{header.slices}{several}"),
            ("coils", str(header.coils)),
            ("matrix", f"{header.matrix[0]} x {header.matrix[1]} ({_AXES[header.phase_encodes]})"),
            *_places(header),
            ("sampling", self._sampling()),
            ("acceleration", f"{self.acceleration:.2f}"),
            ("calibration", block if all(self.calibration) else "none: the centre was not measured"),
            ("noise", f"{self.noise:.3g} (standard deviation of real and imaginary part)"),
            ("image", f"{header.image_size[0]} x {header.image_size[1]}"),
            ("target", header.target_name or "none: not known"),
            *(("notice", notice) for notice in header.notices),
        ]

    def _sampling(self) -> str:
        if not self.header.is_cartesian:
            return f"{self.lines} readouts of {self.middle.kspace.shape[-1]} samples along a trajectory"
        full = self.lines == self.mask.numel()
        return "full" if full else f"{self.lines} of {self.mask.numel()} {_WHAT[self.header.phase_encodes]}"


def inspect_file(path: Path, axes: str | None = None) -> Inspection:
    """Read a file's header and its middle slice, or the one nearest to the middle in which something was measured.

    Arguments and errors as of `invrim.data.formats.opening.open_scan`.
    """
    scan = open_scan(path, axes)
    header = scan.header
    for number in sorted(range(header.slices), key=lambda n: abs(n - header.slices // 2)):
        middle = scan.read(slice(number, number + 1))
        mask = _mask(header, middle)
        if mask.any():
            break
    return Inspection(
        header=header,
        middle=middle,
        calibration=_calibration(
            mask if middle.trajectory is None else calibration_square(middle.trajectory[0], header.matrix)
        ),
        noise=_noise(middle, mask),
        mask=mask,
    )


def coil_images(middle: Acquisition) -> tuple[Tensor, Tensor]:
    """K-space on a grid ``(coil, ky, kx)``, and the images of all coils ``(coil, y, x)``, of an only slice."""
    kspace = middle.kspace
    if middle.trajectory is not None:
        kspace = gridded(kspace, middle.trajectory[0], middle.image_size or ())
    return kspace[0], ifft_centred(kspace)[0]


def _mask(header: Header, middle: Acquisition) -> Tensor:
    own = common_mask(middle.mask)
    if middle.trajectory is not None:
        return near_samples(middle.trajectory[0], header.matrix)
    return header.sampled if own is None or own.ndim != header.sampled.ndim else own & header.sampled


def _places(header: Header) -> list[tuple[str, str]]:
    """Voxel sizes and field of view, and what the axes are where that is known."""
    known = header.geometry
    if known is None:
        return []
    x, y, z = known.spacing
    rows, columns = header.image_size
    towards = "".join(aff2axcodes(known.affine))
    oriented = f"x, y and slice towards {towards}" if known.is_oriented else "orientation not known"
    return [
        ("voxel", f"{y:.3g} x {x:.3g} mm, slices {z:.3g} mm apart, {oriented}"),
        ("view", f"{y * rows:.4g} x {x * columns:.4g} mm"),
    ]


def _calibration(mask: Tensor) -> tuple[int, ...]:
    if not mask[tuple(n // 2 for n in mask.shape)]:
        return (0,) * mask.ndim
    if mask.ndim == 2:
        return tuple(2 * half + 1 for half in calibration_block(mask))
    block = calibration_lines(mask)
    return (block.stop - block.start,)


def _noise(middle: Acquisition, mask: Tensor) -> float:
    kspace = middle.kspace[0]
    if middle.trajectory is None:
        return noise_level(kspace, mask)
    return _deviation(_outermost(kspace.flatten(1), torch.linalg.vector_norm(middle.trajectory[0], dim=-1).flatten()))


def noise_level(kspace: Tensor, mask: Tensor) -> float:
    """Standard deviation of the noise of real and imaginary part, ``(coil, ky, kx)``; robust to some signal.

    Of two phase encodings, from the outermost of the measured points, as many as the edges of a readout would be.
    """
    if mask.ndim == 2:
        y, x = ((torch.arange(n) - n // 2) / n for n in mask.shape)
        return _deviation(_outermost(kspace[:, mask], torch.maximum(y[:, None].abs(), x.abs())[mask]))
    edge = max(1, round(_EDGE * kspace.shape[-2]))
    return _deviation(torch.cat([kspace[:, :edge], kspace[:, -edge:]], dim=1)[..., mask])


def _outermost(samples: Tensor, distance: Tensor) -> Tensor:
    """Of samples ``(coil, n)`` those farthest from the centre."""
    return samples[:, distance.topk(max(1, round(2 * _EDGE * len(distance)))).indices]


def _deviation(samples: Tensor) -> float:
    return _MAD_TO_DEVIATION * float(torch.view_as_real(samples).abs().median())
