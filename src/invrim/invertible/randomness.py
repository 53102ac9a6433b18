"""Random numbers that come out again: dropout in the recomputation must drop what it dropped in the forward pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Randomness:
    """State of torch's generators: the CPU's, and that of a CUDA device."""

    device: torch.device
    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> Randomness:
        """Read the generators that a computation on ``device`` may draw from."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(device, torch.get_rng_state(), cuda)

    def restore(self) -> None:
        """Let the generators go on from here."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)

    def is_current(self) -> bool:
        """Whether nothing was drawn since."""
        now = Randomness.now(self.device)
        unmoved = self.cuda is None or now.cuda is None or torch.equal(self.cuda, now.cuda)
        return unmoved and torch.equal(self.cpu, now.cpu)


class _Replays(threading.local):
    """The replays that this thread is inside of, innermost last; autograd has threads of its own."""

    def __init__(self) -> None:
        self.stack: list[Randomness] = []


_replays = _Replays()


@contextmanager
def replay(randomness: Randomness | None) -> Iterator[None]:
    """Draw again what was drawn after ``randomness``; afterwards the generators are as if nothing had been.

    None replays nothing.
    """
    if randomness is None:
        yield
        return
    outside = Randomness.now(randomness.device)
    _replays.stack.append(randomness)
    try:
        randomness.restore()
        yield
    finally:
        _replays.stack.pop()
        outside.restore()


def rewind() -> None:
    """Inside a `replay`, begin again; call it between two evaluations of one step."""
    if _replays.stack:
        _replays.stack[-1].restore()
