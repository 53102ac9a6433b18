"""Train a network with stored activations, by inversion, or by exact inversion, and watch what happens."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from invrim.errors import InvrimError
from invrim.invertible import Backprop, Grid, InvertibleChain
from stability_study.errors import finite, relative
from stability_study.task import Network, draw_batch, validation_batch
from stability_study.walks import backpropagate

STOPPED = 10.0
"""Times its start at which a loss ends a training."""
EVERY = 10
"""Updates between two looks at loss and drift."""
STATES = 4
"""In the batch of an update."""
Facts = dict[str, Any]


def train(network: Network, mode: Backprop, *, updates: int, rate: float, seed: int) -> Facts:
    """Run Adam on fresh images until done or stopped.

    Returns
    -------
    ``loss`` on the validation images and ``drift`` of the chain after the updates in ``at``; ``stopped_at``, the update
    at which a loss was not finite, more than `STOPPED` times the validation loss at the start, or could not be walked
    back (None if none was); ``diverged``, whether it was stopped, or all losses in the last quarter of the updates were
    above that of the start.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    curve: Facts = {"at": [], "loss": [], "drift": []}
    start = _look(network, mode, 0, curve)
    for update in range(1, updates + 1):
        loss = _backpropagated_loss(network, mode, seed * 100_000 + update)
        if loss <= STOPPED * start:
            optimiser.step()
            if update % EVERY == 0 or update == updates:
                loss = _look(network, mode, update, curve)
        if not loss <= STOPPED * start:  # also where it is NaN
            return {**curve, "stopped_at": update, "diverged": True}
    late = [loss for at, loss in zip(curve["at"], curve["loss"], strict=True) if at > 0.75 * updates]
    return {**curve, "stopped_at": None, "diverged": min(late) > start}


def _backpropagated_loss(network: Network, mode: Backprop, seed: int) -> float:
    try:
        return backpropagate(network, mode, draw_batch(STATES, seed))[0]
    except InvrimError:  # a singular mixing matrix
        return math.nan


@torch.no_grad()
def _look(network: Network, mode: Backprop, update: int, curve: Facts) -> float:
    """Note down loss and drift; return the loss."""
    z, clean = validation_batch()
    chain = InvertibleChain(list(network.chain.steps), backprop=mode)
    if mode == "exact":
        z = Grid.of(z.dtype).enter(z)
    out = chain(z)
    loss = network.loss(out, clean).item()
    curve["at"].append(update)
    curve["loss"].append(finite(loss))
    curve["drift"].append(_drift(chain, z, out))
    return loss


def _drift(chain: InvertibleChain, z: Tensor, out: Tensor) -> float | None:
    try:
        return relative(chain.inverse(out), z)
    except InvrimError:
        return None
