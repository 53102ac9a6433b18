"""Does what a process holds grow with depth, where the C library keeps freed blocks as it does by default?

python benchmarks/heap.py

Two training steps of a chain that is inverted, in a fresh process, gradients set to None between them. The engine takes
memory for gradients before it walks back; to see what that is for, it is also kept from doing so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from envelope import RESULTS, write_results
from invrim.invertible.record import Tape
from invrim.planning.memory import build_chain, growth_during

QUESTION = "How much more does a process hold for a deeper chain, where freed blocks stay with the C library?"
WAYS = ("before the walk", "amid the walk")
CHANNELS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "DEPTH"), help="measure in this process, and print the bytes")
    options = parser.parse_args()
    if options.one:
        way, depth = options.one
        print(json.dumps(growth(way, int(depth), options.size)))
        return
    grown = {way: [measure(way, depth, options.size, options.starts) for depth in options.depths] for way in WAYS}
    for way in WAYS:
        print(f"{way:<16}", *(f"{statistics.median(starts) / 1e6:7.1f} MB" for starts in grown[way]))
    results = {"depths": options.depths, "grown_bytes": grown, "state_bytes": 4 * CHANNELS * options.size**2}
    setting = {"size": options.size, "starts": options.starts}
    print(write_results("heap", QUESTION, setting, results, folder=options.out))


def measure(way: str, depth: int, size: int, starts: int) -> list[int]:
    """Bytes of so many fresh processes with the C library's own settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, __file__, "--size", str(size), "--one", way, str(depth)]
    return [
        int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
        for _ in range(starts)
    ]


def growth(way: str, depth: int, size: int) -> int:
    """Bytes by which two training steps raise this process's peak."""
    step(build_chain("invert", 1, CHANNELS), torch.randn(1, CHANNELS, 8, 8))

    def work() -> None:
        torch.manual_seed(depth)
        chain, z = build_chain("invert", depth, CHANNELS), torch.randn(1, CHANNELS, size, size)
        for _ in range(2):
            chain.zero_grad()
            step(chain, z)

    if way == "before the walk":
        return growth_during(work)
    with patch.object(Tape, "make_homes"):
        return growth_during(work)


def step(chain: nn.Module, z: Tensor) -> None:
    chain(z).square().mean().backward()


if __name__ == "__main__":
    main()
