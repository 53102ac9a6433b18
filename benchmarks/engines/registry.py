"""Ways to differentiate one and the same chain of blocks, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from engines import autograd, own, peers
from engines.work import Precision, Work


@dataclass(frozen=True)
class Engine:
    """A way to run a training step through the blocks of a `Work`, weights shared with it."""

    build: Callable[[Work], nn.Module]
    same_as: str = "published"
    """The engine that computes the same map by plain autograd: outputs and gradients must agree with its."""
    note: str = ""


REFERENCE = "published"
FLOAT32 = "published-float32"
"""What nets of a lower precision are compared with as well."""
UNMIXED = "cannot mix: additive coupling of the two halves in turn, no orthogonal 1x1 convolutions; see 'unmixed'"
ENGINES = {
    REFERENCE: Engine(autograd.published, note="plain autograd of the published form, in torch's convolutions"),
    FLOAT32: Engine(autograd.published_in_float32, note="the same with nets in float32"),
    "store": Engine(own.store, note="plain autograd of the projector form"),
    "invert": Engine(own.invert),
    "exact": Engine(own.exact),
    "budgeted": Engine(own.budgeted, note="memory budget halfway between what `invert` and what `store` need"),
    "checkpoint": Engine(autograd.checkpoint_each, note="torch.utils.checkpoint around every block"),
    "sqrt-checkpoint": Engine(autograd.checkpoint_sqrt, note="checkpoint_sequential, about sqrt(N) segments"),
    "nested-checkpoint": Engine(autograd.checkpoint_nested, note="first halves checkpointed, recursively"),
    "paged": Engine(autograd.paged, note="saved activations in pinned host memory"),
    "memcnn": Engine(peers.memcnn),
    "invtorch": Engine(peers.invtorch),
    "unmixed": Engine(autograd.unmixed, same_as="unmixed", note="plain autograd of what cannot mix; a smaller job"),
    "revtorch": Engine(peers.revtorch, same_as="unmixed", note=UNMIXED),
    "revlib": Engine(peers.revlib, same_as="unmixed", note=UNMIXED),
}


def with_references(names: list[str], precision: Precision) -> list[str]:
    """Add the engines that the named ones are compared with, in the order of the registry."""
    wanted = {*names, REFERENCE, *(ENGINES[name].same_as for name in names)}
    wanted = wanted - {FLOAT32} if precision == "float32" else wanted | {FLOAT32}
    return [name for name in ENGINES if name in wanted]


def why_not(error: Exception) -> str:
    """Say in one line why an engine did not run here."""
    if isinstance(error, ImportError):
        return f"not installed: {error}"
    lines = str(error).strip().splitlines() or ["no message"]
    return f"not available: {type(error).__name__}: {lines[0]}"
