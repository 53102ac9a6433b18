"""What is in a raw file, without its k-space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from invrim.data.acquisition import Attribute
from invrim.data.geometry import Geometry
from invrim.data.protocol import protocol_code


@dataclass(frozen=True, kw_only=True)
class Header:
    """Sizes and conventions of one raw file."""

    name: str
    """File name with suffix."""
    slices: int
    coils: int
    """Number of coils; 1 for single-coil files."""
    matrix: tuple[int, int]
    """Size of k-space, ``(ky, kx)`` = (readout, phase encoding), or two phase encodings; of a trajectory that of the
    image."""
    phase_encodes: int
    """How many of the two axes are phase encodings, along which samples may be left out: 1 or 2; 0 along a
    trajectory."""
    mask: Tensor | None
    """The file's own, bool ``(kx,)``, of two phase encodings ``(ky, kx)``; None where it has none. See `sampled`."""
    slice_masks: bool = False
    """Whether slices have masks of their own; `mask` is then what was measured in any of them."""
    slice_trajectories: bool = False
    """Whether every slice has a trajectory of its own."""
    padding: tuple[int, int] | None = None
    """Lines ``[left, right)`` that the scanner encoded, of a fastMRI file; None when it has no ISMRMRD header."""
    scanner: str | None = None
    """Its model, e.g. ``"Skyra"``; None where the file does not name it."""
    target_name: str | None = None
    """Dataset with the image to recover; None when the file has none."""
    target_size: tuple[int, int] | None = None
    """Size ``(y, x)`` of the images, a centre crop; None for all of k-space."""
    maximum: float | None = None
    """Largest intensity of the volume, as the file states it."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """All scalar attributes."""
    geometry: Geometry | None = None
    """Of images of the size `matrix`; None where nothing is known of it."""
    volumes: int = 1
    """As `invrim.data.acquisition.Acquisition.volumes`."""
    notices: tuple[str, ...] = ()
    """As `invrim.data.acquisition.Acquisition.notices`."""

    @property
    def is_cartesian(self) -> bool:
        """Whether k-space lies on a grid."""
        return self.phase_encodes > 0

    @property
    def image_size(self) -> tuple[int, int]:
        """Of the images, ``(y, x)``."""
        return self.target_size or self.matrix

    @property
    def sampled(self) -> Tensor:
        """Measured lines, bool ``(kx,)``: in the mask, and encoded by the scanner, which zero-fills the others.

        Of two phase encodings: measured points, ``(ky, kx)``.
        """
        columns = self.matrix[1]
        left, right = self.padding or (0, columns)
        line = torch.arange(columns)
        encoded = (line >= left) & (line < right)
        if self.phase_encodes != 1:
            encoded = encoded.expand(self.matrix)
        return encoded if self.mask is None else encoded & self.mask

    @property
    def protocol(self) -> Tensor:
        """Code of contrast and scanner, float32 ``(8,)``, see `invrim.data.protocol.protocol_code`."""
        return protocol_code(self.attributes.get("acquisition"), self.scanner)
