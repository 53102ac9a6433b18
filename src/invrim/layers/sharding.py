"""Telling a network that it sees a part of its volume."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import nn

from invrim.errors import OptionError
from invrim.invertible import Invertible, InvertibleChain
from invrim.layers.residual import ResidualNet
from invrim.sharding import Shard, Shardable
from invrim.sharding.exchange import Group

_LOOKS_AROUND = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.Upsample,
)
"""Layers of torch whose output at a voxel depends on others. The exchange knows those inside a `ResidualNet`."""


def shard(model: nn.Module, group: Group = None, *, dim: int | None = None) -> Shard:
    """Let every process of a group evaluate and train ``model`` on its own part of one volume.

    The model is changed in place, in every process: from now on states, data and images are parts, cut along one axis,
    and the nets exchange the rows next to a cut. Results and gradients are those of the whole, up to round-off; an
    evaluation costs one message to each neighbour, of one row of hidden channels, and a backward pass two more. All
    processes must hold equal weights and make the same calls; what one of them alone does waits for the others.

    Parameters
    ----------
    model
        `invrim.IRIM`, or a chain of the layers in `invrim.layers`. Steps of your own must treat every voxel by itself.
    group
        Process group; None is the default one. For several volumes at once, one group for each.
    dim
        The axis to divide, from the end; None is the first axis of space, ``y`` of slices and ``z`` of volumes.
        Physics must not mix along it: take the readout, which is fully sampled.

    Returns
    -------
    What cuts volumes, joins results and adds up gradients.

    Raises
    ------
    OptionError
        If a part of the model would be wrong on a part of a volume.
    """
    _refuse(model)
    nets = [module for module in model.modules() if isinstance(module, ResidualNet)]
    spaces = {len(net.stride) for net in nets}
    if len(spaces) != 1:
        raise OptionError(f"expected residual nets of one number of axes, got {sorted(spaces)}. Shard them one by one.")
    (ndim,) = spaces
    dim = -ndim if dim is None else dim
    if not -ndim <= dim <= -1:
        raise OptionError(f"expected an axis of space from -{ndim} to -1, got {dim}. Choose the readout.")
    part = Shard(group, dim=dim, unit=math.lcm(*(net.stride[dim] for net in nets)))
    for module in _shardable(model):
        module.shard = part
    return part


def unshard(model: nn.Module) -> None:
    """Let ``model`` see whole volumes again."""
    for module in _shardable(model):
        module.shard = None


def _shardable(model: nn.Module) -> Iterator[Shardable]:
    return (module for module in model.modules() if isinstance(module, Shardable))


def _refuse(model: nn.Module) -> None:
    if not isinstance(model, (Shardable, Invertible)):
        raise OptionError(
            f"expected an IRIM or an invertible chain to shard, got {type(model).__name__}. Give it whole volumes."
        )
    inside = {part for net in model.modules() if isinstance(net, ResidualNet) for part in net.modules()}
    for name, module in model.named_modules():
        if isinstance(module, _LOOKS_AROUND) and module not in inside:
            raise OptionError(
                f"expected layers that look at neighbours in residual nets only, got {type(module).__name__} {name!r}. "
                f"Leave it out, e.g. by map_channels=0, or give the model whole volumes."
            )
        if isinstance(module, InvertibleChain) and module.memory_budget is not None:
            raise OptionError(
                "expected a chain without memory_budget to shard, got one with: processes with parts of other sizes "
                "would store other steps, and wait for each other. Set memory_budget to None."
            )
