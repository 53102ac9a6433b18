"""What is measured: every job with the few numbers that name it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from stability_study.contestants import CONTESTANTS, OURS

Job = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything; measured on one core, see ``seconds`` of every job."""

    layers: tuple[str, ...] = tuple(CONTESTANTS)
    depths: tuple[int, ...] = (50, 200, 400, 1000)
    seeds: int = 3
    deep_seeds: int = 1
    """Fewer, for chains deeper than `long_depth`."""
    bf16_seeds: int = 1
    """Fewer, as a processor without bf16 units emulates them."""
    gains: tuple[float, ...] = (1, 4, 16, 64)
    """Of the last convolution of the nets, in chains of `long_depth` of our own layer."""
    small_gain: float = 0.1
    """Of the nets at the start of trainings: nearly the identity, as Glow's authors start their couplings."""
    short_steps: int = 10
    short_depths: tuple[int, ...] = (50, 200)
    long_depth: int = 400
    long_steps: int = 50
    long_rate: float = 1e-3
    more_steps: int = 10
    """Of further runs at `long_depth`: with nets as they come (gain 1), and with a tenth of the learning rate."""
    more_layers: tuple[str, ...] = ("glow-exp", "glow-exp-fitted", "glow-sigmoid-fitted", OURS)
    """Those that did not learn at `long_rate` and can be inverted, and ours, get the tenth."""


QUICK = Plan(
    layers=(OURS, "glow-exp-fitted"), depths=(4,), seeds=1, gains=(4,), short_steps=1, short_depths=(4,),
    long_depth=4, long_steps=2, more_steps=1, more_layers=(),
)  # fmt: skip


def jobs_of(plan: Plan) -> Iterator[Job]:
    """Yield the jobs, what says most for its cost first.

    A job says all that its result depends on, so that a changed plan keeps what it can.
    """
    shallow = [depth for depth in plan.depths if depth <= plan.long_depth]
    deep = [depth for depth in plan.depths if depth > plan.long_depth]
    at_start = {"gain": plan.small_gain, "rate": plan.long_rate}
    yield from _untrained(plan, shallow, plan.seeds)
    for layer in plan.layers:
        yield _job(plan, "long", layer, plan.long_depth, 0, **at_start, steps=plan.long_steps)
    for gain, seed in product(plan.gains, range(plan.seeds)):
        yield _job(plan, "gain", OURS, plan.long_depth, seed, gain=gain)
    yield from _untrained(plan, deep, plan.deep_seeds)
    for depth, layer in product(plan.short_depths, plan.layers):
        yield _job(plan, "short", layer, depth, 0, **at_start, steps=plan.short_steps)
    for layer in plan.more_layers:
        tenth = {**at_start, "rate": plan.long_rate / 10}
        yield _job(plan, "long", layer, plan.long_depth, 0, **tenth, steps=plan.more_steps)
    for layer in plan.layers:
        yield _job(plan, "long", layer, plan.long_depth, 0, gain=1, rate=plan.long_rate, steps=plan.more_steps)


def _untrained(plan: Plan, depths: Sequence[int], seeds: int) -> Iterator[Job]:
    for depth, seed, layer in product(depths, range(seeds), plan.layers):
        yield _job(plan, "initialisation", layer, depth, seed, gain=1)


def _job(plan: Plan, kind: str, layer: str, depth: int, seed: int, **more: float) -> Job:
    precisions = ["float32"]
    if seed < plan.bf16_seeds and kind != "gain":
        precisions.append("bf16")
    if CONTESTANTS[layer].has_exact:
        precisions.append("exact")
    return {"kind": kind, "layer": layer, "depth": depth, "seed": seed, **more, "precisions": precisions}
