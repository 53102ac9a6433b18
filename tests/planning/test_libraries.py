"""What the libraries do on little, beside phantoms: what they would do on much, without touching what is theirs."""

import pytest
import torch
from torch.nn import functional

from invrim.planning.libraries import LittleRuns
from invrim.planning.memory import resident_bytes
from invrim.planning.phantoms import SMALL, Phantoms

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


def test_every_shape_has_a_kernel_of_its_own(monkeypatch):
    """As it has in the run: oneDNN would find one that it has made for another."""
    done = []
    convolve = torch.ops.aten.convolution.default

    def of(side):
        return [torch.empty(2, 16, side, side, device="meta"), torch.empty(16, 16, 3, 3), None, [1, 1], [1, 1], [1, 1],
                False, [0, 0], 1]  # fmt: skip

    monkeypatch.setattr(
        "invrim.planning.kernels.FORWARD", lambda x, *args: done.append(tuple(x.shape)) or convolve(x, *args)
    )
    runs = LittleRuns()
    for side in (512, 256, 512):
        runs(convolve, of(side), torch.empty(0))
    assert done[0] == done[2] != done[1]
    assert all(20_480 < torch.Size(shape).numel() < 100_000 for shape in done)


@pytest.mark.parametrize(("channels", "times"), [(16, 3), (1024, 1)])
def test_dear_convolutions_are_done_once(channels, times, monkeypatch):
    done = []
    convolve = torch.ops.aten.convolution.default
    x, weight = torch.empty(1, channels, 256, 256, device="meta"), torch.empty(channels, channels, 3, 3)
    monkeypatch.setattr("invrim.planning.kernels.FORWARD", lambda *args: done.append(args))
    runs = LittleRuns()
    for _ in range(3):
        runs(convolve, [x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1], torch.empty(0))
    assert len(done) == times
