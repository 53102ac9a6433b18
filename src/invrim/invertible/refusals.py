"""What the engine cannot do rightly, it refuses, and says what to do instead."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._pytree import tree_leaves

from invrim.errors import InvrimError, OptionError
from invrim.invertible.record import Record


def refuse_changed_tensors(record: Record) -> None:
    for slot in record.slots:
        if slot.is_changed():
            name = ".".join(filter(None, (record.path(slot.owner), slot.name)))
            raise InvrimError(
                f"expected {name} as it was in the forward pass, got it changed in place since. "
                f"Call backward before the optimiser's step, or use backprop='store'."
            )


def refuse_self_update(record: Record) -> None:
    """A second evaluation would update once more what the first has updated."""
    for slot in record.slots:
        if not slot.tensor.requires_grad and slot.is_changed():
            raise OptionError(
                f"expected steps that leave their buffers alone, got {type(slot.owner).__name__} "
                f"'{record.path(slot.owner)}', which changes its {slot.name} in the forward pass, and would do so "
                f"twice. Call its eval(), or use backprop='store'."
            )


def refuse_function_transforms() -> None:
    """Transforms of `torch.func` carry their tensors past a node of the graph that holds tensors of its own."""
    if torch._C._are_functorch_transforms_active():
        raise OptionError(
            "expected a chain with backprop='store' inside torch.func's transforms, got one that inverts. Set "
            "chain.backprop = 'store', or use torch.autograd.grad or torch.autograd.functional."
        )


def refuse_tangents(z: Tensor) -> None:
    """Rounding to a grid would silently make them zero."""
    if forward_ad.unpack_dual(z).tangent is not None:
        refuse_forward_mode()


def refuse_forward_mode() -> NoReturn:
    """Nothing is saved by inversion where nothing is kept."""
    raise OptionError(
        "expected a chain with backprop='store' in forward mode, which keeps no activations anyway, got one "
        "that inverts. Set chain.backprop = 'store'."
    )


def refuse_unregistered(record: Record) -> None:
    """A tensor that no module knows by name could not receive its gradient."""
    context = record.context
    if not isinstance(context, nn.Module):
        held = tree_leaves(context) + list(getattr(context, "__dict__", {}).values())
        if any(isinstance(t, Tensor) and t.requires_grad for t in held):
            raise OptionError(
                f"expected a context whose tensors need no gradients, or an nn.Module, got {type(context).__name__} "
                f"with some that do. Put them into an nn.Module as parameters or buffers, or use backprop='store'."
            )
    for module in record.modules:
        # Forward pre-hooks, e.g. of the old weight_norm, compute such attributes afresh in every call.
        for name, value in () if module._forward_pre_hooks else vars(module).items():
            if isinstance(value, Tensor) and value.requires_grad:
                raise OptionError(
                    f"expected tensors that need gradients to be parameters or buffers, got {name!r} of "
                    f"{type(module).__name__} {record.path(module)!r} as a plain attribute. Use register_buffer or "
                    f"nn.Parameter, or backprop='store'."
                )


def refuse_running_statistics(record: Record) -> None:
    """A second evaluation would update running statistics a second time."""
    for module in record.modules:
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.training and module.track_running_stats:
            raise OptionError(
                f"expected steps that keep no running statistics, got {type(module).__name__} "
                f"'{record.path(module)}' in training mode, which would update them twice. Use GroupNorm, put it in "
                f"eval mode, or use backprop='store'."
            )
