"""Floor 4: training by Lightning."""

from invrim.training.recipe import Data, Model, Optimisation, Recipe
from invrim.training.run import train

__all__ = ["Data", "Model", "Optimisation", "Recipe", "train"]
