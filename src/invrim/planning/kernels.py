"""What torch's operations take besides their results, in scratch memory and in time: tried on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from invrim.planning.layouts import backward_scratch, forward_scratch
from invrim.planning.memory import forget_peak, peak_resident_bytes, resident_bytes
from invrim.planning.phantoms import Scratch

_aten = torch.ops.aten
FORWARD, BACKWARD = _aten.convolution.default, _aten.convolution_backward.default
PRODUCTS = frozenset({_aten.bmm.default, _aten.baddbmm.default, _aten.baddbmm_.default, _aten.mm.default})
_TRANSFORM = _aten._fft_c2c.default
_ROLL, _ABS = _aten.roll.default, _aten.abs.default
_NORM_BACKWARD = _aten.native_batch_norm_backward.default
_POINTWISE = frozenset({_aten.mul.Tensor, _aten.div.Tensor, _aten.add.Tensor, _aten.sub.Tensor})

GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Environment for `try_convolutions`: scratch memory must not be found among blocks that were freed before."""

_TRIAL_BYTES = 6_000_000
"""Of the input of a convolution on trial; larger ones are cut. Which way torch and its libraries take depends on the
size, so that what is smaller is tried as it is."""
_SHORTEST = 16
"""Voxels of an axis that are left."""
_LARGEST_BATCH = 2
"""The way taken is another for a batch of one."""
_REPEATS = 3


class Convolution(NamedTuple):
    """A convolution or its backward pass, on an input cut to what can be tried in no time."""

    backward: bool
    x: tuple[int, ...]
    """``(b, in, ...)``."""
    weight: tuple[int, ...]
    """``(out, in, *kernel)``, of a transposed one ``(in, out, *kernel)``."""
    bias: bool
    """Of the backward pass: whether its gradient is asked for."""
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    wanted: tuple[bool, ...]
    """Of the backward pass: whether gradients of input, weight and bias are asked for."""
    dtype: str
    channels_last: bool
    """Whether the input lies so; the gradient of the output is taken to lie alike."""

    @staticmethod
    def of(func: Any, args: Sequence[Any]) -> Convolution:
        """Read the arguments of ``aten::convolution`` or ``aten::convolution_backward``."""
        backward = func is BACKWARD
        x, weight, bias, *rest = args[1:] if backward else args
        stride, padding, dilation, transposed, output_padding, groups, *masks = rest
        wanted = tuple(masks[0]) if backward else ()
        return Convolution(
            backward, _cut(x), tuple(weight.shape), wanted[-1] if backward else bias is not None, tuple(stride),
            tuple(padding), tuple(dilation), transposed, tuple(output_padding), groups, wanted,
            str(weight.dtype).removeprefix("torch."), _is_channels_last(x),
        )  # fmt: skip

    def arguments(self, columns: int, memory: Mapping[str, Tensor] = MappingProxyType({})) -> tuple[Any, list[Any]]:
        """Return the operation, and arguments of so many voxels along the last axis.

        Those of the names ``x``, ``weight`` and ``grad`` lie in the memory of others, where that is long enough.
        """
        made = _output_shape((*self.x[:-1], columns), self.weight, self._rest)
        shapes = {"x": (*self.x[:-1], columns), "weight": self.weight, "bias": made[1:2], "grad": made}

        def tensor(name: str) -> Tensor:
            channels_last = self.channels_last and name in ("x", "grad")
            return within(memory.get(name), shapes[name], getattr(torch, self.dtype), channels_last=channels_last)

        if not self.backward:
            return FORWARD, [tensor("x"), tensor("weight"), tensor("bias") if self.bias else None, *self._rest]
        sizes = list(shapes["bias"]) if self.bias else None
        return BACKWARD, [tensor("grad"), tensor("x"), tensor("weight"), sizes, *self._rest, self.wanted]

    @property
    def _rest(self) -> list[Any]:
        """Arguments that are no tensors, in torch's order."""
        return [self.stride, self.padding, self.dilation, self.transposed, self.output_padding, self.groups]

    @property
    def kind(self) -> tuple[object, ...]:
        """What convolutions of other widths have in common with this one."""
        return (
            self.backward, self.weight[2:], self.stride, self.padding, self.transposed, self.dtype, self.channels_last,
        )  # fmt: skip


class Cost(NamedTuple):
    """Of a convolution, as it grows with batch and space."""

    scratch: float
    """Bytes for every byte of its activations: input and output, or its gradient."""
    fixed: float
    """Bytes besides."""
    seconds: float
    """For every byte of its activations."""


@dataclass
class MeasuredKernels:
    """Costs of convolutions by trial, and of everything else by what it reads and writes."""

    rates: dict[str, float]
    """Seconds, as `measure_rates` returns them."""
    convolutions: dict[Convolution, Cost] = field(default_factory=dict)
    unknown: dict[Convolution, None] = field(default_factory=dict)
    """Convolutions asked for that were not tried yet."""

    def scratch(self, func: Any, args: Sequence[Any]) -> Scratch:
        """Blocks of memory that an operation takes while it runs; none below a page are told."""
        if func in (FORWARD, BACKWARD):
            activations = _activations(func, args)
            total = round(self._scratch(Convolution.of(func, args), activations))
            if func is BACKWARD:
                return backward_scratch(args, total)
            return forward_scratch(args, activations - _bytes(args[0]), total)
        return _scratch_known(func, args)

    def seconds(self, func: Any, args: Sequence[Any], result: Any) -> float:
        """How long an operation takes."""
        moved = _bytes(args) + _bytes(result)
        if func in (FORWARD, BACKWARD):
            return self._cost(Convolution.of(func, args)).seconds * _activations(func, args)
        if func in PRODUCTS:
            a, b = args[-2:]
            return max(2 * a.numel() * b.shape[-1] * self.rates["product"], moved * self.rates["entries"])
        if func is _TRANSFORM:
            return moved * self.rates["transform"]
        is_complex = any(isinstance(leaf, Tensor) and leaf.is_complex() for leaf in tree_leaves(result))
        return moved * self.rates["complex" if is_complex else "entries"]

    def _scratch(self, convolution: Convolution, activations: int) -> float:
        cost = self._cost(convolution)
        return max(0.0, cost.fixed + cost.scratch * activations)

    def _cost(self, convolution: Convolution) -> Cost:
        """As tried; until then as the most similar one, or a guess: a copy of all activations but the result."""
        if convolution in self.convolutions:
            return self.convolutions[convolution]
        self.unknown[convolution] = None
        alike = [known for known in self.convolutions if known.kind == convolution.kind]
        if not alike:
            return Cost(1.0 if convolution.backward else 0.5, 0.0, 0.0)
        nearest = min(alike, key=lambda known: abs(known.weight[0] - convolution.weight[0]))
        cost, wider = self.convolutions[nearest], convolution.weight[1] / nearest.weight[1]
        return cost._replace(seconds=cost.seconds * wider)


def try_convolutions(convolutions: Iterable[Convolution]) -> dict[Convolution, Cost]:
    """Run convolutions on small spaces. In a process started with `GIVE_BACK`."""
    return {convolution: _tried(convolution) for convolution in convolutions}


def measure_rates() -> dict[str, float]:
    """Time the other operations on some megabytes, in this process.

    Returns
    -------
    Seconds of a ``"product"`` of matrices for every operation on numbers, and of a ``"transform"``, a ``"complex"``
    operation and one on real ``"entries"`` for every byte read or written.
    """
    a, b = torch.randn(1, 32, 64), torch.randn(1, 64, 1 << 15)
    image, numbers = torch.randn(4, 256, 256, dtype=torch.complex64), torch.randn(1 << 20)
    moved = {"transform": 2 * _bytes(image), "complex": 3 * _bytes(image), "entries": 3 * _bytes(numbers)}
    return {
        "product": _time(lambda: torch.bmm(a, b)) / (2 * a.numel() * b.shape[-1]),
        "transform": _time(lambda: torch.fft.fftn(image, dim=(-2, -1), norm="ortho")) / moved["transform"],
        "complex": _time(lambda: image * image) / moved["complex"],
        "entries": _time(lambda: numbers * numbers) / moved["entries"],
    }


def _scratch_known(func: Any, args: Sequence[Any]) -> Scratch:
    """Blocks of operations other than convolutions, as torch takes them.

    A roll over several axes goes axis by axis, each time into a new tensor; the backward pass of batch normalisation
    takes one more; magnitudes are complex at first; an operation on entries of two types first converts those of the
    lesser one.
    """
    if func is _ROLL:
        return Scratch(beside=[_bytes(args[0])] * (len(args[2]) - 1))
    if func is _NORM_BACKWARD:
        return Scratch(around=[_bytes(args[0])])
    if func is _ABS and args[0].is_complex():
        return Scratch(beside=[_bytes(args[0])])
    if func in _POINTWISE and all(isinstance(arg, Tensor) and arg.ndim > 0 for arg in args[:2]):
        common = torch.promote_types(args[0].dtype, args[1].dtype)
        return Scratch(around=[arg.numel() * common.itemsize for arg in args[:2] if arg.dtype != common])
    return Scratch()


def _tried(convolution: Convolution) -> Cost:
    """Scratch memory on two sizes gives its law; seconds are those of the larger."""
    columns = convolution.x[-1]
    large, high, seconds = _try(convolution, columns)
    half = max(columns // 2, convolution.weight[-1])
    if half == columns:
        return Cost(high / large, 0.0, seconds / large)
    small, low, _ = _try(convolution, half)
    slope = (high - low) / (large - small)
    return Cost(slope, high - slope * large, seconds / large)


def _try(convolution: Convolution, columns: int) -> tuple[int, int, float]:
    """Bytes of activations, of scratch memory, and seconds."""
    func, args = convolution.arguments(columns)
    func(*args)  # compiles its kernel
    before = resident_bytes()
    forget_peak()
    start = time.perf_counter()
    result = func(*args)
    seconds = time.perf_counter() - start
    return _activations(func, args), peak_resident_bytes() - before - _bytes(result), seconds


def _cut(x: Tensor) -> tuple[int, ...]:
    """The input's shape, from the last axis on made shorter where it is too large to try."""
    shape = [min(len(x), _LARGEST_BATCH), *x.shape[1:]]
    for axis in range(x.ndim - 1, 1, -1):
        excess = prod(shape) * x.element_size() / _TRIAL_BYTES
        if excess > 1:
            shape[axis] = min(shape[axis], max(_SHORTEST, round(shape[axis] / excess)))
    return tuple(shape)


def within(memory: Tensor | None, shape: Sequence[int], dtype: torch.dtype, *, channels_last: bool = False) -> Tensor:
    """A tensor in the memory of another, or one of its own where that is too short."""
    if channels_last:
        return within(memory, [shape[0], *shape[2:], shape[1]], dtype).movedim(-1, 1)
    if memory is None or memory.untyped_storage().nbytes() < prod(shape) * dtype.itemsize:
        return torch.ones(*shape, dtype=dtype)
    return torch.empty(0, dtype=dtype).set_(memory.untyped_storage(), 0, (prod(shape),), (1,)).view(*shape)


def _is_channels_last(x: Tensor) -> bool:
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    return layout is not None and not x.is_contiguous() and x.is_contiguous(memory_format=layout)


def _time(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _activations(func: Any, args: Sequence[Any]) -> int:
    """Bytes of a convolution's input and output, or of input and gradient."""
    if func is BACKWARD:
        return _bytes(args[0]) + _bytes(args[1])
    x, weight, _, *rest = args
    return _bytes(x) + prod(_output_shape(x.shape, weight.shape, rest)) * x.element_size()


def _output_shape(x: Sequence[int], weight: Sequence[int], rest: Sequence[Any]) -> tuple[int, ...]:
    """Shape of what ``aten::convolution`` makes of an input and weights of these shapes, and its other arguments."""
    stride, padding, dilation, transposed, output_padding, groups = rest
    sizes = zip(x[2:], weight[2:], stride, padding, dilation, output_padding, strict=True)
    if transposed:
        space = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in sizes]
        return (x[0], weight[1] * groups, *space)
    space = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in sizes]
    return (x[0], weight[0], *space)


def _bytes(values: Any) -> int:
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
