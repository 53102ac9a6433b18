"""Which phase-encoding lines are measured: the random column masks of the fastMRI challenge, bit for bit.

The draws come from numpy's legacy generator, whose stream is frozen for good, so that a mask is the same
in every version and in every toolkit that follows the protocol.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from invrim.errors import DataError, OptionError

ACCELERATIONS = (4, 8)
"""Accelerations of the fastMRI challenge, drawn with equal probability."""
CENTER_FRACTIONS = (0.08, 0.04)
"""Fraction of lines measured around the centre, one per acceleration."""
_CENTRE_SHARE = 0.32
"""Centre fraction times acceleration: 8 % at 4-fold and 4 % at 8-fold, as above."""

Seed = int | Sequence[int]


def seed_of(file_name: str) -> tuple[int, ...]:
    """The protocol's seed of a file: the code points of its name (suffix included, folder not)."""
    return tuple(map(ord, file_name))


def random_columns(
    columns: int,
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
) -> Tensor:
    """Draw a random column mask with a fully sampled centre.

    Parameters
    ----------
    columns
        Number of phase-encoding lines.
    accelerations, center_fractions
        Pairs of which one is drawn: lines are kept so that ``columns / acceleration`` are expected in all,
        ``round(columns * fraction)`` of them in the centre.
    seed
        Integer or integers (at most 32 bits each), e.g. from `seed_of`.

    Returns
    -------
    Tensor
        Bool ``(columns,)``, true where measured.

    References
    ----------
    .. [Z18] Zbontar et al., *fastMRI: an open dataset and benchmarks*, 2018; `fastmri.data.subsample`.
    """
    generator, acceleration, low = draw_lines(columns, accelerations, center_fractions, seed)
    probability = (columns / acceleration - low) / (columns - low)
    return torch.from_numpy(with_centre(generator.uniform(size=columns) < probability, low))


def columns_of_file(columns: int, acceleration: float, name: str) -> Tensor:
    """Random columns for one acceleration, the challenge's centre for it, seeded by the file's name.

    The same file gets the same mask on every run and every machine; result as in `random_columns`.
    """
    return random_columns(columns, [acceleration], [centre_fraction(acceleration)], seed_of(name))


def centre_fraction(acceleration: float) -> float:
    """The challenge's fraction of k-space that is measured around the centre at an acceleration."""
    require_acceleration(acceleration)
    return _CENTRE_SHARE / acceleration


def require_acceleration(acceleration: float) -> None:
    """Refuse what is no number of lines for every measured one, NaN and infinity among it."""
    if not 1 <= acceleration < math.inf:
        raise OptionError(
            f"expected an acceleration >= 1, got {acceleration:g}. Use 4 or 8, as the challenge does, or 1 for none."
        )


def equispaced_columns(
    columns: int,
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
) -> Tensor:
    """Draw equispaced columns whose spacing makes up for the centre (the protocol's ``equispaced_fraction``).

    Its ``equispaced``, without making up, is `invrim.data.regular_columns.regular_columns`.

    Arguments and result as in `random_columns`; only the first line is random.
    """
    generator, acceleration, low = draw_lines(columns, accelerations, center_fractions, seed)
    if low * acceleration >= columns:
        raise OptionError(
            f"expected a centre of fewer than columns / acceleration = {columns / acceleration:g} lines, got {low}. "
            f"Lower the centre fraction or the acceleration."
        )
    spacing = acceleration * (low - columns) / (low * acceleration - columns)
    first = generator.randint(0, high=round(spacing))
    mask = np.zeros(columns, dtype=bool)
    mask[np.around(np.arange(first, columns - 1, spacing)).astype(np.uint)] = True
    return torch.from_numpy(with_centre(mask, low))


def calibration_lines(mask: Tensor) -> slice:
    """The contiguous block of measured lines around the centre ``n // 2``, found from the mask alone.

    Parameters
    ----------
    mask
        Bool or 0/1 ``(kx,)``.

    Raises
    ------
    DataError
        The centre line itself was not measured.
    """
    sampled = mask.detach().cpu().numpy().astype(bool)
    centre = len(sampled) // 2
    if not sampled[centre]:
        raise DataError(
            f"expected line {centre} (zero frequency) among the measured ones, got a mask without it. "
            f"Use a mask with a sampled centre, or shift the k-space so that zero frequency is at n // 2."
        )
    missing = np.flatnonzero(~sampled)
    before, after = missing[missing < centre], missing[missing > centre]
    start = int(before[-1]) + 1 if before.size else 0
    return slice(start, int(after[0]) if after.size else len(sampled))


def draw_pair(
    accelerations: Sequence[float], center_fractions: Sequence[float], seed: Seed
) -> tuple[np.random.RandomState, float, float]:
    """Draw acceleration and centre fraction first, as the protocol does; the generator goes on from there."""
    if not accelerations or len(accelerations) != len(center_fractions):
        raise OptionError(
            f"expected one centre fraction per acceleration, got {len(accelerations)} accelerations and "
            f"{len(center_fractions)} fractions. Give lists of equal length, e.g. [4, 8] and [0.08, 0.04]."
        )
    generator = np.random.RandomState(seed)
    choice = generator.randint(len(accelerations))
    acceleration, fraction = accelerations[choice], center_fractions[choice]
    require_acceleration(acceleration)
    return generator, acceleration, fraction


def draw_lines(
    columns: int, accelerations: Sequence[float], center_fractions: Sequence[float], seed: Seed
) -> tuple[np.random.RandomState, float, int]:
    """Draw acceleration and centre, the latter in lines."""
    generator, acceleration, fraction = draw_pair(accelerations, center_fractions, seed)
    if not 0 <= fraction <= 1 or round(columns * fraction) == columns:
        raise OptionError(
            f"expected a centre smaller than {columns} columns, got a fraction of {fraction:g}. "
            f"Choose a fraction between 0 and 1."
        )
    return generator, acceleration, round(columns * fraction)


def with_centre(mask: np.ndarray, low: int) -> np.ndarray:
    """Measure also the ``low`` lines around the centre, which start at ``(columns - low + 1) // 2``."""
    start = (len(mask) - low + 1) // 2
    mask[start : start + low] = True
    return mask
