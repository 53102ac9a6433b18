"""How wrong are a chain's inverse and the gradients of its parameters?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from invrim.errors import InvrimError
from invrim.invertible import Backprop, Grid
from stability_study.task import Batch, Network
from stability_study.walks import backpropagate

Facts = dict[str, Any]


def measure(network: Network, batch: Batch, precisions: Sequence[str]) -> list[Facts]:
    """Compare with plain autograd in float64, of the same weights and images.

    One dictionary for each of ``"float32"``, ``"bf16"`` (of the nets; the state stays float32) and ``"exact"``, all
    errors relative norms, None where not finite: ``inversion_error`` of the state at which the backward pass arrives,
    ``gradient_error`` of all gradients of the chain, and ``stored_gradient_error`` of plain autograd in this precision.
    """
    z, clean = batch
    reference = _stored_gradient(copy.deepcopy(network).double(), (z.double(), clean.double()))
    return [_errors(copy.deepcopy(network), batch, precision, reference) for precision in precisions]


def relative(got: Tensor, expected: Tensor) -> float | None:
    """Norm of the difference over that of the expected; None where it is not finite."""
    expected = expected.double()
    return finite(float((got.double() - expected).norm() / expected.norm()))


def finite(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if abs(value) < float("inf") else None


def _errors(network: Network, batch: Batch, precision: str, reference: Tensor) -> Facts:
    mode: Backprop = "exact" if precision == "exact" else "invert"
    start = Grid.of(torch.float32).enter(batch[0]) if precision == "exact" else batch[0]
    with _nets(precision):
        stored = relative(_stored_gradient(network, batch), reference)
        facts = {"precision": precision, "stored_gradient_error": stored}
        try:
            _, arrived = backpropagate(network, mode, batch)
        except InvrimError:  # a singular mixing matrix
            return {**facts, "inversion_error": None, "gradient_error": None}
    assert arrived is not None
    error = relative(_gradient(network), reference)
    return {**facts, "inversion_error": relative(arrived, start), "gradient_error": error}


def _stored_gradient(network: Network, batch: Batch) -> Tensor:
    backpropagate(network, "store", batch)
    return _gradient(network)


def _gradient(network: Network) -> Tensor:
    """Gradients of all parameters of the chain, one after the other."""
    parameters = network.chain.parameters()
    return nn.utils.parameters_to_vector(torch.zeros_like(p) if p.grad is None else p.grad for p in parameters)


def _nets(precision: str) -> AbstractContextManager[Any]:
    """Layers keep the state out of autocast: only their nets compute in bf16."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
