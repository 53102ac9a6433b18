"""The models that learn, by name."""

from __future__ import annotations

from invrim.models.base import Reconstructor
from invrim.models.irim import IRIM
from invrim.models.rim import RIM
from invrim.models.unet import UNet
from invrim.models.varnet import VarNet

MODELS: dict[str, type[Reconstructor]] = {model.__name__: model for model in (IRIM, RIM, UNet, VarNet)}
"""Class by its name, as weights files have it; recipes have it in lower case."""
