"""How oneDNN takes memory for convolutions: copies of activations in its own layout, with channels in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor

from invrim.planning.phantoms import Scratch

_IN_3D = 5
"""Axes of weights."""
_ROUNDING, _SLACK = 0.15, 1 << 18
"""Of scratch memory found by trial: a part, and the bytes by which Linux, which counts for every processor, is off."""


def forward_scratch(args: Sequence[Any], made: int, total: int) -> Scratch:
    """Say in which blocks ``aten::convolution`` takes so many bytes beside a result of ``made`` bytes.

    An input of at least a block of channels is copied, a smaller one, or one whose channels lie last, read as it is,
    and the result is copied back; that of a transposed one, whose last block is not filled up, once more. Where the
    bytes are other than such copies would be, they are taken for one block of memory.
    """
    x, weight, transposed = args[0], args[1], args[6]
    copied = _filled(x) if _fills_a_block(x) else 0
    around = [made, made] if transposed else [_in_blocks(made, len(weight))]
    return _first_like(total, made, [Scratch(before=copied, around=around)])


def backward_scratch(args: Sequence[Any], total: int) -> Scratch:
    """The same of ``aten::convolution_backward``.

    First the gradient is copied and that of the input copied back, as in a forward pass from one to the other; then
    gradient and input are copied for the gradient of the weights, in 3D into one block of memory.
    """
    grad, x, weight, transposed, wants_input = args[0], args[1], args[2], args[7], args[-1][0]
    whole_blocks = not transposed and (_fills_a_block(grad) or _fills_a_block(x))
    pair = [_filled(grad), _filled(x)] if whole_blocks else [grad.nbytes, x.nbytes]
    beside = [sum(pair)] if weight.ndim == _IN_3D else pair
    if not wants_input:
        return _first_like(total, 0, [Scratch(beside=[_filled(grad)]), Scratch(beside=beside)])
    before = 0 if transposed and not _fills_a_block(grad) else _filled(grad)
    return _first_like(total, x.nbytes, [Scratch(before=before, around=[_filled(x)], beside=beside)])


def _first_like(total: int, made: int, known: Sequence[Scratch]) -> Scratch:
    """Take the first that needs about so much beside the result, else one block of memory."""
    for scratch in known:
        first, *_ = [*scratch.around, 0]
        most = max(scratch.before + first - made, sum(scratch.around), sum(scratch.beside))
        if abs(total - most) <= max(_ROUNDING * most, _SLACK):
            return scratch
    return Scratch(beside=[total] if total else [])


def _filled(activations: Tensor) -> int:
    """Bytes of activations in whole blocks of channels."""
    return _in_blocks(activations.nbytes, activations.shape[1])


def _in_blocks(size: int, channels: int) -> int:
    block = _block_of_channels()
    return size * ceil(channels / block) * block // channels


def _fills_a_block(activations: Tensor) -> bool:
    return activations.shape[1] >= _block_of_channels()


def _block_of_channels() -> int:
    """How many channels lie side by side: as many as a register of the processor holds."""
    return 8 if torch.backends.cpu.get_cpu_capability() == "AVX2" else 16
