"""What a scanner measured: one k-space per slice, what of it was sampled, and the image if it is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from invrim.data.geometry import Geometry
from invrim.errors import ShapeError

Attribute = str | int | float | bool
"""A value that a file can carry beside its arrays."""


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """A stack of two-dimensional measurements.

    On a Cartesian grid the last axis is the phase encoding, along which lines are left out; the one before it is the
    readout, always fully sampled. Both are centred: zero frequency at index ``n // 2``.

    A volume with two phase encodings is such a stack too: its readout, fully sampled, is transformed back, and every
    position along it becomes a slice whose two axes are both phase encodings (see `invrim.data.volumes`).

    Along any other trajectory the last two axes are readouts and their samples, and `trajectory` says where these lie.
    """

    name: str
    """Name of the file, with its suffix: masks are seeded with it."""
    kspace: Tensor
    """Complex64 ``(slices, coil, ky, kx)``; zero where the mask is false. One coil keeps its axis. Along a trajectory
    ``(slices, coil, readouts, samples)``."""
    mask: Tensor | None = None
    """Sampled lines, bool ``(kx,)``, or points of two phase encodings, ``(ky, kx)``; where slices differ ``(slices, 1,
    kx)`` or ``(slices, ky, kx)``. None when all were measured."""
    target: Tensor | None = None
    """The image to recover, float32 ``(slices, y, x)``; may be smaller than ``(ky, kx)`` by a centre crop."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Whatever else the file says, e.g. ``acquisition``, ``max``, ``patient_id``."""
    truth: Mapping[str, Tensor] = field(default_factory=dict)
    """What only a simulation knows: ``image`` complex64 ``(slices, y, x)``, ``maps`` complex64 ``(coil, y, x)``."""
    trajectory: Tensor | None = None
    """Float32 ``(slices or 1, readouts, samples, 2)``: ky and kx of every sample in cycles per pixel, -0.5 to 0.5; None
    on a Cartesian grid."""
    image_size: tuple[int, int] | None = None
    """Of the images, ``(y, x)``: the grid that a trajectory is for, or a centre crop where a Cartesian scanner encoded
    more than was asked for. None: of k-space, or of the target."""
    geometry: Geometry | None = None
    """Of images at the size of k-space, or on the trajectory's grid; None where nothing is known of it."""
    volumes: int = 1
    """How many images of one and the same stack follow one another along the slices, e.g. contrasts or repetitions."""
    noise: Tensor | None = None
    """Samples of a scan without excitation, complex64 ``(coil, samples)``; None where there was none."""
    notices: tuple[str, ...] = ()
    """What a reader had to decide, or could not find, in one line each, for people to read."""

    def __post_init__(self) -> None:
        if self.trajectory is not None and self.image_size is None:
            raise ShapeError(
                f"{self.name}: expected image_size, the grid that the trajectory is for, got None. Give (y, x)."
            )
