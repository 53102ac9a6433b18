"""Draw what `benchmarks/stability.py` found.

python benchmarks/stability_figure.py    # benchmarks/results/stability.json -> docs/stability.png
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from envelope import RESULTS
from invrim.report.axes import new_axes
from invrim.report.palette import ACCENT, INK, MUTED, OTHERS, WIDE
from invrim.report.picture import write_png

TITLES = {
    "orthogonal": "orthogonal mixing,\nadditive (ours)",
    "additive": "additive,\nno mixing",
    "real-nvp": "real-NVP",
    "glow-sigmoid-fitted": "Glow sigmoid,\nActNorm fitted",
    "glow-exp-fitted": "Glow exp,\nActNorm fitted",
}
"""Layers that were trained, left to right."""
SHADES = ("#a8cbf2", "#5a9be6", ACCENT, "#0a2448")
"""Light to dark, with the learning rate."""
PRECISIONS = {"float32": (ACCENT, "o"), "bf16": (OTHERS[0], "s")}
READOUT = (0, (1, 2))
LOSSES, ERRORS = (0.035, 0.25), (1e-8, 1.0)
"""Beyond the upper limit, and where it is not finite, a number is marked at the edge."""
Job = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "stability.json")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "stability.png")
    options = parser.parse_args()
    print(write_png(stability_figure(json.loads(options.results.read_text(encoding="utf-8"))), options.out))


def stability_figure(envelope: dict[str, Any]) -> Figure:
    """Draw one column a layer: learning rates, training at the best of them, and inversion against depth."""
    jobs, readout = envelope["results"]["jobs"], envelope["setting"]["readout_loss"]
    trained = [job for job in jobs if "mode" in job]
    shades = dict(zip(sorted({job["rate"] for job in trained}), SHADES, strict=False))
    layers = [layer for layer in TITLES if any(job["layer"] == layer for job in trained)]
    figure = Figure(figsize=(WIDE, 9.6))
    for column, layer in enumerate(layers):
        mine = [job for job in jobs if job["layer"] == layer]
        rates, loss, drift, depth = (_panel(figure, row, column) for row in range(4))
        rates.set_title(TITLES[layer], loc="left", fontsize=9.5, color=INK)
        for job in mine:
            colour = shades.get(job.get("rate", 0), INK)
            if job["kind"] == "rates" and job["mode"] == "store":
                _draw(rates, job["at"], job["loss"], stopped_at=job["stopped_at"], color=colour, lw=1.6)
            if job["kind"] == "long" and job["mode"] == "invert":
                _draw(loss, job["at"], job["loss"], stopped_at=job["stopped_at"], color=colour, lw=1.3)
                _draw(drift, job["at"], job["drift"], color=colour, lw=1.3)
        _draw_depths(depth, [job for job in mine if job["kind"] == "initialisation"])
        for axes in (rates, loss, drift, depth):
            if not axes.lines:
                axes.set_xticks([])
                axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED, fontsize=8.5)
        for axes in (rates, loss):
            axes.axhline(readout, color=MUTED, lw=1.2, ls=READOUT, zorder=1)
    _explain(figure, shades)
    return figure


def _panel(figure: Figure, row: int, column: int) -> Axes:
    axes = new_axes(figure, (0.1 + 0.182 * column, 0.775 - 0.218 * row, 0.158, 0.15))
    axes.set_yscale("log")
    if row < 2:
        axes.set_ylim(*LOSSES)
        axes.set_yticks([0.05, 0.1, 0.2], labels=["0.05", "0.1", "0.2"])
    else:
        axes.set_ylim(*ERRORS)
        axes.set_yticks([1e-8, 1e-6, 1e-4, 1e-2, 1])
    axes.minorticks_off()
    axes.set_xlabel("layers" if row == 3 else "updates")
    names = ("loss, activations\nstored", "loss, trained\nby inversion", "its inversion\nerror",
             "inversion error,\nuntrained")  # fmt: skip
    if column == 0:
        axes.set_ylabel(names[row], color=INK, fontsize=9)
    else:
        axes.tick_params(labelleft=False)
    return axes


def _draw(
    axes: Axes, across: Sequence[float], up: Sequence[float | None], *, stopped_at: int | None = None, **style: Any
) -> None:
    """Draw a line as far as it is finite; mark at the upper edge where it stopped or first was not."""
    finite = [(x, y) for x, y in zip(across, up, strict=True) if y is not None and math.isfinite(y)]
    lost = [x for x, y in zip(across, up, strict=True) if y is None or not math.isfinite(y)]
    axes.plot(*zip(*finite, strict=True), **style)
    if stopped_at is not None or lost:
        at = stopped_at if stopped_at is not None else lost[0]
        edge = axes.get_xaxis_transform()
        axes.plot(at, 0.97, "x", color=style["color"], ms=7, mew=2, transform=edge, clip_on=False)


def _draw_depths(axes: Axes, jobs: list[Job]) -> None:
    """Medians over seeds."""
    depths = sorted({job["depth"] for job in jobs})
    for precision, (colour, mark) in PRECISIONS.items():
        medians = []
        for depth in depths:
            at = (errors for job in jobs if job["depth"] == depth for errors in job["errors"])
            found = [errors["inversion_error"] for errors in at if errors["precision"] == precision]
            medians.append(statistics.median(float("inf") if error is None else error for error in found))
        if depths:
            _draw(axes, depths, medians, color=colour, lw=1.4, marker=mark, ms=4)
    axes.set_xscale("log")
    axes.set_xticks(depths, labels=[f"{depth:,}" for depth in depths])
    axes.minorticks_off()
    axes.tick_params(axis="x", labelsize=7.5)


def _explain(figure: Figure, shades: dict[float, str]) -> None:
    lines = [Line2D([], [], color=colour, lw=2, label=f"learning rate {rate:g}") for rate, colour in shades.items()]
    lines.append(Line2D([], [], color=MUTED, lw=1.2, ls=READOUT, label="linear readout of single pixels"))
    lines += [
        Line2D([], [], color=colour, lw=1.4, marker=mark, ms=4, label=f"{precision} nets")
        for precision, (colour, mark) in PRECISIONS.items()
    ]
    lines.append(Line2D([], [], color=INK, ls="none", marker="x", ms=7, mew=2, label="stopped, or not finite"))
    figure.legend(handles=lines, loc="lower center", ncol=4, frameon=False, fontsize=8.5, labelcolor=INK)


if __name__ == "__main__":
    main()
