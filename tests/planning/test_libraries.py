"""What the libraries do on little, beside phantoms: what they would do on much, without touching what is theirs."""

import pytest
import torch
from torch.nn import functional

from invrim.planning.kernels import FORWARD, Convolution, Cost, MeasuredKernels
from invrim.planning.libraries import LittleRuns
from invrim.planning.memory import resident_bytes
from invrim.planning.phantoms import SMALL, Phantoms, asked_for

ENTRIES = 1 << 24
MOST = 40_000_000
"""Bytes of what is done on little, kernels included; a phantom here has 64 MB."""


def learn(convolve, *shapes):
    x, weight = (torch.zeros(shape, requires_grad=True) for shape in shapes)
    convolve(x, weight).sum().backward()


PROGRAMS = {
    "convolution": lambda: learn(functional.conv2d, (4, 16, 512, 512), (32, 16, 3, 3)),
    "in 3D, strided": lambda: learn(
        lambda x, w: functional.conv3d(x, w, stride=2), (2, 8, 64, 128, 128), (24, 8, 3, 3, 3)
    ),
    "transposed": lambda: learn(
        lambda x, w: functional.conv_transpose2d(x, w, stride=2, output_padding=1), (4, 32, 256, 256), (32, 16, 3, 3)
    ),
    "groups": lambda: learn(
        lambda x, w: functional.conv2d(x, w, groups=4, padding=1), (4, 16, 512, 512), (16, 4, 3, 3)
    ),
    "one axis": lambda: learn(functional.conv1d, (4, 16, 1 << 18), (16, 16, 3)),
    "far apart": lambda: learn(lambda x, w: functional.conv2d(x, w, dilation=16), (4, 16, 512, 512), (16, 16, 3, 3)),
    "product": lambda: torch.bmm(torch.ones(1, 64, 64), torch.zeros(1, 64, ENTRIES // 64)),
    "complex product": lambda: torch.bmm(
        torch.ones(1, 64, 64, dtype=torch.complex64), torch.zeros(1, 64, ENTRIES // 128, dtype=torch.complex64)
    ),
    "long sums": lambda: torch.bmm(torch.zeros(1, 64, ENTRIES // 64), torch.zeros(1, ENTRIES // 64, 64)),
    "expanded": lambda: torch.bmm(torch.zeros(1, 64, 1).expand(1, 64, 64), torch.zeros(1, 64, ENTRIES // 64)),
    "bf16": lambda: torch.bmm(
        torch.ones(1, 64, 64, dtype=torch.bfloat16), torch.zeros(1, 64, ENTRIES // 32, dtype=torch.bfloat16)
    ),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_little_memory_is_written_to(program):
    before = resident_bytes()
    with Phantoms(alongside=LittleRuns()) as phantoms:
        program()
    assert phantoms.peak > 3 * ENTRIES
    assert resident_bytes() - before < MOST


def test_a_product_that_is_small_keeps_its_entries():
    with Phantoms(alongside=LittleRuns()):
        product = torch.bmm(torch.ones(1, 8, ENTRIES // 8), torch.ones(1, ENTRIES // 8, 8))
    assert product.numel() <= SMALL
    assert torch.equal(product, torch.zeros(1, 8, 8))


def arguments(batch, channels, side, *, outputs=16):
    x, weight = torch.empty(batch, channels, side, side), torch.empty(outputs, channels, 3, 3)
    return [x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1]


@pytest.fixture
def done(monkeypatch):
    """Shapes of what was convolved on little."""
    shapes: list[tuple[int, ...]] = []
    monkeypatch.setattr("invrim.planning.kernels.FORWARD", lambda x, *_: shapes.append(tuple(x.shape)))
    return shapes


def test_every_shape_has_a_kernel_of_its_own(done):
    """As it has in the run: oneDNN would find one that it has made for another."""
    runs = LittleRuns()
    for side in (512, 256, 512):
        runs.prepare(FORWARD, arguments(2, 16, side))
    assert done[0] == done[2] != done[1]
    assert all(20_480 < torch.Size(shape).numel() < 100_000 for shape in done)


def test_one_space_is_one_space_for_all_channels(done):
    """A copy of as many channels is made by the same kernel, whichever convolution it is for."""
    runs = LittleRuns()
    for channels in (8, 32, 2, 8):
        runs.prepare(FORWARD, arguments(2, channels, 512))
    assert done[0][2:] == done[1][2:]
    assert done[2][2:] == done[3][2:] != done[0][2:], "two channels need more space to be enough for the library"
    assert torch.Size(done[2]).numel() > 20_480


def test_what_is_left_over_of_a_row_stays(done):
    LittleRuns().prepare(FORWARD, arguments(1, 16, 251))
    assert done[0][-1] % 16 == 251 % 16


def test_kernels_are_made_while_copies_are_there():
    """They outlive the operation: after it they would lie where the next block is going to be."""
    seen: list[int] = []

    class Looking(LittleRuns):
        def prepare(self, func, args):
            if func is FORWARD:
                seen.append(asked_for() - before)
            super().prepare(func, args)

    x, weight = torch.zeros(2, 16, 512, 512), torch.zeros(16, 16, 3, 3)
    args = [x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1]
    kernels = MeasuredKernels({}, {Convolution.of(FORWARD, args): Cost(0.5, 0.0, 0.0)})
    with Phantoms(kernels, Looking()):
        before = asked_for()
        torch.ops.aten.convolution.default(*args)
    assert seen[0] >= 2 * x.nbytes, "what goes in and what comes out, in the library's layout"


@pytest.mark.parametrize(("channels", "times"), [(16, 3), (1024, 1)])
def test_dear_convolutions_are_done_once(channels, times, done):
    runs = LittleRuns()
    for _ in range(3):
        runs.prepare(FORWARD, arguments(1, channels, 256, outputs=channels))
    assert len(done) == times
