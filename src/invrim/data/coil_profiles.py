"""Sensitivities of an imagined receive array: coils on a ring around the head."""

import math

import torch
from torch import Tensor

_RADIUS = 1.45
"""Of the ring. Beyond sqrt(2) the corners of the field of view stay in front of every coil, so that phases never wrap
around one."""
_LOOP = 0.1
"""Squared radius of a coil's loop, the half field of view being 1. With it, 13 coils overlap as much as those of a
real head array: the strongest holds 0.69 of the root sum of squares on average; there it is 0.67."""


def ring_of_coils(coils: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw smooth complex sensitivities whose squares sum to one everywhere.

    Every coil sits outside the field of view, at a random place near its regular position on a ring. Its
    magnitude falls off as the field on the axis of a loop; its phase turns with the direction from which it looks,
    plus a constant of its own.

    Parameters
    ----------
    coils
        Number of coils; one coil sees everything equally.
    size
        ``(y, x)``.
    generator
        Source of the random placement.

    Returns
    -------
    Tensor
        Complex64 ``(coil, y, x)``, unit root sum of squares.
    """
    if coils == 1:
        return torch.ones(1, *size, dtype=torch.complex64)
    radius = _RADIUS + 0.3 * torch.rand(coils, generator=generator)
    angle = 2 * math.pi * (torch.arange(coils) + 0.4 * torch.rand(coils, generator=generator)) / coils
    constant = 2 * math.pi * torch.rand(coils, generator=generator)
    y = torch.linspace(-1, 1, size[0]).view(1, -1, 1) - (radius * angle.sin()).view(-1, 1, 1)
    x = torch.linspace(-1, 1, size[1]).view(1, 1, -1) - (radius * angle.cos()).view(-1, 1, 1)
    # Angle of the pixel seen from the coil, measured from the coil's own axis: always less than a quarter turn.
    axis = torch.polar(torch.ones(coils), angle).view(-1, 1, 1)
    phase = torch.angle(-(x + 1j * y) * axis.conj()) + constant.view(-1, 1, 1)
    maps = torch.polar((_LOOP + x**2 + y**2) ** -1.5, phase)
    return maps / maps.abs().square().sum(dim=0, keepdim=True).sqrt()
