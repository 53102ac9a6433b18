"""A small i-RIM that learns while somebody watches."""

from __future__ import annotations

import csv
from pathlib import Path

from invrim.data.simulation import SliceChoice, simulate_file
from invrim.report import TrainingCurve, ValidationCurve
from invrim.training import Data, Model, Optimisation, Recipe, train

_TRAINING = SliceChoice(every=3)
_VALIDATION = SliceChoice(every=25)


def learn(volume: Path, out: Path, minutes: float, seed: int) -> TrainingCurve:
    """Train on simulated scans of one volume for some minutes and return how it went.

    Slices for validation come from another plane of the same subject: enough to see learning, no measure of quality.
    """
    simulate_file(volume, out / "train", plane="axial", snr=30, seed=seed, choice=_TRAINING)
    simulate_file(volume, out / "validation", plane="coronal", snr=30, seed=seed + 1, choice=_VALIDATION)
    recipe = Recipe(
        data=Data(
            train=out / "train", validation=out / "validation", accelerations=(4,), center_fractions=(0.08,),
            readout_crop=64, batch_size=2, workers=0,
        ),
        model=Model(
            steps=4, hidden=(16, 32, 48, 32), strides=(1, 2, 4, 2), channels=16, head="eta", initial_gain=0.1,
        ),
        optimisation=Optimisation(
            updates=100_000, minutes=minutes, optimiser="muon", learning_rate=3e-3, warmup=20, schedule="constant",
            loss="ssim+l1", clip=1.0,
        ),
        out=out, seed=seed, validate_every=60, precision="auto",
    )  # fmt: skip
    train(recipe)
    return read_curve(out / "logs" / "run-0" / "metrics.csv")


def read_curve(metrics: Path) -> TrainingCurve:
    """Read the log that training wrote."""
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [row for row in rows if row.get("train/loss")]
    checks = [row for row in rows if row.get("validation/ssim")]
    return TrainingCurve(
        steps=[int(row["step"]) for row in losses],
        loss=[float(row["train/loss"]) for row in losses],
        validation=ValidationCurve(
            steps=[int(row["step"]) for row in checks],
            ssim=[float(row["validation/ssim"]) for row in checks],
            psnr=[float(row["validation/psnr"]) for row in checks],
        ),
    )
