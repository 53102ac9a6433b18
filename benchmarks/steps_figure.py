"""Does depth pay? Quality and training memory of the i-RIM against its number of steps.

python benchmarks/steps_figure.py    # reads results/steps.json, writes docs/steps.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from envelope import RESULTS
from invrim.report.axes import new_axes
from invrim.report.palette import INK, MUTED
from invrim.report.picture import write_png

SCANS = {"test 4x": "one coil, 4x", "test 8x": "one coil, 8x", "real 4x": "13 coils, 4x", "real 8x": "13 coils, 8x"}
COLOURS = ("#0b61cc", "#5a9ae6", "#9a6700", "#d4a72c")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "steps.json")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "steps.png")
    options = parser.parse_args()
    print(write_png(steps_figure(json.loads(options.results.read_text(encoding="utf-8"))), options.out))


def steps_figure(envelope: dict[str, Any]) -> Figure:
    """Draw PSNR on the left and memory on the right."""
    entries = envelope["results"]["entries"]
    steps = [int(name.rpartition("-")[2]) for name in entries]
    figure = Figure(figsize=(9.6, 3.4))
    quality, memory = (new_axes(figure, (left, 0.18, 0.34, 0.66)) for left in (0.06, 0.63))
    for (scan, label), colour in zip(SCANS.items(), COLOURS, strict=True):
        values = [facts["scores"][scan]["psnr"] for facts in entries.values()]
        quality.plot(steps, values, "o-", color=colour, ms=4, lw=1.6, label=label)
    for mode, label, colour in (("store", "activations stored", MUTED), ("invert", "by inversion", COLOURS[0])):
        values = [facts["memory_bytes"][mode] / 1e6 for facts in entries.values()]
        memory.plot(steps, values, "o-", color=colour, ms=4, lw=1.6, label=label)
    memory.set_ylim(bottom=0)
    for axes, title in ((quality, "PSNR in dB"), (memory, "memory of a training step in MB")):
        axes.set_title(title, loc="left", fontsize=9.5, color=INK)
        axes.set_xticks(steps)
        axes.set_xlabel("steps")
    quality.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelcolor=INK)
    memory.legend(frameon=False, fontsize=8, loc="upper left", labelcolor=INK)
    return figure


if __name__ == "__main__":
    main()
