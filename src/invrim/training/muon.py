"""Muon for convolutions: momentum whose singular values are all made alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz polynomial that grows small singular values fastest [Jordan24]_."""
_ITERATIONS = 5
_KERNEL_AXES = 3
"""Parameters with at least this many axes are convolution kernels, or the norms of one, one number a row."""


class Muon(Optimizer):
    r"""Move weight-normalised convolution kernels by orthogonalised momentum, and everything else by Adam.

    A kernel, as a matrix ``(rows, the rest)``, steps along its momentum with all singular values made equal, by
    ``kernel_rate`` times the learning rate relative to its own norm. Afterwards its rows get their norms back: those of
    a weight-normalised kernel mean nothing, and left alone they would grow by some percent an update until they
    overflow. The kernels of `invrim.layers.ResidualNet` are of this kind; do not use it on others.
    `torch.optim.Muon` takes matrices only.

    Parameters
    ----------
    parameters
        Of the model.
    lr
        Learning rate: Adam's step size, and the unit of ``kernel_rate``.
    kernel_rate
        Relative step of a kernel is ``lr * kernel_rate``.
    momentum
        Of kernels, with Nesterov's look-ahead.
    betas, eps
        Of Adam.

    References
    ----------
    .. [Jordan24] Jordan et al., *Muon: an optimizer for hidden layers in neural networks*, 2024.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        *,
        kernel_rate: float = 10.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "kernel_rate": kernel_rate, "momentum": momentum, "betas": betas, "eps": eps}
        super().__init__(parameters, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; the closure, if any, computes them first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        (self._move_kernel if _is_kernel(p) else self._move_by_adam)(p, p.grad, group)
        return loss

    def _move_kernel(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["mean"] = torch.zeros_like(p)
        state["mean"].lerp_(grad, 1 - group["momentum"])
        direction = orthogonalised(grad.lerp(state["mean"], group["momentum"]).flatten(1)).view_as(p)
        length = p.norm() / direction.norm().clamp_min(torch.finfo(p.dtype).tiny)
        sizes = _row_norms(p)
        p.sub_(direction * (group["lr"] * group["kernel_rate"] * length))
        p.mul_(sizes / _row_norms(p).clamp_min(torch.finfo(p.dtype).tiny))

    def _move_by_adam(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state.update(mean=torch.zeros_like(p), square=torch.zeros_like(p), updates=0)
        state["updates"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(grad, 1 - first)
        state["square"].lerp_(grad.square(), 1 - second)
        mean = state["mean"] / (1 - first ** state["updates"])
        square = state["square"] / (1 - second ** state["updates"])
        p.sub_(group["lr"] * mean / (square.sqrt() + group["eps"]))


def _is_kernel(p: Tensor) -> bool:
    return p.ndim >= _KERNEL_AXES and p.numel() > p.shape[0]


def _row_norms(p: Tensor) -> Tensor:
    return torch.linalg.vector_norm(p, dim=tuple(range(1, p.ndim)), keepdim=True)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Make all singular values of a matrix about 1, between 0.7 and 1.2, by a Newton-Schulz iteration [Jordan24]_.

    Singular values below about a thousandth of the largest stay smaller.
    """
    a, b, c = _QUINTIC
    tiny = torch.finfo(matrix.dtype).tiny
    x = matrix / matrix.abs().amax().clamp_min(tiny)  # first: squares of very small entries would vanish
    x = x / x.norm().clamp_min(tiny)
    wide = x if x.shape[0] <= x.shape[1] else x.mT
    for _ in range(_ITERATIONS):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.mT
