"""Which model a recipe trains: its kind, and the options of that kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class IRIMOptions:
    """The invertible recurrent inference machine, see `invrim.IRIM`."""

    kind: Literal["irim"] = "irim"
    """irim, rim, unet or varnet; each has options of its own."""
    steps: int
    """T, how often the network looks at the data."""
    hidden: tuple[int, ...]
    """Width of every block of a step."""
    strides: tuple[int, ...]
    """Stride of every block of a step."""
    channels: int
    """Channels of the state."""
    multiplicity: int = 1
    """Copies of the estimate."""
    images: int = 1
    """Complex images estimated at once: the number of coils, each coil's by itself; with 1, any number of coils."""
    ndim: Literal[2, 3] = 2
    """Axes of space: 2 for slices, 3 for slabs of them (data.slab)."""
    head: Literal["learned", "combined", "eta", "halves"] = "learned"
    """How the result is read off the state."""
    share_weights: bool = False
    """Use the same blocks in every step."""
    step_codes: bool = False
    """Tell shared blocks which step it is."""
    map_channels: int = 0
    """Width of a net that corrects the coil maps; 0 takes them as they are."""
    map_pools: int = 3
    """Times that net halves the resolution."""
    metadata: Literal[0, 8] = 0
    """With 8 the network is told contrast and scanner, as the files' headers have them, known or not."""
    coil_maps: bool = True
    """Estimate coil maps, of a single coil too. As published there were none; nor are there for several images."""
    cg_iterations: int = 0
    """Conjugate-gradient iterations, at most, that make the first estimate."""
    initial_gain: float = 1.0
    """Size of every block's output at the start, relative to the published initialisation."""
    backprop: Literal["store", "invert", "exact"] = "invert"
    """Keep activations ("store"), or recompute them by inversion ("invert"; "exact": bit for bit)."""
    memory_budget: str | None = None
    """With "invert": bytes for activations, such as "8GB", within which as many blocks as fit are stored."""
    tile: int | tuple[int, ...] | Literal["auto"] | None = "auto"
    """Voxels over which a block is evaluated at a time, one number or one per axis; None evaluates it whole, "auto" in
    parts as large as suits the state."""


@dataclass(frozen=True, kw_only=True)
class PresetOptions:
    """A named configuration of the i-RIM, see `invrim.IRIM.from_preset`; what it fixes is not said again."""

    kind: Literal["irim"] = "irim"
    """irim alone has presets."""
    preset: str
    """fastmri-singlecoil-2019, fastmri-multicoil-2019 or volume-400."""
    initial_gain: float = 1.0
    """As of an i-RIM without preset."""
    backprop: Literal["store", "invert", "exact"] = "invert"
    """As of an i-RIM without preset."""
    memory_budget: str | None = None
    """As of an i-RIM without preset."""
    tile: int | tuple[int, ...] | Literal["auto"] | None = "auto"
    """As of an i-RIM without preset."""


@dataclass(frozen=True, kw_only=True)
class RIMOptions:
    """The recurrent inference machine, see `invrim.RIM`."""

    kind: Literal["rim"] = "rim"
    """irim, rim, unet or varnet; each has options of its own."""
    steps: int = 8
    """T, how often the net looks at the data."""
    hidden: int = 64
    """Channels of each memory."""
    recurrent: bool = True
    """Pass the memories on, as published; the code released in 2019 did not."""
    coil_maps: bool = True
    """Estimate coil maps, of a single coil too. As published there were none."""


@dataclass(frozen=True, kw_only=True)
class UNetOptions:
    """The U-Net of fastMRI, see `invrim.models.UNet`."""

    kind: Literal["unet"] = "unet"
    """irim, rim, unet or varnet; each has options of its own."""
    channels: int = 32
    """Width at full resolution."""
    pools: int = 4
    """Times the resolution is halved."""
    dropout: float = 0.0
    """Probability with which a channel is left out in training."""
    sees: Literal["magnitude", "complex"] = "magnitude"
    """What goes into the net: the magnitude, as in fastMRI, or the complex image."""


@dataclass(frozen=True, kw_only=True)
class VarNetOptions:
    """The end-to-end variational network, see `invrim.models.VarNet`."""

    kind: Literal["varnet"] = "varnet"
    """irim, rim, unet or varnet; each has options of its own."""
    cascades: int = 12
    """Their number."""
    channels: int = 18
    """Width of every cascade's U-Net at full resolution."""
    pools: int = 4
    """Times it halves the resolution."""
    map_channels: int = 8
    """Width of the U-Net for coil maps."""
    map_pools: int = 4
    """Times it halves the resolution."""


ModelOptions = IRIMOptions | PresetOptions | RIMOptions | UNetOptions | VarNetOptions

KINDS: dict[str, type[ModelOptions]] = {
    "irim": IRIMOptions,
    "rim": RIMOptions,
    "unet": UNetOptions,
    "varnet": VarNetOptions,
}
"""Options by the kind that a recipe names; a recipe that names none is of an i-RIM, with `PresetOptions` if of one."""
