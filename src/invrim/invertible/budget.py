"""Which steps of a chain to store when memory is limited: as many as fit, the last ones first."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

from invrim.errors import MemoryBudgetError, OptionError
from invrim.invertible.drift import SAMPLE_BYTES
from invrim.invertible.footprint import Footprint

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}

_OVERHEAD = 1 / 128
"""Of the allocator, on top of the tensors' bytes."""


def bytes_of(budget: str | int, *, what: str = "a memory budget") -> int:
    """Read a number of bytes, or a number with a unit such as ``"8GB"`` (1e9 bytes) or ``"512 MiB"`` (2**20 bytes).

    ``what`` it is of names it in the error.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(budget))
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or isinstance(budget, bool) or not float(match[1]) > 0:
        raise OptionError(f"expected {what} such as '8GB', '512MiB' or a number of bytes, got {budget!r}.")
    return math.floor(float(match[1]) * unit)


def inverted_steps(footprints: Sequence[Footprint], budget: int, kept: Collection[int]) -> int:
    """Return how many steps, from the first, must be inverted so that the others can be stored within the budget.

    The last steps are stored, since their graphs are free again before the walk back over the others needs its
    working space. ``kept`` are numbers of steps whose outputs are kept in any case.
    """
    peaks = [peak(footprints, inverted, kept) for inverted in range(len(footprints) + 1)]
    for inverted, bytes_needed in enumerate(peaks):
        if bytes_needed <= budget:
            return inverted
    smallest = math.ceil(min(peaks) / 10**5) / 10
    raise MemoryBudgetError(
        f"expected a memory budget of at least {smallest:.1f}MB for this chain and state, got {budget / 10**6:.1f}MB. "
        f"Raise it, make the state smaller, or cut the volume into parts."
    )


def peak(footprints: Sequence[Footprint], inverted: int, kept: Collection[int]) -> float:
    """Bytes at the peak of a forward and a backward pass in which the first ``inverted`` steps are inverted; infinite
    if one of the others takes too much when it is stored."""
    last = len(footprints) - 1
    outputs = [step.output for step in footprints]
    ends = 2 * outputs[last]  # the chain's output and its gradient are in the caller's hands until the end
    handed_over = {*kept, inverted - 1} & {*range(inverted)} - {last}
    held = sum(outputs[index] for index in handed_over & {*kept}) + (len(handed_over) + 1) * SAMPLE_BYTES
    walked = [ends + held + step.inverted for step in footprints[:inverted]]
    # State and gradient are copied there, one after the other, and one original at a time is there beside them.
    walked += [ends + held + 3 * outputs[index] for index in handed_over]
    stored: list[float] = [0]
    before: float = held + sum(outputs[index] for index in handed_over - {*kept})
    for index, step in enumerate(footprints[inverted:], inverted):
        stored.append(before + max(step.forward, step.backward) + (ends if index < last else 0))
        before += step.kept
    most = (1 + _OVERHEAD) * max(*walked, *stored)
    return math.ceil(most) if math.isfinite(most) else most
