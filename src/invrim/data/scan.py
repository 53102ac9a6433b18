"""A raw file that has been opened: what it is, and its slices on demand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.header import Header


class Scan(Protocol):
    """What every format is once opened."""

    @property
    def header(self) -> Header:
        """Sizes and conventions."""

    @property
    def noise(self) -> Tensor | None:
        """As `invrim.data.acquisition.Acquisition.noise`."""

    def read(self, slices: slice | None = None) -> Acquisition:
        """Load all slices, or only some of them."""


@dataclass(frozen=True)
class LoadedScan:
    """A scan that lies in memory as a whole, since its format cannot be read in parts."""

    acquisition: Acquisition

    @property
    def header(self) -> Header:
        return header_of(self.acquisition)

    @property
    def noise(self) -> Tensor | None:
        return self.acquisition.noise

    def read(self, slices: slice | None = None) -> Acquisition:
        return self.acquisition if slices is None else part_of(self.acquisition, slices)


def part_of(acquisition: Acquisition, slices: slice) -> Acquisition:
    """Take some of the slices; what is said once for all of them stays."""
    mask, target, trajectory = acquisition.mask, acquisition.target, acquisition.trajectory
    return replace(
        acquisition,
        kspace=acquisition.kspace[slices],
        mask=mask[slices] if mask is not None and mask.ndim == 3 else mask,
        target=None if target is None else target[slices],
        trajectory=trajectory if trajectory is None or len(trajectory) == 1 else trajectory[slices],
    )


def header_of(acquisition: Acquisition) -> Header:
    """Say what a loaded acquisition is."""
    slices, coils, *grid = acquisition.kspace.shape
    mask, attributes = common_mask(acquisition.mask), acquisition.attributes
    scanner = attributes.get("scanner")
    if acquisition.trajectory is None:
        drawn = 1 if mask is None else mask.ndim
        matrix, phase_encodes = (grid[0], grid[1]), 2 if attributes.get("phase_encodes") == 2 else drawn
    else:
        matrix, phase_encodes = acquisition.image_size or (0, 0), 0
    return Header(
        name=acquisition.name,
        slices=slices,
        coils=coils,
        matrix=matrix,
        phase_encodes=phase_encodes,
        mask=mask,
        slice_trajectories=acquisition.trajectory is not None and len(acquisition.trajectory) > 1,
        slice_masks=acquisition.mask is not None and acquisition.mask.ndim == 3,
        scanner=scanner if isinstance(scanner, str) else None,
        target_size=acquisition.image_size,
        attributes=attributes,
        geometry=acquisition.geometry,
        volumes=acquisition.volumes,
        notices=acquisition.notices,
    )


def common_mask(mask: Tensor | None) -> Tensor | None:
    """Make one mask ``(kx,)`` or ``(ky, kx)`` of those of all slices: what was measured in any of them."""
    if mask is None or mask.ndim < 3:
        return mask
    lines = mask.any(dim=0)
    return lines[0] if len(lines) == 1 else lines
