"""What every engine is given: blocks, the state they act on, and the gradient that comes back to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from invrim.layers import ReversibleBlock

Precision = Literal["float32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class Size:
    """A state and the blocks for it."""

    channels: int
    """Of the state, half of them read and half of them written by a block."""
    hidden: int
    """Of the residual nets."""
    space: tuple[int, ...]
    """``([z,] y, x)``."""
    stride: int
    """Of the residual nets; never along z."""

    def small(self) -> Size:
        """Shrink to what takes milliseconds, for warm-ups and tests."""
        return replace(self, channels=16, hidden=16, space=tuple(max(4, n // 4) for n in self.space))


SIZES = {
    "2d-stride1": Size(channels=64, hidden=64, space=(128, 128), stride=1),
    "2d-stride2": Size(channels=64, hidden=64, space=(128, 128), stride=2),
    "3d": Size(channels=32, hidden=64, space=(16, 64, 64), stride=2),
}


@dataclass(frozen=True)
class Work:
    """One training step without the engine. All engines of a comparison share it, weights included."""

    blocks: list[ReversibleBlock]
    z: Tensor
    """State ``(1, c, [z,] y, x)``, a leaf that requires its gradient."""
    cotangent: Tensor
    """Gradient of the loss with respect to the output."""

    def step(self, chain: nn.Module) -> Tensor:
        """Run forward and backward; the output returns, gradients are left where they belong."""
        self.z.grad = None
        for block in self.blocks:
            block.zero_grad(set_to_none=True)
        out = chain(self.z)
        out.backward(self.cotangent)
        return out.detach()


class Bf16Net(nn.Module):
    """A residual net that computes in bf16 between float32 ends.

    Autocast sits here, not around the chain: some engines break under it, and their time is asked for, not that.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.net(x).to(x.dtype)


def make_work(size: Size, depth: int, precision: Precision, device: str) -> Work:
    """Build ``depth`` unshared blocks and their input, the same ones at every call."""
    torch.manual_seed(depth)
    ndim = len(size.space)
    blocks = [ReversibleBlock(size.channels, size.hidden, size.stride, ndim=ndim).to(device) for _ in range(depth)]
    if precision == "bf16":
        for block in blocks:
            block.net = Bf16Net(block.net)
    shape = (1, size.channels, *size.space)
    return Work(blocks, torch.randn(shape, device=device, requires_grad=True), torch.randn(shape, device=device))
