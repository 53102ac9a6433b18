"""The tables of docs/stability.md."""

from __future__ import annotations

import statistics
from typing import Any

from measured import origin, table


def untrained_table(result: dict[str, Any]) -> str:
    """Inversion and gradient error in float32, one line a layer, one column a depth."""
    jobs = _jobs(result, "initialisation")
    depths = sorted({job["depth"] for job in jobs})
    body = [
        [label, *(_pair([job for job in jobs if (job["layer"], job["depth"]) == (layer, depth)]) for depth in depths)]
        for layer, label in result["setting"]["labels"].items()
    ]
    head = ["untrained, float32", *(f"{depth:,} layers" for depth in depths)]
    return f"{table(head, body)}\n\nInversion error / gradient error, medians over seeds; {origin(result)}."


def precision_table(result: dict[str, Any]) -> str:
    """Errors of one seed at the depth of the long trainings, one line a layer and precision."""
    (depth,) = {job["depth"] for job in _jobs(result, "long")}
    keys = ("inversion_error", "gradient_error", "stored_gradient_error")
    body = [
        [result["setting"]["labels"][job["layer"]], errors["precision"], *(_error(errors[key]) for key in keys)]
        for job in _jobs(result, "initialisation")
        if (job["depth"], job["seed"]) == (depth, 0)
        for errors in job["errors"]
    ]
    title = f"untrained, {depth:,} layers"
    return table([title, "precision", "inversion error", "gradient error", "stored activations"], body)


def gain_table(result: dict[str, Any]) -> str:
    """Where our own layer breaks: errors against the gain of its nets."""
    jobs = _jobs(result, "gain")
    body = []
    for gain in sorted({job["gain"] for job in jobs}):
        at = [job for job in jobs if job["gain"] == gain]
        cells = [_median(at, index, key) for index in (0, 1) for key in ("inversion_error", "gradient_error")]
        body.append([f"{gain:g}", *cells, _median(at, 0, "stored_gradient_error")])
    head = ["gain", "float32: inversion", "gradient", "exact: inversion", "gradient", "plain autograd: gradient"]
    return table(head, body)


def training_table(result: dict[str, Any]) -> str:
    """How the long trainings ended, and the errors at the weights that plain autograd reached."""
    body = [
        [
            result["setting"]["labels"][job["layer"]],
            *(f"{job[key]:g}" for key in ("gain", "rate")),
            *(_end(job[mode], job["steps"]) for mode in ("store", "invert")),
            *(_error(job["errors"][0][key]) for key in ("inversion_error", "gradient_error")),
        ]
        for job in _jobs(result, "long")
    ]
    head = ["layer", "gain", "rate", "loss, stored", "loss, by inversion", "inversion error", "gradient error"]
    return table(head, body)


def trained_table(result: dict[str, Any]) -> str:
    """Errors after short trainings, one line a layer, one column a depth."""
    jobs = _jobs(result, "short")
    depths = sorted({job["depth"] for job in jobs})
    body = []
    for layer, label in result["setting"]["labels"].items():
        at = [[job for job in jobs if (job["layer"], job["depth"]) == (layer, depth)] for depth in depths]
        body.append([label, *map(_pair_and_failures, at)])
    return table(["after training, float32", *(f"{depth:,} layers" for depth in depths)], body)


def _jobs(result: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [job for job in result["results"]["jobs"] if job["kind"] == kind]


def _pair(jobs: list[dict[str, Any]]) -> str:
    return f"{_median(jobs, 0, 'inversion_error')} / {_median(jobs, 0, 'gradient_error')}"


def _pair_and_failures(jobs: list[dict[str, Any]]) -> str:
    """Append how many trainings diverged, with activations stored and by inversion."""
    ended = [sum(job[mode]["diverged_at"] is not None for job in jobs) for mode in ("store", "invert")]
    return f"{_pair(jobs)}; diverged {ended[0]}, {ended[1]} of {len(jobs)}"


def _median(jobs: list[dict[str, Any]], precision: int, key: str) -> str:
    found = [job["errors"][precision][key] for job in jobs]
    return _error(statistics.median(float("inf") if error is None else error for error in found))


def _error(value: float | None) -> str:
    if value is None or value == float("inf"):
        return "not finite"
    return f"{value:.1e}" if value else "0"


def _end(run: dict[str, Any], steps: int) -> str:
    if run["diverged_at"] is not None:
        return f"diverged at step {run['diverged_at']}"
    return f"{run['loss'][0]:.4f} → {run['final_loss']:.4f} in {steps}"
