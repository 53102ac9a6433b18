"""What the feature battery is made of: tiny chains, and their comparison with plain autograd."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from invrim import Invertible, InvertibleChain, ReversibleBlock
from invrim.errors import InvrimError
from invrim.invertible import ExactlyInvertible, Grid

MODES = {"invert": 1e-10, "exact": 1e-6}
"""Ways to backpropagate, and how far from plain autograd each may be, relative to the largest entry, in float64."""

GAIN = 20.0
"""Of the nets in blocks, which start small."""

IN_PLACE = r"modified by an inplace operation|changed in place"
"""How torch and invrim refuse a tensor that was overwritten between forward and backward."""

Run = Callable[[InvertibleChain], Iterable[Tensor]]
Make = Callable[[], list[Invertible]]


class Coupling(ExactlyInvertible):
    """``(a, b) -> (b + net(a), a)``, a of 3 channels, with nothing but what the contracts demand."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, _: object = None, /) -> Tensor:
        a, b = z.split([3, z.shape[1] - 3], dim=1)
        return torch.cat([b + self.net(a).to(z.dtype), a], dim=1)

    def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
        b, a = z.split([z.shape[1] - 3, 3], dim=1)
        return torch.cat([a, b - self.net(a).to(z.dtype)], dim=1)

    def forward_exact(self, z: Tensor, grid: Grid, _: object = None, /) -> Tensor:
        a, b = z.split([3, z.shape[1] - 3], dim=1)
        return torch.cat([b + grid.rounded_(self.net(a).to(z.dtype)), a], dim=1)

    def inverse_exact(self, z: Tensor, grid: Grid, _: object = None, /) -> Tensor:
        b, a = z.split([z.shape[1] - 3, 3], dim=1)
        return torch.cat([a, b - grid.rounded_(self.net(a).to(z.dtype))], dim=1)


def blocks() -> list[Invertible]:
    """Four blocks that change the state by about half its size."""
    torch.manual_seed(0)
    steps = [ReversibleBlock(5, 4, stride) for stride in (1, 2, 3, 1)]
    with torch.no_grad():
        for step in steps:
            step.net.scale_output(GAIN)
    return [step.double() for step in steps]


def couplings(*extra: Callable[[], nn.Module]) -> list[Invertible]:
    """Four couplings; ``extra`` modules, on 4 channels, stand in the middle of each net."""
    torch.manual_seed(0)
    nets = [
        [nn.Conv2d(3, 4, 3, padding=1), *(make() for make in extra), nn.Tanh(), nn.Conv2d(4, 2, 1)] for _ in range(4)
    ]
    return [Coupling(nn.Sequential(*net)).double() for net in nets]


def blocks_with(extra: Callable[[], nn.Module]) -> list[Invertible]:
    """Four blocks whose nets end in an ``extra`` module on 3 channels."""
    steps = blocks()
    for step in steps:
        step.net = nn.Sequential(step.net, extra()).double()
    return steps


every_mode = pytest.mark.parametrize("mode", MODES)
both_kinds = pytest.mark.parametrize("make", [blocks, couplings])


def state(seed: int = 1, *, requires_grad: bool = True, dtype: torch.dtype = torch.double) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 5, 6, 7, dtype=dtype, generator=generator, requires_grad=requires_grad)


def grads(loss: Tensor, *tensors: Tensor, **options: bool) -> list[Tensor]:
    """Gradients of ``loss``, with zeros where a tensor has no influence."""
    return list(torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True, **options))


def results(mode: str, run: Run, make: Make = blocks) -> list[Tensor]:
    """Run on a chain of fresh steps, from a fixed random seed."""
    chain = InvertibleChain(make(), backprop=mode)
    torch.manual_seed(2)
    return [tensor.detach().clone() for tensor in run(chain)]


def assert_close(got: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    largest = max(float(tensor.abs().max()) for tensor in expected if tensor.numel())
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * largest)


def assert_like_store(mode: str, run: Run, make: Make = blocks) -> None:
    """Require of a chain in this mode what plain autograd gives."""
    assert_close(results(mode, run, make), results("store", run, make), MODES[mode])


def assert_like_store_or_refused(
    mode: str,
    run: Callable[[InvertibleChain, Callable[..., object]], Iterable[Tensor]],
    meddle: Callable[..., object],
    make: Make = blocks,
    refusal: str = IN_PLACE,
) -> None:
    """Require that meddling changes nothing against plain autograd without it, or is refused in these words."""
    expected = results("store", lambda chain: run(chain, lambda *_: None), make)
    with refused_or_not(refusal):
        assert_close(results(mode, lambda chain: run(chain, meddle), make), expected, MODES.get(mode, 0.0))


@contextmanager
def refused_or_not(words: str) -> Iterator[None]:
    """Let an error pass if it is raised on purpose, in these words."""
    try:
        yield
    except (RuntimeError, InvrimError) as error:
        if not re.search(words, str(error)):
            raise
