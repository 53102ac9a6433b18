"""What torch itself offers: plain autograd, and checkpoints of three kinds, of the block as published."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from engines.work import Bf16Net, Work
from invrim.layers import ResidualNet, ReversibleBlock

_CONVOLVE = {4: functional.conv2d, 5: functional.conv3d}
_TRANSPOSE = {4: functional.conv_transpose2d, 5: functional.conv_transpose3d}
"""By the number of axes of the state."""


class PublishedNet(nn.Module):
    """The residual net in torch's own convolutions, for sizes that the stride divides; weights shared with ``net``."""

    def __init__(self, net: ResidualNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        down, middle, up = self.net.down, self.net.middle, self.net.up
        h = functional.relu_(_CONVOLVE[x.ndim](x, down.weight, down.bias, down.stride))
        return functional.glu(_TRANSPOSE[x.ndim](functional.relu_(middle(h)), up.weight, stride=up.stride), dim=1)


class PublishedBlock(nn.Module):
    """Rotate the state by U, add G of its left to its right, rotate back; weights shared with ``block``."""

    def __init__(self, block: ReversibleBlock, *, in_float32: bool = False) -> None:
        super().__init__()
        self.block = block
        in_bf16 = isinstance(block.net, Bf16Net)
        net = PublishedNet(block.net.net if in_bf16 else block.net)
        self.net = Bf16Net(net) if in_bf16 and not in_float32 else net

    def forward(self, z: Tensor) -> Tensor:
        return self._shift(z, +1.0)

    def inverse(self, z: Tensor) -> Tensor:
        return self._shift(z, -1.0)

    def _shift(self, z: Tensor, sign: float) -> Tensor:
        u = self.block.mixing.matrix()
        left, right = _rotate(u, z).tensor_split([self.block.mixing.n_read], dim=1)
        return _rotate(u.mT, torch.cat([left, right + sign * self.net(left)], dim=1))


class UnmixedBlocks(nn.Module):
    """Add G of one half of the state to the other, the halves taking turns."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, z: Tensor) -> Tensor:
        written, read = z.chunk(2, dim=1)
        for net in self.nets:
            written, read = read, written + net(read)
        return torch.cat([written, read], dim=1)


class EachCheckpointed(nn.Sequential):
    """Keep every block's input."""

    def forward(self, z: Tensor) -> Tensor:
        for block in self:
            z = checkpoint(block, z, use_reentrant=False)
        return z


class SqrtCheckpointed(nn.Sequential):
    """Keep the inputs of about sqrt(N) segments, and the inside of one segment at a time."""

    def forward(self, z: Tensor) -> Tensor:
        return checkpoint_sequential(self, round(math.sqrt(len(self))), z, use_reentrant=False)


class NestedCheckpointed(nn.Sequential):
    """Keep the inputs of log2(N) halves of halves, and the inside of one block."""

    def forward(self, z: Tensor) -> Tensor:
        return _nested(list(self), z)


class Paged(nn.Sequential):
    """Keep everything, in host memory."""

    def forward(self, z: Tensor) -> Tensor:
        with torch.autograd.graph.save_on_cpu(pin_memory=True):
            return super().forward(z)


def published(work: Work) -> nn.Module:
    return nn.Sequential(*as_published(work))


def published_in_float32(work: Work) -> nn.Module:
    return nn.Sequential(*as_published(work, in_float32=True))


def unmixed(work: Work) -> nn.Module:
    return UnmixedBlocks([block.net for block in work.blocks])


def checkpoint_each(work: Work) -> nn.Module:
    return EachCheckpointed(*as_published(work))


def checkpoint_sqrt(work: Work) -> nn.Module:
    return SqrtCheckpointed(*as_published(work))


def checkpoint_nested(work: Work) -> nn.Module:
    return NestedCheckpointed(*as_published(work))


def paged(work: Work) -> nn.Module:
    if not work.z.is_cuda:
        raise RuntimeError(f"needs a CUDA device to page from, the state is on {work.z.device}")
    return Paged(*as_published(work))


def as_published(work: Work, *, in_float32: bool = False) -> list[PublishedBlock]:
    """Wrap the blocks, so that the same weights act in the published form."""
    return [PublishedBlock(block, in_float32=in_float32) for block in work.blocks]


def _nested(blocks: list[nn.Module], z: Tensor) -> Tensor:
    if len(blocks) == 1:
        return blocks[0](z)
    half = len(blocks) // 2
    z = checkpoint(_nested, blocks[:half], z, use_reentrant=False)
    return _nested(blocks[half:], z)


def _rotate(u: Tensor, z: Tensor) -> Tensor:
    return _CONVOLVE[z.ndim](z, u.reshape(*u.shape, *(1,) * (z.ndim - 2)))
