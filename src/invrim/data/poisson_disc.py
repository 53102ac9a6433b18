"""Poisson-disc sampling of two phase encodings: random, but no two points close to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from invrim.data.mask_planes import centre_of_plane
from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS, Seed, draw_pair
from invrim.errors import OptionError

_JAMMED = 0.7
"""Discs of distance r, thrown until none fits, number about this many per area r^2."""
_SURPLUS = 0.01
"""Of the points wanted outside the centre, how many more may be thrown; so many are left out again at random."""
_TRIALS = 20
"""Throws until the distances fit; about eight are needed. Of even distances on a grid only some numbers exist."""


def poisson_disc(
    size: Sequence[int],
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
    *,
    falloff: float = 2.0,
) -> Tensor:
    """Draw points of a plane of two phase encodings that keep a distance, which grows away from a full centre.

    Points are thrown in random order, and each forbids a disc around itself to later ones; the discs' scale is found by
    halving. Exactly ``round(points / acceleration)`` are measured.

    Parameters
    ----------
    size
        Of the plane, ``(ky, kx)``.
    accelerations, center_fractions, seed
        As of `invrim.data.mask_planes.random_points`.
    falloff
        The distance is proportional to ``1 + falloff k``, where k is 1 in the middle of an edge; 0 makes it the same
        everywhere.

    Returns
    -------
    Tensor
        Bool ``(ky, kx)``, true where measured.

    References
    ----------
    .. [Bridson07] Bridson, *Fast Poisson disk sampling in arbitrary dimensions*, SIGGRAPH 2007.
    .. [Vasanawala11] Vasanawala et al., *Practical parallel imaging compressed sensing MRI: summary of two years of
       experience in accelerating body MRI of pediatric patients*, ISBI 2011.
    """
    if not 0 <= falloff < math.inf:
        raise OptionError(f"expected falloff >= 0, got {falloff:g}. Use 0 for even distances, or e.g. 2.")
    generator, acceleration, fraction = draw_pair(accelerations, center_fractions, seed)
    centre, _ = centre_of_plane(size, acceleration, fraction)
    wanted = round(centre.size / acceleration) - int(centre.sum())
    distance = _relative_distance(centre.shape, falloff)
    order = generator.permutation(np.flatnonzero(~centre))
    points = _thrown_to_number(order, distance, max(wanted, 0))
    mask = centre.copy()
    mask.flat[generator.permutation(points)[: max(wanted, 0)]] = True
    return torch.from_numpy(mask)


def _relative_distance(size: Sequence[int], falloff: float) -> np.ndarray:
    y, x = ((np.arange(n) - n // 2) / (n / 2) for n in size)
    return 1 + falloff * np.hypot(y[:, None], x)


def _thrown_to_number(order: np.ndarray, distance: np.ndarray, wanted: int) -> np.ndarray:
    """Throw with ever better scales until a few more than wanted lie, as flat indices."""
    if wanted in (0, len(order)):
        return order[:wanted]
    # Any distance up to 1 forbids nothing.
    low, best = 1 / distance.max(), order
    high = math.inf
    scale = max(low, math.sqrt(_JAMMED * float((distance.flat[order] ** -2).sum()) / wanted))
    for _ in range(_TRIALS):
        points = _thrown(order, scale * distance)
        if len(points) < wanted:
            high = scale
        else:
            low, best = scale, points
            if len(points) <= (1 + _SURPLUS) * wanted:
                break
        scale = 1.2 * scale if high == math.inf else (low + high) / 2
    return best


def _thrown(order: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Which of the points, in their order, lie outside the discs of all before them."""
    reach = math.ceil(distance.max())
    rows, columns = distance.shape
    forbidden = np.zeros((rows + 2 * reach, columns + 2 * reach), dtype=bool)
    offsets = np.arange(-reach, reach + 1) ** 2
    squares = offsets[:, None] + offsets
    # Distances on a grid are roots of whole numbers: discs with the same points are made once.
    sizes = np.ceil(distance**2).astype(int)
    discs: dict[int, tuple[int, np.ndarray]] = {}
    kept = []
    for y, x in zip(*(axis.tolist() for axis in np.divmod(order, columns)), strict=True):
        if forbidden[y + reach, x + reach]:
            continue
        kept.append(y * columns + x)
        size = int(sizes[y, x])
        if size not in discs:
            half = math.isqrt(max(size - 1, 0))
            middle = slice(reach - half, reach + half + 1)
            discs[size] = half, squares[middle, middle] < size
        half, disc = discs[size]
        forbidden[y + reach - half : y + reach + half + 1, x + reach - half : x + reach + half + 1] |= disc
    return np.array(kept, dtype=int)
