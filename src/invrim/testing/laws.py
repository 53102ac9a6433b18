"""The laws that layers, operators and gradients keep, as assertions for your own tests.

Each raises `AssertionError` with the figure by which the law is missed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invrim.invertible import Invertible, InvertibleChain, trainable
from invrim.layers import Flow
from invrim.operators import DataFidelity, LinearOperator

_ROUND_OFF = 1e-4
"""Below this fraction of the largest gradient, a gradient is measured against that fraction."""


def assert_inverse(step: Invertible, z: Tensor, context: object = None, *, rtol: float = 1e-10) -> None:
    """Require ``inverse(forward(z)) = z`` and ``forward(inverse(z)) = z``, relative to ``||z||``.

    Parameters
    ----------
    step
        A layer or a chain.
    z
        State ``(b, c, ...)``; use float64 for the default tolerance.
    context
        What the step reads.
    rtol
        Largest relative error.
    """
    with torch.no_grad():
        _require_close(step.inverse(step(z, context), context), z, rtol, "the inverse misses its input")
        _require_close(step(step.inverse(z, context), context), z, rtol, "the forward map misses its inverse's input")


def assert_log_determinant(flow: Flow, z: Tensor, context: object = None, *, rtol: float = 1e-10) -> None:
    """Require ``flow.log_determinant(z)`` to be that of the Jacobian, which is built entry by entry: use a tiny state.

    The error is relative to the log-determinants of the batch, or absolute where they are smaller than 1.
    """
    samples = range(len(z))
    jacobian = torch.autograd.functional.jacobian(lambda at: flow(at, context), z)
    blocks = torch.stack([jacobian[i].select(z.ndim - 1, i).reshape(z[i].numel(), -1) for i in samples])
    expected = torch.linalg.slogdet(blocks).logabsdet
    with torch.no_grad():
        _require_close(
            flow.log_determinant(z, context), expected, rtol, "the log-determinant misses the Jacobian's", 1.0
        )


def assert_adjoint(operator: LinearOperator, x: Tensor, y: Tensor, *, rtol: float = 1e-10) -> None:
    """Require ``<A x, y> = <x, A^H y>`` and ``normal = A^H A`` for an image ``x`` and data ``y``.

    Draw both at random; the error is relative to ``||A x|| ||y||``. Where one is complex and the other real, the
    operator can be linear over the real numbers only, and the real parts of the inner products are compared.
    """
    ax, ay = operator(x), operator.adjoint(y)
    if ax.shape != y.shape or ay.shape != x.shape:
        raise AssertionError(f"A x is {tuple(ax.shape)} for y {tuple(y.shape)}, A^H y {tuple(ay.shape)} for x")
    difference = _inner(ax, y) - _inner(x, ay)
    if x.is_complex() != y.is_complex():
        difference = difference.real
    gap = abs(difference) / (torch.linalg.vector_norm(ax) * torch.linalg.vector_norm(y))
    if not gap <= rtol:
        raise AssertionError(f"the adjoint misses <A x, y> = <x, A^H y> by {gap:.1e}, allowed {rtol:.0e}")
    _require_close(operator.normal(x), operator.adjoint(ax), rtol, "the normal operator misses A^H A")


def assert_gradient(fidelity: DataFidelity, x: Tensor, *, rtol: float = 1e-10) -> None:
    """Require ``fidelity.gradient(x)`` to be the autograd gradient of ``fidelity.value(x)``."""
    at = x.detach().requires_grad_()
    (expected,) = torch.autograd.grad(fidelity.value(at).sum(), at)
    with torch.no_grad():
        _require_close(fidelity.gradient(x), expected, rtol, "the gradient misses autograd's")


def assert_same_gradients(chain: InvertibleChain, z: Tensor, context: object = None, *, rtol: float = 1e-10) -> None:
    """Require the chain's own backpropagation to give what plain autograd (``backprop="store"``) gives.

    Compared are the output and the gradients to the input, to every parameter and to every tensor of the context that
    requires one, each relative to its own norm, for a random linear loss.
    """
    mode = chain.backprop
    weight = torch.randn(z.shape, dtype=z.dtype, device=z.device, generator=torch.Generator(z.device).manual_seed(0))
    names = _names(chain, context)
    try:
        chain.backprop = "store"
        stored = _output_and_gradients(chain, z, context, weight)
        chain.backprop = mode
        own = _output_and_gradients(chain, z, context, weight)
    finally:
        chain.backprop = mode
    # A gradient that is zero but for round-off (the direction of a weight with one entry) has no size of its own.
    floor = _ROUND_OFF * max(float(torch.linalg.vector_norm(g)) for g in stored)
    for name, a, b in zip(("output", "input", *names), own, stored, strict=True):
        _require_close(a, b, rtol, f"{mode!r} misses 'store' at {name}", floor)


def _output_and_gradients(chain: InvertibleChain, z: Tensor, context: object, weight: Tensor) -> list[Tensor]:
    z = z.detach().requires_grad_()
    tensors = [z, *trainable(chain, context)]
    out = chain(z, context)
    grads = torch.autograd.grad(
        (out * weight).sum(), tensors, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return [out.detach(), *grads]


def _names(chain: InvertibleChain, context: object) -> list[str]:
    owners = {"chain": chain, "context": context}
    names = {
        tensor: f"{owner}.{name}"
        for owner, module in owners.items()
        if isinstance(module, nn.Module)
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    return [names[tensor] for tensor in trainable(chain, context)]


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return torch.vdot(a.flatten(), b.flatten()) if a.is_complex() else torch.dot(a.flatten(), b.flatten())


def _require_close(got: Tensor, expected: Tensor, rtol: float, law: str, floor: float = 0.0) -> None:
    size = max(float(torch.linalg.vector_norm(expected)), floor)
    error = float(torch.linalg.vector_norm(got - expected))
    relative = error / size if size > 0 else error
    if not relative <= rtol:
        raise AssertionError(f"{law} by {relative:.1e}, allowed {rtol:.0e}")
