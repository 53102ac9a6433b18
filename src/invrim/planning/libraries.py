"""What torch's libraries have of their own while a run goes on: prepared kernels, and buffers for products.

It is little, but lies amid the large blocks of the run: what is freed on both sides of it is no block that fits both
again. And when small blocks are freed decides when the C library joins their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor

from invrim.planning.kernels import BACKWARD, FORWARD, PRODUCTS, Convolution, within
from invrim.planning.phantoms import SMALL

_ENTRIES = 1 << 15
"""Of a convolution's input along its first axes: on less than some 20,000 torch does without oneDNN."""
_AXES = 4
_NARROWEST = 8
_REGISTER = 16
"""Voxels of a row that are convolved at once."""
_MATRIX_BYTES = 6_000_000
"""At most: the size of MKL's buffers depends on the matrices', where these are small."""
_LONGEST = 1 << 12
"""Sums that matrices are multiplied by; MKL does longer ones in pieces."""
_DEAR = 1 << 28
"""Multiplications of a convolution on little, some 10 milliseconds, from which once is enough."""


class LittleRuns:
    """Lets the libraries do on little what a run with phantoms does on much, in that run's process.

    Products of matrices when their sizes are new; convolutions each time, unless they are dear, since oneDNN also has
    objects that come and go with each.
    """

    def __init__(self) -> None:
        self._met: set[object] = set()
        self._spaces: dict[tuple[int, ...], tuple[int, ...]] = {}
        """Little ones for large ones. oneDNN keeps kernels by shapes, which must be alike where the large ones are."""

    def prepare(self, func: Any, args: Sequence[Any]) -> None:
        """Do a convolution on little: kernels are made while what is copied for them is there."""
        if func not in (FORWARD, BACKWARD):
            return
        memory = dict(zip(("grad", "x", "weight") if func is BACKWARD else ("x", "weight"), args, strict=False))
        convolution = self._cut(Convolution.of(func, args), tuple(memory["x"].shape[2:]))
        if self._is_new(convolution) or _multiplications(convolution) < _DEAR:
            func, args = convolution.arguments(convolution.x[-1], memory)
            func(*args)

    def finish(self, func: Any, args: Sequence[Any], result: Any) -> None:
        """Do a product of matrices on little, into the memory of its result."""
        if func in PRODUCTS:
            a, b = args[-2:]
            if self._is_new((func, a.shape, b.shape, a.dtype)):
                _multiply(a, b, result)

    def _cut(self, convolution: Convolution, space: tuple[int, ...]) -> Convolution:
        """Put a little space in the place of the large one: that of earlier convolutions, if it is large enough."""
        little = self._spaces.get(space, (0,) * len(space))
        too_few = prod([*convolution.x[:2], *little][:_AXES]) < _ENTRIES
        if too_few or any(n < least for n, least in zip(little, _least(convolution), strict=True)):
            little = self._spaces[space] = _little_space(convolution, space[-1] % _REGISTER, len(self._spaces))
        return convolution._replace(x=(*convolution.x[:2], *little))

    def _is_new(self, key: object) -> bool:
        new = key not in self._met
        self._met.add(key)
        return new


def _little_space(convolution: Convolution, left_over: int, extra: int) -> tuple[int, ...]:
    """As narrow and as low as the library lets it be to do what it does on much, and so much larger than that.

    Divided by registers its width has so much left over, for which there are kernels of their own.
    """
    batch, channels, *others, _ = convolution.x
    *_, narrowest = least = _least(convolution)
    width = _REGISTER * ceil(narrowest / _REGISTER) + left_over
    if not others:
        return (max(width, ceil(_ENTRIES / (batch * channels))) + _REGISTER * extra,)
    *depth, height = others
    counted = [batch, channels, *depth, width][: _AXES - 1]
    rows = max(least[-2], ceil(_ENTRIES / prod(counted)))
    wider = ceil(rows / height)  # where there are few channels
    return (*depth, min(rows, height) + extra, width * wider)


def _least(convolution: Convolution) -> list[int]:
    """Voxels along every axis of space, that a kernel has some places to be in."""
    return [_NARROWEST + d * (k - 1) for d, k in zip(convolution.dilation, convolution.weight[2:], strict=True)]


def _multiplications(convolution: Convolution) -> int:
    return prod(convolution.weight) * prod(convolution.x[2:])


def _multiply(a: Tensor, b: Tensor, result: Tensor) -> None:
    """Multiply matrices of these rows, and of few columns."""
    rows, terms = a.shape[-2], min(a.shape[-1], _LONGEST)
    columns = max(1, min(b.shape[-1], _MATRIX_BYTES // (b.itemsize * max(rows, terms))))
    out = within(result if result.numel() > SMALL else None, (rows, columns), a.dtype)
    torch.mm(within(a, (rows, terms), a.dtype), within(b, (terms, columns), a.dtype), out=out)
