"""Lines at equal distances, as scanners measure them: the other masks of fastMRI; and partial Fourier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from invrim.data.masks import ACCELERATIONS, CENTER_FRACTIONS, Seed, draw_lines, with_centre
from invrim.errors import OptionError


def regular_columns(
    columns: int,
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
) -> Tensor:
    """Draw every ``acceleration``-th column and the centre (the protocol's ``equispaced``).

    With the centre more than ``columns / acceleration`` lines are measured. Arguments and result as in
    `invrim.data.masks.random_columns`, accelerations being whole numbers; only the first line is random.
    """
    generator, acceleration, low = draw_lines(columns, accelerations, center_fractions, seed)
    step = _whole(acceleration)
    mask = np.zeros(columns, dtype=bool)
    mask[generator.randint(0, high=step) :: step] = True
    return torch.from_numpy(with_centre(mask, low))


def magic_columns(
    columns: int,
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
) -> Tensor:
    """Draw every ``acceleration``-th column, from another offset in either half (the protocol's ``magic``).

    The lines of one half lie between the mirrored ones of the other: where the image is nearly real, each says
    something about a place that was not measured. Arguments and result as in `regular_columns`.

    References
    ----------
    .. [Defazio19] Defazio, *Offset sampling improves deep learning based accelerated MRI reconstructions by exploiting
       symmetry*, arXiv:1912.01101, 2019.
    """
    generator, acceleration, low = draw_lines(columns, accelerations, center_fractions, seed)
    return torch.from_numpy(with_centre(_offset_halves(columns, _whole(acceleration), generator), low))


def magic_fraction_columns(
    columns: int,
    accelerations: Sequence[float] = ACCELERATIONS,
    center_fractions: Sequence[float] = CENTER_FRACTIONS,
    seed: Seed = 0,
) -> Tensor:
    """`magic_columns` whose spacing makes up for the centre (the protocol's ``magic_fraction``).

    The centre has at least one line, and at most ``columns / acceleration``.
    """
    generator, acceleration, low = draw_lines(columns, accelerations, center_fractions, seed)
    wanted = round(columns / acceleration)
    low = max(min(low, wanted), 1)
    if wanted <= low:
        raise OptionError(
            f"expected a centre of fewer than columns / acceleration = {columns / acceleration:g} lines, got {low}. "
            f"Lower the centre fraction or the acceleration."
        )
    return torch.from_numpy(with_centre(_offset_halves(columns, round(columns / (wanted - low)), generator), low))


def partial_fourier(columns: int, fraction: float, *, from_start: bool = False) -> Tensor:
    """Keep this fraction of all lines, at the end of k-space or its start; symmetry is to fill in the rest.

    Intersect it with another mask (``&``) to leave out more.

    Parameters
    ----------
    columns
        Number of phase-encoding lines.
    fraction
        Above one half, for scanners from 5/8 to 7/8.
    from_start
        Keep the start.

    Returns
    -------
    Bool ``(columns,)``, true where measured; zero frequency and its neighbours are.
    """
    kept = round(columns * fraction) if 0 < fraction <= 1 else 0
    mask = torch.zeros(columns, dtype=torch.bool)
    mask[slice(0, kept) if from_start else slice(columns - kept, columns)] = True
    around = mask[columns // 2 - 1 : columns // 2 + 2]
    if kept < 1 or not around.all():
        raise OptionError(
            f"expected a fraction of the {columns} lines that reaches beyond the centre, got {fraction:g}. "
            f"Choose one above 1/2 and up to 1, e.g. 0.75."
        )
    return mask


def _offset_halves(columns: int, step: int, generator: np.random.RandomState) -> np.ndarray:
    """Positive frequencies count up and negative ones down from offsets of their own."""
    offset = generator.randint(0, high=step)
    first, mirrored = (offset + 1, offset + 2) if offset % 2 == 0 else (offset + 2, offset - 1)
    positive, negative = np.zeros((columns + 1) // 2, dtype=bool), np.zeros(columns // 2, dtype=bool)
    positive[first::step] = True
    negative[mirrored::step] = True
    return np.concatenate([negative[::-1], positive])


def _whole(acceleration: float) -> int:
    if acceleration != int(acceleration):
        raise OptionError(f"expected an acceleration in whole lines, got {acceleration:g}. Use e.g. 4 or 8.")
    return int(acceleration)
