"""Does a training that is killed again and again end with the very weights of one that is not?

python benchmarks/kills.py    # 50 kills: some minutes

Of two models, an i-RIM with a running average of its weights and a U-Net with dropout, one run is left alone. Others
are killed (SIGKILL) after a random time, every third of them as soon as a checkpoint is being written, and started
again until they end. What going on costs is how much longer two halves take than the whole.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from envelope import RESULTS, write_results
from invrim.training import train
from tiny_training import tiny_recipe, write_scans

QUESTION = "Does a training that is killed again and again end with the very weights of one that is not?"
MODELS = ("irim", "unet")
WEIGHTS = "weights.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--updates", type=int, default=60, help="of a run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        write_scans(Path(folder))
        for model, kills in zip(MODELS, (options.kills - options.kills // 2, options.kills // 2), strict=True):
            results[model] = Training(model, Path(folder), options.updates).measure(kills, rng)
            print(f"{model}: {results[model]}", flush=True)
    setting = {"kills": options.kills, "seed": options.seed, "updates": options.updates}
    print(write_results("kills", QUESTION, setting, results, folder=options.out))


class Training:
    """Runs of one model, each in processes of its own."""

    def __init__(self, model: str, folder: Path, updates: int) -> None:
        self.model, self.folder, self.updates = model, folder, updates
        self.seconds = self.finish("whole")
        self.whole = load_file(folder / f"{model}-whole" / WEIGHTS)

    def measure(self, kills: int, rng: random.Random) -> dict[str, Any]:
        """Kill runs so many times, whichever run it is, and compare every one that ends."""
        made, writing, identical, number = 0, 0, [], 0
        while made < kills:
            while_writing = made % 3 == 2
            if self.kill(f"{number}", rng.uniform(0, self.seconds), while_writing=while_writing):
                made, writing = made + 1, writing + while_writing
            else:  # it ended before
                identical.append(self.same(f"{number}"))
                number += 1
        self.finish(f"{number}")
        identical.append(self.same(f"{number}"))
        halves = self.finish("halves", self.updates // 2) + self.finish("halves")
        return {
            "kills": made, "kills_while_writing": writing, "runs": len(identical), "identical": sum(identical),
            "seconds_of_a_run": self.seconds, "seconds_to_go_on": halves - self.seconds,
        }  # fmt: skip

    def start(self, name: str, updates: int | None = None) -> subprocess.Popen[bytes]:
        out = self.folder / f"{self.model}-{name}"
        command = [sys.executable, __file__, self.model, str(self.folder), str(out), str(updates or self.updates)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def finish(self, name: str, updates: int | None = None) -> float:
        """Let a run end, and return how long that took."""
        begun = time.monotonic()
        if self.start(name, updates).wait() != 0:
            raise RuntimeError(f"the run {self.model}-{name} failed")
        return time.monotonic() - begun

    def kill(self, name: str, seconds: float, *, while_writing: bool) -> bool:
        """Start a run and kill it after this time, or at the first checkpoint being written after it; say whether."""
        process = self.start(name)
        checkpoints = self.folder / f"{self.model}-{name}" / "checkpoints"
        begun = time.monotonic()
        while process.poll() is None:
            if time.monotonic() - begun > seconds and (not while_writing or any(checkpoints.glob(".partial*"))):
                process.kill()
                process.wait()
                return True
            time.sleep(0.0002)
        return False

    def same(self, name: str) -> bool:
        weights = load_file(self.folder / f"{self.model}-{name}" / WEIGHTS)
        return weights.keys() == self.whole.keys() and all(torch.equal(weights[k], self.whole[k]) for k in self.whole)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in MODELS:
        name, scans, out, length = sys.argv[1:]
        train(tiny_recipe(Path(scans), Path(out), updates=int(length), model=name))
    else:
        main()
