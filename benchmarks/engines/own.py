"""The modes of `invrim.InvertibleChain`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engines.work import Work
from invrim import Invertible, InvertibleChain
from invrim.invertible.budget import peak
from invrim.invertible.footprint import footprints


def store(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="store")


def invert(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="invert")


def exact(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, backprop="exact")


def budgeted(work: Work) -> nn.Module:
    return InvertibleChain(work.blocks, memory_budget=spread_budgets(work.blocks, work.z, 3)[1])


def spread_budgets(steps: Sequence[Invertible], z: Tensor, count: int) -> list[int]:
    """Spread budgets evenly between what inverting every step needs and what storing every step needs."""
    found = footprints(steps, z, None)
    peaks = [peak(found, inverted, []) for inverted in range(len(steps) + 1)]
    parts = torch.linspace(min(peaks), max(peaks), count, dtype=torch.double)  # float32 knows no odd number of so many
    return [round(part) for part in parts.tolist()]
