"""The modes of `invrim.InvertibleChain`."""

from __future__ import annotations

from torch import nn

from engines.work import Work
from invrim import InvertibleChain


def store(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="store")


def invert(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="invert")


def exact(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="exact")
