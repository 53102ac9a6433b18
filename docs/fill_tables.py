"""Write the measured numbers into the README and the pages of ``docs``: no table there is typed by hand.

    python docs/fill_tables.py            # rewrite them
    python docs/fill_tables.py --check    # exit 1 if one is not up to date

Reads what the benchmarks wrote to ``benchmarks/results``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import training_tables
import volume_tables
from engine_tables import budget_table, engine_sentence, engines_table, heap_table, tiles_table
from instrument_tables import instrument_table
from measured import megabytes, origin, table
from model_tables import contest_table
from stability_tables import (
    depths_table,
    gain_table,
    precision_table,
    rates_table,
    start_table,
    training_table,
    untrained_table,
)

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
SCANS = {
    "test": "unseen subject, simulated, one coil",
    "real": "real scan, 13 coils",
}
"""Folder that was scored -> what the reader calls it."""


def quality_table(result: dict[str, Any]) -> str:
    """One line a scan, acceleration and method."""
    head = ["scan", "acceleration", "method", "NMSE", "PSNR (dB)", "SSIM"]
    body = []
    for label, methods in result["results"].items():
        scan, _, acceleration = label.rpartition(" ")
        for method, scores in methods.items():
            mean = scores["per_volume"]["mean"]
            figures = [f"{mean['nmse']:.4f}", f"{mean['psnr']:.2f}", f"{mean['ssim']:.3f}"]
            body.append([SCANS.get(scan, scan), acceleration, method, *figures])
    return f"{table(head, body)}\n\nProtocol `{result['setting']['protocol']}`; {origin(result)}."


def depth_table(result: dict[str, Any]) -> str:
    """Peak memory of a training step, one line a mode, one column a depth."""
    measured = result["results"]
    head = ["peak memory of a training step", *(f"{depth:,} blocks" for depth in measured["depths"])]
    body = [[f"`{mode}`", *map(megabytes, peaks)] for mode, peaks in measured["peak_bytes"].items()]
    state = megabytes(measured["state_bytes"])
    return f"{table(head, body)}\n\nState of {state}, each number from a fresh process; {origin(result)}."


def nufft_table(result: dict[str, Any]) -> str:
    """One line a number of spokes."""
    head = ["spokes", "two Fourier transforms a coil", "nonuniform transform and adjoint", "times faster"]
    body = [
        [str(row["spokes"]), f"{row['toeplitz_s']:.2f} s", f"{row['transforms_s']:.2f} s", f"{row['ratio']:.1f}"]
        for row in result["results"]
    ]
    setting = result["setting"]
    what = f"{setting['coils']} coils, {setting['size']} x {setting['size']} pixels, {setting['repeats']} rounds"
    return f"{table(head, body)}\n\nMedians, {what}, one thread; {origin(result)}."


def raw_files_table(result: dict[str, Any]) -> str:
    """One line a file that has a truth to compare with."""
    head = ["file", "conventional start", "i-RIM"]
    body = [
        [title, *(" / ".join(_scores_of_raw_file(facts[name])) for name in ("start", "i-RIM"))]
        for title, facts in result["results"].items()
        if facts
    ]
    what = f"PSNR in dB / SSIM, protocol `{result['setting']['protocol']}` / SSIM of the object alone"
    return f"{table(head, body)}\n\n{what}; {origin(result)}."


def _scores_of_raw_file(facts: dict[str, float]) -> list[str]:
    return [f"{facts['psnr']:.2f}", f"{facts['ssim']:.3f}", f"{facts['ssim_of_object']:.3f}"]


def loader_table(result: dict[str, Any]) -> str:
    """One line a cache and number of processes."""
    measured, setting = result["results"], result["setting"]
    names = {"none": "without a cache", "made": "cache that is made", "there": "cache that is there"}
    head = ["loading", "processes", "processor time of a slice", "times faster than training", "training waits"]
    body = [
        [
            names[row["cache"]], str(row["workers"]), f"{1000 * row['cpu_seconds_per_slice']:.0f} ms",
            f"{row['headroom']:.1f}", f"{100 * row['waiting_share']:.1f} %",
        ]
        for row in measured["loading"]
    ]  # fmt: skip
    growth, index, (ky, kx) = measured["growth"], measured["index"], setting["size"]
    what = (
        f"Slices of {setting['coils']} coils, {ky} x {kx}, compressed, for `recipes/{setting['recipe']}`, of which an "
        f"update takes {measured['cpu_seconds_per_update']:.2f} s of a core; processes with a core each would load so "
        f"much faster. The waiting was measured with {setting['cores']} core for all."
    )
    small = (
        f"{growth['reads']:,} reads of {growth['files']:,} files in random order add {growth['bytes'] / 1e6:.1f} MB "
        f"and {growth['descriptors']} open files to the process; an index of {index['slices']:,} slices takes "
        f"{index['bytes'] / 1e6:.0f} MB, and {index['with_order_bytes'] / 1e6:.0f} MB with the order of an epoch."
    )
    return f"{table(head, body)}\n\n{what} {small} M{origin(result)[1:]}."


def planner_table(result: dict[str, Any]) -> str:
    """One line a configuration, and the errors of all."""
    head = ["configuration", "foreseen", "measured", "error", "update, foreseen", "measured"]
    body = [
        [
            row["case"],
            f"{row['foreseen_bytes'] / 1e6:.0f} MB",
            f"{row['measured_bytes'] / 1e6:.0f} MB",
            f"{row['error']:+.1%}",
            f"{row['foreseen_seconds']:.1f} s",
            f"{row['measured_seconds']:.1f} s",
        ]
        for row in result["results"]["cases"]
    ]
    summary, bar = result["results"]["summary"], result["setting"]["bar"]
    sentence = (
        f"{summary['within_bar']} of {summary['cases']} peaks are within {bar:.0%}; the worst is off by "
        f"{summary['worst']:.1%}, the median by {summary['median']:.1%}; one start differed from another of the same "
        f"recipe by up to {summary['widest_spread_of_measurements']:.0%}. Python and the libraries alone take "
        f"{result['results']['cases'][0]['libraries_bytes'] / 1e6:.0f} MB; of what is above them, the worst is off by "
        f"{summary['worst_without_libraries']:.0%}, the median by {summary['median_without_libraries']:.0%}. Of times, "
        f"which have no bar, the worst is off by {summary['worst_of_seconds']:.0%}, the median by "
        f"{summary['median_of_seconds']:.0%}. {result['setting']['threads']} thread, load "
        f"{result['load']:.1f}; {origin(result)}."
    )
    return f"{table(head, body)}\n\n{sentence}"


Regions = dict[str, tuple[str, Callable[[dict[str, Any]], str]]]
"""Marker -> file that fills it, and how."""
REGIONS: Regions = {
    "table": ("quality.json", quality_table),
    "depth": ("depth.json", depth_table),
    "engine": ("engine.json", engine_sentence),
}
PAGES: dict[Path, Regions] = {
    README: REGIONS,
    ROOT / "docs" / "archives.md": {"loader": ("loader.json", loader_table)},
    ROOT / "docs" / "engine.md": {
        "budget": ("budget.json", budget_table),
        "engines": ("engine.json", engines_table),
        "heap": ("heap.json", heap_table),
        "tiles": ("tiles.json", tiles_table),
    },
    ROOT / "docs" / "instruments.md": {
        "deconvolution": ("deconvolution.json", instrument_table),
        "tomography": ("tomography.json", instrument_table),
    },
    ROOT / "docs" / "models.md": {
        "steps": ("steps.json", contest_table),
        "models": ("models.json", contest_table),
        "improvements": ("improvements.json", contest_table),
    },
    ROOT / "docs" / "planning.md": {"planner": ("planner.json", planner_table)},
    ROOT / "docs" / "raw_files.md": {"raw_files": ("raw_files.json", raw_files_table)},
    ROOT / "docs" / "scaling.md": {
        "depth": ("scaling.json", training_tables.depth_table),
        "volume": ("scaling.json", training_tables.volume_table),
        "processes": ("scaling.json", training_tables.processes_table),
        "checkpoints": ("scaling.json", training_tables.checkpoints_table),
    },
    ROOT / "docs" / "stability.md": {
        "rates": ("stability.json", rates_table),
        "training": ("stability.json", training_table),
        "depths": ("stability.json", depths_table),
        "start": ("stability.json", start_table),
        "untrained": ("stability.json", untrained_table),
        "precision": ("stability.json", precision_table),
        "gain": ("stability.json", gain_table),
    },
    ROOT / "docs" / "training.md": {
        "kills": ("kills.json", training_tables.kills_table),
        "endurance": ("endurance.json", training_tables.endurance_sentence),
    },
    ROOT / "docs" / "trajectories.md": {"nufft": ("nufft.json", nufft_table)},
    ROOT / "docs" / "volumes.md": {
        "depth3d": ("volume.json", volume_tables.depth_table),
        "arithmetic": ("volume.json", volume_tables.arithmetic_table),
        "fits": ("volume.json", volume_tables.fits_table),
        "shards": ("shards.json", volume_tables.shards_table),
    },
}


def filled(text: str, results: Path = RESULTS, regions: Regions = REGIONS) -> str:
    """Replace what stands between the markers ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""
    for marker, (file, write) in regions.items():
        path = results / file
        content = write(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else _not_measured(file)
        region = re.compile(rf"(<!-- {marker}:begin -->\n).*?(<!-- {marker}:end -->)", re.DOTALL)
        text, count = region.subn(lambda found, content=content: f"{found[1]}{content}\n{found[2]}", text)
        if count != 1:
            raise SystemExit(f"expected one region {marker!r} on the page, got {count}. Restore its two markers.")
    return text


def _not_measured(file: str) -> str:
    return f"*Not measured yet: `make bench`, `make table` or `make instruments` writes `benchmarks/results/{file}`.*"


def main() -> None:
    """Rewrite the pages, or check them."""
    for page, regions in PAGES.items():
        old = page.read_text(encoding="utf-8")
        new = filled(old, regions=regions)
        if "--check" in sys.argv[1:] and new != old:
            sys.exit(f"{page.name} is not up to date. Run `python docs/fill_tables.py`.")
        if new != old:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
