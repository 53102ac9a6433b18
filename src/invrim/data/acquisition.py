"""What a scanner measured: one k-space per slice, what of it was sampled, and the image if it is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

Attribute = str | int | float | bool
"""A value that a file can carry beside its arrays."""


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """A stack of two-dimensional Cartesian measurements.

    The last axis is the phase encoding, along which lines are left out; the one before it is the readout,
    always fully sampled. Both are centred: zero frequency at index ``n // 2``.

    A volume with two phase encodings is such a stack too: its readout, fully sampled, is transformed back, and every
    position along it becomes a slice whose two axes are both phase encodings (see `invrim.data.volumes`).
    """

    name: str
    """Name of the file, with its suffix: masks are seeded with it."""
    kspace: Tensor
    """Complex64 ``(slices, coil, ky, kx)``; zero where the mask is false. One coil keeps its axis."""
    mask: Tensor | None = None
    """Sampled lines, bool ``(kx,)``, or points of two phase encodings, ``(ky, kx)``; None when all were measured."""
    target: Tensor | None = None
    """The image to recover, float32 ``(slices, y, x)``; may be smaller than ``(ky, kx)`` by a centre crop."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Whatever else the file says, e.g. ``acquisition``, ``max``, ``patient_id``."""
    truth: Mapping[str, Tensor] = field(default_factory=dict)
    """What only a simulation knows: ``image`` complex64 ``(slices, y, x)``, ``maps`` complex64 ``(coil, y, x)``."""
