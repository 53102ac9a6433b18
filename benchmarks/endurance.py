"""Does the memory of a long training stay flat?

python benchmarks/endurance.py    # 10,000 updates of a tiny model: some minutes

Resident memory of the training process and of its loader's, summed, is noted from outside every few seconds. Growth is
that of the mean of the last tenth over the mean of the second: the first fills caches.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from envelope import RESULTS, write_results
from invrim.training import Recipe, train
from tiny_training import tiny_recipe, write_scans

QUESTION = "Does the memory of a long training stay flat?"
SECONDS = 2.0
"""Between two looks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        write_scans(Path(folder))
        recipe = tiny_recipe(Path(folder), Path(folder) / "run", updates=options.updates)
        noted = watch(replace(recipe, validate_every=500, checkpoint_every=100))
    tenth = max(1, len(noted) // 10)
    before, after = (statistics.mean(part) for part in (noted[tenth : 2 * tenth], noted[-tenth - 1 : -1]))
    results = {
        "minutes": (time.monotonic() - begun) / 60,
        "resident_mb": [round(size / 1e6, 1) for size in noted],
        "growth": after / before - 1,
    }
    print(f"{before / 1e6:.1f} MB -> {after / 1e6:.1f} MB: {100 * results['growth']:+.2f} %")
    print(write_results("endurance", QUESTION, {"updates": options.updates}, results, folder=options.out))


def watch(recipe: Recipe) -> list[int]:
    """Train in a process of its own, and return what it and its children held in memory."""
    process = multiprocessing.get_context("spawn").Process(target=train, args=(recipe,))
    process.start()
    noted = []
    while process.is_alive():
        if (recipe.out / "checkpoints").exists():
            noted.append(resident_bytes_of_family(process.pid))
        process.join(SECONDS)
    if process.exitcode != 0:
        raise RuntimeError("the training failed")
    return noted


def resident_bytes_of_family(pid: int | None) -> int:
    """What a process and its children hold in memory (Linux)."""
    total = 0
    with suppress(OSError):  # it ended meanwhile
        total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        total += sum(resident_bytes_of_family(int(child)) for child in children)
    return total


if __name__ == "__main__":
    main()
