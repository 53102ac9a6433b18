"""All kinds of masks by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from torch import Tensor

from invrim.data.mask_density import gaussian_columns
from invrim.data.mask_planes import random_points
from invrim.data.masks import Seed, centre_fraction, equispaced_columns, random_columns, seed_of
from invrim.data.poisson_disc import poisson_disc
from invrim.data.regular_columns import magic_columns, magic_fraction_columns, regular_columns
from invrim.errors import OptionError


class LineMask(Protocol):
    """Draws lines ``(kx,)``."""

    def __call__(
        self, columns: int, accelerations: Sequence[float], center_fractions: Sequence[float], seed: Seed
    ) -> Tensor: ...


class PointMask(Protocol):
    """Draws points ``(ky, kx)``."""

    def __call__(
        self, size: Sequence[int], accelerations: Sequence[float], center_fractions: Sequence[float], seed: Seed
    ) -> Tensor: ...


LINE_MASKS: Mapping[str, LineMask] = MappingProxyType({
    "random": random_columns,
    "equispaced": regular_columns,
    "equispaced_fraction": equispaced_columns,
    "magic": magic_columns,
    "magic_fraction": magic_fraction_columns,
    "gaussian": gaussian_columns,
})  # fmt: skip
"""Of one phase encoding. The first five are fastMRI's, by fastMRI's names."""
POINT_MASKS: Mapping[str, PointMask] = MappingProxyType({"random": random_points, "poisson": poisson_disc})
"""Of two phase encodings."""
MASK_KINDS = tuple(dict.fromkeys([*LINE_MASKS, *POINT_MASKS]))
"""Every name there is."""


def draw_mask(
    kind: str,
    matrix: Sequence[int],
    phase_encodes: int,
    *,
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
    seed: Seed,
) -> Tensor:
    """Draw a mask of a kind, lines of one phase encoding or points of two.

    Parameters
    ----------
    kind
        Of `LINE_MASKS`, or of `POINT_MASKS`.
    matrix
        ``(ky, kx)``.
    phase_encodes
        1 or 2.
    accelerations, center_fractions, seed
        As of `invrim.data.masks.random_columns`.

    Returns
    -------
    Tensor
        Bool ``(kx,)``, or ``(ky, kx)`` of two phase encodings.
    """
    require_mask_kind(kind, phase_encodes)
    if phase_encodes == 2:
        return POINT_MASKS[kind](matrix, accelerations, center_fractions, seed)
    return LINE_MASKS[kind](matrix[-1], accelerations, center_fractions, seed)


def mask_of_file(
    matrix: Sequence[int], phase_encodes: int, acceleration: float, name: str, kind: str = "random"
) -> Tensor:
    """Draw the mask of a file for one acceleration; result as in `draw_mask`.

    The centre is the challenge's for the acceleration, the seed the file's name, so that the same file gets the same
    mask on every run and every machine.
    """
    fractions = [centre_fraction(acceleration)]
    seed = seed_of(name)
    return draw_mask(kind, matrix, phase_encodes, accelerations=[acceleration], center_fractions=fractions, seed=seed)


def require_mask_kind(kind: str, phase_encodes: int | None = None) -> None:
    """Refuse a kind that does not exist, or not for so many phase encodings."""
    kinds = MASK_KINDS if phase_encodes is None else tuple(POINT_MASKS if phase_encodes == 2 else LINE_MASKS)
    if kind not in kinds:
        of = {None: "", 1: " of one phase encoding", 2: " of two phase encodings"}[phase_encodes]
        raise OptionError(f"expected a kind of mask{of}, {', '.join(kinds)}, got {kind!r}. Choose one of them.")
