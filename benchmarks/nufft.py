"""How much faster is a data step by Toeplitz embedding than by a nonuniform transform and its adjoint?

python benchmarks/nufft.py

Both apply A^H A to one slice, for a radial scan with coil maps; they take turns, one thread, processor time.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path

import torch

from envelope import RESULTS, write_results
from invrim import NonCartesianMRI
from invrim.data.coil_profiles import ring_of_coils
from invrim.data.trajectories import radial
from invrim.operators import density_compensation
from stopwatch import cpu_seconds

QUESTION = "How much faster is a data step by Toeplitz embedding than by a nonuniform transform and its adjoint?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coils", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--spokes", type=int, nargs="+", default=[21, 64, 200])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(options.size, options.coils, spokes, options.repeats) for spokes in options.spokes]
    for row in rows:
        print(
            f"{row['spokes']:4d} spokes   Toeplitz {row['toeplitz_s']:.3f} s   transforms {row['transforms_s']:.3f} s"
            f"   ratio {row['ratio']:.1f}   difference {row['relative_difference']:.0e}"
        )
    setting = {"coils": options.coils, "size": options.size, "repeats": options.repeats, "dtype": "complex64"}
    print(write_results("nufft", QUESTION, setting, rows, folder=options.out, packages=["finufft", "pytorch-finufft"]))


def measure(size: int, coils: int, spokes: int, repeats: int) -> dict[str, float]:
    """Medians of both, and of their ratio within a round; readouts are sampled twice as densely as the image needs."""
    trajectory = radial(spokes, 2 * size)
    maps = ring_of_coils(coils, (size, size), torch.Generator().manual_seed(0))[None]
    weights = density_compensation(trajectory, (size, size))
    operator = NonCartesianMRI(trajectory, (size, size), maps, weights)
    x = torch.randn(1, size, size, dtype=torch.cfloat, generator=torch.Generator().manual_seed(1))
    ways = (partial(operator.normal, x), partial(by_transforms, operator, x))
    fast, slow = (way() for way in ways)
    rounds = [[cpu_seconds(way) for way in ways] for _ in range(repeats)]
    return {
        "spokes": spokes,
        "toeplitz_s": statistics.median(turn[0] for turn in rounds),
        "transforms_s": statistics.median(turn[1] for turn in rounds),
        "ratio": statistics.median(turn[1] / turn[0] for turn in rounds),
        "relative_difference": float((fast - slow).norm() / slow.norm()),
    }


def by_transforms(operator: NonCartesianMRI, x: torch.Tensor) -> torch.Tensor:
    return operator.adjoint(operator(x))


if __name__ == "__main__":
    main()
