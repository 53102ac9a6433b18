"""invrim: learned iterative solvers for inverse problems, in memory that does not grow with depth.

The names below are imported when they are first used, so that ``import invrim`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invrim.invertible import Invertible, InvertibleChain
    from invrim.layers import ReversibleBlock, shard
    from invrim.models import IRIM, RIM, load_model
    from invrim.operators import CartesianMRI, LeastSquares, NonCartesianMRI

__version__ = "0.1.0"

_HOME = {
    "Invertible": "invrim.invertible",
    "InvertibleChain": "invrim.invertible",
    "ReversibleBlock": "invrim.layers",
    "CartesianMRI": "invrim.operators",
    "LeastSquares": "invrim.operators",
    "NonCartesianMRI": "invrim.operators",
    "IRIM": "invrim.models",
    "RIM": "invrim.models",
    "load_model": "invrim.models",
    "shard": "invrim.layers",
}

__all__ = [
    "IRIM",
    "RIM",
    "CartesianMRI",
    "Invertible",
    "InvertibleChain",
    "LeastSquares",
    "NonCartesianMRI",
    "ReversibleBlock",
    "load_model",
    "shard",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'invrim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
