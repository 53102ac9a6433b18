"""Backpropagate through a network in one of the three ways."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.invertible import Backprop, InvertibleChain
from stability_study.task import Batch, Network


def backpropagate(network: Network, mode: Backprop, batch: Batch) -> tuple[float, Tensor | None]:
    """Leave the gradients in the parameters; return the loss and, unless stored, the input that the walk arrived at.

    The chain itself is asked to pull back. That is what `backward` does, with half as many Python calls: on states as
    small as these they are what costs.

    Raises
    ------
    InvrimError
        Where the chain cannot be walked back.
    """
    z, clean = batch
    chain = InvertibleChain(list(network.chain.steps), backprop=mode)
    network.zero_grad(set_to_none=True)
    if mode == "store":
        loss = network.loss(chain(z), clean)
        loss.backward()
        return loss.item(), None
    with torch.no_grad():
        out = chain(z)
    loss = network.loss(out.requires_grad_(), clean)
    loss.backward()
    assert out.grad is not None
    pulled = chain.pull_back(out.detach(), out.grad)
    for parameter, gradient in pulled.gradients.items():
        parameter.grad = gradient
    return loss.item(), pulled.z
