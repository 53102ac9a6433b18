"""Which points of two phase encodings are measured: variable density, with a fully measured centre."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from invrim.data.mask_density import gaussian_density, scaled_density
from invrim.data.masks import (
    ACCELERATIONS,
    CENTER_FRACTIONS,
    Seed,
    draw_pair,
)
from invrim.errors import DataError, OptionError


def random_points(
    size: Sequence[int],
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
) -> Tensor:
    """Draw points of a plane of two phase encodings, fewer and fewer away from a fully measured centre.

    Every point is drawn by itself, with a probability that falls off as a Gaussian, scaled so that
    ``points / acceleration`` are expected in all, those of the centre among them.

    Parameters
    ----------
    size
        Of the plane, ``(ky, kx)``.
    accelerations, center_fractions
        Pairs of which one is drawn. The centre is a rectangle of the plane's proportions and this fraction of its
        area, so that a fraction means as many samples as for `invrim.data.masks.random_columns`.
    seed
        Integer or integers (at most 32 bits each), e.g. from `seed_of`.

    Returns
    -------
    Tensor
        Bool ``(ky, kx)``, true where measured.

    References
    ----------
    .. [Lustig07] Lustig, Donoho & Pauly, *Sparse MRI: the application of compressed sensing for rapid MR imaging*,
       MRM 58, 2007: variable density for two phase encodings.
    """
    generator, acceleration, fraction = draw_pair(accelerations, center_fractions, seed)
    centre, wanted = centre_of_plane(size, acceleration, fraction)
    probability = np.zeros(centre.shape)
    probability[~centre] = scaled_density(gaussian_density(*size)[~centre], wanted)
    return torch.from_numpy((generator.uniform(size=centre.shape) < probability) | centre)


def centre_of_plane(size: Sequence[int], acceleration: float, fraction: float) -> tuple[np.ndarray, float]:
    """Return the centre, bool ``(ky, kx)``, and how many points are wanted besides."""
    rows, columns = size
    points = rows * columns
    centre = np.zeros((rows, columns), dtype=bool)
    centre[_middle(rows, fraction), _middle(columns, fraction)] = True
    wanted = float(points / acceleration - centre.sum())
    if not 0 <= fraction < 1 or wanted < 0:
        raise OptionError(
            f"expected a centre of at most points / acceleration = {points / acceleration:g} of {points} points, got "
            f"a fraction of {fraction:g}. Lower the centre fraction or the acceleration."
        )
    return centre, wanted


def calibration_block(mask: Tensor) -> tuple[int, int]:
    """Half sizes ``(m, n)`` of the largest fully measured rectangle of points that is symmetric about the centre.

    It holds ``2 m + 1`` by ``2 n + 1`` points around ``(ky // 2, kx // 2)``.

    Parameters
    ----------
    mask
        Bool or 0/1 ``(ky, kx)``.

    Raises
    ------
    DataError
        The centre itself was not measured.
    """
    sampled = mask.detach().cpu().numpy().astype(bool)
    y, x = (n // 2 for n in sampled.shape)
    if not sampled[y, x]:
        raise DataError(
            f"expected point {(y, x)} (zero frequency) among the measured ones, got a mask without it. "
            f"Use a mask with a sampled centre, or shift the k-space so that zero frequency is at n // 2."
        )
    best, widest = (0, 0), sampled.shape[1]
    for m in range((sampled.shape[0] + 1) // 2):
        # Both rows at this distance, folded about the centre column.
        pair = np.logical_and(sampled[y - m], sampled[y + m])
        reach = (len(pair) + 1) // 2
        missing = np.flatnonzero(~(pair[x : x + reach] & pair[x - reach + 1 : x + 1][::-1]))
        if missing.size and missing[0] == 0:
            break
        widest = min(widest, int(missing[0]) - 1 if missing.size else reach - 1)
        best = max(best, (m, widest), key=lambda half: (2 * half[0] + 1) * (2 * half[1] + 1))
    return best


def _middle(n: int, fraction: float) -> slice:
    width = round(n * math.sqrt(fraction)) if 0 <= fraction <= 1 else n
    start = (n - width + 1) // 2
    return slice(start, start + width)
