"""The tables of docs/stability.md."""

from __future__ import annotations

import statistics
from typing import Any

from measured import origin, table

Job = dict[str, Any]
UNKNOWN = "not measured"
NONE_YET = "*Not measured yet: `python benchmarks/stability.py` goes on where it stopped.*"
MODES = {"invert": "", "exact": ", `exact`"}
PLACE = {"invert": 0, "exact": -1}
"""Of the errors that belong to a mode, among those of all precisions."""


def rates_table(result: dict[str, Any]) -> str:
    """How brief trainings ended at every learning rate, one line a layer."""
    jobs = _jobs(result, "rates")
    updates = jobs[0]["updates"]
    columns = sorted({(job["mode"], job["rate"]) for job in jobs}, key=lambda column: (column[0] != "store", column[1]))
    body = [
        [label, *(_end([job for job in mine if (job["mode"], job["rate"]) == column]) for column in columns)]
        for label, mine in _by_layer(result, jobs)
    ]
    names = {"store": "stored", "invert": "by inversion"}
    head = [f"loss after {updates} updates", *(f"rate {rate:g}, {names[mode]}" for mode, rate in columns)]
    readout = result["setting"]["readout_loss"]
    return f"{table(head, body)}\n\nA linear readout of single pixels reaches {readout:.3f}; {origin(result)}."


def training_table(result: dict[str, Any]) -> str:
    """How the long trainings ended, and the errors at the weights that they reached; one line a layer and mode."""
    body = []
    jobs = _jobs(result, "long")
    for mode, name in MODES.items():
        for label, mine in _by_layer(result, [job for job in jobs if job["mode"] == mode]):
            errors = [_error(max(_values(mine, PLACE[mode], key))) for key in ("inversion_error", "gradient_error")]
            ended = ", ".join(_end([job]) for job in mine)
            diverged = f"{sum(job['diverged'] for job in mine)} of {len(mine)}"
            body.append([f"{label}{name}", f"{mine[0]['rate']:g}", ended, diverged, *errors])
    updates = jobs[0]["updates"] if jobs else 0
    return table(
        ["layer", "rate", f"loss after {updates} updates, each seed", "diverged", "inversion error", "gradient error"],
        body,
    )


def depths_table(result: dict[str, Any]) -> str:
    """Trainings at other depths: loss, inversion error, gradient error, one line a layer and mode."""
    jobs = _jobs(result, "depths")
    if not jobs:
        return NONE_YET
    depths = sorted({job["depth"] for job in jobs})
    body = [
        [f"{label}{name}", *(_summary([job for job in mine if job["depth"] == depth], mode) for depth in depths)]
        for mode, name in MODES.items()
        for label, mine in _by_layer(result, [job for job in jobs if job["mode"] == mode])
    ]
    updates = jobs[0]["updates"]
    return table([f"{updates} updates by inversion", *(f"{depth:,} layers" for depth in depths)], body)


def untrained_table(result: dict[str, Any]) -> str:
    """Inversion and gradient error in float32, one line a layer, one column a depth."""
    jobs = _jobs(result, "initialisation")
    depths = sorted({job["depth"] for job in jobs})
    body = [
        [label, *(_pair([job for job in mine if job["depth"] == depth]) for depth in depths)]
        for label, mine in _by_layer(result, jobs)
    ]
    return table(["untrained, float32", *(f"{depth:,} layers" for depth in depths)], body)


def precision_table(result: dict[str, Any]) -> str:
    """Errors of one seed in every precision, untrained and after the long training, one line a layer and precision."""
    long = [job for job in _jobs(result, "long") if (job["mode"], job["seed"]) == ("invert", 0)]
    (depth,) = {job["depth"] for job in long}
    keys = ("inversion_error", "gradient_error", "stored_gradient_error")
    before = [job for job in _jobs(result, "initialisation") if (job["depth"], job["seed"]) == (depth, 0)]
    body = []
    for (label, untrained), (_, trained) in zip(_by_layer(result, before, long), _by_layer(result, long), strict=True):
        for at, errors in enumerate(trained[0]["errors"]):
            first = untrained[0]["errors"][at] if untrained else None
            cells = [_error(facts[key]) if facts else UNKNOWN for facts in (first, errors) for key in keys]
            body.append([label, errors["precision"], *cells])
    head = [f"{depth:,} layers", "precision", "untrained: inversion", "gradient", "stored",
            "trained: inversion", "gradient", "stored"]  # fmt: skip
    return table(head, body)


def start_table(result: dict[str, Any]) -> str:
    """Brief trainings that start from nets as they come, one line a layer."""
    jobs = _jobs(result, "as they come")
    if not jobs:
        return NONE_YET
    body = []
    for label, mine in _by_layer(result, jobs):
        stored, inverted = ([job for job in mine if job["mode"] == mode] for mode in ("store", "invert"))
        start = _plain(mine[0]["loss"][0])
        errors = _errors(inverted[0]) if inverted else [UNKNOWN, UNKNOWN]
        body.append([label, f"{mine[0]['rate']:g}", start, _end(stored), _end(inverted), *errors])
    updates = jobs[0]["updates"]
    head = ["gain 1", "rate", "loss at the start", f"after {updates} updates, stored", "by inversion",
            "inversion error", "gradient error"]  # fmt: skip
    return table(head, body)


def gain_table(result: dict[str, Any]) -> str:
    """Where our own layer breaks: errors against the gain of its nets."""
    jobs = _jobs(result, "gain")
    if not jobs:
        return NONE_YET
    body = []
    for gain in sorted({job["gain"] for job in jobs}):
        at = [job for job in jobs if job["gain"] == gain]
        cells = [_median(at, index, key) for index in (0, 1) for key in ("inversion_error", "gradient_error")]
        body.append([f"{gain:g}", *cells, _median(at, 0, "stored_gradient_error")])
    head = ["gain", "float32: inversion", "gradient", "exact: inversion", "gradient", "plain autograd: gradient"]
    return table(head, body)


def _jobs(result: dict[str, Any], kind: str) -> list[Job]:
    return [job for job in result["results"]["jobs"] if job["kind"] == kind]


def _by_layer(result: dict[str, Any], jobs: list[Job], of: list[Job] | None = None) -> list[tuple[str, list[Job]]]:
    """Label and jobs of every layer that has some, in the order of the setting; or that has some among ``of``."""
    present = {job["layer"] for job in (jobs if of is None else of)}
    labels = result["setting"]["labels"].items()
    return [(label, [job for job in jobs if job["layer"] == layer]) for layer, label in labels if layer in present]


def _end(jobs: list[Job]) -> str:
    """The loss that a training ended with, or how it did not."""
    if not jobs:
        return UNKNOWN
    (job,) = jobs
    if job["stopped_at"] is not None:
        return f"stopped at {job['stopped_at']}"
    return _plain(job["loss"][-1]) + (", diverged" if job["diverged"] else "")


def _plain(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.3f}"


def _summary(jobs: list[Job], mode: str) -> str:
    return " / ".join([_end(jobs), *_errors(jobs[0], mode)]) if jobs else UNKNOWN


def _errors(job: Job, mode: str = "invert") -> list[str]:
    return [_error(job["errors"][PLACE[mode]][key]) for key in ("inversion_error", "gradient_error")]


def _pair(jobs: list[Job]) -> str:
    return f"{_median(jobs, 0, 'inversion_error')} / {_median(jobs, 0, 'gradient_error')}" if jobs else UNKNOWN


def _median(jobs: list[Job], precision: int, key: str) -> str:
    return _error(statistics.median(_values(jobs, precision, key)))


def _values(jobs: list[Job], precision: int, key: str) -> list[float]:
    found = [job["errors"][precision][key] for job in jobs]
    return [float("inf") if error is None else error for error in found]


def _error(value: float | None) -> str:
    if value is None or value == float("inf"):
        return "not finite"
    return f"{value:.1e}" if value else "0"
