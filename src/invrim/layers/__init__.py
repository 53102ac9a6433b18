"""Floor 2: the layers of an invertible recurrent inference machine."""

from invrim.layers.block import ReversibleBlock
from invrim.layers.data_step import DataStep
from invrim.layers.mixing import OrthogonalMixing
from invrim.layers.residual import ResidualNet

__all__ = ["DataStep", "OrthogonalMixing", "ResidualNet", "ReversibleBlock"]
