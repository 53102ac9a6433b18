"""Small runs, and what they have written."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from invrim.training import Data, IRIMOptions, Optimisation, Recipe
from invrim.training.checkpoints import FOLDER, checkpoints_in
from scans import scan_file


def recipes_in(folder: Path) -> Callable[..., Recipe]:
    """Write small scans into a folder, and return what makes recipes that learn from them, in folders beside them."""
    scan_file(folder / "train", "a.h5")
    scan_file(folder / "train", "b.h5", coils=3, slices=2)
    scan_file(folder / "validation", "c.h5", seed=9)

    def make(updates: int, name: str = "run", **options) -> Recipe:
        return Recipe(
            data=Data(
                train=folder / "train", validation=folder / "validation", accelerations=(2,),
                center_fractions=(0.25,), batch_size=2, workers=0, readout_crop=32,
            ),
            model=IRIMOptions(steps=2, hidden=(6, 8), strides=(1, 2), channels=8, head="eta", initial_gain=0.1),
            optimisation=Optimisation(
                updates=updates, learning_rate=3e-3, schedule="constant", loss="ssim+l1", clip=1.0
            ),
            out=folder / name, validate_every=50, **options,
        )  # fmt: skip

    return make


def last_checkpoint(out: Path) -> dict[str, Any]:
    _, path = next(checkpoints_in(out / FOLDER))
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    return checkpoint


def empty_checkpoint(out: Path) -> Path:
    """Make an undamaged file in the place of a run's checkpoint, with nothing in it."""
    path = out / FOLDER / f"update-00000005-{hashlib.sha256(b'').hexdigest()[:16]}.ckpt"
    path.parent.mkdir()
    path.touch()
    return path
