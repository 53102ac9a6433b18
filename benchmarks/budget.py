"""Does a memory budget keep its word, and what does it cost?

python benchmarks/budget.py

Ten budgets, from the smallest that works to one that stores everything. Peaks are measured in fresh processes, on the
first call, which also measures the steps; times as ratios to plain autograd of the same blocks, taking turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.own import spread_budgets
from envelope import RESULTS, write_results
from invrim import InvertibleChain, ReversibleBlock
from invrim.planning.memory import forget_peak, growth_during, run_apart
from stopwatch import cpu_seconds

QUESTION = "Does a memory budget keep its word, and what does it cost?"
MEGABYTE = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--budgets", type=int, default=10, help="how many")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--measure", type=int, help="print the growth of memory under this budget, in this process")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure:
        print(json.dumps({"bytes": grown(options)}))
        return
    budgets = spread_budgets(blocks(options), state(options), options.budgets)
    peaks = [measure_apart(options, budget) for budget in budgets]
    ratios = time_ratios(options, budgets)
    rows = [
        {"budget": budget, "peak": peak_bytes, "time_ratio_to_store": ratio}
        for budget, peak_bytes, ratio in zip(budgets, peaks, ratios, strict=True)
    ]
    for row in rows:
        megabytes = [row[key] / MEGABYTE for key in ("budget", "peak")]
        print(f"budget {megabytes[0]:8.1f} MB   peak {megabytes[1]:8.1f} MB   time {row['time_ratio_to_store']:.3f}")
    setting = {key: value for key, value in vars(options).items() if key not in ("measure", "out")}
    print(write_results("budget", QUESTION, setting, rows, folder=options.out))


def grown(options: argparse.Namespace) -> int:
    """Growth of the resident set during one training step, above parameters, gradients and the input.

    What the libraries keep for good once they have seen a shape, or an exception, some 10 MB, is there before.
    """
    z, chain = state(options), InvertibleChain(blocks(options), memory_budget=options.measure)
    for budget in ("1TB", options.measure):
        step(InvertibleChain(blocks(options)[:2], memory_budget=budget), z)
    for tensor in (z, *chain.parameters()):
        tensor.grad = torch.zeros_like(tensor)
    forget_peak()
    return growth_during(lambda: step(chain, z))


def measure_apart(options: argparse.Namespace, budget: int) -> int:
    arguments = [__file__, "--measure", str(budget), "--depth", str(options.depth)]
    arguments += ["--channels", str(options.channels), "--size", str(options.size)]
    return int(run_apart(arguments)["bytes"])


def time_ratios(options: argparse.Namespace, budgets: list[int]) -> list[float]:
    """Median over rounds of the processor time of a step, relative to that of plain autograd in the same round."""
    z, shared = state(options), blocks(options)
    chains = [InvertibleChain(shared, memory_budget=budget) for budget in budgets]
    plain = InvertibleChain(shared, backprop="store")
    for chain in (plain, *chains):
        step(chain, z)
    rounds = [[cpu_seconds(partial(step, chain, z)) for chain in (plain, *chains)] for _ in range(options.repeats)]
    return [statistics.median(turn[1 + i] / turn[0] for turn in rounds) for i in range(len(chains))]


def step(chain: InvertibleChain, z: Tensor) -> None:
    out = chain(z)
    out.backward(torch.ones_like(out))


def blocks(options: argparse.Namespace) -> list[Any]:
    torch.manual_seed(0)
    return [ReversibleBlock(options.channels, options.channels) for _ in range(options.depth)]


def state(options: argparse.Namespace) -> Tensor:
    return torch.randn(1, options.channels, options.size, options.size, requires_grad=True)


if __name__ == "__main__":
    main()
