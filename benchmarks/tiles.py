"""What do tiles save at the peak of a training step, and what do they cost?

python benchmarks/tiles.py

Peaks are those of a chain's forward and backward pass, in states, each measured in a fresh process: the input state,
made as the i-RIM makes it, and everything after it count; parameters and their gradients, and what the libraries and
the graph itself keep, do not. Times are ratios to the same chain without tiles, taking turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from envelope import RESULTS, write_results
from invrim import InvertibleChain, ReversibleBlock
from invrim.planning.memory import forget_peak, growth_during, run_apart
from stopwatch import cpu_seconds

QUESTION = "What do tiles save at the peak of a training step, and what do they cost?"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A chain, its state, and its tiles."""

    channels: int
    hidden: int
    stride: int
    space: tuple[int, ...]
    """``([z,] y, x)``."""
    tile: int
    depths: tuple[int, ...] = (8,)
    """Numbers of blocks whose peaks are measured."""


CASES = {
    "2d-stride1": Case(channels=64, hidden=64, stride=1, space=(512, 512), tile=128),
    "2d-stride2": Case(channels=64, hidden=64, stride=2, space=(512, 512), tile=128),
    "3d-stride1": Case(channels=32, hidden=32, stride=1, space=(64, 128, 128), tile=32),
    "3d-stride2": Case(channels=32, hidden=64, stride=2, space=(64, 128, 128), tile=32),
    "2d-deep": Case(channels=8, hidden=8, stride=1, space=(384, 384), tile=64, depths=(8, 1000)),
    "small": Case(channels=8, hidden=8, stride=2, space=(160, 160), tile=32, depths=(2, 6)),
}
"""The last one is for tests."""

TIMED_BLOCKS = 2
MODES = ("invert", "exact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[name for name in CASES if name != "small"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--measure", help="print the peak of this chain in this process (used by the script itself)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure:
        print(json.dumps({"bytes": peak(**json.loads(options.measure))}))
        return
    rows = []
    for name in options.cases:
        for mode in options.modes:
            rows.append(measure(name, mode, options.repeats))
            print(line(rows[-1]), flush=True)
    setting = {"modes": options.modes, "repeats": options.repeats, "timed_blocks": TIMED_BLOCKS}
    cases = {name: asdict(CASES[name]) for name in options.cases}
    print(write_results("tiles", QUESTION, setting, {"cases": cases, "measurements": rows}, folder=options.out))


def measure(name: str, mode: str, repeats: int) -> dict[str, Any]:
    case = CASES[name]
    bytes_at = {
        key: {depth: peak_apart(name, mode, depth, tiled) for depth in case.depths}
        for key, tiled in (("whole", False), ("tiled", True))
    }
    return {
        "case": name,
        "mode": mode,
        "state_bytes": state_bytes(case),
        "peak_bytes": bytes_at,
        "peak_states": {key: {d: b / state_bytes(case) for d, b in peaks.items()} for key, peaks in bytes_at.items()},
        "time_ratio": time_ratio(case, mode, repeats),
    }


def peak_apart(name: str, mode: str, depth: int, tiled: bool) -> int:
    job = {"name": name, "mode": mode, "depth": depth, "tiled": tiled}
    return int(run_apart([__file__, "--measure", json.dumps(job)])["bytes"])


def peak(name: str, mode: str, depth: int, tiled: bool) -> int:
    """Growth of the resident set during one training step.

    Before it come a step of two blocks on a few tiles, for what the libraries keep of a shape, and a step of all
    blocks on one tile, for the graph.
    """
    case = CASES[name]
    chain = build(case, mode, depth, tiled)
    for parameter in chain.parameters():
        parameter.grad = torch.zeros_like(parameter)
    step(build(case, mode, 2, tiled), image([min(n, 3 * case.tile) for n in case.space]), case.channels)
    step(chain, image([min(n, case.tile) for n in case.space]), case.channels)
    eta = image(case.space)
    forget_peak()
    return growth_during(lambda: step(chain, eta, case.channels))


def time_ratio(case: Case, mode: str, repeats: int) -> float:
    """Median over rounds of the processor time of a step in tiles, relative to a whole one in the same round."""
    chains = [build(case, mode, TIMED_BLOCKS, tiled) for tiled in (False, True)]
    eta = image(case.space)
    rounds = [[cpu_seconds(partial(step, chain, eta, case.channels)) for chain in chains] for _ in range(repeats + 1)]
    return statistics.median(tiled / whole for whole, tiled in rounds[1:])  # the first round warms up


def step(chain: InvertibleChain, eta: Tensor, channels: int) -> None:
    """Train on the estimate at the end; as in the i-RIM, nobody but the chain holds its first and last state."""

    def state() -> Tensor:
        return torch.cat([eta, eta.new_zeros(1, channels - 2, *eta.shape[2:])], dim=1)

    chain(state())[:, :2].square().mean().backward()


def image(space: tuple[int, ...] | list[int]) -> Tensor:
    return torch.randn(1, 2, *space, requires_grad=True)


def build(case: Case, mode: Any, depth: int, tiled: bool) -> InvertibleChain:
    torch.manual_seed(depth)
    options: dict[str, Any] = {"ndim": len(case.space), "tile": case.tile if tiled else None}
    blocks = [ReversibleBlock(case.channels, case.hidden, case.stride, **options) for _ in range(depth)]
    return InvertibleChain(blocks, backprop=mode)


def state_bytes(case: Case) -> int:
    return 4 * case.channels * torch.Size(case.space).numel()


def line(row: dict[str, Any]) -> str:
    peaks = [
        f"{key} " + ", ".join(f"{states:.2f} states at {depth} blocks" for depth, states in at.items())
        for key, at in row["peak_states"].items()
    ]
    return f"{row['case']:<12}{row['mode']:<8}" + "   ".join([*peaks, f"time {row['time_ratio']:.2f}"])


if __name__ == "__main__":
    main()
