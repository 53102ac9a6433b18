"""The contract of an invertible step: what a chain may ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from invrim.invertible import randomness


class PulledBack(NamedTuple):
    """What one step of backpropagation hands to the step before it."""

    z: Tensor
    """The step's input, reconstructed."""
    grad: Tensor
    """Gradient of the loss with respect to that input."""
    gradients: dict[Tensor, Tensor]
    """Gradients of the tensors that the step read, keyed by the tensor; one without influence is left out."""


class Invertible(nn.Module, ABC):
    """A map from state to state that can be undone.

    A subclass writes `forward` and `inverse`. Both may read ``context``, any object that all steps of a chain share;
    if it is a module, its parameters and buffers that require gradients receive them. The backward
    pass evaluates the map a second time; random numbers are then drawn again as they were.
    """

    @abstractmethod
    def forward(self, z: Tensor, context: object = None, /) -> Tensor:
        """State in, state out."""

    @abstractmethod
    def inverse(self, z: Tensor, context: object = None, /) -> Tensor:
        """Undo `forward`, up to round-off."""

    def forward_(self, z: Tensor, context: object = None, /) -> Tensor:
        """Do what `forward` does, free to overwrite ``z``.

        The engine calls it without a graph, on states that nobody else holds. Override it where writing into the
        state saves a copy.
        """
        return self.forward(z, context)

    def pull_back(self, z_out: Tensor, grad_out: Tensor, context: object = None, /) -> PulledBack:
        """Turn the output and its gradient into the input and its gradient, free to overwrite both.

        This default inverts, then recomputes with a graph: two evaluations. A step whose inverse shares its
        expensive part with its forward overrides it with one.
        """
        with torch.no_grad():
            z = self.inverse(z_out, context)
        randomness.rewind()
        return differentiate(self, z, grad_out, context)


def differentiate(
    step: Invertible, z: Tensor, grad_out: Tensor, context: object, *, create_graph: bool = False
) -> PulledBack:
    """Backpropagate ``grad_out`` through one evaluation of ``step`` at ``z``.

    With ``create_graph`` the result can be differentiated again. The state is then viewed, not detached: asking for
    the gradient of the view stops there, although ``z`` itself may depend on the step's tensors.
    """
    with torch.enable_grad():
        at = z.view_as(z) if create_graph else z.detach().requires_grad_()
        out = evaluate(step, at, context)
        gradients = vector_jacobian(out, [at, *trainable(step, context)], grad_out, create_graph=create_graph)
    return PulledBack(z, gradients.pop(at), gradients)


def vector_jacobian(
    out: Tensor | GradientEdge, tensors: list[Tensor], grad_out: Tensor, *, create_graph: bool = False
) -> dict[Tensor, Tensor]:
    """Gradients of ``sum(out * grad_out)`` for those of ``tensors`` that ``out`` depends on."""
    if not tensors or (isinstance(out, Tensor) and not out.requires_grad):
        return {}
    grads = torch.autograd.grad(out, tensors, grad_out, create_graph=create_graph, allow_unused=True)
    return {tensor: grad for tensor, grad in zip(tensors, grads, strict=True) if grad is not None}


def add_gradients(total: dict[Tensor, Tensor], more: dict[Tensor, Tensor]) -> None:
    """Add gradients to ``total``, tensor by tensor."""
    for tensor, grad in more.items():
        total[tensor] = total[tensor] + grad if tensor in total else grad


def trainable(*owners: object) -> list[Tensor]:
    """Parameters and buffers of the modules among ``owners`` that require gradients, each once."""
    found: dict[Tensor, None] = {}
    for owner in owners:
        if isinstance(owner, nn.Module):
            held = (tensor for module in owner.modules() for _, _, tensor in held_by(module))
            found.update(dict.fromkeys(tensor for tensor in held if tensor.requires_grad))
    return list(found)


def held_by(module: nn.Module) -> Iterator[tuple[dict[str, Tensor | None], str, Tensor]]:
    """Parameters and buffers of the module itself: where they are held, under which name, and they.

    Several times faster than `torch.nn.Module.named_parameters`, which the engine would ask in every step.
    """
    kinds: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
    for members in kinds:
        for name, tensor in members.items():
            if tensor is not None:
                yield members, name, tensor


def is_hooked(step: nn.Module) -> bool:
    """Whether the step has hooks of its own; the engine runs them around its node of the graph."""
    return bool(step._forward_hooks or step._forward_pre_hooks or step._backward_hooks or step._backward_pre_hooks)


def evaluate(step: Invertible, z: Tensor, context: object) -> Tensor:
    """Apply the step without the hooks that its node of the graph has already run."""
    if is_hooked(step):
        return type(step).forward(step, z, context)
    return step(z, context)
