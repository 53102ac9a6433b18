"""Draw what `benchmarks/stability.py` found.

python benchmarks/stability_figure.py    # benchmarks/results/stability.json -> docs/stability.png
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from envelope import RESULTS
from invrim.report.axes import new_axes
from invrim.report.palette import ACCENT, INK, OTHERS, PAPER, WIDE
from invrim.report.picture import write_png

ADDITIVE, REAL_NVP, EXP, SIGMOID = OTHERS
COLOURS = {
    "orthogonal": ACCENT,
    "additive": ADDITIVE,
    "real-nvp": REAL_NVP,
    "glow-exp": EXP,
    "glow-exp-fitted": EXP,
    "glow-sigmoid": SIGMOID,
    "glow-sigmoid-fitted": SIGMOID,
}
PLACES = ((0.055, 0.28, 0.255, 0.6), (0.385, 0.28, 0.255, 0.6), (0.715, 0.28, 0.255, 0.6))
START = (0.1, 1e-3)
"""Gain and learning rate of the trainings that are drawn."""
DASHED = (0, (3, 2))
Job = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "stability.json")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "stability.png")
    options = parser.parse_args()
    print(write_png(stability_figure(json.loads(options.results.read_text(encoding="utf-8"))), options.out))


def stability_figure(envelope: dict[str, Any]) -> Figure:
    """Draw inversion errors against depth, and of one kind of training the loss and the inversion error."""
    jobs, labels = envelope["results"]["jobs"], envelope["setting"]["labels"]
    figure = Figure(figsize=(WIDE, 4.0))
    errors, loss, drift = (new_axes(figure, place) for place in PLACES)
    _draw_errors(errors, [job for job in jobs if job["kind"] == "initialisation"])
    for job in jobs:
        if job["kind"] == "long" and (job["gain"], job["rate"]) == START:
            _draw_curves(loss, drift, job)
    for axes in (errors, drift):
        axes.set_yscale("log")
        axes.minorticks_off()
    loss.set_ylim(bottom=0)
    _entitle(errors, "inversion error, untrained", "depth: layers")
    _entitle(loss, "loss (dashed: stored; cross: diverged)", "training step")
    _entitle(drift, "inversion error, trained by inversion", "training step")
    lines = errors.get_lines()
    names = [labels[line.get_label()] for line in lines]
    figure.legend(lines, names, loc="lower center", ncol=4, frameon=False, fontsize=8.5, labelcolor=INK)
    return figure


def _draw_errors(axes: Axes, jobs: list[Job]) -> None:
    """One line a layer, the median over seeds in float32; where it is not finite the line ends."""
    for layer, colour in COLOURS.items():
        found: dict[int, list[float]] = {}
        for job in (job for job in jobs if job["layer"] == layer):
            error = job["errors"][0]["inversion_error"]
            found.setdefault(job["depth"], []).append(float("inf") if error is None else error)
        medians = {depth: statistics.median(errors) for depth, errors in found.items()}
        finite = {depth: median for depth, median in medians.items() if median < float("inf")}
        fill = PAPER if layer.endswith("fitted") else colour
        axes.plot(finite.keys(), finite.values(), "o-", color=colour, mfc=fill, lw=1.6, ms=4.5, label=layer)
    depths = sorted({job["depth"] for job in jobs})
    axes.set_xscale("log")
    axes.set_xticks(depths, labels=[f"{depth:,}" for depth in depths])


def _draw_curves(loss: Axes, drift: Axes, job: Job) -> None:
    colour = COLOURS[job["layer"]]
    for mode, style in (("invert", "-"), ("store", DASHED)):
        curve = job[mode]
        loss.plot(curve["at"], curve["loss"], color=INK if mode == "store" else colour, lw=1.6, ls=style, alpha=0.8)
        if curve["diverged_at"] is not None:
            loss.plot(curve["diverged_at"], curve["loss"][-1], "x", color=colour, ms=7, mew=2)
    drift.plot(job["invert"]["at"], job["invert"]["drift"], color=colour, lw=2)


def _entitle(axes: Axes, title: str, across: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
    axes.set_xlabel(across)


if __name__ == "__main__":
    main()
