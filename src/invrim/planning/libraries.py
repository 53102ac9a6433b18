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

from invrim.planning.kernels import BACKWARD, FORWARD, PRODUCTS, Convolution
from invrim.planning.phantoms import SMALL

_ENTRIES = 1 << 15
"""Of a convolution's input along its first four axes: on less than some 20,000 torch does without oneDNN."""
_NARROWEST = 8
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
        self._extra_columns: dict[tuple[int, ...], int] = {}
        """By an input's shape. oneDNN keeps a kernel for every shape: cut ones must differ where these do."""

    def __call__(self, func: Any, args: Sequence[Any], result: Any) -> None:
        """Do an operation if it is a product or a convolution."""
        if func in PRODUCTS:
            a, b = args[-2:]
            if self._is_new((func, a.shape, b.shape, a.dtype)):
                _multiply(a, b, result)
        elif func in (FORWARD, BACKWARD):
            x = args[1] if func is BACKWARD else args[0]
            extra = self._extra_columns.setdefault(tuple(x.shape), len(self._extra_columns))
            convolution = _cut(Convolution.of(func, args), extra)
            if self._is_new(convolution) or _multiplications(convolution) < _DEAR:
                func, args = convolution.arguments(convolution.x[-1])
                func(*args)

    def _is_new(self, key: object) -> bool:
        new = key not in self._met
        self._met.add(key)
        return new


def _cut(convolution: Convolution, extra: int) -> Convolution:
    """Make the input so narrow, and no higher than the library needs to do what it does on much."""
    reach = [d * (k - 1) for d, k in zip(convolution.dilation, convolution.weight[2:], strict=True)]
    shape = [*convolution.x[:-1], _NARROWEST + reach[-1] + extra]
    if len(reach) > 1:  # there are rows
        others = shape[:4]
        del others[len(shape) - 2]
        shape[-2] = min(shape[-2], max(_NARROWEST + reach[-2], ceil(_ENTRIES / prod(others))))
    return convolution._replace(x=tuple(shape))


def _multiplications(convolution: Convolution) -> int:
    return prod(convolution.weight) * prod(convolution.x[2:])


def _multiply(a: Tensor, b: Tensor, result: Tensor) -> None:
    """Multiply matrices of these rows, and of few columns."""
    rows, terms = a.shape[-2], min(a.shape[-1], _LONGEST)
    columns = max(1, min(b.shape[-1], _MATRIX_BYTES // (b.itemsize * max(rows, terms))))
    out = _matrix(result, rows, columns) if result.numel() > SMALL else result.new_empty(rows, columns)
    torch.mm(_matrix(a, rows, terms), _matrix(b, terms, columns), out=out)


def _matrix(phantom: Tensor, rows: int, columns: int) -> Tensor:
    """A matrix in the phantom's memory: one of its own would lie where the library's buffer belongs."""
    storage = phantom.untyped_storage()
    if storage.nbytes() < rows * columns * phantom.itemsize:  # an expanded one
        return phantom.new_empty(rows, columns)
    return phantom.new_empty(0).set_(storage, 0, (rows, columns), (columns, 1))
