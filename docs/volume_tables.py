"""The tables of docs/volumes.md: what a training step in 3D needs, and what fits, by arithmetic on measurements."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from measured import megabytes, origin, table

MEMORIES = (8, 16, 24, 80, 141)
"""GB of the machines and cards that people have."""
COILS = 8
PLANE = (256, 256)
HELD = 2
"""Times the bytes of the k-space that are held throughout: it and the coil maps."""
STEP = 8
"""Widths are told in multiples of this many channels."""


def depth_table(result: dict[str, Any]) -> str:
    """One line a depth: what grows with it, and what does not."""
    body = [
        [
            f"{row['layers']}",
            f"{row['parameter_bytes'] / 4e6:.1f} million",
            megabytes(_weights(row)),
            megabytes(row["step_bytes"]),
            f"{row['step_bytes'] / row['state_bytes']:.2f}",
            f"{row['process_peak_bytes'] / 1e9:.2f} GB",
            f"{row['cpu_seconds'] / 60:.0f} min",
        ]
        for row in _rows(result)
        if (row["coils"], row["tile"]) == (1, "auto") and _is_whole(row)
    ]
    body.sort(key=lambda cells: int(cells[0]))
    head = ["layers", "parameters", "they, gradients, Adam", "the step", "in states", "process", "processor time"]
    state = megabytes(_find(result, "40 layers")["state_bytes"])
    return f"{table(head, body)}\n\nState of {state}, one coil, float32; {origin(result)}."


def arithmetic_table(result: dict[str, Any]) -> str:
    """What the step should need elsewhere, and what it needs."""
    law = Law.of(result)
    body = [
        [
            row["case"],
            f"{row['channels']} x {' x '.join(map(str, row['slab']))}",
            megabytes(law.step(row["state_bytes"], _data(row["coils"], row["slab"]), strips=row["tile"] is not None)),
            megabytes(row["step_bytes"]),
        ]
        for row in _rows(result)
    ]
    sentence = (
        f"By the law, blocks need {law.states:.2f} states and {megabytes(law.strips)}, or {law.whole:.2f} states where "
        f"nets are evaluated whole, beside k-space and coil maps; the physics needs two states and {law.physics:.1f} "
        f"times the k-space. The larger of the two counts. The libraries hold {megabytes(law.libraries)} besides."
    )
    return f"{table(['case', 'state', 'by the law', 'measured'], body)}\n\n{sentence}"


def fits_table(result: dict[str, Any]) -> str:
    """One line a memory: the widest state, and the most slices."""
    law = Law.of(result)
    body = []
    for memory in MEMORIES:
        widths = [law.widest(1e9 * memory, strips=strips) for strips in (True, False)]
        slices = [law.most_slices(1e9 * memory, strips=strips) for strips in (True, False)]
        body.append([f"{memory} GB", *(f"{n} channels" for n in widths), *(f"{n} slices" for n in slices)])
    plane = " x ".join(map(str, PLANE))
    head = ["memory", f"32 x {plane}", "nets whole", f"32 channels, {plane}", "nets whole"]
    return f"{table(head, body)}\n\n400 layers, {COILS} coils, float32, Adam, batch of one; by the law above."


def shards_table(result: dict[str, Any]) -> str:
    """One line a mode and number of processes."""
    body = [
        [
            f"`{row['mode']}`",
            str(row["processes"]),
            megabytes(max(row["peak_bytes"])),
            f"{max(row['peak_bytes']) / result['setting']['state_bytes']:.2f}",
            f"{row['cpu_seconds']:.1f} s",
        ]
        for row in _rows(result)
    ]
    setting = result["setting"]
    blocks = setting["steps"] * len(setting["hidden"])
    what = f"{blocks} blocks, state of {setting['channels']} x {' x '.join(map(str, setting['space']))}"
    head = ["", "processes", "peak of a training step, each", "in states of the whole", "processor time, each"]
    return f"{table(head, body)}\n\n{what}, one coil, float32, {setting['backend']}; {origin(result)}."


@dataclass(frozen=True, kw_only=True)
class Law:
    """Bytes of a training step, at the peak of its blocks or of its physics, and what parameters bring along."""

    whole: float
    """States where nets are evaluated whole."""
    states: float
    """States where they are evaluated in strips,"""
    strips: float
    """and bytes besides."""
    physics: float
    """Times the bytes of the slab's k-space, beside the state and its gradient."""
    weights: float
    """Bytes of parameters, gradients and optimiser at 400 layers and 32 channels."""
    libraries: float

    @staticmethod
    def of(result: dict[str, Any]) -> Law:
        one, other = _find(result, "40 layers"), _find(result, "40 layers, 64 slices")
        whole, many, deep = (_find(result, name) for name in ("40 layers, whole", "40 layers, 8 coils", "400 layers"))
        states = (_without_data(one) - _without_data(other)) / (one["state_bytes"] - other["state_bytes"])
        return Law(
            whole=_without_data(whole) / whole["state_bytes"],
            states=states,
            strips=_without_data(one) - states * one["state_bytes"],
            physics=(many["step_bytes"] - 2 * many["state_bytes"]) / _data(many["coils"], many["slab"]),
            weights=_weights(deep),
            libraries=deep["process_peak_bytes"] - deep["peak_bytes"],
        )

    def step(self, state: float, data: float, *, strips: bool) -> float:
        nets = self.states * state + self.strips if strips else self.whole * state
        return max(nets + HELD * data, 2 * state + self.physics * data)

    def total(self, channels: int, slices: int, *, strips: bool) -> float:
        """At 400 layers; parameters grow with the square of the width, since the nets are widened with the state."""
        slab = (slices, *PLANE)
        step = self.step(4 * channels * prod(slab), _data(COILS, slab), strips=strips)
        return self.libraries + (channels / 32) ** 2 * self.weights + step

    def widest(self, memory: float, *, strips: bool) -> int:
        return _largest(lambda n: self.total(STEP * n, 32, strips=strips), memory) * STEP

    def most_slices(self, memory: float, *, strips: bool) -> int:
        return _largest(lambda n: self.total(32, n, strips=strips), memory)


def _largest(needed: Any, memory: float) -> int:
    n = 0
    while needed(n + 1) <= memory:
        n += 1
    return n


def _data(coils: int, slab: Any) -> float:
    return 8 * coils * prod(slab)


def _without_data(row: dict[str, Any]) -> float:
    return float(row["step_bytes"] - HELD * _data(row["coils"], row["slab"]))


def _weights(row: dict[str, Any]) -> int:
    return int(row["parameter_bytes"] + row["gradient_bytes"] + row["optimiser_bytes"])


def _is_whole(row: dict[str, Any]) -> bool:
    return (row["channels"], tuple(row["slab"])) == (32, (32, *PLANE))


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list(result["results"])


def _find(result: dict[str, Any], case: str) -> dict[str, Any]:
    (row,) = (row for row in result["results"] if row["case"] == case)
    return row
