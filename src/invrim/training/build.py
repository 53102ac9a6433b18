"""From a recipe's words to a model with fresh weights."""

from __future__ import annotations

from dataclasses import asdict

from invrim.invertible import DriftWatch
from invrim.models import IRIM, MODELS, Reconstructor
from invrim.training.architectures import IRIMOptions, PresetOptions
from invrim.training.recipe import Recipe

_BY_KIND = {name.lower(): model for name, model in MODELS.items()}


def build_model(recipe: Recipe) -> Reconstructor:
    """Build the recipe's model with fresh weights; fields have the names of its constructor's arguments."""
    if isinstance(recipe.model, IRIMOptions | PresetOptions):
        return _irim(recipe.model, DriftWatch(warn_above=recipe.drift_warn, raise_above=recipe.drift_raise))
    arguments = asdict(recipe.model)
    return _BY_KIND[arguments.pop("kind")](**arguments)


def _irim(options: IRIMOptions | PresetOptions, watch: DriftWatch) -> IRIM:
    """Build an i-RIM, watched for drift; its initial gain belongs to training, not to the model."""
    arguments = asdict(options)
    gain = arguments.pop("initial_gain")
    del arguments["kind"]
    model = IRIM.from_preset(arguments.pop("preset"), **arguments) if "preset" in arguments else IRIM(**arguments)
    model.scale_blocks(gain)
    model.chain.watch = watch
    return model
