"""What do the ways to estimate coil maps cost, and what do they change in reconstructions?

python benchmarks/coil_maps.py SCAN.h5

The scan is fully sampled, of several coils. Time is of one slice, one thread, processor time; ESPIRiT takes turns with
sigpy's. Scores are those of weights that were trained with maps by "calibration".
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sigpy.mri.app import EspiritCalib
from torch import Tensor

from envelope import RESULTS, write_results
from invrim import load_model
from invrim.data.coil_maps import METHODS, estimate_maps
from invrim.data.formats.fastmri import read_acquisition
from invrim.evaluation import evaluate_volume
from invrim.operators import ifft_centred
from invrim.reconstruction import Job, reconstruct_slices
from stopwatch import cpu_seconds

QUESTION = "What do the ways to estimate coil maps cost, and what do they change in reconstructions?"
PROTOCOL = "fastmri"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--weights", default="brain")
    parser.add_argument("--accelerations", type=float, nargs="+", default=[4, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kspace = read_acquisition(options.scan).kspace
    seconds = times(kspace[:1], options.repeats)
    print("   ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))
    rows = [
        score(options.scan, kspace, options.weights, acceleration, method)
        for acceleration in options.accelerations
        for method in METHODS
    ]
    for row in rows:
        print(f"{row['acceleration']:g}x {row['maps']:<12} NMSE {row['nmse']:.4f}   SSIM {row['ssim']:.4f}")
    setting = {"scan": options.scan.name, "weights": options.weights, "protocol": PROTOCOL, "repeats": options.repeats}
    setting["shape"] = list(kspace.shape)
    results = {"seconds_per_slice": seconds, "scores": rows}
    print(write_results("coil_maps", QUESTION, setting, results, folder=options.out, packages=["sigpy"]))


def times(kspace: Tensor, repeats: int) -> dict[str, float]:
    """Medians, of the methods and of sigpy's ESPIRiT, which take turns."""
    ways: dict[str, Callable[[], object]] = {name: partial(estimate_maps, kspace, None, name) for name in METHODS}
    # The set-up of sigpy's is in its constructor.
    ways["sigpy espirit"] = lambda: EspiritCalib(kspace[0].numpy(), show_pbar=False).run()
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            rounds[name].append(cpu_seconds(way))
    return {name: statistics.median(taken) for name, taken in rounds.items()}


def score(scan: Path, kspace: Tensor, weights: str, acceleration: float, method: str) -> dict[str, Any]:
    """Score the scan, undersampled by the mask that its name seeds, against its root sum of squares."""
    job = Job(out=scan.parent, acceleration=acceleration, maps=method)  # `out` is not written to
    images, _ = reconstruct_slices(load_model(weights), scan, job)
    target = torch.linalg.vector_norm(ifft_centred(kspace), dim=1)
    return {"acceleration": acceleration, "maps": method, **evaluate_volume(target, images, PROTOCOL)}


if __name__ == "__main__":
    main()
