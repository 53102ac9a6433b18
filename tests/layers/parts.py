"""Blocks and states that tiles and strips are tested with."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim import InvertibleChain, ReversibleBlock
from invrim.invertible import Grid


def blocks(count: int, space, stride, tile, channels: int = 5) -> list[ReversibleBlock]:
    """The same weights whatever the tile."""
    torch.manual_seed(count)
    return [ReversibleBlock(channels, 4 + i % 2, stride, ndim=len(space), tile=tile) for i in range(count)]


def state(space, channels: int = 5, dtype: torch.dtype = torch.double) -> Tensor:
    return torch.randn(2, channels, *space, dtype=dtype, generator=torch.Generator().manual_seed(1))


def assert_exact_states_come_back(space, stride, tile, *, bf16: bool) -> None:
    """Require every state of a chain bit for bit, of its inverse and of its backward pass."""
    steps = blocks(4, space, stride, tile)
    chain, grid = InvertibleChain(steps, backprop="exact"), Grid.of(torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        with torch.no_grad():
            states = chain(state(space, dtype=torch.float32), return_states=range(4))
        z, grad = states[-1].clone(), torch.ones_like(states[-1])
        for number in (3, 2, 1):
            assert torch.equal(steps[number].inverse_exact(z.clone(), grid), states[number - 1])
            z, grad, _ = steps[number].pull_back_exact(z, grad, grid)
            assert torch.equal(z, states[number - 1])
