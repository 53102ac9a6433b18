"""Masks that are denser towards the centre of k-space: the density, and lines drawn with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS, Seed, draw_lines, with_centre
from invrim.errors import OptionError

_SPREAD = 0.5
"""Deviation of the Gaussian density, as a fraction of the way from the centre to the edge: of what is measured outside
the centre, the middle of an edge then gets a seventh of the density next to the centre, and no place gets none."""
_BISECTIONS = 60
"""Halvings until a density is exact to float64."""


def gaussian_columns(
    columns: int,
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
) -> Tensor:
    """Draw columns with a probability that falls off as a Gaussian from a fully measured centre.

    Every line is drawn by itself, ``columns / acceleration`` are expected in all. Arguments and result as in
    `invrim.data.masks.random_columns`, whose probability is even.
    """
    generator, acceleration, low = draw_lines(columns, accelerations, center_fractions, seed)
    wanted = columns / acceleration - low
    if wanted < 0:
        raise OptionError(
            f"expected a centre of at most columns / acceleration = {columns / acceleration:g} lines, got {low}. "
            f"Lower the centre fraction or the acceleration."
        )
    outside = ~with_centre(np.zeros(columns, dtype=bool), low)
    probability = np.zeros(columns)
    probability[outside] = scaled_density(gaussian_density(columns)[outside], wanted)
    return torch.from_numpy(with_centre(generator.uniform(size=columns) < probability, low))


def gaussian_density(*size: int) -> np.ndarray:
    """1 at the centre ``n // 2`` of all axes, and below around it."""
    squares = [((np.arange(n) - n // 2) / (n / 2)) ** 2 for n in size]
    distance = squares[0]
    for square in squares[1:]:
        distance = np.add.outer(distance, square)
    return np.exp(-distance / (2 * _SPREAD**2))


def scaled_density(density: np.ndarray, wanted: float) -> np.ndarray:
    """Multiply a positive density so that its values, none above 1, sum to ``wanted``."""
    low, high = 0.0, 1 / density.min()
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * density, 1).sum() < wanted else (low, middle)
    return np.minimum(high * density, 1)
