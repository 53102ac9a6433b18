"""Who takes part: every entry is the recipe of the weights that ship, but for a few fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from invrim.training import Data, IRIMOptions, Optimisation, Recipe, RIMOptions, UNetOptions, VarNetOptions
from invrim.training.architectures import ModelOptions

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "brain.yaml"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model, and how it is trained where that differs."""

    title: str
    """What the reader calls it."""
    model: Callable[[IRIMOptions], ModelOptions]
    """From the i-RIM of the recipe to this one."""
    optimisation: dict[str, Any] = field(default_factory=dict)
    """Fields that differ from the recipe's."""


ADAM = {"optimiser": "adam", "learning_rate": 1e-3}
"""Muon is for weight-normalised kernels; what has none learns with Adam."""


def _irim(**changes: Any) -> Callable[[IRIMOptions], ModelOptions]:
    return lambda options: replace(options, **changes)


MODELS = {
    "irim": Entry(title="i-RIM", model=_irim()),
    "unet": Entry(title="U-Net", model=lambda _: UNetOptions(channels=16, sees="complex"), optimisation=ADAM),
    "varnet": Entry(
        title="VarNet",
        model=lambda _: VarNetOptions(cascades=6, channels=8, pools=3, map_channels=4, map_pools=3),
        optimisation=ADAM,
    ),
    "rim": Entry(title="RIM, as published", model=lambda _: RIMOptions(), optimisation={**ADAM, "every_step": True}),
    "rim-released": Entry(
        title="RIM, as released in 2019",
        model=lambda _: RIMOptions(recurrent=False),
        optimisation={**ADAM, "every_step": True},
    ),
}
IMPROVEMENTS = {
    "irim": MODELS["irim"],
    "adam": Entry(title="Adam in place of Muon", model=_irim(), optimisation=ADAM),
    "no-cg": Entry(title="start from the back-projected data, not from CG-SENSE", model=_irim(cg_iterations=0)),
    "ema": Entry(title="running average of the weights", model=_irim(), optimisation={"ema_decay": 0.98}),
    "every-step": Entry(title="loss on every step", model=_irim(), optimisation={"every_step": True}),
    "shared": Entry(title="weights shared by all steps", model=_irim(share_weights=True)),
    "shared-codes": Entry(
        title="weights shared, and told which step it is", model=_irim(share_weights=True, step_codes=True)
    ),
    "maps": Entry(title="coil maps that learn", model=_irim(map_channels=4)),
}
STEPS = {
    f"steps-{steps}": Entry(title=f"{steps} step" + "s" * (steps > 1), model=_irim(steps=steps))
    for steps in (1, 2, 4, 8)
}
CONTESTS = {"models": MODELS, "improvements": IMPROVEMENTS, "steps": STEPS}


def recipe_of(entry: Entry, updates: int, out: Path, data: Path | None = None) -> Recipe:
    """Fill in the recipe of the weights that ship; ``data`` holds ``train`` and ``val`` in place of its folders."""
    written = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in written["data"].items()}
    folder = data or ROOT / Path(fields["train"]).parent
    fields |= {"train": folder / "train", "validation": folder / "val", "workers": 0}
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in written["model"].items()}
    optimisation = {**written["optimisation"], **entry.optimisation, "updates": updates}
    optimisation["warmup"] = min(optimisation["warmup"], updates // 4)
    return Recipe(
        data=Data(**fields),
        model=entry.model(IRIMOptions(**options)),
        optimisation=Optimisation(**optimisation),
        out=out, seed=written["seed"], validate_every=updates, devices=1,
    )  # fmt: skip
