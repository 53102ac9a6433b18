"""Floor 1: chains of invertible modules, trained in memory that does not grow with their length."""

from invrim.invertible.base import (
    Invertible,
    PulledBack,
    add_gradients,
    differentiate,
    is_hooked,
    trainable,
    vector_jacobian,
)
from invrim.invertible.chain import Backprop, InvertibleChain
from invrim.invertible.drift import DriftWatch
from invrim.invertible.exact import ExactlyInvertible, Grid
from invrim.invertible.record import autocast_on

__all__ = [
    "Backprop",
    "DriftWatch",
    "ExactlyInvertible",
    "Grid",
    "Invertible",
    "InvertibleChain",
    "PulledBack",
    "add_gradients",
    "autocast_on",
    "differentiate",
    "is_hooked",
    "trainable",
    "vector_jacobian",
]
