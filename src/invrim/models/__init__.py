"""Floor 3: the i-RIM, and the baselines it is compared with."""

from invrim.models.irim import IRIM
from invrim.models.weights import load_model, read_header, save_model, shipped_weights

__all__ = ["IRIM", "load_model", "read_header", "save_model", "shipped_weights"]
