"""How good are reconstructions of subjects never seen, and of a real 13-coil scan, against the baselines?

python benchmarks/quality.py --weights brain
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from envelope import write_results
from invrim import load_model
from invrim.data.formats.fastmri import read_target
from invrim.evaluation import Evaluation, evaluate_volume
from invrim.metrics import nmse, psnr, ssim
from invrim.models import Solver
from invrim.models.baselines import available_baselines
from invrim.models.cg_sense import ConjugateGradientSENSE
from invrim.reconstruction import Job, reconstruct_slices

QUESTION = "How good are reconstructions of subjects never seen, and of a real scan, against the baselines?"
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "runs" / "brain-data"
"""As `recipes/brain_data.py` makes it."""
PROTOCOL = "fastmri"
Scores = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="brain")
    parser.add_argument("--folders", type=Path, nargs="*", default=[DATA / "test", DATA / "real"])
    parser.add_argument("--accelerations", type=float, nargs="+", default=[4, 8])
    parser.add_argument("--name", default="quality", help="of the results file")
    options = parser.parse_args()

    methods = methods_with(options.weights)
    results: dict[str, Any] = {}
    for acceleration in options.accelerations:
        for folder in options.folders:
            label = f"{folder.name} {acceleration:g}x"
            results[label] = {name: score_folder(model, folder, acceleration) for name, model in methods.items()}
            print(_table(label, results[label]), flush=True)
    setting = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    setting["folders"] = [folder.name for folder in options.folders]
    setting["protocol"] = PROTOCOL
    print(write_results(options.name, QUESTION, setting, results))


def methods_with(weights: str) -> dict[str, Solver]:
    """Name -> model, what learns last; compressed sensing only where bartorch is installed."""
    methods = available_baselines()
    if "compressed sensing" not in methods:
        print("no compressed sensing: pip install invrim[bart]", file=sys.stderr)
    return {**methods, "CG-SENSE": ConjugateGradientSENSE(), "i-RIM": load_model(weights)}


def score_folder(model: Solver, folder: Path, acceleration: float) -> Scores:
    """Score every fully sampled file of a folder, undersampled by a mask that its name seeds."""
    job = Job(out=folder, acceleration=acceleration)  # `out` is not written to
    volumes: dict[str, tuple[Tensor, Tensor]] = {}
    start = time.perf_counter()
    for path in sorted(folder.glob("*.h5")):
        volumes[path.name] = (reconstruct_slices(model, path, job)[0], read_target(path))
    return _scores(volumes, time.perf_counter() - start)


def _scores(volumes: dict[str, tuple[Tensor, Tensor]], seconds: float) -> Scores:
    found = {name: evaluate_volume(target, image, PROTOCOL) for name, (image, target) in volumes.items()}
    slices = [scores for image, target in volumes.values() for scores in _slice_scores(image, target)]
    return {
        "per_volume": Evaluation(protocol=PROTOCOL, volumes=found).as_json(),
        "mean_over_slices": {metric: sum(s[metric] for s in slices) / len(slices) for metric in slices[0]},
        "slices": len(slices),
        "seconds_per_slice": seconds / len(slices),
    }


def _slice_scores(image: Tensor, target: Tensor) -> list[dict[str, float]]:
    """Each slice by itself; peak and data range are the volume's maximum, as in the protocol."""
    peak = target.max().double()
    pairs = zip(image.double(), target.double(), strict=True)
    return [
        {
            "nmse": nmse(x[None], t[None]).item(),
            "psnr": psnr(x[None], t[None], peak).item(),
            "ssim": ssim(x[None], t[None], peak).mean().item(),
        }
        for x, t in pairs
    ]


def _table(label: str, methods: dict[str, Scores]) -> str:
    lines = [f"{label:<28}{'NMSE':>10}{'PSNR':>8}{'SSIM':>8}{'s/slice':>9}   (mean over volumes)"]
    for name, scores in methods.items():
        mean = scores["per_volume"]["mean"]
        figures = f"{mean['nmse']:>10.5f}{mean['psnr']:>8.2f}{mean['ssim']:>8.4f}{scores['seconds_per_slice']:>9.2f}"
        lines.append(f"  {name:<26}{figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
