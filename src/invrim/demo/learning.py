"""A small i-RIM that learns while somebody watches."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import torch

from invrim.data.batches import collate
from invrim.data.dataset import SliceDataset
from invrim.data.simulation import SliceChoice, simulate_file
from invrim.metrics import ssim
from invrim.models.baselines import ZeroFilled
from invrim.operators import CartesianMRI, LeastSquares, crop_centre
from invrim.report import TrainingCurve, ValidationCurve
from invrim.training import Data, IRIMOptions, Optimisation, Recipe, train

_TRAINING = SliceChoice(every=3)
_VALIDATION = SliceChoice(every=25)


def learn(volume: Path, out: Path, minutes: float, seed: int) -> TrainingCurve | None:
    """Train on simulated scans of one volume for some minutes and return how it went; None if nothing was noted.

    Slices for validation come from another plane of the same subject: enough to see learning, no measure of quality.
    """
    simulate_file(volume, out / "train", plane="axial", snr=30, seed=seed, choice=_TRAINING)
    simulate_file(volume, out / "validation", plane="coronal", snr=30, seed=seed + 1, choice=_VALIDATION)
    recipe = Recipe(
        data=Data(
            train=out / "train", validation=out / "validation", accelerations=(4,), center_fractions=(0.08,),
            readout_crop=64, batch_size=2, workers=0,
        ),
        model=IRIMOptions(
            steps=4, hidden=(16, 32, 48, 32), strides=(1, 2, 4, 2), channels=16, head="eta", initial_gain=0.1,
        ),
        optimisation=Optimisation(
            updates=100_000, minutes=minutes, optimiser="muon", learning_rate=3e-3, warmup=20, schedule="constant",
            loss="ssim+l1", clip=1.0,
        ),
        out=out, seed=seed, validate_every=60, precision="auto",
    )  # fmt: skip
    train(recipe)
    curve = read_curve(out / "logs" / "run-0" / "metrics.csv")
    return None if curve is None else replace(curve, zero_filled_ssim=zero_filled_ssim(recipe.data))


@torch.no_grad()
def zero_filled_ssim(data: Data) -> float:
    """Score what needs no learning on the validation slices, with the masks and the SSIM that training uses."""
    dataset = SliceDataset(
        data.validation, accelerations=data.accelerations, center_fractions=data.center_fractions, training=False
    )
    scores = []
    for batch in (collate([dataset[number]]) for number in range(len(dataset))):
        fidelity = LeastSquares(CartesianMRI(batch["mask"], batch["maps"]), batch["kspace"])
        image = crop_centre(ZeroFilled()(fidelity).abs(), batch["target"].shape[-2:])
        scores.append(float(ssim(image, batch["target"], batch["maximum"])))
    return sum(scores) / len(scores)


def read_curve(metrics: Path) -> TrainingCurve | None:
    """Read the log that training wrote; None if training ended before it noted a loss."""
    if not metrics.is_file():
        return None
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [row for row in rows if row.get("train/loss")]
    checks = [row for row in rows if row.get("validation/ssim")]
    if not losses:
        return None
    return TrainingCurve(
        steps=[int(row["step"]) for row in losses],
        loss=[float(row["train/loss"]) for row in losses],
        validation=_validation(checks) if checks else None,
    )


def _validation(checks: list[dict[str, str]]) -> ValidationCurve:
    return ValidationCurve(
        steps=[int(row["step"]) for row in checks],
        ssim=[float(row["validation/ssim"]) for row in checks],
        psnr=[float(row["validation/psnr"]) for row in checks],
    )
