"""How much memory a step takes, stored or inverted: found by running it."""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from invrim.invertible.base import Invertible, evaluate, trainable, vector_jacobian
from invrim.invertible.randomness import Randomness, replay, rewind

_CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)


class LiveBytes(TorchDispatchMode):
    """Count the bytes of the tensors made inside this context, as they come and go.

    Every storage counts once. Scratch space of kernels is not seen; a convolution is taken to copy all that it is
    given into a layout of its own, as it does on the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = _storages((args, kwargs))
        result = func(*args, **(kwargs or {}))
        for key, storage in _storages(result).items():
            if key not in given and key not in self._alive:
                self._count(key, storage)
        scratch = sum(storage.nbytes() for storage in given.values()) if func in _CONVOLUTIONS else 0
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
    kept: int
    """Of its graph, the output included, when it is stored."""
    forward: int
    """At the peak of the stored step's forward pass."""
    backward: int
    """At the peak of its backward pass, what was kept and the output's gradient included."""
    inverted: int
    """At the peak of its forward pass without a graph, and of the walk back over it, a copy of the output and both
    gradients included."""


def situation(steps: Sequence[Invertible], z: Tensor, context: object) -> Hashable:
    """What footprints depend on: two calls in the same situation have the same."""
    kind = z.device.type
    return (
        z.shape, z.dtype, z.device, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind),
        tuple((step.training, tuple(p.requires_grad for p in step.parameters())) for step in steps),
        tuple(t.shape for t in trainable(context)),
    )  # fmt: skip


def footprints(steps: Sequence[Invertible], z: Tensor, context: object) -> list[Footprint]:
    """Run every step once in either way, and forget what it computed; random generators stay where they are."""
    found = []
    state = z.detach()
    with replay(Randomness.now(z.device)):
        for step in steps:
            output, kept, forward, backward = _stored(step, state, context)
            inverted = _inverted(step, state, output, context)
            found.append(Footprint(_size(output), kept, forward, backward, inverted))
            state = output
    return found


def _stored(step: Invertible, z: Tensor, context: object) -> tuple[Tensor, int, int, int]:
    with LiveBytes() as live, torch.enable_grad():
        at = z.detach().requires_grad_()
        out = evaluate(step, at, context)
        kept, forward = live.now, live.peak
        live.peak = 0
        tensors = [at, *trainable(step, context)]
        vector_jacobian(out, tensors, torch.zeros_like(out))
        return out.detach(), kept, forward, live.peak


def _inverted(step: Invertible, z: Tensor, output: Tensor, context: object) -> int:
    with LiveBytes() as live, torch.no_grad():
        rewind()
        step.forward_(z.clone(), context)
        rewind()
        step.pull_back(output.clone(), torch.zeros_like(output), context)
        return live.peak


def _size(z: Tensor) -> int:
    return z.numel() * z.element_size()


def _storages(values: Any) -> dict[int, torch.UntypedStorage]:
    return {s._cdata: s for s in (t.untyped_storage() for t in tree_leaves(values) if isinstance(t, Tensor))}
