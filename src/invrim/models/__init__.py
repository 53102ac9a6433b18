"""Floor 3: the i-RIM, and the baselines it is compared with."""

from invrim.models.base import Reconstructor, Solver, coils_in_words, reconstruct
from invrim.models.fingerprints import fingerprint
from invrim.models.irim import IRIM
from invrim.models.presets import PRESETS
from invrim.models.registry import MODELS
from invrim.models.released import read_released
from invrim.models.rim import RIM
from invrim.models.unet import UNet
from invrim.models.varnet import VarNet
from invrim.models.weights import load_model, read_header, save_model, shipped_weights

__all__ = [
    "IRIM",
    "MODELS",
    "PRESETS",
    "RIM",
    "Reconstructor",
    "Solver",
    "UNet",
    "VarNet",
    "coils_in_words",
    "fingerprint",
    "load_model",
    "read_header",
    "read_released",
    "reconstruct",
    "save_model",
    "shipped_weights",
]
