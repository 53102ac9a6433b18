"""One number for each entry of a batch, and what divides by it."""

from __future__ import annotations

import torch
from torch import Tensor


def per_sample(numbers: Tensor, x: Tensor) -> Tensor:
    """View one number, or one row, for each batch entry such that it broadcasts to ``x``: axes of size 1 appended."""
    return numbers.reshape(*numbers.shape, *(1,) * (x.ndim - numbers.ndim))


def nonzero(scale: Tensor) -> Tensor:
    """Replace zeros by ones: what has no intensity is left as it is, not divided by nothing."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))
