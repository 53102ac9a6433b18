"""What processes tell each other about a divided volume, as linear maps that can be differentiated any number of times.

What is differentiated is the sum of the losses of all processes. Every map here is the adjoint of another one, and
every process has to apply it: the forward pass, the backward pass and a walk back by inversion do so in the same order
everywhere, since all run the same network. Messages between two neighbours need no order but their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

Group: TypeAlias = "dist.ProcessGroup | None"
"""In quotes: torch can be built without distribution, and everything but `invrim.shard` then works."""


def with_neighbours(x: Tensor, dim: int, group: Group) -> Tensor:
    """Put the last row of the process before in front of ``x`` along ``dim``, and the first of the one after behind.

    Where the volume ends there are zeros. The gradient of a borrowed row goes back to its owner. Costs a copy of ``x``.
    """
    extended: Tensor = _Borrow.apply(x, dim, group)
    return extended


def total(x: Tensor, group: Group) -> Tensor:
    """Sum ``x`` over the processes: the same bits in each, since all add in the same order."""
    summed: Tensor = _Total.apply(x, group)
    return summed


def gathered(x: Tensor, dim: int, sizes: Sequence[int], group: Group) -> Tensor:
    """Join the parts of all processes along ``dim``, of so many rows each; every process gets the whole."""
    whole: Tensor = _Gather.apply(x, dim, sizes, group)
    return whole


class _Borrow(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, group: Group) -> Tensor:
        ctx.dim, ctx.group = dim, group
        before, after = _swap(x.narrow(dim, 0, 1), x.narrow(dim, -1, 1), group)
        return torch.cat([before, x, after], dim)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _GiveBack.apply(grad_outputs[0], ctx.dim, ctx.group), None, None


class _GiveBack(torch.autograd.Function):
    """Add what stands in borrowed rows to the rows of their owners: the adjoint of `_Borrow`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, group: Group) -> Tensor:
        ctx.dim, ctx.group = dim, group
        before, after = _swap(x.narrow(dim, 0, 1), x.narrow(dim, -1, 1), group)
        own = x.narrow(dim, 1, x.shape[dim] - 2).clone()
        own.narrow(dim, 0, 1).add_(before)
        own.narrow(dim, -1, 1).add_(after)
        return own

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _Borrow.apply(grad_outputs[0], ctx.dim, ctx.group), None, None


class _Total(torch.autograd.Function):
    """Its own adjoint: what every process makes of the sum counts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return torch.stack(collected(x, group)).sum(dim=0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return _Total.apply(grad_outputs[0], ctx.group), None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, sizes: Sequence[int], group: Group) -> Tensor:
        ctx.dim, ctx.sizes, ctx.group = dim, sizes, group
        equal = list(x.shape)  # backends gather parts of one size
        equal[dim] = max(sizes)
        padded = x.new_zeros(equal)
        padded.narrow(dim, 0, x.shape[dim]).copy_(x)
        parts = zip(collected(padded, group), sizes, strict=True)
        return torch.cat([part.narrow(dim, 0, size) for part, size in parts], dim)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        return _Scatter.apply(grad_outputs[0], ctx.dim, ctx.sizes, ctx.group), None, None, None


class _Scatter(torch.autograd.Function):
    """Sum over processes and keep the own part: the adjoint of `_Gather`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, sizes: Sequence[int], group: Group) -> Tensor:
        ctx.dim, ctx.sizes, ctx.group = dim, sizes, group
        summed = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, group=group)
        rank = dist.get_rank(group)
        return summed.narrow(dim, sum(sizes[:rank]), sizes[rank]).clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        return _Gather.apply(grad_outputs[0], ctx.dim, ctx.sizes, ctx.group), None, None, None


def collected(x: Tensor, group: Group) -> list[Tensor]:
    """Return what all processes have in the place of ``x``, one tensor each, of the same shape."""
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, x.contiguous(), group=group)
    return parts


def _swap(to_before: Tensor, to_after: Tensor, group: Group) -> tuple[Tensor, Tensor]:
    """Send the two neighbours something, and return what they sent here; zeros where there is no neighbour."""
    rank, count = dist.get_rank(group), dist.get_world_size(group)
    received = _zeros_like(to_before), _zeros_like(to_after)
    messages = []
    for neighbour, sent, buffer in zip((rank - 1, rank + 1), (to_before, to_after), received, strict=True):
        if 0 <= neighbour < count:
            peer = neighbour if group is None else dist.get_global_rank(group, neighbour)
            messages.append(dist.P2POp(dist.isend, sent.contiguous(), peer, group))
            messages.append(dist.P2POp(dist.irecv, buffer, peer, group))
    for work in dist.batch_isend_irecv(messages) if messages else []:
        work.wait()
    return received


def _zeros_like(x: Tensor) -> Tensor:
    return torch.zeros_like(x, memory_format=torch.contiguous_format)
