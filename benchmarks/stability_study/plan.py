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
    """How much of everything; the whole takes some 25 minutes of one core."""

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
    """Of the nets at the start of short trainings: nearly the identity, as Glow's authors start their couplings."""
    short_steps: int = 10
    short_rate: float = 1e-3
    short_depths: tuple[int, ...] = (50, 200)
    short_seeds: int = 1
    long_depth: int = 400
    long_runs: tuple[tuple[float, float, int], ...] = ((0.1, 1e-3, 50), (1, 1e-3, 10), (0.1, 1e-4, 15))
    """Gain at the start, learning rate and steps."""


QUICK = Plan(
    layers=(OURS, "glow-exp-fitted"), depths=(4,), seeds=1, gains=(4,), short_steps=1, short_depths=(4,),
    long_depth=4, long_runs=((0.1, 1e-3, 2),),
)  # fmt: skip


def jobs_of(plan: Plan) -> Iterator[Job]:
    """Yield the jobs, what says most for its cost first.

    A job says all that its result depends on, so that a changed plan keeps what it can.
    """
    shallow = [depth for depth in plan.depths if depth <= plan.long_depth]
    deep = [depth for depth in plan.depths if depth > plan.long_depth]
    first, *others = plan.long_runs
    yield from _untrained(plan, shallow, plan.seeds)
    yield from _long(plan, *first)
    for gain, seed in product(plan.gains, range(plan.seeds)):
        yield _job(plan, "gain", OURS, plan.long_depth, seed, gain=gain)
    yield from _untrained(plan, deep, plan.deep_seeds)
    for depth, seed, layer in product(plan.short_depths, range(plan.short_seeds), plan.layers):
        how = {"gain": plan.small_gain, "rate": plan.short_rate, "steps": plan.short_steps}
        yield _job(plan, "short", layer, depth, seed, **how)
    for run in others:
        yield from _long(plan, *run)


def _untrained(plan: Plan, depths: Sequence[int], seeds: int) -> Iterator[Job]:
    for depth, seed, layer in product(depths, range(seeds), plan.layers):
        yield _job(plan, "initialisation", layer, depth, seed, gain=1)


def _long(plan: Plan, gain: float, rate: float, steps: int) -> Iterator[Job]:
    for layer in plan.layers:
        yield _job(plan, "long", layer, plan.long_depth, 0, gain=gain, rate=rate, steps=steps)


def _job(plan: Plan, kind: str, layer: str, depth: int, seed: int, **more: float) -> Job:
    precisions = ["float32"]
    if seed < plan.bf16_seeds and kind != "gain":
        precisions.append("bf16")
    if CONTESTANTS[layer].has_exact:
        precisions.append("exact")
    return {"kind": kind, "layer": layer, "depth": depth, "seed": seed, **more, "precisions": precisions}
