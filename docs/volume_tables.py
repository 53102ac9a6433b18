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
            megabytes(law.step(row["state_bytes"], _data(row["coils"], row["slab"]), tiles=row["tile"] is not None)),
            megabytes(row["step_bytes"]),
        ]
        for row in _rows(result)
    ]
    sentence = (
        f"By the law, a step needs {law.tiled:.2f} states, {law.whole:.2f} where nets are evaluated whole, and "
        f"{law.per_coil:.1f} times the k-space of the slab; the libraries hold {megabytes(law.libraries)} besides."
    )
    return f"{table(['case', 'state', 'by the law', 'measured'], body)}\n\n{sentence}"


def fits_table(result: dict[str, Any]) -> str:
    """One line a memory: the widest state, and the most slices."""
    law = Law.of(result)
    body = []
    for memory in MEMORIES:
        widths = [law.widest(1e9 * memory, tiles=tiles) for tiles in (True, False)]
        slices = [law.most_slices(1e9 * memory, tiles=tiles) for tiles in (True, False)]
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
    """Bytes of a training step: so many states, so many times the coils' data, and what parameters bring along."""

    whole: float
    tiled: float
    """States, with nets evaluated whole and in tiles."""
    per_coil: float
    """Times the bytes of the slab's k-space."""
    weights: float
    """Bytes of parameters, gradients and optimiser at 400 layers and 32 channels."""
    libraries: float

    @staticmethod
    def of(result: dict[str, Any]) -> Law:
        one, many = _find(result, "40 layers"), _find(result, "40 layers, 8 coils")
        deep, whole = _find(result, "400 layers"), _find(result, "40 layers, whole")
        data = [_data(row["coils"], row["slab"]) for row in (one, many)]
        per_coil = (many["step_bytes"] - one["step_bytes"]) / (data[1] - data[0])
        return Law(
            whole=(whole["step_bytes"] - per_coil * data[0]) / whole["state_bytes"],
            tiled=(one["step_bytes"] - per_coil * data[0]) / one["state_bytes"],
            per_coil=per_coil,
            weights=_weights(deep),
            libraries=deep["process_peak_bytes"] - deep["peak_bytes"],
        )

    def step(self, state: float, data: float, *, tiles: bool) -> float:
        return (self.tiled if tiles else self.whole) * state + self.per_coil * data

    def total(self, channels: int, slices: int, *, tiles: bool) -> float:
        """At 400 layers; parameters grow with the square of the width, since the nets are widened with the state."""
        slab = (slices, *PLANE)
        step = self.step(4 * channels * prod(slab), _data(COILS, slab), tiles=tiles)
        return self.libraries + (channels / 32) ** 2 * self.weights + step

    def widest(self, memory: float, *, tiles: bool) -> int:
        return _largest(lambda n: self.total(STEP * n, 32, tiles=tiles), memory) * STEP

    def most_slices(self, memory: float, *, tiles: bool) -> int:
        return _largest(lambda n: self.total(32, n, tiles=tiles), memory)


def _largest(needed: Any, memory: float) -> int:
    n = 0
    while needed(n + 1) <= memory:
        n += 1
    return n


def _data(coils: int, slab: Any) -> float:
    return 8 * coils * prod(slab)


def _weights(row: dict[str, Any]) -> int:
    return int(row["parameter_bytes"] + row["gradient_bytes"] + row["optimiser_bytes"])


def _is_whole(row: dict[str, Any]) -> bool:
    return (row["channels"], tuple(row["slab"])) == (32, (32, *PLANE))


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list(result["results"])


def _find(result: dict[str, Any], case: str) -> dict[str, Any]:
    (row,) = (row for row in result["results"] if row["case"] == case)
    return row
