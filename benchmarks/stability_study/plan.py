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
    trained: tuple[str, ...] = (OURS, "real-nvp", "glow-sigmoid-fitted", "glow-exp-fitted", "additive")
    """Glow as published: with norms that are fitted before training."""
    depths: tuple[int, ...] = (50, 200, 400, 1000)
    long_depth: int = 400
    seeds: int = 3
    deep_seeds: int = 1
    """Fewer, for untrained chains deeper than `long_depth`."""
    bf16_seeds: int = 1
    """Fewer, as a processor without bf16 units emulates them."""
    gains: tuple[float, ...] = (1, 4, 16, 64)
    """Of the last convolution of the nets, in untrained chains of `long_depth` of our own layer."""
    small_gain: float = 0.1
    """Of the nets at the start of trainings: nearly the identity, as Glow's authors start their couplings."""
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    last_rate: float = 3e-3
    """Not to choose from: where layers break that the largest of `rates` did not."""
    rate_updates: int = 40
    """Of the trainings from which the learning rate of a layer is chosen."""
    long_updates: int = 200
    other_updates: int = 40
    """At other depths than `long_depth`, and with nets as they come."""


QUICK = Plan(
    layers=(OURS, "glow-exp-fitted"), trained=(OURS, "glow-exp-fitted"), depths=(4, 5), long_depth=4, seeds=1,
    gains=(4,), rates=(1e-3,), rate_updates=1, long_updates=2, other_updates=1,
)  # fmt: skip


def jobs_of(plan: Plan, done: Sequence[Job]) -> Iterator[Job]:
    """Yield the jobs, what says most for its cost first.

    A job says all that its result depends on, so that a changed plan keeps what it can. Learning rates of later jobs
    follow from the results of earlier ones, which the caller adds to ``done`` before asking for the next.
    """
    for layer, rate in product(plan.trained, plan.rates):
        yield _short(plan, layer, "store", rate)
    best = {layer: best_rate(done, layer) for layer in plan.trained}
    yield _long(plan, OURS, 0, "invert", best[OURS])
    for layer, mode in product(plan.trained, ("invert", "store")):
        yield _job(plan, "as they come", layer, plan.long_depth, 0, gain=1, **_briefly(plan, mode, best[layer]))
    for layer in plan.trained:
        yield _short(plan, layer, "invert", max(plan.rates))
        yield _short(plan, layer, "store", plan.last_rate)
    for seed in range(plan.seeds):
        for depth, layer in product(plan.depths, plan.layers):
            if seed < plan.deep_seeds or depth <= plan.long_depth:
                yield _job(plan, "initialisation", layer, depth, seed, gain=1)
        for layer in plan.trained:
            if (layer, seed) != (OURS, 0):
                yield _long(plan, layer, seed, "invert", best[layer])
        if seed == 0:
            yield from _other_depths(plan, best)
    yield _long(plan, OURS, 0, "exact", best[OURS])
    for gain, seed in product(plan.gains, range(plan.seeds)):
        yield _job(plan, "gain", OURS, plan.long_depth, seed, gain=gain)


def _other_depths(plan: Plan, best: dict[str, float]) -> Iterator[Job]:
    for depth, layer in product((depth for depth in plan.depths if depth != plan.long_depth), plan.trained):
        for mode in ("invert", "exact") if layer == OURS and depth > plan.long_depth else ("invert",):
            how = {"gain": plan.small_gain, **_briefly(plan, mode, best[layer])}
            yield _job(plan, "depths", layer, depth, 0, **how)


def _briefly(plan: Plan, mode: str, rate: float) -> Job:
    return {"mode": mode, "rate": rate, "updates": plan.other_updates}


def best_rate(done: Sequence[Job], layer: str) -> float:
    """Choose the learning rate with the lowest loss at the end; where all trainings diverged, the smallest."""
    runs = [job for job in done if job["kind"] == "rates" and job["layer"] == layer and job["mode"] == "store"]
    learned = [job for job in runs if not job["diverged"]]
    if not learned:
        return min(job["rate"] for job in runs)
    return min(learned, key=lambda job: job["loss"][-1])["rate"]


def _short(plan: Plan, layer: str, mode: str, rate: float) -> Job:
    how = {"gain": plan.small_gain, "mode": mode, "rate": rate, "updates": plan.rate_updates}
    return {**_job(plan, "rates", layer, plan.long_depth, 0, **how), "precisions": []}


def _long(plan: Plan, layer: str, seed: int, mode: str, rate: float) -> Job:
    how = {"gain": plan.small_gain, "mode": mode, "rate": rate, "updates": plan.long_updates}
    return _job(plan, "long", layer, plan.long_depth, seed, **how)


def _job(plan: Plan, kind: str, layer: str, depth: int, seed: int, **more: Any) -> Job:
    precisions = ["float32"]
    if seed < plan.bf16_seeds and kind != "gain":
        precisions.append("bf16")
    if CONTESTANTS[layer].has_exact:
        precisions.append("exact")
    return {"kind": kind, "layer": layer, "depth": depth, "seed": seed, **more, "precisions": precisions}
