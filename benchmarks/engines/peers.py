"""Other libraries for reversible networks, each imported when it is asked for: none of them is a requirement."""

from __future__ import annotations

import warnings

from torch import Tensor, nn

from engines.autograd import PublishedBlock, as_published
from engines.work import Work


class OnACopy(nn.Sequential):
    """Hand the blocks a copy of the state: memcnn and invtorch free their input's storage."""

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z.clone())


def memcnn(work: Work) -> nn.Module:
    _silence_deprecations("memcnn")
    from memcnn import InvertibleModuleWrapper

    return OnACopy(*(InvertibleModuleWrapper(block, keep_input=False) for block in as_published(work)))


def invtorch(work: Work) -> nn.Module:
    _silence_deprecations("invtorch")
    from invtorch.nn import Module

    class Wrapper(Module):
        def __init__(self, block: PublishedBlock) -> None:
            super().__init__()
            self.block = block

        def function(self, z: Tensor) -> Tensor:
            return self.block(z)

        def inverse(self, z: Tensor) -> Tensor:
            return self.block.inverse(z)

    return OnACopy(*(Wrapper(block) for block in as_published(work)))


def revtorch(work: Work) -> nn.Module:
    from revtorch import ReversibleBlock, ReversibleSequence

    nets = [block.net for block in work.blocks]
    if len(nets) % 2:
        raise ValueError(f"a block of revtorch is two couplings, {len(nets)} is odd")
    pairs = zip(nets[::2], nets[1::2], strict=True)
    return ReversibleSequence(nn.ModuleList(ReversibleBlock(f, g) for f, g in pairs))


def revlib(work: Work) -> nn.Module:
    from revlib import ReversibleSequential

    return ReversibleSequential(*(block.net for block in work.blocks))


def _silence_deprecations(library: str) -> None:
    """Keep what the library's age makes torch say out of the table."""
    for category in (FutureWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module=rf"{library}\.")
