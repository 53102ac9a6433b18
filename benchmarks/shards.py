"""How much memory and time does a training step take in each process, when some share one volume?

python benchmarks/shards.py

A 3D i-RIM on one volume whose readout is z, divided among processes on this machine, which talk by gloo. Peaks are the
growth of a process's resident set during a step of data, loss, backward pass, sum of gradients and update; parameters,
gradients and the optimiser's state are there before, in every process. Processor time is the largest of a process: the
time of a step on a machine where each has a core of its own, but for waiting; wall time is what it took here.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor

import invrim
from envelope import RESULTS, write_results
from invrim import IRIM
from invrim.operators import slab_fidelity
from invrim.planning.memory import forget_peak, peak_resident_bytes, resident_bytes, run_apart

QUESTION = "How much memory and time does a training step take in each process, when some share one volume?"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and a volume."""

    space: tuple[int, int, int]
    """``(z, y, x)``."""
    steps: int = 1
    hidden: tuple[int, ...] = (32, 32, 64, 64)
    strides: tuple[int, ...] = (1, 1, 2, 2)
    channels: int = 32
    counts: tuple[int, ...] = (1, 2, 3)
    """Numbers of processes."""

    @property
    def state_bytes(self) -> int:
        """Of the whole volume."""
        return 4 * self.channels * torch.Size(self.space).numel()


WHOLE = Case(space=(48, 128, 128))
QUICK = Case(space=(24, 96, 64), hidden=(32, 32), strides=(1, 1), counts=(1, 3))
"""Not smaller: parts of very few voxels torch convolves another way, and needs more memory for it (seen at 10 x 64)."""
MODES = ("invert", "exact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small volume and network, for tests")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--measure", help="print what processes of this job measure (used by the script itself)")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(**json.loads(options.measure))))
        return
    case = QUICK if options.quick else WHOLE
    rows = []
    for mode in options.modes:
        for count in case.counts:
            job = {"quick": options.quick, "mode": mode, "count": count}
            rows.append({"mode": mode, "processes": count, **run_apart([__file__, "--measure", json.dumps(job)])})
            print(line(rows[-1], case), flush=True)
    setting = {**asdict(case), "state_bytes": case.state_bytes, "backend": "gloo", "cores": os.cpu_count()}
    print(write_results("shards", QUESTION, setting, rows, folder=options.out))


def measure(quick: bool, mode: str, count: int) -> dict[str, Any]:
    """Let so many processes take a step together."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (count, folder, QUICK if quick else WHOLE, mode)
        torch.multiprocessing.spawn(one_of_them, arguments, nprocs=count)
        ranks = [json.loads(Path(folder, f"{rank}.json").read_text(encoding="utf-8")) for rank in range(count)]
    return {
        "peak_bytes": [rank["peak_bytes"] for rank in ranks],
        "cpu_seconds": max(rank["cpu_seconds"] for rank in ranks),
        "wall_seconds": max(rank["wall_seconds"] for rank in ranks),
        "loss": sum(rank["loss"] for rank in ranks),
    }


def one_of_them(rank: int, count: int, folder: str, case: Case, mode: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=count)
    torch.manual_seed(0)
    options = {"steps": case.steps, "hidden": case.hidden, "strides": case.strides, "channels": case.channels}
    model = IRIM(**options, ndim=3, backprop=mode, tile=None)  # as shards are, which have no tiles of their own choice
    shard = invrim.shard(model) if count > 1 else None
    optimiser = torch.optim.Adam(model.parameters())
    backpropagate(model, shard, (2 * count, 8, 8))  # for what libraries keep
    optimiser.zero_grad(set_to_none=False)
    optimiser.step()  # of zeros: it makes its state
    forget_peak()
    before, cpu, wall = resident_bytes(), time.process_time(), time.perf_counter()
    loss = backpropagate(model, shard, case.space)
    optimiser.step()
    found = {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "peak_bytes": peak_resident_bytes() - before,
        "loss": loss,
    }
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()


def backpropagate(model: IRIM, shard: Any, space: tuple[int, ...]) -> float:
    """Learn from the part of the volume that is this process's; it reads no other."""
    slices, *matrix = space
    places = range(slices)
    if shard is not None:
        start = sum(shard.sizes(slices)[: shard.rank])
        places = places[start : start + shard.sizes(slices)[shard.rank]]
    mask = (torch.rand(1, 1, 1, *matrix, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    loss = model(slab_fidelity(mask * kspace_of(places, matrix), mask)).abs().square().sum() / slices
    loss.backward()
    if shard is not None:
        shard.sum_gradients(model.parameters())
    return float(loss)


def kspace_of(places: range, matrix: list[int]) -> Tensor:
    """Random, the same at a place whoever reads it."""
    size = (1, 1, *matrix)
    slices = [torch.randn(size, dtype=torch.cfloat, generator=torch.Generator().manual_seed(z)) for z in places]
    return torch.stack(slices, dim=2)


def line(row: dict[str, Any], case: Case) -> str:
    peaks = ", ".join(f"{peak / 1e6:.0f}" for peak in row["peak_bytes"])
    states = max(row["peak_bytes"]) / case.state_bytes
    return (
        f"{row['mode']:<8}{row['processes']} processes: peaks {peaks} MB, {states:.2f} states of the whole,"
        f" processor {row['cpu_seconds']:.1f} s, wall {row['wall_seconds']:.1f} s, loss {row['loss']:.6f}"
    )


if __name__ == "__main__":
    main()
