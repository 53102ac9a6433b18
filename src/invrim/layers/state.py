"""What layers ask of the state, and how they treat it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.autograd import forward_ad

from invrim.errors import ShapeError
from invrim.typing import State


def require_state(z: State, channels: int, ndim: int | None = None) -> None:
    """Refuse a state that is not ``(b, channels, ...)`` with ``ndim`` spatial axes; any number of axes if None."""
    axes = z.ndim - 2
    if axes < 1 or axes != (ndim or axes) or z.shape[1] != channels:
        raise ShapeError(
            f"expected a state (b, {channels}, {ndim or 'any number of'} spatial axes), got {tuple(z.shape)}. "
            f"Build the layer with the state's channels and ndim."
        )


def per_channel(vector: Tensor, z: State) -> Tensor:
    """View one number for each channel, ``(c,)``, such that it broadcasts to a state ``(b, c, ...)``."""
    return vector.view(-1, *(1,) * (z.ndim - 2))


def full_precision(z: State) -> AbstractContextManager[object]:
    """Keep the state's own arithmetic out of autocast: a bf16 state cannot be inverted, a bf16 net can."""
    kind = z.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def is_transformed() -> bool:
    """Whether a function transform or forward-mode differentiation is on: tensors may then stand for more than they
    say, and are not written into."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
