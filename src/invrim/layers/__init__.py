"""Floor 2: the layers of an invertible recurrent inference machine, and those it is compared with."""

from invrim.layers.actnorm import ActNorm
from invrim.layers.additive import AdditiveCoupling
from invrim.layers.affine import AffineCoupling
from invrim.layers.block import ReversibleBlock
from invrim.layers.coupling import Coupling
from invrim.layers.data_step import DataStep
from invrim.layers.flow import Flow, VolumePreserving
from invrim.layers.free_mixing import FreeMixing
from invrim.layers.glow import GlowStep
from invrim.layers.mixing import OrthogonalMixing
from invrim.layers.residual import ResidualNet
from invrim.layers.sharding import shard, unshard

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "Coupling",
    "DataStep",
    "Flow",
    "FreeMixing",
    "GlowStep",
    "OrthogonalMixing",
    "ResidualNet",
    "ReversibleBlock",
    "VolumePreserving",
    "shard",
    "unshard",
]
