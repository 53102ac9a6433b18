"""Undersampled slices with calibration lines, for models that learn."""

import torch

from invrim import CartesianMRI, LeastSquares

SIZE = (33, 38)
"""Odd and even, not square."""


def measurement(coils: int = 1, *, batch: int = 2, scale: float = 1.0, seed: int = 3) -> LeastSquares:
    """Random k-space, another mask and other maps for each slice, with nothing where nothing was measured."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(batch, 1, 1, SIZE[1], generator=generator) < 0.4).float()
    mask[..., 15:23] = 1
    mask[0, ..., 14] = 0
    maps = torch.randn(batch, coils, *SIZE, dtype=torch.cfloat, generator=generator) if coils > 1 else None
    data = torch.randn(batch, coils, *SIZE, dtype=torch.cfloat, generator=generator)
    return LeastSquares(CartesianMRI(mask, maps), scale * mask * data)


def first_slice(fidelity: LeastSquares) -> LeastSquares:
    operator = fidelity.operator
    maps = operator.coils.maps[:1] if fidelity.data.shape[1] > 1 else None
    return LeastSquares(CartesianMRI(operator.sampling.mask[:1], maps), fidelity.data[:1])
