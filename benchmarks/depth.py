"""How do peak memory and time of one training step grow with depth?

python benchmarks/depth.py --depths 8 32 128 --time
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from envelope import write_results
from invrim.planning.memory import MODES, build_chain, memory_against_depth, saved_bytes

QUESTION = "How do peak memory and time of one training step grow with depth?"
MEGABYTE = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--time", action="store_true", help="also time the modes against each other")
    parser.add_argument("--timed-depth", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    depths, channels, size, device = options.depths, options.channels, options.size, options.device

    peak = memory_against_depth(depths, channels=channels, size=size, device=device, on_progress=_say)
    saved = {mode: [_saved(mode, depth, channels, size) for depth in depths] for mode in MODES}
    state = 4 * channels * size**2
    print(_table(depths, peak, saved, state))
    results = {"depths": depths, "peak_bytes": peak, "saved_bytes": saved, "state_bytes": state}
    if options.time:
        seconds = time_modes(options.timed_depth, channels, size, device, options.repeats)
        ratios = {mode: seconds[mode] / seconds["store"] for mode in MODES}
        print("time / store:  " + "  ".join(f"{mode} {ratio:.2f}" for mode, ratio in ratios.items()))
        results["time"] = {"depth": options.timed_depth, "median_seconds": seconds, "ratio_to_store": ratios}
    print(write_results("depth", QUESTION, vars(options), results))


def time_modes(depth: int, channels: int, size: int, device: str, repeats: int) -> dict[str, float]:
    """Median seconds of a training step, the modes taking turns so that a busy machine is unfair to none."""
    chains = {mode: build_chain(mode, depth, channels).to(device) for mode in MODES}
    z = torch.randn(1, channels, size, size, device=device, requires_grad=True)
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(repeats + 1):
        for mode, chain in chains.items():
            seconds[mode].append(_timed(partial(_step, chain, z), device))
    return {mode: statistics.median(values[1:]) for mode, values in seconds.items()}  # the first turn warms up


def _step(chain: nn.Module, z: Tensor) -> None:
    chain.zero_grad(set_to_none=True)
    chain(z).square().mean().backward()


def _timed(work: Callable[[], None], device: str) -> float:
    on_card = torch.device(device).type == "cuda"
    if on_card:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if on_card:
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _saved(mode: str, depth: int, channels: int, size: int) -> int:
    return saved_bytes(build_chain(mode, depth, channels), torch.randn(1, channels, size, size))


def _say(mode: str, done: int, total: int) -> None:
    print(f"\r{done}/{total} {mode:<12}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _table(depths: Sequence[int], peak: dict[str, list[int]], saved: dict[str, list[int]], state: int) -> str:
    lines = [f"peak growth of a training step in MB, kept for backward in states of {state / MEGABYTE:.2f} MB"]
    lines.append(f"{'blocks':<12}" + "".join(f"{depth:>20}" for depth in depths))
    for mode, values in peak.items():
        cells = [f"{p / MEGABYTE:.1f} MB, {s / state:.1f}" for p, s in zip(values, saved[mode], strict=True)]
        lines.append(f"{mode:<12}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
