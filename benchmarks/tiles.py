"""What do strips and tiles save at the peak of a training step, and what do they cost?

python benchmarks/tiles.py                                   # everything: an hour of one core
python benchmarks/tiles.py --cases 2d-deep --keep benchmarks/results/tiles.json   # this anew, others as they are

Nets are evaluated whole, in strips, and in given tiles. Peaks are those of a chain's forward and backward pass, in
states, each measured in a fresh process: the input state, made as the i-RIM makes it, and everything after it count;
parameters and their gradients, and what the libraries and the graph itself keep, do not. Times are ratios to the same
chain with all activations stored, taking turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from envelope import RESULTS, write_results
from invrim import InvertibleChain, ReversibleBlock
from invrim.layers.strips import Strips
from invrim.layers.tiles import TileOption
from invrim.planning.memory import forget_peak, growth_during, run_apart
from invrim.report.provenance import collect_provenance
from stopwatch import cpu_seconds

QUESTION = "What do strips and tiles save at the peak of a training step, and what do they cost?"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A chain, its state, and its tiles."""

    channels: int
    hidden: int
    stride: int
    space: tuple[int, ...]
    """``([z,] y, x)``."""
    tile: int | None = None
    """The given one."""
    bf16: bool = False
    """Whether the nets compute in bf16, under autocast."""
    depths: tuple[int, ...] = (8,)
    """Numbers of blocks whose peaks are measured."""

    @property
    def tiles(self) -> dict[str, TileOption]:
        """Every way to divide the space."""
        given: dict[str, TileOption] = {"given": self.tile}
        return {"whole": None, "auto": "auto", **(given if self.tile else {})}

    @property
    def precision(self) -> AbstractContextManager[object]:
        """Autocast as the nets want it."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)


CASES = {
    "2d-stride1": Case(channels=64, hidden=64, stride=1, space=(512, 512), tile=128),
    "2d-stride2": Case(channels=64, hidden=64, stride=2, space=(512, 512), tile=128),
    "2d-bf16": Case(channels=64, hidden=64, stride=1, space=(512, 512), tile=128, bf16=True),
    "3d-stride1": Case(channels=32, hidden=32, stride=1, space=(64, 128, 128), tile=32),
    "3d-stride2": Case(channels=32, hidden=64, stride=2, space=(64, 128, 128), tile=32),
    "3d-bf16": Case(channels=32, hidden=32, stride=1, space=(64, 128, 128), tile=32, bf16=True),
    "2d-small1": Case(channels=64, hidden=64, stride=1, space=(128, 128)),
    "2d-small2": Case(channels=64, hidden=64, stride=2, space=(128, 128)),
    "3d-small2": Case(channels=32, hidden=64, stride=2, space=(16, 64, 64)),
    "2d-middle1": Case(channels=64, hidden=64, stride=1, space=(256, 256)),
    "2d-middle2": Case(channels=64, hidden=64, stride=2, space=(256, 256)),
    "3d-middle1": Case(channels=32, hidden=32, stride=1, space=(32, 96, 96)),
    "3d-middle2": Case(channels=32, hidden=64, stride=2, space=(32, 96, 96)),
    "2d-deep": Case(channels=8, hidden=8, stride=1, space=(512, 512), tile=64, depths=(8, 1000)),
    "small": Case(channels=8, hidden=8, stride=2, space=(160, 160), tile=32, depths=(2, 6)),
}
"""The last one is for tests."""

TIMED_BLOCKS = 4
MODES = ("invert", "exact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[name for name in CASES if name != "small"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--keep", type=Path, help="results of an earlier run, whose other cases are kept")
    parser.add_argument("--measure", help="print the peak of this chain in this process (used by the script itself)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure:
        print(json.dumps({"bytes": peak(**json.loads(options.measure))}))
        return
    rows = []
    setting = {"modes": options.modes, "repeats": options.repeats, "timed_blocks": TIMED_BLOCKS}
    for name in options.cases:
        for mode in options.modes:
            rows.append(measure(name, mode, options.repeats))
            print(line(rows[-1]), flush=True)
            results = with_others(rows, options.keep)
            path = write_results("tiles", QUESTION, setting, results, folder=options.out)
    print(path)


def with_others(rows: list[dict[str, Any]], kept: Path | None) -> dict[str, Any]:
    """Put rows beside those of an earlier run that measured other cases, in the order of `CASES`."""
    measured = {row["case"] for row in rows}
    earlier = json.loads(kept.read_text(encoding="utf-8"))["results"]["measurements"] if kept else []
    together = [*rows, *(row for row in earlier if row["case"] not in measured)]
    together.sort(key=lambda row: list(CASES).index(row["case"]))
    cases = {row["case"]: asdict(CASES[row["case"]]) for row in together}
    return {"cases": cases, "measurements": together}


def measure(name: str, mode: str, repeats: int) -> dict[str, Any]:
    case = CASES[name]
    bytes_at = {key: {depth: peak_apart(name, mode, depth, key) for depth in case.depths} for key in case.tiles}
    return {
        "case": name,
        "mode": mode,
        "commit": collect_provenance()["commit"],
        "strips": asdict(strips(case)),
        "state_bytes": state_bytes(case),
        "peak_bytes": bytes_at,
        "peak_states": {key: {d: b / state_bytes(case) for d, b in peaks.items()} for key, peaks in bytes_at.items()},
        "time_ratios": time_ratios(case, mode, repeats),
    }


def strips(case: Case) -> Strips:
    """How a block divides the state by itself."""
    (block,) = build(case, "invert", 1, "auto").steps
    with case.precision:
        return block.net.strips(torch.empty(1, case.channels, *case.space))


def peak_apart(name: str, mode: str, depth: int, tiles: str) -> int:
    job = {"name": name, "mode": mode, "depth": depth, "tiles": tiles}
    return int(run_apart([__file__, "--measure", json.dumps(job)])["bytes"])


def peak(name: str, mode: str, depth: int, tiles: str) -> int:
    """Growth of the resident set during one training step.

    Before it come a step of all blocks on a small space, for the graph, and a step of two blocks, for what the
    libraries keep of a shape.
    """
    case = CASES[name]
    tile = case.tiles[tiles]
    chain = build(case, mode, depth, tile)
    for parameter in chain.parameters():
        parameter.grad = torch.zeros_like(parameter)
    length = case.tile or 32
    step(case, chain, image([min(n, length) for n in case.space]))
    eta = image(case.space)
    step(case, build(case, mode, 2, tile), eta)
    eta.grad = torch.zeros_like(eta)
    forget_peak()
    return growth_during(lambda: step(case, chain, eta))


def time_ratios(case: Case, mode: str, repeats: int) -> dict[str, float]:
    """Medians over rounds of the processor time of a step, relative to one that stores in the same round."""
    chains = {key: build(case, mode, TIMED_BLOCKS, tile) for key, tile in case.tiles.items()}
    stores = build(case, "store", TIMED_BLOCKS, None)
    eta = image(case.space)
    ratios: dict[str, list[float]] = {key: [] for key in chains}
    for number in range(repeats + 1):
        seconds = cpu_seconds(partial(step, case, stores, eta))
        for key, chain in chains.items():
            ratio = cpu_seconds(partial(step, case, chain, eta)) / seconds
            if number > 0:  # the first round warms up
                ratios[key].append(ratio)
    return {key: statistics.median(values) for key, values in ratios.items()}


def step(case: Case, chain: InvertibleChain, eta: Tensor) -> None:
    """Train on the estimate at the end; as in the i-RIM, nobody but the chain holds its first and last state."""

    def state() -> Tensor:
        return torch.cat([eta, eta.new_zeros(1, case.channels - 2, *eta.shape[2:])], dim=1)

    with case.precision:
        loss = chain(state())[:, :2].square().mean()
    loss.backward()


def image(space: tuple[int, ...] | list[int]) -> Tensor:
    return torch.randn(1, 2, *space, requires_grad=True)


def build(case: Case, mode: Any, depth: int, tile: TileOption) -> InvertibleChain:
    torch.manual_seed(depth)
    blocks = [
        ReversibleBlock(case.channels, case.hidden, case.stride, ndim=len(case.space), tile=tile) for _ in range(depth)
    ]
    return InvertibleChain(blocks, backprop=mode)


def state_bytes(case: Case) -> int:
    return 4 * case.channels * torch.Size(case.space).numel()


def line(row: dict[str, Any]) -> str:
    parts = []
    for key, at in row["peak_states"].items():
        peaks = ", ".join(f"{states:.2f} states at {depth} blocks" for depth, states in at.items())
        parts.append(f"{key} {peaks}, time {row['time_ratios'][key]:.2f}")
    return f"{row['case']:<12}{row['mode']:<8}" + "   ".join(parts)


if __name__ == "__main__":
    main()
