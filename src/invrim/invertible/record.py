"""What a node of the graph remembers of its step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from invrim.invertible.arithmetic import Floating
from invrim.invertible.base import Invertible
from invrim.invertible.drift import DriftWatch
from invrim.invertible.randomness import Randomness


class Tape:
    """What the nodes of a call share, and hand to each other on the way back."""

    def __init__(self, arithmetic: Floating, watch: DriftWatch) -> None:
        self.arithmetic = arithmetic
        self.watch = watch
        self.state: Tensor | None = None
        """Output of the step whose turn is next; the walk owns it."""
        self.grad: Tensor | None = None
        """The gradient handed on with it."""
        self.scale: Tensor | None = None
        """Norm of a sample of the state that the walk began with."""


@dataclass(frozen=True)
class Place:
    """Where in its chain a step stands."""

    is_first: bool
    ends_walk: bool
    """Whether a walk back ends at its input: the state there is the caller's, or kept."""
    keeps_output: bool
    may_overwrite: bool


class _Bound(nn.Module):
    """A step together with its context, so that both sets of tensors have names that can be substituted."""

    def __init__(self, step: Invertible, context: object) -> None:
        super().__init__()
        self.step = step
        self.context = context

    def forward(self, ask: Callable[[Invertible, object], Any]) -> Any:
        return ask(self.step, self.context)


@dataclass
class Record:
    """What a node remembers of its step; no activation is among it."""

    bound: _Bound
    names: tuple[str, ...]
    fixed: dict[str, Tensor]
    """Tensors without gradients that the step reads, as they were: the module may hold others by now."""
    versions: dict[str, int]
    training: tuple[bool, ...]
    tape: Tape
    place: Place
    autocast: tuple[str, torch.dtype, bool]
    randomness: Randomness | None = None
    """Where the random generators stood, if the step drew from them."""
    noted: Tensor | None = None
    """What the input is known by, if a walk back ends there."""

    @classmethod
    def of(
        cls, step: Invertible, context: object, device: str, tape: Tape, place: Place
    ) -> tuple[Record, list[Tensor]]:
        """Take down a step before it is applied on a device (type); list its tensors that require gradients."""
        bound = _Bound(step, context)
        every = dict((*bound.named_parameters(), *bound.named_buffers()))
        trainable = {name: t for name, t in every.items() if t.requires_grad}
        record = cls(
            bound=bound,
            names=tuple(trainable),
            fixed={name: t for name, t in every.items() if name not in trainable},
            versions={name: version_of(t) for name, t in every.items()},
            training=tuple(module.training for module in bound.modules()),
            tape=tape,
            place=place,
            autocast=(device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)),
        )
        return record, list(trainable.values())

    @property
    def step(self) -> Invertible:
        """The step itself."""
        return self.bound.step

    def ask(self, tensors: Sequence[Tensor], question: Callable[[Invertible, object], Any]) -> Any:
        """Ask the step something with ``tensors`` in place of its own and its context's."""
        substitutes = {**self.fixed, **dict(zip(self.names, tensors, strict=True))}
        with self._training_as_before():
            return functional_call(self.bound, substitutes, (question,))

    @contextmanager
    def _training_as_before(self) -> Iterator[None]:
        """Undo ``train()`` and ``eval()`` since the forward pass, for the time of a recomputation."""
        changed = [(m, m.training) for m, t in zip(self.bound.modules(), self.training, strict=True) if m.training != t]
        for module, now in changed:
            module.training = not now
        try:
            yield
        finally:
            for module, now in changed:
                module.training = now

    def precision(self) -> AbstractContextManager[None]:
        """Return the autocast setting of the forward pass: the recomputation must run under the same."""
        device_type, dtype, enabled = self.autocast
        return torch.autocast(device_type, dtype=dtype, enabled=enabled)


def version_of(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
