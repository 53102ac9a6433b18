"""Draw what training costs: against depth, volume and number of processes, its loader, its checkpoints, and the plan.

python benchmarks/scaling_figure.py    # results of scaling, shards, loader and planner -> docs/scaling.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from envelope import RESULTS
from figures import DOCS
from invrim.report.axes import new_axes
from invrim.report.palette import ACCENT, INK, MUTED, OTHERS, RULE, WIDE
from invrim.report.picture import write_png

MODES = {"store": (MUTED, "stored"), "invert": (ACCENT, "inverted"), "exact": (OTHERS[0], "inverted bit for bit")}
CACHES = {"none": (MUTED, "no cache"), "there": (ACCENT, "cache there")}
MEGABYTE = 1e6
UNITS = {"blocks": 1, "voxels": 1e6, "peak_bytes": MEGABYTE, "seconds": 1}
COLUMNS, ROWS = 3, 3
Results = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with scaling.json and the others")
    parser.add_argument("--out", type=Path, default=DOCS / "scaling.png")
    options = parser.parse_args()
    names = ("scaling", "shards", "loader", "planner")
    results = {name: json.loads((options.results / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    print(write_png(scaling_figure(results), options.out))


def scaling_figure(results: Results) -> Figure:
    """Draw a panel a question."""
    panels: Sequence[tuple[str, str, Callable[[Axes, Results], None]]] = (
        ("memory of training, MB", "blocks", partial(draw_modes, study="depth", x="blocks", y="peak_bytes")),
        ("time of an update, s", "blocks", partial(draw_modes, study="depth", x="blocks", y="seconds")),
        ("memory foreseen, MB", "memory taken, MB", draw_plan),
        ("memory of training, MB", "million voxels", partial(draw_modes, study="volume", x="voxels", y="peak_bytes")),
        ("time of an update, s", "million voxels", partial(draw_modes, study="volume", x="voxels", y="seconds")),
        ("memory of each that share a volume, MB", "processes", draw_shards),
        ("slices learnt from a second", "processes", draw_processes),
        ("slices loaded a second", "loading processes", draw_loader),
        ("seconds for a checkpoint", "its size, MB", draw_checkpoints),
    )
    figure = Figure(figsize=(WIDE, 8.4))
    for number, (title, below, fill) in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        axes = new_axes(figure, (0.055 + 0.325 * column, 0.06 + 0.327 * (ROWS - 1 - row), 0.27, 0.235))
        axes.set_title(title, loc="left", fontsize=9.5, color=INK)
        axes.set_xlabel(below)
        fill(axes, results)
        if axes.get_yscale() == "linear":
            axes.set_ylim(bottom=0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, loc="best", labelcolor=INK)
    return figure


def draw_modes(axes: Axes, results: Results, study: str, x: str, y: str) -> None:
    """One line a mode of backpropagation."""
    for mode, (colour, label) in MODES.items():
        rows = [row for row in results["scaling"]["results"][study] if row["mode"] == mode]
        if not rows:
            continue
        _line(axes, *([row[name] / UNITS[name] for row in rows] for name in (x, y)), colour, label)


def draw_plan(axes: Axes, results: Results) -> None:
    """Mark every recipe, and the band of the bar."""
    facts = results["planner"]
    taken, foreseen = (
        [case[key] / MEGABYTE for case in facts["results"]["cases"]] for key in ("measured_bytes", "foreseen_bytes")
    )
    ends, bar = [0.9 * min(taken), 1.05 * max(taken)], facts["setting"]["bar"]
    axes.fill_between(
        ends,
        [end * (1 - bar) for end in ends],
        [end * (1 + bar) for end in ends],
        color=RULE,
        label=f"within {bar:.0%}",
    )
    axes.plot(taken, foreseen, "o", color=ACCENT, ms=3.5)
    axes.loglog()
    axes.set_xticks(ticks := [500, 1000, 2000, 4000], map(str, ticks))
    axes.set_yticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)


def draw_shards(axes: Axes, results: Results) -> None:
    for mode, (colour, label) in MODES.items():
        rows = [row for row in results["shards"]["results"] if row["mode"] == mode]
        if rows:
            processes = [row["processes"] for row in rows]
            _line(axes, processes, [max(row["peak_bytes"]) / MEGABYTE for row in rows], colour, label)
            axes.set_xticks(processes)


def draw_processes(axes: Axes, results: Results) -> None:
    rows = results["scaling"]["results"]["processes"]
    processes = [row["processes"] for row in rows]
    alone = rows[0]["slices_per_second"] / rows[0]["processes"]
    axes.plot(processes, [alone * count for count in processes], color=MUTED, lw=1, ls=":", label="as many times one")
    _line(axes, processes, [row["slices_per_second"] for row in rows], ACCENT, "measured")
    axes.set_xticks(processes)


def draw_loader(axes: Axes, results: Results) -> None:
    facts = results["loader"]["results"]
    for cache, (colour, label) in CACHES.items():
        rows = [row for row in facts["loading"] if row["cache"] == cache]
        _line(axes, [row["workers"] for row in rows], [row["slices_per_second"] for row in rows], colour, label)
        axes.set_xticks([row["workers"] for row in rows])
    axes.axhline(facts["slices_needed_per_second"], color=OTHERS[0], lw=1, ls=":", label="needed by training")


def draw_checkpoints(axes: Axes, results: Results) -> None:
    rows = results["scaling"]["results"]["checkpoints"]
    sizes = [row["checkpoint_bytes"] / MEGABYTE for row in rows]
    _line(axes, sizes, [row["seconds_to_write"] for row in rows], MUTED, "to write and prove it")
    _line(axes, sizes, [row["seconds_to_go_on"] for row in rows], ACCENT, "until a run goes on with it")


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, label: str) -> None:
    axes.plot(x, y, "o-", color=colour, ms=4, lw=1.6, label=label)


if __name__ == "__main__":
    main()
