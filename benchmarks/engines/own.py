"""The modes of `invrim.InvertibleChain`."""

from __future__ import annotations

from torch import nn

from engines.work import Work
from invrim import InvertibleChain

BUDGET_IN_STATES = 32
"""Room for the inside of three or four blocks of stride 1: less than 8 blocks need, more than inversion does."""


def store(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="store")


def invert(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="invert")


def exact(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="exact")


def budgeted(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, memory_budget=BUDGET_IN_STATES * work.z.nbytes)
