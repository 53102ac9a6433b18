"""How far is `invrim plan` from what training then takes?

python benchmarks/planner.py

Every configuration is foreseen, then trained in fresh processes started as `invrim train` is: two updates of the true
training task and a validation, on made-up scans. Memory is a process's resident set at its largest, which differs from
start to start: the mean counts. Time is that of the second update: the median counts. Nothing in the forecast is fitted
to these configurations.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from envelope import RESULTS, write_results
from invrim.planning.apart import do_apart
from invrim.planning.forecast import Planner, measure
from invrim.training import Data, IRIMOptions, Optimisation, Recipe, RIMOptions, UNetOptions, VarNetOptions
from invrim.training.rehearsal import Scan, rehearse, smallest_of

QUESTION = "How far is the memory that invrim plan foresees from what a training run then takes?"
BAR = 0.10
STARTS = 5
"""Of every training."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recipe and the scans it is trained on."""

    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    optimisation: dict[str, Any] = field(default_factory=dict)
    matrix: tuple[int, int] = (256, 256)
    coils: int = 1
    target: tuple[int, int] | None = None
    precision: str = "32-true"
    kind: str = "irim"

    @property
    def recipe(self) -> Recipe:
        options = {"irim": IRIMOptions, "rim": RIMOptions, "unet": UNetOptions, "varnet": VarNetOptions}[self.kind]
        folders = {"train": Path("train"), "validation": Path("validation"), "workers": 0}
        return Recipe(
            data=Data(**folders, **{"batch_size": 2, **self.data}),
            model=options(**self.model),
            optimisation=Optimisation(updates=2, **self.optimisation),
            out=Path("out"),
            precision=self.precision,
        )

    @property
    def scan(self) -> Scan:
        return Scan(matrix=self.matrix, coils=self.coils, target=self.target)


def irim(hidden: tuple[int, ...] = (32, 32), strides: tuple[int, ...] = (1, 2), **others: Any) -> dict[str, Any]:
    return {"steps": 1, "hidden": hidden, "strides": strides, "channels": 32, **others}


HEAVY = {"hidden": (256, 512, 256), "strides": (4, 8, 4), "channels": 64}
DEEP = {"steps": 25, "hidden": (16, 32, 32, 16), "strides": (2, 4, 4, 2), "channels": 16}
MIDDLE = {"steps": 3, "hidden": (32, 48, 48, 32), "strides": (2, 4, 4, 2)}
VOLUME = {"steps": 1, "hidden": (32, 32), "strides": (2, 2), "channels": 32, "ndim": 3}
SLAB = {"slab": 12, "batch_size": 1}

CASES = {
    "2D, invert": Case(model=irim()),
    "2D, exact": Case(model=irim(backprop="exact")),
    "2D, store": Case(model=irim(backprop="store")),
    "2D, memory budget": Case(model=irim(memory_budget="250MB", **MIDDLE)),
    "2D, tiles of 64": Case(model=irim(tile=64)),
    "2D, whole": Case(model=irim(tile=None)),
    "2D, batch 1": Case(model=irim(channels=64), data={"batch_size": 1}),
    "2D, batch 3": Case(model=irim(), data={"batch_size": 3}),
    "2D, 4 coils": Case(model=irim(), coils=4),
    "2D, 8 coils": Case(model=irim(), coils=8),
    "2D, 15 coils": Case(model=irim((32,), (2,)), coils=15),
    "2D, 64 channels": Case(model=irim((64, 64), (2, 2), channels=64)),
    "2D, 100 channels, odd sizes": Case(model=irim((96,), (3,), channels=100), matrix=(251, 233)),
    "2D, wide nets, Adam": Case(model=irim(**HEAVY), data={"batch_size": 1}),
    "2D, wide nets, Muon": Case(model=irim(**HEAVY), data={"batch_size": 1}, optimisation={"optimiser": "muon"}),
    "2D, wide nets, EMA": Case(model=irim(**HEAVY), data={"batch_size": 1}, optimisation={"ema_decay": 0.99}),
    "2D, wide nets, Muon, EMA, clip": Case(
        model=irim(**HEAVY), data={"batch_size": 1}, optimisation={"optimiser": "muon", "ema_decay": 0.99, "clip": 1.0}
    ),
    "2D, 12 blocks, invert": Case(model=irim(**MIDDLE)),
    "2D, 12 blocks, store": Case(model=irim(**MIDDLE, backprop="store")),
    "2D, 100 blocks, invert": Case(model=irim(**DEEP)),
    "2D, 100 blocks, store": Case(model=irim(**DEEP, backprop="store"), data={"batch_size": 1}),
    "2D, 100 blocks, shared": Case(model=irim(**DEEP, share_weights=True, step_codes=True)),
    "2D, eta, 8 CG iterations": Case(model=irim(head="eta", cg_iterations=8), coils=4),
    "2D, loss on every step": Case(model=irim(**MIDDLE), optimisation={"loss": "ssim+l1", "every_step": True}, coils=2),
    "2D, 640 x 368, 15 coils": Case(
        model=irim((32, 32), (2, 4)), matrix=(640, 368), target=(320, 320), coils=15, data={"batch_size": 1}
    ),
    "2D, readout crop": Case(model=irim(), data={"readout_crop": 96}, coils=4),
    "2D, as published, narrower": Case(
        model=irim((32, 64), (2, 4), multiplicity=4, metadata=8, coil_maps=False), data={"image_crop": 224}
    ),
    "2D, 6 coils' images": Case(model=irim(images=6, coil_maps=False), coils=6),
    "2D, map refinement": Case(model=irim(map_channels=8), coils=4),
    "2D, bf16 nets": Case(model=irim((16, 16), (4, 4)), precision="bf16-mixed"),
    "3D, invert": Case(model=VOLUME, data=SLAB, matrix=(128, 120)),
    "3D, exact": Case(model={**VOLUME, "backprop": "exact"}, data=SLAB, matrix=(128, 120)),
    "3D, store": Case(model={**VOLUME, "backprop": "store"}, data=SLAB, matrix=(128, 120)),
    "3D, tiles of 12 x 64 x 64": Case(model={**VOLUME, "tile": (12, 64, 64)}, data=SLAB, matrix=(128, 120)),
    "3D, whole": Case(model={**VOLUME, "tile": None}, data=SLAB, matrix=(128, 120)),
    "3D, 4 coils": Case(model=VOLUME, data=SLAB, matrix=(128, 120), coils=4),
    "3D, batch 2, stride 1": Case(
        model={**VOLUME, "hidden": (16,), "strides": (1,), "channels": 16},
        data={**SLAB, "batch_size": 2},
        matrix=(96, 100),
    ),
    "3D, 16 blocks, Muon": Case(
        model={**VOLUME, "steps": 4, "hidden": (16, 32, 32, 16), "strides": (2, 4, 4, 2)},
        data=SLAB,
        matrix=(128, 120),
        optimisation={"optimiser": "muon"},
    ),
    "3D, loss in 3D": Case(
        model=VOLUME, data={**SLAB, "slab": 14}, matrix=(112, 120), optimisation={"loss": "ssim3d+l1"}
    ),
    "U-Net": Case(kind="unet", model={"channels": 16, "pools": 3}),
    "variational network": Case(
        kind="varnet", model={"cascades": 3, "channels": 8, "pools": 3, "map_pools": 3}, data={"batch_size": 1}, coils=4
    ),
    "RIM": Case(kind="rim", model={"steps": 3, "hidden": 24}, data={"batch_size": 1}, matrix=(192, 192)),
}
QUICK = {
    "small, invert": Case(model=irim(hidden=(8,), strides=(2,), channels=8), matrix=(96, 90), coils=2),
    "small, store": Case(model=irim(hidden=(8,), strides=(2,), channels=8, backprop="store"), matrix=(96, 90)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[*CASES, *QUICK], help="some; else all")
    parser.add_argument("--quick", action="store_true", help="two small cases, which say nothing about accuracy")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    named = {**CASES, **QUICK}
    chosen = options.cases or list(QUICK if options.quick else CASES)
    setting = {"threads": torch.get_num_threads(), "bar": BAR, "starts": 1 if options.quick else STARTS}
    setting["quick"] = options.quick
    rows: list[dict[str, Any]] = []
    for _, group in groupby(sorted(chosen, key=lambda name: _family(named[name])), lambda name: _family(named[name])):
        names = list(group)
        with Planner(partial(rehearse, *smallest_of(named[names[0]].recipe))) as planner:
            for name in names:
                rows.append(compare(planner, name, named[name], setting["starts"]))
                print(line(rows[-1]), flush=True)
                results = {"cases": sorted(rows, key=lambda row: chosen.index(row["case"])), "summary": summarise(rows)}
                # After every case, so that what was measured survives an interruption.
                path = write_results("planner", QUESTION, setting, results, folder=options.out)
    print(summary_in_words(results["summary"]))
    print(path)


def compare(planner: Planner, name: str, case: Case, starts: int) -> dict[str, Any]:
    work = partial(rehearse, case.recipe, case.scan)
    forecast = planner.forecast(work)
    runs = [do_apart(partial(measure, work)) for _ in range(starts)]
    peak = round(statistics.mean(run.peak for run in runs))
    return {
        "case": name,
        "foreseen_bytes": forecast.peak,
        "worst_foreseen_bytes": forecast.worst,
        "measured_bytes": peak,
        "all_measured_bytes": [run.peak for run in runs],
        "error": forecast.peak / peak - 1,
        "libraries_bytes": forecast.libraries,
        "error_without_libraries": (forecast.peak - peak) / (peak - forecast.libraries),
        "held_bytes": dict(forecast.held),
        "held_as_foreseen": all(forecast.held == run.held for run in runs),
        "in_validation": forecast.in_validation,
        "foreseen_seconds": forecast.seconds,
        "measured_seconds": statistics.median(run.seconds for run in runs),
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [abs(row["error"]) for row in rows]
    spread = [max(row["all_measured_bytes"]) / min(row["all_measured_bytes"]) - 1 for row in rows]
    slower = [abs(row["foreseen_seconds"] / row["measured_seconds"] - 1) for row in rows]
    return {
        "cases": len(rows),
        "worst": max(errors),
        "worst_case": max(rows, key=lambda row: abs(row["error"]))["case"],
        "median": statistics.median(errors),
        "widest_spread_of_measurements": max(spread),
        "within_bar": sum(error <= BAR for error in errors),
        "median_without_libraries": statistics.median(abs(row["error_without_libraries"]) for row in rows),
        "worst_without_libraries": max(abs(row["error_without_libraries"]) for row in rows),
        "median_of_seconds": statistics.median(slower),
        "worst_of_seconds": max(slower),
    }


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['case']:<32} foreseen {row['foreseen_bytes'] / 1e6:5.0f} MB, measured "
        f"{row['measured_bytes'] / 1e6:5.0f} MB, {row['error']:+.1%} ({row['error_without_libraries']:+.0%} without "
        f"libraries); {row['foreseen_seconds']:.2f} s, {row['measured_seconds']:.2f} s"
    )


def summary_in_words(summary: dict[str, Any]) -> str:
    return (
        f"{summary['within_bar']} of {summary['cases']} within {BAR:.0%}; worst {summary['worst']:.1%} "
        f"({summary['worst_case']}), median {summary['median']:.1%}; without libraries median "
        f"{summary['median_without_libraries']:.0%}; of time worst {summary['worst_of_seconds']:.0%}, median "
        f"{summary['median_of_seconds']:.0%}"
    )


def _family(case: Case) -> str:
    """Cases whose smallest run is the same share a calibration."""
    return repr(replace(smallest_of(case.recipe)[0], out=Path()))


if __name__ == "__main__":
    main()
