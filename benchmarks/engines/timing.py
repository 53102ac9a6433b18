"""Time of a training step, engine against engine, once each of them has shown that its gradients are right."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engines.registry import ENGINES, FLOAT32, REFERENCE, why_not
from engines.work import Precision, Work
from stopwatch import cpu_seconds

Facts = dict[str, Any]

TOLERANCE: dict[Precision, float] = {"float32": 1e-2, "bf16": 1e-1}
"""Relative, and a measure of agreement, not of accuracy: the reference has round-off too. Where it flips one ReLU of n,
a gradient may move by n^-1/2. At 8 blocks of 128x128 the float32 reference was 1.5e-3 from float64, `invert` 2e-5, so
that they disagree by 1.5e-3; in bf16 4e-2 was seen at 128 blocks. The tests hold the engines to 1e-10 in float64."""


def time_engines(names: list[str], work: Work, precision: Precision, repeats: int) -> dict[str, Facts]:
    """Check, then time; what an engine cannot do here is said in its facts under ``"unavailable"``.

    Parameters
    ----------
    names
        Of the engines, the references among them, each before those that are compared with it.
    work
        The step, shared by all.
    precision
        Of the nets; it decides how exactly gradients have to agree.
    repeats
        Rounds. In each, every engine takes its turn, so that a busy machine is unfair to none.
    """
    facts: dict[str, Facts] = {}
    chains: dict[str, nn.Module] = {}
    truths: dict[str, dict[str, Tensor]] = {}
    for name in names:
        try:
            chain = ENGINES[name].build(work)
            landmarks = _landmarks(chain, work)
        except Exception as error:  # whatever a library of another time raises is an answer
            facts[name] = {"unavailable": why_not(error)}
            continue
        chains[name] = chain
        facts[name] = _agreement(landmarks, truths.setdefault(ENGINES[name].same_as, landmarks), precision)
    truths.clear()
    seconds = _take_turns(chains, work, repeats)
    for name, values in seconds.items():
        facts[name] |= {
            "median_seconds": statistics.median(values),
            "ratio": _ratio(values, seconds[REFERENCE]),
            "ratio_range": [f(v / r for v, r in zip(values, seconds[REFERENCE], strict=True)) for f in (min, max)],
            "ratio_to_same_map": _ratio(values, seconds[ENGINES[name].same_as]),
        }
        if FLOAT32 in seconds:
            facts[name]["ratio_to_float32"] = _ratio(values, seconds[FLOAT32])
    return facts


def _landmarks(chain: nn.Module, work: Work) -> dict[str, Tensor]:
    """What has come through all blocks: the output, and on the way back the gradients at the very beginning."""
    out = work.step(chain)
    found = {"output": out.clone(), "input gradient": work.z.grad.clone()}
    first = work.blocks[0]
    for what, part in {"first net": first.net, "first mixing": first.mixing}.items():
        grads = [p.grad.flatten() for p in part.parameters() if p.grad is not None]
        if grads:  # engines that cannot mix have none for the mixing
            found[f"gradient of the {what}"] = torch.cat(grads)
    return found


def _agreement(found: dict[str, Tensor], truth: dict[str, Tensor], precision: Precision) -> Facts:
    vector_norm = torch.linalg.vector_norm
    errors = {what: float(vector_norm(found[what] - t) / vector_norm(t)) for what, t in truth.items()}
    return {"errors": errors, "within_tolerance": max(errors.values()) <= TOLERANCE[precision]}


def _take_turns(chains: dict[str, nn.Module], work: Work, repeats: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in chains}
    for _ in range(repeats):
        for name, chain in chains.items():
            step = partial(work.step, chain)
            seconds[name].append(_seconds_on_card(step) if work.z.is_cuda else cpu_seconds(step))
    return seconds


def _seconds_on_card(step: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def _ratio(values: list[float], reference: list[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(v / r for v, r in zip(values, reference, strict=True))
