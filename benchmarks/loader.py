"""Does loading keep up with training, and does it stay small?

python benchmarks/loader.py
python benchmarks/loader.py --quick    # seconds, to see that it runs

Scans of eight coils are simulated; the recipe is that of the weights that ship. An update's batch is loaded in the
process itself, and by one and two of their own, from the files (compressed, as archives often are), and from a cache
that is made and one that is there. Beside slices per second stands the processor time of loading a slice, which does
not depend on what else the machine does, and what an update needs: with `headroom` above 1, so many processes with a
core each load faster than one trains. Then 10,000 reads of 1,000 files, and an index of a million slices.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from contest.work import training_step
from envelope import RESULTS, write_results
from invrim.cli.train import read_recipe
from invrim.data import items
from invrim.data.batches import ShapeBatchSampler
from invrim.data.dataset import SliceDataset
from invrim.data.index import FileEntry
from invrim.data.loader import Loader
from invrim.planning.memory import resident_bytes, run_apart
from invrim.training.recipe import Recipe
from stopwatch import cpu_seconds

QUESTION = "Does loading keep up with training, and does it stay small?"
RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "brain.yaml"
PER_FILE = 40
"""Slices of a file of the index."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured."""

    size: tuple[int, int] = (256, 218)
    coils: int = 8
    files: int = 6
    slices: int = 16
    """Of a file."""
    batches: int = 12
    updates: int = 6
    small_files: int = 1000
    reads: int = 10_000
    indexed: int = 1_000_000


QUICK = Plan(
    size=(48, 96), coils=2, files=2, slices=3, batches=2, updates=1, small_files=20, reads=60, indexed=4000
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small files, for tests")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--index", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.index is not None:
        print(json.dumps(index_size(options.index)))
        return
    plan, name = (QUICK, "loader-quick") if options.quick else (Plan(), "loader")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more than a small machine's cores
        results = measure(plan, Path(folder))
    setting = {**vars(plan), "recipe": RECIPE.name, "cores": len(os.sched_getaffinity(0))}
    print(write_results(name, QUESTION, setting, results, folder=options.out))


def measure(plan: Plan, folder: Path) -> dict[str, Any]:
    """All answers, each printed as it comes."""
    for part in ("train", "validation"):
        write_scans(folder / part, plan.files, plan.slices, plan.coils, plan.size)
    recipe = read_recipe(["--config", str(RECIPE), "--data.train", str(folder / "train"), "--out", str(folder / "out")])
    update = seconds_per_update(recipe, plan.updates)
    needed = recipe.data.batch_size / update
    print(f"an update takes {update:.3f} s of the processor: {needed:.2f} slices a second")
    rows = []
    for cache in ("none", "made", "there"):
        names = (folder / f"{cache}-{number}" for number in itertools.count())

        def place(cache: str = cache, names: Iterator[Path] = names) -> Path | None:
            """A folder for each measurement, but for the cache that is there."""
            return {"none": None, "made": next(names), "there": folder / "made-0"}[cache]

        loading = cpu_seconds_per_slice(recipe, place(), plan.files * plan.slices)
        for workers in (0, 1, 2):
            rate = slices_per_second(recipe, place(), workers, plan.batches)
            waiting = waiting_share(recipe, place(), workers, plan.updates)
            row = {"cache": cache, "workers": workers, "slices_per_second": rate, "waiting_share": waiting}
            row |= {"cpu_seconds_per_slice": loading, "headroom": max(1, workers) / loading / needed}
            rows.append(row)
            print(
                f"cache {cache:<6} {workers} processes: {rate:7.1f} slices/s alone, {1000 * loading:5.1f} ms a slice, "
                f"headroom {row['headroom']:5.1f}, training waits {100 * waiting:4.1f} % of its time"
            )
    growth = growth_of_reads(plan, folder / "small")
    print(f"{growth['reads']} reads of {growth['files']} files: {growth['bytes'] / 1e6:+.2f} MB", end=", ")
    print(f"{growth['descriptors']:+d} open files")
    index = run_apart([__file__, "--index", str(plan.indexed)])
    print(
        f"an index of {index['slices']} slices: {index['bytes'] / 1e6:.1f} MB, {index['with_order_bytes'] / 1e6:.1f} MB"
    )
    return {
        "cpu_seconds_per_update": update, "slices_needed_per_second": needed, "loading": rows, "growth": growth,
        "index": index,
    }  # fmt: skip


def write_scans(folder: Path, files: int, slices: int, coils: int, size: tuple[int, int]) -> None:
    """Write files of noise that falls off from the centre of k-space, compressed."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ky, kx = (np.linspace(-4, 4, n) for n in size)
    envelope = np.exp(-np.hypot(ky[:, None], kx[None]))
    for number in range(files):
        shape = (slices, coils, *size)
        kspace = ((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * envelope).astype(np.complex64)
        target = rng.random((slices, *size), dtype=np.float32)
        with h5py.File(folder / f"{number:04}.h5", "w") as file:
            file.create_dataset("kspace", data=kspace, chunks=(1, *shape[1:]), compression="gzip", compression_opts=1)
            file["reconstruction_rss"] = target
            file.attrs["max"] = float(target.max())


def dataset_of(recipe: Recipe, cache: Path | None) -> SliceDataset:
    """The recipe's training items."""
    data = recipe.data
    return SliceDataset(
        data.train, accelerations=data.accelerations, center_fractions=data.center_fractions,
        readout_crop=data.readout_crop, flip=data.flip, masks=data.masks, seed=recipe.seed, cache=cache,
    )  # fmt: skip


def batches_of(recipe: Recipe, cache: Path | None, workers: int) -> Iterator[dict[str, Any]]:
    """Batches without end."""
    data = dataset_of(recipe, cache)
    return iter(Loader(data, ShapeBatchSampler(data, recipe.data.batch_size, seed=recipe.seed), workers))


def seconds_per_update(recipe: Recipe, updates: int) -> float:
    """Processor time of an update without loading."""
    step, batch = training_step(recipe), next(batches_of(recipe, None, 0))
    step(batch)
    return cpu_seconds(lambda: [step(batch) for _ in range(updates)]) / updates


def cpu_seconds_per_slice(recipe: Recipe, cache: Path | None, slices: int) -> float:
    """Processor time of loading every slice once."""
    data = dataset_of(recipe, cache)
    return cpu_seconds(lambda: [data[number] for number in range(slices)]) / slices


def slices_per_second(recipe: Recipe, cache: Path | None, workers: int, count: int) -> float:
    """By the clock, with nothing else to do; the first batches, which start processes, do not count."""
    batches = batches_of(recipe, cache, workers)
    for _ in range(2 * max(1, workers)):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * recipe.data.batch_size / (time.perf_counter() - start)


def waiting_share(recipe: Recipe, cache: Path | None, workers: int, updates: int) -> float:
    """How much of its time training waits for batches, by the clock."""
    step, batches = training_step(recipe), batches_of(recipe, cache, workers)
    step(next(batches))
    start, waited = time.perf_counter(), 0.0
    for _ in range(updates):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        step(batch)
    return waited / (time.perf_counter() - start)


def growth_of_reads(plan: Plan, folder: Path) -> dict[str, int]:
    """What reads in random order add to this process: memory and open files, after as many as open the most of them."""
    write_scans(folder, plan.small_files, 2, 2, (32, 28))
    data = SliceDataset(folder, accelerations=[4], center_fractions=[0.2], readout_crop=16, flip=True)
    order = np.random.default_rng(0).integers(len(data), size=plan.reads + plan.reads // 10).tolist()
    first, rest = order[: plan.reads // 10], order[plan.reads // 10 :]
    for number in first:
        data[number]
    memory, files = resident_bytes(), open_files()
    for number in rest:
        data[number]
    return {
        "reads": len(rest), "files": plan.small_files, "bytes": resident_bytes() - memory,
        "descriptors": open_files() - files, "resident_bytes": memory,
    }  # fmt: skip


def open_files() -> int:
    """How many descriptors this process has (Linux)."""
    return len(list(Path("/proc/self/fd").iterdir()))


def index_size(slices: int) -> dict[str, Any]:
    """What an index of so many slices adds to this process, in files of 40, and with the order of an epoch."""
    sampled, protocol = torch.ones(368, dtype=torch.bool), torch.zeros(8)
    before = resident_bytes()
    items.index_of = lambda _: [  # in place of so many files
        FileEntry(
            path=Path(f"/data/train/file{number:07}.h5"), slices=PER_FILE, shape=(15, 640, 368), phase_encodes=1,
            target_name="reconstruction_rss", target_size=(320, 320), maximum=1.0 + number, mask=None, sampled=sampled,
            protocol=protocol, stamp=(number, number),
        )
        for number in range(slices // PER_FILE)
    ]  # fmt: skip
    data = SliceDataset(Path("unused"), accelerations=[4], center_fractions=[0.08])
    index = resident_bytes() - before
    start = time.perf_counter()
    batches = iter(ShapeBatchSampler(data, 8))
    next(batches)
    return {
        "slices": len(data), "bytes": index, "with_order_bytes": resident_bytes() - before,
        "seconds_to_order": time.perf_counter() - start,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
