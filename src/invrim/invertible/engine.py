"""Constant-memory backpropagation: forget the activations, compute them again backwards.

Every step becomes one autograd node, so that autograd itself drives the walk: gradients of a step's parameters are
released as soon as the step is done, hooks fire as usual, and `torch.autograd.grad` and frozen parameters need no
special care. The nodes of one call share a tape that holds a single state, the output of the step whose turn is next,
and its gradient; both are overwritten from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from invrim.errors import InvrimError
from invrim.invertible.arithmetic import Floating
from invrim.invertible.base import Invertible, PulledBack, differentiate, is_hooked
from invrim.invertible.drift import DriftWatch
from invrim.invertible.handover import keep
from invrim.invertible.randomness import Randomness, replay, rewind
from invrim.invertible.record import Place, Record, Tape
from invrim.invertible.refusals import (
    refuse_changed_tensors,
    refuse_forward_mode,
    refuse_function_transforms,
    refuse_running_statistics,
    refuse_self_update,
    refuse_unregistered,
)


@torch.compiler.disable
def invert_to_learn(
    steps: Sequence[Invertible],
    z: Tensor,
    context: object,
    *,
    returned: Collection[int] = (),
    anchor_every: int | None = None,
    arithmetic: Floating | None = None,
    watch: DriftWatch | None = None,
) -> list[Tensor]:
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
    returned
        Numbers of the steps, from 0, whose output is returned besides the last one's. Each is kept.
    anchor_every
        Keep the state after every so many steps too; the walk back starts afresh there.
    arithmetic
        Floating point by default; on a fixed-point grid every state comes back bit for bit.
    watch
        Told how far from the true state every walk back ends; None for one with the usual limits.

    Returns
    -------
    The outputs of the steps in ``returned``, in the order of the steps, and of the last one.

    References
    ----------
    .. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019, section 2.1.
    """
    last = len(steps) - 1
    kept = {last, *returned, *range((anchor_every or len(steps)) - 1, last, anchor_every or len(steps))}
    refuse_function_transforms()
    for index, step in enumerate(steps):
        if is_hooked(step):  # a hook may change what enters and what leaves, so that both ends are kept
            kept |= {index - 1, index}
    arithmetic = arithmetic or Floating()
    z = arithmetic.enter(z)
    tape = Tape(arithmetic, watch or DriftWatch())
    outputs = []
    for index, step in enumerate(steps):
        # A state may be overwritten when nobody but the engine holds it: not the caller's, not one that is kept.
        is_ours = index - 1 not in kept and (index > 0 or arithmetic.copies_on_entry)
        z = _apply(step, z, context, tape, Place(index == 0, index == 0 or index - 1 in kept, index in kept, is_ours))
        if index == last or index in returned:
            outputs.append(z)
    return outputs


def _apply(step: Invertible, z: Tensor, context: object, tape: Tape, place: Place) -> Tensor:
    record = Record.of(step, context, z.device.type, tape, place)
    refuse_unregistered(record)
    refuse_running_statistics(record)

    def node(z: Tensor, _: object = None, /) -> Tensor:
        out = _Step.apply(record, z, *record.trainable)
        return keep(out, record) if place.keeps_output and out.requires_grad else out

    out = _call_with_hooks(step, node, z, context) if is_hooked(step) else node(z)
    refuse_self_update(record)
    return out


def _call_with_hooks(step: Invertible, node: Callable[..., Tensor], z: Tensor, context: object) -> Tensor:
    """Run the step's hooks around its node of the graph, where plain autograd would run them around its forward."""
    own = vars(step).get("forward")
    step.__dict__["forward"] = node
    try:
        return step(z, context)
    finally:
        del step.__dict__["forward"]
        if own is not None:
            step.__dict__["forward"] = own


class _Step(torch.autograd.Function):
    """One step of a chain as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, record: Record, z: Tensor, *_tensors: Tensor) -> Tensor:
        place, before = record.place, Randomness.now(z.device)
        if place.ends_walk or not ctx.needs_input_grad[1]:
            record.noted = record.tape.arithmetic.note(z)
        out = record.tape.arithmetic.forward(record.step, z, record.context, may_overwrite=place.may_overwrite)
        if not before.is_current():
            record.randomness = before
        if out is z and place.may_overwrite:
            ctx.mark_dirty(z)
        elif out.untyped_storage().data_ptr() == z.untyped_storage().data_ptr():
            out = out.clone()  # a view of the caller's state, which the next step would overwrite
        elif out._is_view():
            # The same memory, but no view: autograd lets nobody overwrite a view that was made in here.
            out = out.new_empty(0).set_(out.untyped_storage(), out.storage_offset(), out.shape, out.stride())
        ctx.record = record
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        record: Record = ctx.record
        (grad_out,) = grad_outputs
        refuse_changed_tensors(record)
        walk = _pull_back_differentiably if torch.is_grad_enabled() else _pull_back
        with record.precision(), replay(record.randomness):
            pulled, gradients = walk(record, record.trainable, _take_state(record), grad_out)
        tape = record.tape
        if record.noted is None:
            tape.state = pulled.z
        else:
            _note_drift(record, pulled.z, record.noted)
        if not record.place.is_first and ctx.needs_input_grad[1] and not is_hooked(record.step):
            tape.grad = pulled.grad  # What a hook was given it may keep: the next step then copies it.
        return (None, pulled.grad, *gradients)

    @staticmethod
    def jvp(_ctx: Any, *_tangents: Tensor | None) -> NoReturn:
        refuse_forward_mode()


Walked = tuple[PulledBack, list[Tensor | None]]


def _pull_back(record: Record, tensors: Sequence[Tensor], z_out: Tensor, grad_out: Tensor) -> Walked:
    """Let the step pull back with leaves in place of its tensors: gradients stop there, even where one tensor is
    computed from another."""
    record.tape.grad = None
    record.tape.make_homes()
    leaves = [t.detach().requires_grad_() for t in tensors]
    pulled = record.ask(leaves, lambda step, context: record.tape.arithmetic.pull_back(step, z_out, grad_out, context))
    gradients = [pulled.gradients.pop(leaf, None) for leaf in leaves]
    return pulled, record.tape.bring_home(tensors, gradients)


def _pull_back_differentiably(record: Record, tensors: Sequence[Tensor], z_out: Tensor, grad_out: Tensor) -> Walked:
    """Do the same with a graph, for gradients of gradients (``create_graph=True``), in floating point.

    The inversion sees the tensors, the recomputation views of them: gradients of the views do not reach through the
    reconstructed state, although it depends on the same tensors.
    """
    z = record.ask(tensors, lambda step, context: step.inverse(z_out, context))
    rewind()
    views = [t.view_as(t) for t in tensors]
    pulled = record.ask(views, lambda step, context: differentiate(step, z, grad_out, context, create_graph=True))
    return pulled, [pulled.gradients.get(view) for view in views]


def _note_drift(record: Record, z: Tensor, noted: Tensor) -> None:
    """Compare the state that a walk ends with to the one that it should be."""
    tape = record.tape
    assert tape.scale is not None
    drift = tape.arithmetic.drift(z, noted, tape.scale)
    if drift is not None:
        tape.watch.note(drift, record.resolution())


def _take_state(record: Record) -> Tensor:
    state, record.tape.state = record.tape.state, None
    if state is None:
        raise InvrimError(
            "expected the backward pass to reach this step from the last one, got a step without its output. "
            "Call backward on the output of the chain, or use backprop='store'."
        )
    return state
