"""A training that takes seconds, with everything that has a state, for benchmarks that start it again and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from invrim.data.formats.fastmri import write_acquisition
from invrim.data.simulation import simulate_volume
from invrim.training import Data, IRIMOptions, Optimisation, Recipe, UNetOptions

SCANS = {"train": {"a.h5": 1, "b.h5": 3, "c.h5": 1}, "validation": {"d.h5": 1}}
"""Coils of every file."""
SLICES, SIZE = 3, (48, 40)


def write_scans(folder: Path, size: tuple[int, int] = SIZE) -> None:
    """Write scans of blurred noise into ``folder / "train"`` and ``folder / "validation"``."""
    rng = np.random.default_rng(0)
    for kind, files in SCANS.items():
        (folder / kind).mkdir(parents=True)
        for name, coils in files.items():
            stack = np.cumsum(rng.standard_normal((SLICES, *size)), axis=-1)
            volume = simulate_volume(np.abs(stack).astype(np.float32), name, coils=coils, snr=40)
            write_acquisition(folder / kind / name, volume)


def tiny_recipe(
    scans: Path, out: Path, *, updates: int, model: str = "irim", devices: int = 1, batch_size: int = 2
) -> Recipe:
    """A loader's process, masks, crops and flips, accumulation, a schedule; a running average, or dropout."""
    recipe = Recipe(
        data=Data(
            train=scans / "train", validation=scans / "validation", accelerations=(2, 3), center_fractions=(0.25, 0.2),
            batch_size=batch_size, workers=1, readout_crop=32,
        ),
        model=IRIMOptions(steps=2, hidden=(6, 8), strides=(1, 2), channels=8, initial_gain=0.1),
        optimisation=Optimisation(
            updates=updates, learning_rate=1e-3, schedule="cosine", warmup=5, accumulate=2, ema_decay=0.9, clip=1.0
        ),
        out=out, validate_every=7, checkpoint_every=3, devices=devices,
    )  # fmt: skip
    if model == "irim":
        return recipe
    dropping = UNetOptions(channels=4, pools=2, dropout=0.3)
    return replace(recipe, model=dropping, optimisation=replace(recipe.optimisation, ema_decay=None))
