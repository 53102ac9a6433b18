"""What a node of the graph remembers of its step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from invrim.invertible.arithmetic import Floating
from invrim.invertible.base import Invertible, held_by
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
        self.parameters: dict[Tensor, None] = {}
        """Those of all steps, each once."""
        self._homes: dict[Tensor, Tensor] | None = None

    def make_homes(self) -> None:
        """Take memory for the gradients of all parameters when the walk begins.

        Where the walk makes them they would lie between the large blocks that it frees, which then fit for nothing: on
        a CPU memory would grow with depth although activations do not. A parameter that has a gradient already needs
        no more: autograd adds to that one.
        """
        if self._homes is None:
            self._homes = {p: torch.empty_like(p) for p in self.parameters if p.is_leaf and p.grad is None}

    def bring_home(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Copy gradients into the memory that was taken for them."""
        homes = {} if self._homes is None else self._homes
        return [_moved(gradient, homes.pop(p, None)) for p, gradient in zip(parameters, gradients, strict=True)]


def _moved(gradient: Tensor | None, home: Tensor | None) -> Tensor | None:
    """Copy a gradient home, if it has one; one that stands for several, as in vmap, does not fit."""
    if gradient is None or home is None or not torch._C._has_storage(gradient):
        return gradient
    return home.copy_(gradient)


@dataclass(frozen=True)
class Place:
    """Where in its chain a step stands."""

    is_first: bool
    ends_walk: bool
    """Whether a walk back ends at its input: the state there is the caller's, or kept."""
    keeps_output: bool
    may_overwrite: bool


class Slot(NamedTuple):
    """Where a module holds a tensor, and what it held there in the forward pass."""

    owner: nn.Module
    members: dict[str, Tensor | None]
    """The owner's parameters or buffers."""
    name: str
    tensor: Tensor
    version: int

    def is_changed(self) -> bool:
        """Whether the tensor was written into since."""
        return version_of(self.tensor) != self.version


@dataclass
class Record:
    """What a node remembers of its step; no activation is among it."""

    step: Invertible
    context: object
    modules: tuple[nn.Module, ...]
    """All modules of the step and of its context."""
    slots: list[Slot]
    """All tensors that the step may read, as they were: the modules may hold others by now."""
    trainable: list[Tensor]
    """Those of them that require gradients, each once."""
    training: tuple[bool, ...]
    tape: Tape
    place: Place
    autocast: tuple[str, torch.dtype, bool]
    randomness: Randomness | None = None
    """Where the random generators stood, if the step drew from them."""
    noted: Tensor | None = None
    """What the input is known by, if a walk back ends there."""

    @classmethod
    def of(cls, step: Invertible, context: object, device: str, tape: Tape, place: Place) -> Record:
        """Take down a step before it is applied on a device (type)."""
        owners = (step, context) if isinstance(context, nn.Module) else (step,)
        modules = tuple(dict.fromkeys(module for owner in owners for module in owner.modules()))
        slots = [
            Slot(module, members, name, tensor, version_of(tensor))
            for module in modules
            for members, name, tensor in held_by(module)
        ]
        trainable = list({id(slot.tensor): slot.tensor for slot in slots if slot.tensor.requires_grad}.values())
        tape.parameters.update(dict.fromkeys(trainable))
        training = tuple(module.training for module in modules)
        return cls(step, context, modules, slots, trainable, training, tape, place, autocast_on(device))

    def path(self, module: nn.Module) -> str:
        """Name one of the modules as its step or context does."""
        owners = (owner for owner in (self.step, self.context) if isinstance(owner, nn.Module))
        return next(path for owner in owners for path, found in owner.named_modules() if found is module)

    def ask(self, tensors: Sequence[Tensor], question: Callable[[Invertible, object], Any]) -> Any:
        """Ask the step something with ``tensors`` in place of the `trainable` ones, and all else as it was."""
        substitutes = {id(old): new for old, new in zip(self.trainable, tensors, strict=True)}
        # Not torch.func.functional_call, which takes longer than the rest of the engine: it looks for names.
        before = [slot.members.get(slot.name) for slot in self.slots]
        try:
            for slot in self.slots:
                slot.members[slot.name] = substitutes.get(id(slot.tensor), slot.tensor)
            with self._training_as_before():
                return question(self.step, self.context)
        finally:
            for slot, tensor in zip(self.slots, before, strict=True):
                slot.members[slot.name] = tensor

    @contextmanager
    def _training_as_before(self) -> Iterator[None]:
        """Undo ``train()`` and ``eval()`` since the forward pass, for the time of a recomputation."""
        changed = [(m, m.training) for m, t in zip(self.modules, self.training, strict=True) if m.training != t]
        for module, now in changed:
            module.training = not now
        try:
            yield
        finally:
            for module, now in changed:
                module.training = now

    def precision(self) -> AbstractContextManager[object]:
        """Return the autocast setting of the forward pass: the recomputation must run under the same."""
        device_type, dtype, enabled = self.autocast
        if self.autocast == autocast_on(device_type):
            return nullcontext()
        return torch.autocast(device_type, dtype=dtype, enabled=enabled)

    def resolution(self) -> float:
        """Relative round-off of what autocast lowers, 0 where it lowers nothing."""
        _, dtype, enabled = self.autocast
        return torch.finfo(dtype).eps if enabled else 0.0


def autocast_on(device: str) -> tuple[str, torch.dtype, bool]:
    """Autocast as it is set for a device (type): that, the lower precision, and whether it is on."""
    return device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)


def version_of(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
