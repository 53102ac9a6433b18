"""Names for the arrays that travel between the floors.

The aliases say what a tensor holds; shapes are in the docstrings, axes in the order ``(b, channel, [z,] y, x)``.
"""

from typing import TypeAlias

from torch import Tensor

State: TypeAlias = Tensor
"""Machine state, real ``(b, c, [z,] y, x)``: the estimate eta first, the memory s after it."""

Image: TypeAlias = Tensor
"""Complex image, complex64 ``(b, [images,] [z,] y, x)``."""

KSpace: TypeAlias = Tensor
"""Measured k-space, complex64 ``(b, coil, [kz,] ky, kx)``, centred."""
