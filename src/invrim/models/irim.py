"""The invertible recurrent inference machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from invrim.errors import OptionError, ShapeError
from invrim.invertible import Backprop, Invertible, InvertibleChain
from invrim.layers.block import ReversibleBlock
from invrim.layers.data_step import DataStep
from invrim.layers.in_parts import evaluate_in_parts
from invrim.layers.link import fold, to_channels, to_images, unfold
from invrim.layers.residual import ResidualNet
from invrim.layers.scaling import nonzero, per_sample
from invrim.layers.step_code import StepCode
from invrim.layers.tiles import TileOption
from invrim.models.base import Reconstructor
from invrim.models.coil_map_refinement import CoilMapRefinement
from invrim.models.intensity import reference_image, standard_deviation
from invrim.models.presets import preset
from invrim.operators.conjugate_gradient import conjugate_gradient
from invrim.operators.fidelity import DataFidelity, Rescaled
from invrim.sharding import Shardable
from invrim.typing import Image, State

Head = Literal["learned", "combined", "eta", "halves"]


class IRIM(Reconstructor, Shardable):
    r"""Learned iterative solver of ``min_x D(d, A x)`` whose training memory does not grow with its depth.

    The state holds the estimate eta and a memory s. Each of ``steps`` steps writes the gradient of the data fidelity
    into the memory and then applies a chain of reversible blocks; one more gradient ends the chain. Intensities are
    divided by the standard deviation of the back-projected data ``fidelity.start()``, of the starting image where there
    is none, and multiplied back, so that the scanner's units do not matter.

    Parameters
    ----------
    steps
        T, how often the network looks at the data.
    hidden, strides
        Width and stride of every block of a step; their length is the number of blocks per step.
    channels
        C, channels of the state; at least ``4 * images * multiplicity``, estimate and gradient.
    images
        Complex images estimated at once: 1 for SENSE or a single coil, the number of coils for coil-wise data.
    multiplicity
        Copies of the estimate kept side by side, each with its own gradient.
    ndim
        Spatial axes, 2 or 3.
    head
        ``"learned"``: a small net reads the result off the whole state. ``"combined"``: as learned, but a single image
        however many the physics takes, as published for several coils. ``"eta"``: the first estimate is the result.
        ``"halves"``: what the code released in 2019 did for ``"eta"``; it found the imaginary parts at the beginning
        of the second half of the state, not at the end of the estimate.
    share_weights
        Use the same blocks in every step.
    step_codes
        Tell shared blocks which step it is, by learned numbers added to the memory at the start of every step.
    map_channels, map_pools
        Width and depth of a net that corrects the coil maps of the fidelity, see `CoilMapRefinement`; with 0 channels
        the maps are taken as they are, and any fidelity is served.
    metadata
        Channels at the end of the initial state that carry what is known of the scan, see `forward`.
    coil_maps
        Whether the physics comes with coil maps, as `invrim train` and `invrim reconstruct` are to make it: estimated
        from calibration lines, for a single coil too. False as published: one image is then a single coil's, with its
        phase. Several images are the coils' own and never have maps.
    cg_iterations
        Conjugate-gradient iterations, at most, that make the first estimate of a quadratic fidelity; several coils
        then unfold most of what they can before the network looks. 0 starts from the back-projected data.
    backprop, memory_budget
        See `invrim.InvertibleChain`.
    tile
        Of every block, see `invrim.ReversibleBlock`: a multiple of all strides, ``"auto"``, or None. So is the learned
        head evaluated.
    normalisation_crop
        The standard deviation is taken over at most this many central voxels along each in-plane axis.
    normalisation_slack
        Added to it, in the units of the data. 1e-6 as published; 0 makes units truly not matter.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 3.
    .. [P19b] Putzky et al., *i-RIM applied to the fastMRI challenge*, arXiv 1910.08952.
    """

    def __init__(
        self,
        *,
        steps: int,
        hidden: Sequence[int],
        strides: Sequence[int],
        channels: int,
        images: int = 1,
        multiplicity: int = 1,
        ndim: int = 2,
        head: Head = "learned",
        share_weights: bool = False,
        step_codes: bool = False,
        map_channels: int = 0,
        map_pools: int = 3,
        metadata: int = 0,
        coil_maps: bool = True,
        cg_iterations: int = 0,
        backprop: Backprop = "invert",
        memory_budget: str | int | None = None,
        tile: TileOption = "auto",
        normalisation_crop: int = 320,
        normalisation_slack: float = 0.0,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "steps": steps,
            "hidden": list(hidden),
            "strides": list(strides),
            "channels": channels,
            "images": images,
            "multiplicity": multiplicity,
            "ndim": ndim,
            "head": head,
            "share_weights": share_weights,
            "step_codes": step_codes,
            "map_channels": map_channels,
            "map_pools": map_pools,
            "metadata": metadata,
            "coil_maps": coil_maps,
            "cg_iterations": cg_iterations,
            "backprop": backprop,
            "memory_budget": memory_budget,
            "tile": list(tile) if isinstance(tile, (list, tuple)) else tile,
            "normalisation_crop": normalisation_crop,
            "normalisation_slack": normalisation_slack,
        }
        _check_options(**self.options)
        self.channels = channels
        self.ndim = ndim
        self.images = images
        self.multiplicity = multiplicity
        self.metadata = metadata
        self.coil_maps = coil_maps and images == 1
        self.cg_iterations = cg_iterations
        self.tile = tile
        self.normalisation_crop = normalisation_crop
        self.normalisation_slack = normalisation_slack

        def blocks() -> list[Invertible]:
            pairs = zip(hidden, strides, strict=True)
            return [ReversibleBlock(channels, h, d, ndim=ndim, tile=tile) for h, d in pairs]

        shared = blocks() if share_weights else None
        chain: list[Invertible] = []
        self.step_ends: list[int] = []
        for _ in range(steps):
            codes = [StepCode(channels, 2 * images * multiplicity)] if step_codes else []
            chain += [DataStep(images, multiplicity), *codes, *(shared or blocks())]
            self.step_ends.append(len(chain))  # where the next data step will be
        chain.append(DataStep(images, multiplicity))
        self.maps = CoilMapRefinement(map_channels, map_pools) if map_channels else None
        self.chain = InvertibleChain(chain, backprop=backprop, memory_budget=memory_budget)
        read = {"learned": 2 * images, "combined": 2}.get(head)
        self.head = ResidualNet(channels, channels, read, ndim=ndim, gated=False) if read else None
        self.eta_only = head == "eta"
        self.coil_images = images > 1 and head != "combined"

    @classmethod
    def from_preset(
        cls,
        name: str,
        *,
        backprop: Backprop = "invert",
        memory_budget: str | int | None = None,
        tile: TileOption = "auto",
    ) -> IRIM:
        """Build a named configuration with fresh weights.

        Parameters
        ----------
        name
            Of `invrim.models.presets.PRESETS`: ``"fastmri-singlecoil-2019"``, ``"fastmri-multicoil-2019"`` or
            ``"volume-400"``.
        backprop, memory_budget, tile
            How it is trained; weights fit whatever they are.
        """
        return cls(**preset(name), backprop=backprop, memory_budget=memory_budget, tile=tile)

    def forward(
        self,
        fidelity: DataFidelity,
        start: Image | None = None,
        *,
        metadata: Tensor | None = None,
        every_step: bool = False,
    ) -> Image:
        """Reconstruct.

        Parameters
        ----------
        fidelity
            D, e.g. ``LeastSquares(CartesianMRI(mask, maps), kspace)``.
        start
            First estimate, complex ``(b, [z,] y, x)``, or ``(b, images, [z,] y, x)`` for several images. If None,
            the back-projected data ``A^H d``, or what ``cg_iterations`` make of them.
        metadata
            ``(b, metadata)`` numbers, e.g. a one-hot code of the protocol; zeros if None.
        every_step
            Return what is read off the state after each step, ``(steps, ...)``, for a loss on all of them. Each of
            these states is kept for the backward pass.

        Returns
        -------
        Complex image(s), shaped as ``start``; a ``"combined"`` head makes one image of several, ``(b, [z,] y, x)``.
        """
        if self.maps is not None:
            fidelity = self.maps(fidelity)
        reference = unfold(reference_image(fidelity, start), self.images)
        std = standard_deviation(reference, self.normalisation_crop, self.normalisation_slack, self.shard)
        scale = nonzero(std)
        scaled = Rescaled(fidelity, scale)
        first = reference if start is None else unfold(start, self.images)
        estimate = first / per_sample(scale, first)
        if start is None and self.cg_iterations > 0:
            told = {} if self.shard is None else {"total": self.shard.total}
            solution = conjugate_gradient(scaled, fold(estimate, self.images), self.cg_iterations, **told)
            estimate = unfold(solution, self.images)
        z = self.initial_state(estimate, metadata)
        states = self.chain(z, scaled, return_states=self.step_ends) if every_step else [self.chain(z, scaled)]
        # `std`, not `scale`: an image of zeros has no intensity, and comes out as zeros.
        images = [self.read(z) * per_sample(std, estimate) for z in states]
        folded = [fold(read, read.shape[1]) for read in images]
        return torch.stack(folded) if every_step else folded[0]

    @torch.no_grad()
    def scale_blocks(self, gain: float) -> None:
        """Scale what every block adds to the state; a small gain starts the network near the identity."""
        for step in dict.fromkeys(self.chain.flattened()):
            if isinstance(step, ReversibleBlock):
                step.net.scale_output(gain)

    def initial_state(self, estimate: Image, metadata: Tensor | None = None) -> State:
        """Lay out ``(eta, s)``: the estimate, copied ``multiplicity`` times, then zeros, then the metadata."""
        eta = to_channels(estimate.repeat(1, self.multiplicity, *(1,) * (estimate.ndim - 2)))
        memory = eta.new_zeros(eta.shape[0], self.channels - eta.shape[1], *eta.shape[2:])
        if metadata is not None:
            if metadata.shape != (eta.shape[0], self.metadata):
                raise ShapeError(
                    f"expected metadata {(eta.shape[0], self.metadata)} (b, metadata), got {tuple(metadata.shape)}. "
                    f"Build the model with metadata={metadata.shape[-1]}, or leave it out."
                )
            memory[:, memory.shape[1] - self.metadata :] = per_sample(metadata, memory)
        return torch.cat([eta, memory], dim=1)

    def read(self, z: State) -> Image:
        """Read the complex images, ``(b, images, ...)`` or a combined one ``(b, 1, ...)``, off the final state."""
        if self.head is not None:
            tile = None if self.chain.backprop == "store" else self.tile  # which is plain autograd
            return to_images(evaluate_in_parts(self.head, z, tile).to(z.dtype))
        n_eta = 2 * self.images * self.multiplicity
        return to_images(z[:, :n_eta] if self.eta_only else z)[:, : self.images]


def _check_options(
    *,
    hidden: Sequence[int],
    strides: Sequence[int],
    channels: int,
    images: int,
    multiplicity: int,
    head: str,
    metadata: int,
    steps: int,
    cg_iterations: int,
    share_weights: bool,
    step_codes: bool,
    map_channels: int,
    coil_maps: bool,
    **_: object,
) -> None:
    if len(hidden) != len(strides) or not hidden or steps < 1:
        raise OptionError(
            f"expected as many strides as hidden widths, and at least one step, got {len(strides)} strides, "
            f"{len(hidden)} widths and {steps} steps. Give one of each per block."
        )
    if step_codes and not share_weights:
        raise OptionError("expected step_codes with share_weights, got them without. Blocks of one step need no code.")
    if map_channels and not (coil_maps and images == 1):
        raise OptionError(
            f"expected coil maps to correct, got map_channels {map_channels} without: coil_maps {coil_maps}, images "
            f"{images}. Set map_channels to 0."
        )
    if cg_iterations < 0:
        raise OptionError(
            f"expected cg_iterations >= 0, got {cg_iterations}. Use 0 to start from the data as they are."
        )
    needed = 4 * images * multiplicity + metadata
    if channels < needed:
        raise OptionError(
            f"expected at least {needed} channels (estimate and gradient: 4 x {images} images x multiplicity "
            f"{multiplicity}, and {metadata} for metadata), got {channels}. Raise channels."
        )
    if head not in get_args(Head):
        raise OptionError(f"expected a head of {', '.join(get_args(Head))}, got {head!r}. Choose one of them.")
    if head == "halves" and channels % 2:
        raise OptionError(f"expected an even number of channels for head 'halves', got {channels}. Raise channels.")
