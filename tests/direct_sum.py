"""The Fourier transform at any points as the sum that it is, for tests of what is faster."""

import torch
from torch import Tensor


def waves(trajectory: Tensor, size: tuple[int, ...]) -> Tensor:
    """Matrix of the centred orthonormal transform in complex128, ``(samples, pixels)``; no weights."""
    grid = torch.meshgrid(*(torch.arange(n, dtype=torch.double) - n // 2 for n in size), indexing="ij")
    pixels = torch.stack([axis.flatten() for axis in grid])
    phase = -2 * torch.pi * trajectory.double().reshape(-1, len(size)) @ pixels
    return torch.polar(torch.ones_like(phase), phase) / pixels.shape[1] ** 0.5
