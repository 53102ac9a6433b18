"""How much memory a step takes, stored or inverted: found by running it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from invrim.invertible.base import Invertible, evaluate, trainable, vector_jacobian
from invrim.invertible.foretelling import foretell
from invrim.invertible.randomness import Randomness, replay, rewind

_CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)


class _TooLargeError(Exception):
    """What is measured needs more than it may; ends a measurement, and reaches nobody."""


class LiveBytes(TorchDispatchMode):
    """Count the bytes of the tensors made inside this context, as they come and go.

    Every storage counts once. Scratch space of kernels is not seen; a convolution is taken to copy all that it is
    given into a layout of its own, as it does on the CPU, but for float32 with channels last.

    Parameters
    ----------
    limit
        Of the bytes alive, scratch space included: an operation that would pass it is not begun, but raises.
    """

    def __init__(self, limit: float = math.inf) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._limit = limit
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given, kwargs = _storages((args, kwargs)), kwargs or {}
        scratch = sum(map(_copied_bytes, tree_leaves(args))) if func in _CONVOLUTIONS else 0
        if math.isfinite(self._limit) and self.now + scratch + _result_bytes(func, args, kwargs) > self._limit:
            raise _TooLargeError
        result = func(*args, **kwargs)
        for key, storage in _storages(result).items():
            if key not in given and key not in self._alive:
                self._count(key, storage)
        self.peak = max(self.peak, self.now + scratch)
        return result

    def _count(self, key: int, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()

        def forget(_: object) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, forget)
        self.now += size


@dataclass(frozen=True)
class Footprint:
    """Bytes of one step above what is there before it; tensors only, parameters not among them."""

    output: int
    """Of the state that it makes."""
    inverted: int
    """At the peak of its forward pass without a graph, and of the walk back over it, a copy of the output and both
    gradients included."""
    kept: float
    """Of its graph, the output included, when it is stored; infinite, as are the next two, if too much."""
    forward: float
    """At the peak of the stored step's forward pass."""
    backward: float
    """At the peak of its backward pass, what was kept and the output's gradient included."""


def situation(steps: Sequence[Invertible], z: Tensor, context: object) -> Hashable:
    """What footprints depend on: two calls in the same situation have the same."""
    kind = z.device.type
    return (
        z.shape, z.dtype, z.device, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind),
        tuple((step.training, tuple(p.requires_grad for p in step.parameters())) for step in steps),
        tuple(t.shape for t in trainable(context)),
    )  # fmt: skip


def footprints(steps: Sequence[Invertible], z: Tensor, context: object, budget: float = math.inf) -> list[Footprint]:
    """Run every step once in either way, and forget what it computed; random generators stay where they are.

    Measuring keeps a budget, too: a step is not stored, or not to the end, where that takes more, but for as much as
    inverting the step takes anyway.
    """
    found = []
    state = z.detach()
    with replay(Randomness.now(z.device)):
        for step in steps:
            output, inverted = _inverted(step, state, context)
            limit = max(budget, inverted + 2 * output) - _size(state)
            state, kept, forward, backward = _stored(step, state, context, limit)
            found.append(Footprint(output, inverted, kept, forward, backward))
    return found


def _inverted(step: Invertible, z: Tensor, context: object) -> tuple[int, int]:
    with LiveBytes() as live, torch.no_grad():
        rewind()
        out = step.forward_(z.clone(), context)
        output = _size(out)
        rewind()
        step.pull_back(out, torch.zeros_like(out), context)
        return output, live.peak


def _stored(step: Invertible, z: Tensor, context: object, limit: float) -> tuple[Tensor, float, float, float]:
    rewind()
    with suppress(_TooLargeError):  # the graph is gone behind it, as far as it came
        return _differentiated(step, z, context, limit)
    rewind()
    with torch.no_grad():
        return evaluate(step, z, context), math.inf, math.inf, math.inf


def _differentiated(step: Invertible, z: Tensor, context: object, limit: float) -> tuple[Tensor, int, int, int]:
    with LiveBytes(limit) as live, torch.enable_grad():
        at = z.detach().requires_grad_()
        out = evaluate(step, at, context)
        kept, forward = live.now, live.peak
        live.peak = 0
        tensors = [at, *trainable(step, context)]
        vector_jacobian(out, tensors, torch.zeros_like(out))
        return out.detach(), kept, forward, live.peak


def _result_bytes(func: Any, args: Any, kwargs: Any) -> int:
    """Bytes of what an operation will make, found with tensors that have no data; 0 for one that wants to see data."""
    with _disable_current_modes():  # who counts around this one would count them
        try:
            given, made = map(_storages, foretell(func, args, kwargs))
        except RuntimeError:  # it is counted when it is made
            return 0
        return sum(made[key].nbytes() for key in made.keys() - given.keys())


def _copied_bytes(given: Any) -> int:
    """Of what a convolution is given."""
    if not isinstance(given, Tensor):
        return 0
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(given.ndim)
    if last is not None and given.dtype == torch.float32 and given.is_contiguous(memory_format=last):
        return 0
    return _size(given)


def _size(z: Tensor) -> int:
    return z.numel() * z.element_size()


def _storages(values: Any) -> dict[int, torch.UntypedStorage]:
    return {s._cdata: s for s in (t.untyped_storage() for t in tree_leaves(values) if isinstance(t, Tensor))}
