"""Paths through k-space, in cycles per pixel, as `invrim.operators.NonuniformFourierTransform` takes them."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from invrim.errors import OptionError

Angles = Literal["golden", "uniform"]
GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""111.25 degrees: any number of successive spokes covers the half circle about evenly."""
_FINER = 16
"""Points for every sample between which the length of a spiral is interpolated."""


def radial(spokes: int, samples: int, angles: Angles = "golden") -> Tensor:
    """Diameters of the circle that the matrix' k-space holds.

    Parameters
    ----------
    spokes
        Diameters; ``pi / 2`` times the matrix' size leaves no gaps.
    samples
        On each; twice the matrix' size for readouts sampled twice as densely as the field of view needs.
        Sample ``samples // 2`` is zero frequency.
    angles
        Spoke i goes into the direction ``(ky, kx) = (sin a, cos a)``: ``"golden"``, ``a = i * GOLDEN_ANGLE``, or
        ``"uniform"``, ``a = pi * i / spokes``.

    Returns
    -------
    float32 ``(spokes, samples, 2)``.

    References
    ----------
    .. [Winkelmann07] Winkelmann et al., *An optimal radial profile order based on the golden ratio for time-resolved
       MRI*, IEEE TMI 26, 2007.
    """
    _require_counts(spokes=spokes, samples=samples)
    if angles not in get_args(Angles):
        raise OptionError(f"expected angles of {', '.join(get_args(Angles))}, got {angles!r}. Choose one of them.")
    step = GOLDEN_ANGLE if angles == "golden" else math.pi / spokes
    angle = step * torch.arange(spokes, dtype=torch.double)
    return _polar(_centred(samples), angle[:, None])


def spiral(interleaves: int, samples: int, turns: float) -> Tensor:
    """Archimedean spirals from the centre of k-space to its edge, at constant speed.

    Parameters
    ----------
    interleaves
        Arms; they start at angles ``2 pi i / interleaves``.
    samples
        On each arm, zero frequency first; ``pi / 2 * turns`` times the matrix' size leaves no gaps along it.
    turns
        Of every arm; ``turns * interleaves`` at half the matrix' size leaves no gaps.

    Returns
    -------
    float32 ``(interleaves, samples, 2)``, ``(ky, kx)`` last.
    """
    _require_counts(interleaves=interleaves, samples=samples)
    if not 0 < turns < math.inf:
        raise OptionError(f"expected a number of turns above 0, got {turns:g}. Use e.g. 8.")
    way = _at_constant_speed(2 * math.pi * turns, samples)
    start = torch.arange(interleaves, dtype=torch.double)[:, None] / interleaves
    return _polar(way / 2, 2 * math.pi * (turns * way + start))


def stack_of_stars(partitions: int, spokes: int, samples: int, angles: Angles = "golden") -> Tensor:
    """Radial in the plane, Cartesian along z: the same spokes in every partition.

    Parameters
    ----------
    partitions
        Samples along kz; number ``partitions // 2`` is zero frequency.
    spokes, samples, angles
        As of `radial`.

    Returns
    -------
    float32 ``(partitions, spokes, samples, 3)``, ``(kz, ky, kx)`` last.
    """
    _require_counts(partitions=partitions)
    star = radial(spokes, samples, angles).expand(partitions, -1, -1, -1)
    kz = _centred(partitions).float().reshape(-1, 1, 1, 1).expand(*star.shape[:-1], 1)
    return torch.cat([kz, star], dim=-1)


def _at_constant_speed(full_angle: float, samples: int) -> Tensor:
    """Radii, 0 to 1, of points equally far from each other along a spiral that turns by ``full_angle`` until 1."""
    radius = np.linspace(0, 1, _FINER * samples)
    turned = full_angle * radius
    length = radius * np.hypot(1, turned) + np.arcsinh(turned) / full_angle
    return torch.from_numpy(np.interp(np.linspace(0, length[-1], samples), length, radius))


def _centred(n: int) -> Tensor:
    return (torch.arange(n, dtype=torch.double) - n // 2) / n


def _polar(radius: Tensor, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.sin(), radius * angle.cos()], dim=-1).float()


def _require_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise OptionError(f"expected at least one of {name}, got {count}. Raise it.")
