"""Products with a matrix over channels, from and into memory where the channels of a voxel lie side by side."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd

from invrim.layers.mixing import each, sum_of_batch, voxels
from invrim.layers.state import is_transformed

_WIDE = 32
"""Channels from which the copies that are saved outweigh what these functions take themselves."""


def prefers_channels_last(x: Tensor, channels: int) -> bool:
    """Whether to lay so many channels last, made of ``x`` or into it, for a 3×3 convolution between.

    On a CPU, oneDNN copies what lies otherwise into a layout of its own, and back. Of 64 channels of 128x128 on one
    thread the convolution then takes 0.8 of the time, forward and backward, with AVX-512, in bf16 with AMX 0.4, but 1.2
    with AVX2; of 32 channels of 16x64x64, with AVX-512, 0.9, and in bf16 0.7. Who compiles or transforms the net gets
    torch's own operations.
    """
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.ndim in (4, 5)
        and channels >= _WIDE
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and not is_transformed()
    )


def mix_into_channels_last(matrix: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a matrix ``(p, c)`` to the channels of ``(b, c, ...)``, add a bias ``(p,)``, and lay channels last."""
    matrix, x = _as_autocast(matrix), _as_autocast(x)
    bias = None if bias is None else _as_autocast(bias)
    y: Tensor = _IntoChannelsLast.apply(matrix, x, bias) if torch.is_grad_enabled() else _into(matrix, x, bias)
    return y


def mix_from_channels_last(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply a matrix to channels that lie last; those of the result do not, but the gradient of ``x`` will."""
    matrix, x = _as_autocast(matrix), _as_autocast(x)
    y: Tensor = _FromChannelsLast.apply(matrix, x) if torch.is_grad_enabled() else _from(matrix, x)
    return y


def _into(matrix: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    y = torch.bmm(voxels(x).transpose(1, 2), each(matrix.mT, x))
    y = y if bias is None else y.add_(bias)
    return y.view(x.shape[0], *x.shape[2:], matrix.shape[0]).movedim(-1, 1)


def _from(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.bmm(each(matrix, x), _rows(x).transpose(1, 2)).view(x.shape[0], matrix.shape[0], *x.shape[2:])


def _as_autocast(x: Tensor) -> Tensor:
    """Cast as autocast would, which casts operations but knows nothing of a Function."""
    casts = torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype("cpu")) if casts else x


class _IntoChannelsLast(torch.autograd.Function):
    """The gradient goes the same way back; autograd's own would have to be turned by the next operation."""

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(ctx: Any, matrix: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        _keep(ctx, matrix, x)
        return _into(matrix, x, bias)

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        matrix, x = ctx.saved_tensors
        needs_matrix, needs_x, needs_bias = ctx.needs_input_grad
        return (
            sum_of_batch(torch.bmm(voxels(x), _rows(grad))).mT if needs_matrix else None,
            _FromChannelsLast.apply(matrix.mT, grad) if needs_x else None,
            _rows(grad).sum(dim=(0, 1)) if needs_bias else None,
        )


class _FromChannelsLast(torch.autograd.Function):
    """The other way round."""

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(ctx: Any, matrix: Tensor, x: Tensor) -> Tensor:
        _keep(ctx, matrix, x)
        return _from(matrix, x)

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrix, x = ctx.saved_tensors
        needs_matrix, needs_x = ctx.needs_input_grad
        return (
            sum_of_batch(torch.bmm(voxels(grad), _rows(x))) if needs_matrix else None,
            _IntoChannelsLast.apply(matrix.mT, grad, None) if needs_x else None,
        )


def _keep(ctx: Any, matrix: Tensor, x: Tensor) -> None:
    """Keep for the backward pass what the wanted gradients need."""
    needs_matrix, needs_x, *_ = ctx.needs_input_grad
    ctx.save_for_backward(matrix if needs_x else None, x if needs_matrix else None)


def _rows(x: Tensor) -> Tensor:
    """See what lies channels-last as the matrix that it is in memory, ``(b, voxels, c)``.

    Other ways to the same view leave a batch of one with a stride that makes bf16 products copy it.
    """
    batch, channels, *space = x.shape
    return x.movedim(1, -1).reshape(batch, prod(space), channels)
