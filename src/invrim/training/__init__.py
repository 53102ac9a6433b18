"""Floor 4: training by Lightning.

`train` is imported when it is first used, so that a recipe can be read without waiting for torch.
"""

from typing import TYPE_CHECKING, Any

from invrim.training.architectures import (
    KINDS,
    IRIMOptions,
    PresetOptions,
    RIMOptions,
    UNetOptions,
    VarNetOptions,
)
from invrim.training.recipe import Data, Optimisation, Recipe

if TYPE_CHECKING:
    from invrim.training.run import train

__all__ = [
    "KINDS",
    "Data",
    "IRIMOptions",
    "Optimisation",
    "PresetOptions",
    "RIMOptions",
    "Recipe",
    "UNetOptions",
    "VarNetOptions",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "train":
        from invrim.training.run import train

        return train
    raise AttributeError(f"module 'invrim.training' has no attribute {name!r}")
