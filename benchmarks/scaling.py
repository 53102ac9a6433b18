"""What does training cost against depth, volume and number of processes, and what do checkpoints cost?

python benchmarks/scaling.py

Depth and volume: two updates of the true training task and a validation, on made-up scans, in a fresh process; memory
is that process's resident set at its largest, libraries included, time that of the second update. Processes:
`invrim train` over gloo, every process with a thread of its own; time is that of a long run less that of a short one.
Checkpoints: a run that ends and goes on, once for each size of model. Times are medians, taken in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from lightning.pytorch import LightningModule, Trainer

from envelope import RESULTS, write_results
from invrim.planning.apart import Workshop
from invrim.planning.forecast import Run, measure
from invrim.training import IRIMOptions, Recipe, train
from invrim.training.build import build_model
from invrim.training.checkpoints import FOLDER, Checkpoints, checkpoints_in
from invrim.training.rehearsal import rehearse
from planner import Case
from tiny_training import tiny_recipe, write_scans

QUESTION = "What does training cost against depth, volume and number of processes, and what do checkpoints cost?"
MODES = ("store", "invert")
BLOCKS_A_STEP = 4
WIDTH = 32
BATCH = 2
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest of everything, for tests")
    parser.add_argument("--repeats", type=int, default=3, help="of every timing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    quick, repeats = options.quick, 1 if options.quick else options.repeats
    studies: dict[str, Iterator[dict[str, Any]]] = {
        "depth": against_depth((1,) if quick else (1, 2, 4, 8), repeats),
        "volume": against_volume((64,) if quick else (64, 96, 128, 160), repeats),
        "processes": against_processes((2,) if quick else (1, 2), (1, 2) if quick else (4, 24), repeats),
        "checkpoints": of_checkpoints((8,) if quick else (8, 64, 256, 512)),
    }
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in studies}
    for name, rows in studies.items():
        for row in rows:
            results[name].append(row)
            print(name, line(row), flush=True)
    setting = {"threads": torch.get_num_threads(), "cores": os.cpu_count(), "repeats": repeats, "quick": quick}
    print(write_results("scaling", QUESTION, setting, results, folder=options.out))


def against_depth(steps: tuple[int, ...], repeats: int) -> Iterator[dict[str, Any]]:
    """Slices of 128 x 128, two a batch."""
    for count in steps:
        model = {"hidden": (WIDTH,) * BLOCKS_A_STEP, "strides": (1, 2, 2, 1), "channels": WIDTH, "steps": count}
        cases = {mode: Case(model={**model, "backprop": mode}, matrix=(128, 128)) for mode in MODES}
        for mode, row in trained(cases, repeats):
            yield {"blocks": BLOCKS_A_STEP * count, "mode": mode, **row}


def against_volume(sizes: tuple[int, ...], repeats: int) -> Iterator[dict[str, Any]]:
    """Slabs of 12 slices, one a batch."""
    model = {"steps": 1, "hidden": (WIDTH,) * BLOCKS_A_STEP, "strides": (2, 2, 2, 2), "channels": WIDTH, "ndim": 3}
    data = {"slab": 12, "batch_size": 1}
    for size in sizes:
        cases = {mode: Case(model={**model, "backprop": mode}, data=data, matrix=(size, size)) for mode in MODES}
        for mode, row in trained(cases, repeats):
            yield {"voxels": data["slab"] * size * size, "mode": mode, **row}


def trained(cases: dict[str, Case], repeats: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Peak bytes and seconds of an update of every case, each run in a process of its own."""
    runs: dict[str, list[Run]] = {mode: [] for mode in cases}
    with Workshop() as workshop:
        for _ in range(repeats):
            for mode, case in cases.items():
                runs[mode].append(workshop.ask(partial(measure, partial(rehearse, case.recipe, case.scan))))
    for mode, of_mode in runs.items():
        peak, seconds = (statistics.median(getattr(run, field) for run in of_mode) for field in ("peak", "seconds"))
        yield mode, {"peak_bytes": peak, "seconds": seconds}


def against_processes(counts: tuple[int, ...], updates: tuple[int, int], repeats: int) -> Iterator[dict[str, Any]]:
    """Slices learnt from a second, with two in the batch of every process."""
    seconds: dict[tuple[int, int], list[float]] = {(count, n): [] for count in counts for n in updates}
    peaks = dict.fromkeys(counts, 0)
    with tempfile.TemporaryDirectory() as folder:
        write_scans(Path(folder), size=(128, 96))
        for repeat in range(repeats):
            for (count, n), times in seconds.items():
                recipe = plain_recipe(Path(folder), f"{count}-{n}-{repeat}", updates=n, hidden=(WIDTH,) * BLOCKS_A_STEP)
                took, peak = timed_command(replace(recipe, devices=count))
                times.append(took)
                peaks[count] = max(peaks[count], peak)
    few, many = updates
    for count in counts:
        each = statistics.median(
            (long - short) / (many - few) for short, long in zip(seconds[count, few], seconds[count, many], strict=True)
        )
        yield {
            "processes": count,
            "seconds": each,
            "slices_per_second": BATCH * count / each,
            "peak_bytes": peaks[count],
        }


def timed_command(recipe: Recipe) -> tuple[float, int]:
    """Seconds that `invrim train` takes, and the largest resident set of any of its processes."""
    path = recipe.out.with_suffix(".json")
    path.write_text(json.dumps(recipe.as_json()), encoding="utf-8")
    command = [sys.executable, "-m", "invrim.cli.main", "train", "--config", str(path)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError("the training failed")
    return time.perf_counter() - begun, 1024 * usage.ru_maxrss


def of_checkpoints(widths: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Seconds that a checkpoint takes, and that a run needs until it has gone on; imports apart."""
    for width in widths:
        with tempfile.TemporaryDirectory() as folder:
            write_scans(Path(folder))
            recipe = plain_recipe(Path(folder), "run", updates=2, hidden=(width,) * BLOCKS_A_STEP)
            new, writing = in_a_fresh_process(partial(seconds_until_learning, recipe))
            longer = replace(recipe, optimisation=replace(recipe.optimisation, updates=3))
            again, _ = in_a_fresh_process(partial(seconds_until_learning, longer))
            _, checkpoint = next(checkpoints_in(recipe.out / FOLDER))
            yield {
                "parameters": sum(parameter.numel() for parameter in build_model(recipe).parameters()),
                "checkpoint_bytes": checkpoint.stat().st_size,
                "seconds_to_write": writing,
                "seconds_to_begin": new,
                "seconds_to_go_on": again,
            }


def seconds_until_learning(recipe: Recipe) -> tuple[float, float]:
    """Train, and say how long it took to begin, and to write the only checkpoint."""
    begun, writing, at_start = [], [], 0

    class Timed(Checkpoints):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            nonlocal at_start
            begun.append(time.perf_counter())
            at_start = trainer.global_step
            super().on_train_start(trainer, pl_module)

        def write(self, trainer: Trainer) -> None:
            before = time.perf_counter()
            super().write(trainer)
            if trainer.global_step > at_start:  # else there is nothing to write
                writing.append(time.perf_counter() - before)

    start = time.perf_counter()
    with patch("invrim.training.run.Checkpoints", Timed):
        train(recipe)
    (written,) = writing
    return begun[0] - start, written


def plain_recipe(folder: Path, name: str, *, updates: int, hidden: tuple[int, ...]) -> Recipe:
    """No process that loads, no accumulation; a checkpoint and validation at the end only."""
    recipe = tiny_recipe(folder, folder / name, updates=updates, batch_size=BATCH)
    model = IRIMOptions(steps=2, hidden=hidden, strides=(1, 2, 2, 1), channels=WIDTH)
    return replace(
        recipe,
        model=model,
        data=replace(recipe.data, workers=0, readout_crop=None),
        optimisation=replace(recipe.optimisation, accumulate=1, ema_decay=None, warmup=0),
        validate_every=updates,
        checkpoint_every=updates,
    )


def in_a_fresh_process(work: Callable[[], T]) -> T:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(work).result()


def line(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
    )


if __name__ == "__main__":
    main()
