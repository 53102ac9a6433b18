"""What does watching the drift cost a training step?

python benchmarks/drift.py --blocks 8 32 --steps 60

Steps with and without the watch take turns, and the ratio is of their median CPU times. Since noise is larger than
the difference, the watch alone is timed as well, over many repetitions, as a fraction of the step.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from envelope import RESULTS, write_results
from invrim import InvertibleChain, ReversibleBlock
from invrim.invertible import DriftWatch, arithmetic, engine, handover
from invrim.invertible.drift import sample
from stopwatch import cpu_seconds

QUESTION = "What does watching the drift cost a training step?"
REPETITIONS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30, help="of either kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    z = torch.randn(1, options.channels, options.size, options.size)
    watch_seconds = statistics.median(cpu_seconds(partial(watch_once, z)) for _ in range(REPETITIONS))
    results = {"state_bytes": z.nbytes, "watch_seconds": watch_seconds, "steps": {}}
    for count in options.blocks:
        chain = InvertibleChain([ReversibleBlock(options.channels, options.channels) for _ in range(count)])
        with_watch, without = interleaved(chain, z, options.steps)
        results["steps"][count] = {
            "seconds_with": with_watch,
            "seconds_without": without,
            "ratio": with_watch / without,
            "watch_fraction": watch_seconds / without,
        }
        print(f"{count:>4} blocks: {with_watch / without:.4f} of the time without; watch {watch_seconds / without:.5f}")
    setting = {key: value for key, value in vars(options).items() if key != "out"}
    print(write_results("drift", QUESTION, setting, results, folder=options.out))


def interleaved(chain: InvertibleChain, z: Tensor, steps: int) -> tuple[float, float]:
    """Median seconds of a step with and without the watch."""
    step = partial(train, chain, z)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(steps + 1):
        taken[0].append(cpu_seconds(step))
        with unwatched():
            taken[1].append(cpu_seconds(step))
    return statistics.median(taken[0][1:]), statistics.median(taken[1][1:])  # the first turn warms up


def train(chain: InvertibleChain, z: Tensor) -> None:
    chain.zero_grad(set_to_none=True)
    chain(z).square().mean().backward()
    chain.watch.take()


def watch_once(z: Tensor) -> None:
    """All that the watch does in a step without anchors."""
    watch, noted = DriftWatch(), arithmetic.Floating().note(z)
    scale = torch.linalg.vector_norm(sample(z))
    drift = arithmetic.Floating().drift(z, noted, scale)
    if drift is not None:
        watch.note(drift)
    watch.take()


@contextmanager
def unwatched() -> Iterator[None]:
    """Take out of the engine what `watch_once` does."""
    nothing = torch.zeros(())
    with (
        mock.patch.object(arithmetic, "sample", return_value=nothing),
        mock.patch.object(handover, "sample", return_value=nothing),
        mock.patch.object(engine, "_note_drift", return_value=None),
    ):
        yield


if __name__ == "__main__":
    main()
