"""Constant-memory backpropagation: forget the activations, compute them again backwards.

Every step becomes one autograd node, so that autograd itself drives the walk: gradients of a step's parameters are
released as soon as the step is done, hooks fire as usual, and `torch.autograd.grad` and frozen parameters need no
special care. The nodes of one call share a tape that holds a single state, the output of the step whose turn is next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from invrim.errors import InvrimError
from invrim.invertible.base import Invertible, PulledBack, differentiate


def invert_to_learn(steps: Sequence[Invertible], z: Tensor, context: object) -> Tensor:
    """Apply ``steps`` in order, keeping one state for the backward pass whatever their number.

    The backward pass walks from last to first: it undoes a step, evaluates it once with a graph for the gradients,
    and forgets it. A step with an additive update shares one evaluation between the two, which costs 4/3 of plain
    backpropagation.

    Parameters
    ----------
    steps
        Invertible maps, applied first to last; the same one may occur more than once.
    z
        State ``(b, c, ...)``. It is neither changed nor kept.
    context
        What every step may read, e.g. the data fidelity. Its tensors that require gradients receive them.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 2.1.
    """
    tape = _Tape()
    for index, step in enumerate(steps):
        z = _apply(step, z, context, tape, is_last=index == len(steps) - 1)
    return z


class _Tape:
    """The one state that the nodes of a call hand to each other on the way back."""

    state: Tensor | None = None


class _Bound(nn.Module):
    """A step together with its context, so that both sets of tensors have names that can be substituted."""

    def __init__(self, step: Invertible, context: object) -> None:
        super().__init__()
        self.step = step
        self.context = context

    def forward(self, ask: Callable[[Invertible, object], Any]) -> Any:
        return ask(self.step, self.context)


@dataclass(frozen=True)
class _Record:
    """What a node remembers of its step; no activation is among it."""

    bound: _Bound
    names: tuple[str, ...]
    versions: tuple[int, ...]
    tape: _Tape
    is_last: bool
    autocast: tuple[str, torch.dtype, bool]

    def ask(self, tensors: Sequence[Tensor], question: Callable[[Invertible, object], Any]) -> Any:
        """Ask the step something with ``tensors`` in place of its own and its context's."""
        return functional_call(self.bound, dict(zip(self.names, tensors, strict=True)), (question,))

    def precision(self) -> AbstractContextManager[None]:
        """Return the autocast setting of the forward pass: the recomputation must run under the same."""
        device_type, dtype, enabled = self.autocast
        return torch.autocast(device_type, dtype=dtype, enabled=enabled)


def _apply(step: Invertible, z: Tensor, context: object, tape: _Tape, *, is_last: bool) -> Tensor:
    bound = _Bound(step, context)
    named = {name: t for name, t in (*bound.named_parameters(), *bound.named_buffers()) if t.requires_grad}
    device_type = z.device.type
    record = _Record(
        bound=bound,
        names=tuple(named),
        versions=tuple(t._version for t in named.values()),
        tape=tape,
        is_last=is_last,
        autocast=(device_type, torch.get_autocast_dtype(device_type), torch.is_autocast_enabled(device_type)),
    )
    return _Step.apply(record, z, *named.values())


class _Step(torch.autograd.Function):
    """One step of a chain as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, record: _Record, z: Tensor, *tensors: Tensor) -> Tensor:
        out = record.bound.step(z, record.bound.context)
        if record.is_last:
            # Saved, not merely kept: autograd then notices when somebody overwrites the output in place.
            ctx.save_for_backward(out)
        ctx.record = record
        ctx.tensors = tensors
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        record: _Record = ctx.record
        (grad_out,) = grad_outputs
        _refuse_changed_tensors(record, ctx.tensors)
        z_out = _take_state(ctx, record)
        walk = _pull_back_differentiably if torch.is_grad_enabled() else _pull_back
        with record.precision():
            pulled, gradients = walk(record, ctx.tensors, z_out, grad_out)
        record.tape.state = pulled.z if ctx.needs_input_grad[1] else None
        return (None, pulled.grad, *gradients)


Walked = tuple[PulledBack, list[Tensor | None]]


def _pull_back(record: _Record, tensors: Sequence[Tensor], z_out: Tensor, grad_out: Tensor) -> Walked:
    """Let the step pull back with leaves in place of its tensors: gradients stop there, even where one tensor is
    computed from another."""
    leaves = [t.detach().requires_grad_() for t in tensors]
    pulled = record.ask(leaves, lambda step, context: step.pull_back(z_out, grad_out, context))
    return pulled, [pulled.gradients.get(leaf) for leaf in leaves]


def _pull_back_differentiably(record: _Record, tensors: Sequence[Tensor], z_out: Tensor, grad_out: Tensor) -> Walked:
    """Do the same with a graph, for gradients of gradients (``create_graph=True``).

    The inversion sees the tensors, the recomputation views of them: gradients of the views do not reach through the
    reconstructed state, although it depends on the same tensors.
    """
    z = record.ask(tensors, lambda step, context: step.inverse(z_out, context))
    views = [t.view_as(t) for t in tensors]
    pulled = record.ask(views, lambda step, context: differentiate(step, z, grad_out, context, create_graph=True))
    return pulled, [pulled.gradients.get(view) for view in views]


def _take_state(ctx: Any, record: _Record) -> Tensor:
    if record.is_last:
        (z_out,) = ctx.saved_tensors
        return z_out
    state, record.tape.state = record.tape.state, None
    if state is None:
        raise InvrimError(
            "expected the backward pass to reach this step from the last one, got a step without its output. "
            "Call backward on the output of the chain, or use backprop='store'."
        )
    return state


def _refuse_changed_tensors(record: _Record, tensors: tuple[Tensor, ...]) -> None:
    for name, version, tensor in zip(record.names, record.versions, tensors, strict=True):
        if tensor._version != version:
            raise InvrimError(
                f"expected {name.partition('.')[2]} as it was in the forward pass, got it changed in place since. "
                f"Call backward before the optimiser's step, or use backprop='store'."
            )
