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
from invrim.report.palette import ACCENT, INK, OTHERS, WIDE
from invrim.report.picture import write_png

DRAWN = ("orthogonal", "additive", "real-nvp", "glow-exp", "glow-exp-fitted")
COLOURS = dict(zip(DRAWN, (ACCENT, *OTHERS), strict=True))
PLACES = ((0.055, 0.23, 0.255, 0.62), (0.385, 0.23, 0.255, 0.62), (0.715, 0.23, 0.255, 0.62))
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
    """Draw errors of gradients against depth, and of the long trainings the loss and the inversion error."""
    jobs, labels = envelope["results"]["jobs"], envelope["setting"]["labels"]
    trained = [job for job in jobs if job["kind"] == "long" and (job["gain"], job["rate"]) == START]
    figure = Figure(figsize=(WIDE, 3.9))
    errors, loss, drift = (new_axes(figure, place) for place in PLACES)
    _draw_errors(errors, [job for job in jobs if job["kind"] == "initialisation"])
    for job in (job for job in trained if job["layer"] in DRAWN):
        _draw_curves(loss, drift, job)
    _entitle(errors, "gradient error, untrained, float32", "depth: layers")
    _entitle(loss, "loss, dashed: activations stored", "training step")
    _entitle(drift, "inversion error in training", "training step")
    lines = errors.get_lines()
    names = [labels[line.get_label()] for line in lines]
    figure.legend(lines, names, loc="lower center", ncol=len(lines), frameon=False, fontsize=8.2, labelcolor=INK)
    return figure


def _draw_errors(axes: Axes, jobs: list[Job]) -> None:
    """One line a layer, the median over seeds; a depth at which it is not finite has no point."""
    depths = sorted({job["depth"] for job in jobs})
    for layer in (layer for layer in DRAWN if any(job["layer"] == layer for job in jobs)):
        median = [median_error(jobs, layer, depth) for depth in depths]
        axes.plot(depths, median, "o-", color=COLOURS[layer], lw=2, ms=4, label=layer, clip_on=False)
    axes.set_xscale("log")
    axes.set_xticks(depths, labels=[f"{depth:,}" for depth in depths])
    axes.minorticks_off()


def median_error(jobs: list[Job], layer: str, depth: int) -> float:
    """Of the gradients in float32 over seeds; what is not finite counts as infinite."""
    found = [job["errors"][0]["gradient_error"] for job in jobs if (job["layer"], job["depth"]) == (layer, depth)]
    return statistics.median(float("inf") if error is None else error for error in found)


def _draw_curves(loss: Axes, drift: Axes, job: Job) -> None:
    """Inverted training solid, stored training dashed; a cross where it diverged."""
    colour = COLOURS[job["layer"]]
    for mode, style in (("store", DASHED), ("invert", "-")):
        curve = job[mode]
        loss.plot(curve["at"], curve["loss"], color=colour, lw=1.6, ls=style)
        if curve["diverged_at"] is not None:
            loss.plot(curve["at"][-1], curve["loss"][-1], "x", color=colour, ms=8, mew=2, clip_on=False)
    drift.plot(job["invert"]["at"], job["invert"]["drift"], color=colour, lw=2)


def _entitle(axes: Axes, title: str, across: str) -> None:
    axes.set_yscale("log")
    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
    axes.set_xlabel(across)


if __name__ == "__main__":
    main()
