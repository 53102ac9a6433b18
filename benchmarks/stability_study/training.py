"""Train a network with stored activations, or by inversion, and watch what happens."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from invrim.errors import InvrimError
from stability_study.errors import finite, relative
from stability_study.task import Batch, Network, draw_batch
from stability_study.walks import backpropagate

DIVERGED = 10.0
"""Times its start from which a loss counts as diverged."""
EVERY = 5
"""Steps between two looks at loss and drift."""
VALIDATION_SEED = 1_000_000
Facts = dict[str, Any]
Mode = Literal["store", "invert"]


def validation_batch() -> Batch:
    """Draw what norms and heads are fitted to and losses are read on."""
    return draw_batch(4, VALIDATION_SEED)


def train(network: Network, mode: Mode, *, steps: int, rate: float, seed: int) -> Facts:
    """Run Adam on fresh images, one a step, until done or diverged.

    Returns
    -------
    ``loss`` on the validation images and ``drift`` of the chain after the steps in ``at``; ``diverged_at``, the step at
    which a loss was not finite, more than `DIVERGED` times the validation loss at the start, or could not be walked
    back (None if none was); ``final_loss``, None where diverged.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    curve: Facts = {"at": [], "loss": [], "drift": []}
    limit = DIVERGED * _look(network, 0, curve)
    for step in range(1, steps + 1):
        loss = _backpropagated_loss(network, mode, draw_batch(1, seed * 100_000 + step))
        if loss <= limit:
            optimiser.step()
            if step % EVERY == 0 or step == steps:
                loss = _look(network, step, curve)
        if not loss <= limit:  # also where it is NaN
            return {**curve, "diverged_at": step, "final_loss": None}
    return {**curve, "diverged_at": None, "final_loss": curve["loss"][-1]}


def _backpropagated_loss(network: Network, mode: Mode, batch: Batch) -> float:
    try:
        return backpropagate(network, mode, batch)[0]
    except InvrimError:  # a singular mixing matrix
        return math.nan


@torch.no_grad()
def _look(network: Network, step: int, curve: Facts) -> float:
    """Note down loss and drift; return the loss."""
    z, sharp = validation_batch()
    out = network.chain(z)
    loss = network.loss(out, sharp).item()
    curve["at"].append(step)
    curve["loss"].append(finite(loss))
    curve["drift"].append(_drift(network, z, out))
    return loss


def _drift(network: Network, z: Tensor, out: Tensor) -> float | None:
    try:
        return relative(network.chain.inverse(out), z)
    except InvrimError:
        return None
