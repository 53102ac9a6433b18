"""Where a walk back begins: it takes over the state and the gradient, before any step needs working memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invrim.invertible.base import is_hooked
from invrim.invertible.drift import sample
from invrim.invertible.record import Record


def keep(z: Tensor, record: Record) -> Tensor:
    """Keep a step's output for the backward pass, which then finds state and gradient on the tape, free to overwrite.

    The copies are made one after the other, in nodes of the graph by themselves: autograd lets go of what was copied
    after each, so that never more than three states are held, and two when the step's turn comes.
    """
    kept: Tensor = _TakeState.apply(_TakeGradient.apply(z, record), record)
    return kept


class _TakeState(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, record: Record) -> Tensor:
        # Saved, not merely kept: autograd then notices when somebody overwrites the output in place.
        ctx.save_for_backward(z)
        ctx.mark_dirty(z)
        ctx.record = record
        return z

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        tape = ctx.record.tape
        tape.state = None  # a later part of the walk may have ended here; its state goes before the copy comes
        (z,) = ctx.saved_tensors
        tape.scale = torch.linalg.vector_norm(sample(z))
        tape.state = z if torch.is_grad_enabled() else z.clone()
        return grad_outputs[0], None


class _TakeGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, record: Record) -> Tensor:
        ctx.mark_dirty(z)
        ctx.record = record
        return z

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (grad,) = grad_outputs
        tape = ctx.record.tape
        if grad is not tape.grad or is_hooked(ctx.record.step):  # what a hook was given it may keep
            tape.grad = None
            tape.grad = grad.clone()
        return tape.grad, None
