"""Scratch memory of kernels is found by trial, and read off arguments right."""

from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from invrim.planning.apart import do_apart
from invrim.planning.kernels import GIVE_BACK, Convolution, Cost, MeasuredKernels, try_convolutions
from invrim.planning.layouts import backward_scratch, forward_scratch
from invrim.planning.phantoms import Scratch

_aten = torch.ops.aten
RATES = {"product": 1e-10, "transform": 1e-9, "complex": 1e-9, "entries": 1e-9}


class Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


def convolved(**options):
    layer = torch.nn.Conv2d(6, 10, 3, padding=1, **options)
    x = torch.randn(3, 6, 20, 15, requires_grad=True)
    with Recorder() as recorder:
        layer(x).sum().backward()
    return [(f, a) for f, a in recorder.calls if "convolution" in str(f)]


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"stride": 2}, {"dilation": 2}], ids=str)
def test_a_trial_repeats_the_operation(options):
    for func, args in convolved(**options):
        convolution = Convolution.of(func, args)
        again, repeated = convolution.arguments(15)
        assert again is func
        assert convolution.backward == ("backward" in str(func))
        assert Convolution.of(again, repeated) == convolution
        again(*repeated)


@pytest.mark.parametrize(
    ("layer", "space", "layout"),
    [
        (torch.nn.Conv2d, (20, 15), torch.channels_last),
        (torch.nn.Conv3d, (5, 20, 15), torch.channels_last_3d),
    ],
)
def test_a_trial_lays_channels_as_they_lay(layer, space, layout):
    x = torch.randn(2, 6, *space).to(memory_format=layout).requires_grad_()
    with Recorder() as recorder:
        layer(6, 10, 3, padding=1)(x).sum().backward()
    for func, args in recorder.calls:
        if "convolution" in str(func):
            convolution = Convolution.of(func, args)
            assert convolution.channels_last
            again, repeated = convolution.arguments(15)
            assert Convolution.of(again, repeated) == convolution
            assert repeated[1 if convolution.backward else 0].is_contiguous(memory_format=layout)


def test_convolutions_that_differ_in_batch_alone_are_tried_once():
    def of(batch):
        args = [torch.empty(batch, 6, 20, 15), torch.empty(10, 6, 3, 3), None]
        return Convolution.of(_aten.convolution.default, [*args, [1, 1], [1, 1], [1, 1], False, [0, 0], 1])

    assert of(2) == of(5)
    assert of(1) != of(2)


def test_large_inputs_are_cut_from_the_last_axis_on():
    args = [torch.empty(1, 32, 40, 200, 220, device="meta"), torch.empty(8, 32, 3, 3, 3), None]
    rest = [[1, 1, 1], [1, 1, 1], [1, 1, 1], False, [0, 0, 0], 1]
    shape = Convolution.of(_aten.convolution.default, [*args, *rest]).x
    assert shape[:3] == (1, 32, 40)
    assert shape[4] == 16
    assert 4 * torch.Size(shape).numel() < 8e6


def test_scratch_follows_the_law_that_was_measured():
    (forward, args), (backward, back_args) = convolved()
    kernels = MeasuredKernels(RATES)
    kernels.scratch(forward, args)
    assert list(kernels.unknown) == [Convolution.of(forward, args)]
    kernels.convolutions[Convolution.of(forward, args)] = Cost(0.5, 1e6, 1e-9)
    activations = 4 * 3 * 20 * 15 * (6 + 10)
    assert kernels.scratch(forward, args) == Scratch(beside=[round(1e6 + 0.5 * activations)])
    kernels.convolutions[Convolution.of(backward, back_args)] = Cost(2.0, 1e6, 2e-9)
    assert kernels.scratch(backward, back_args) == Scratch(beside=[1_000_000 + 2 * activations])
    assert kernels.seconds(backward, back_args, ()) == pytest.approx(2e-9 * activations)


@pytest.fixture
def pairs(monkeypatch):
    """Blocks of two channels, as on no processor."""
    monkeypatch.setattr("invrim.planning.layouts._block_of_channels", lambda: 2)


@pytest.mark.usefixtures("pairs")
def test_layouts_of_a_library_come_and_go_around_the_result():
    (forward, args), (backward, back_args) = convolved()
    x, y = 4 * 3 * 20 * 15 * 6, 4 * 3 * 20 * 15 * 10
    costs = {Convolution.of(forward, args): Cost(0.0, y, 0.0), Convolution.of(backward, back_args): Cost(1.0, 0.0, 0.0)}
    kernels = MeasuredKernels(RATES, costs)
    assert kernels.scratch(forward, args) == Scratch(before=x, around=[y])
    assert kernels.scratch(backward, back_args) == Scratch(before=y, around=[x], beside=[y, x])


@pytest.mark.usefixtures("pairs")
def test_an_untried_width_borrows_from_the_nearest():
    def of(width):
        args = [torch.empty(1, width, 20, 15), torch.empty(width, width, 3, 3), None]
        return _aten.convolution.default, [*args, [1, 1], [1, 1], [1, 1], False, [0, 0], 1]

    kernels = MeasuredKernels(RATES)
    for width, scratch in ((8, 3.0), (32, 0.5)):
        kernels.convolutions[Convolution.of(*of(width))] = Cost(scratch, 0.0, width * 1e-9)
    func, args = of(24)
    voxels = 4 * 24 * 20 * 15
    assert kernels.scratch(func, args) == Scratch(before=voxels, around=[voxels])
    assert kernels.seconds(func, args, ()) == pytest.approx(24e-9 * 2 * 4 * 24 * 20 * 15)


@pytest.mark.usefixtures("pairs")
def test_what_a_transposed_convolution_makes_is_copied_twice():
    forward, x = _aten.convolution.default, torch.empty(2, 8, 64, 64)
    args = [x, torch.empty(8, 16, 2, 2), None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1]
    x, y = 4 * x.numel(), 4 * forward(*args).numel()
    kernels = MeasuredKernels(RATES, {Convolution.of(forward, args): Cost(0.0, 2 * y, 0.0)})
    assert kernels.scratch(forward, args) == Scratch(before=x, around=[y, y])


@pytest.mark.usefixtures("pairs")
def test_gradients_of_weights_take_one_block_in_3d():
    x, weight = torch.empty(1, 8, 16, 40, 40), torch.empty(8, 8, 3, 3, 3)
    args = [x, x, weight, None, [1] * 3, [1] * 3, [1] * 3, False, [0] * 3, 1]
    size = 4 * x.numel()
    cost = Cost(1.1, 0.0, 0.0)
    for wanted, around in (([True, True, False], {"before": size, "around": [size]}), ([False, True, False], {})):
        func, all_args = _aten.convolution_backward.default, [*args, wanted]
        kernels = MeasuredKernels(RATES, {Convolution.of(func, all_args): cost})
        assert kernels.scratch(func, all_args) == Scratch(**around, beside=[2 * size])


def test_channels_are_filled_up_to_blocks(monkeypatch):
    monkeypatch.setattr("invrim.planning.layouts._block_of_channels", lambda: 16)
    image = 4 * 2 * 64 * 64
    weight = torch.empty(8, 24, 3, 3)
    args = [torch.empty(2, 24, 64, 64), weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1]
    assert forward_scratch(args, 8 * image, 40 * image) == Scratch(before=32 * image, around=[16 * image])
    few = [torch.empty(2, 8, 64, 64), torch.empty(8, 8, 3, 3), *args[2:]]
    assert forward_scratch(few, 8 * image, 16 * image) == Scratch(before=0, around=[16 * image])
    assert forward_scratch(few, 8 * image, 99 * image) == Scratch(beside=[99 * image]), "something else"
    backward = [few[0], args[0], weight, None, *args[3:], [True, True, False]]
    expected = Scratch(before=16 * image, around=[32 * image], beside=[16 * image, 32 * image])
    assert backward_scratch(backward, 48 * image) == expected
    backward[-1] = [False, True, False]
    assert backward_scratch(backward, 16 * image) == Scratch(beside=[16 * image])


def test_going_back_through_batch_normalisation_takes_a_copy():
    x = torch.empty(2, 3, 5, 7)
    scratch = MeasuredKernels(RATES).scratch(_aten.native_batch_norm_backward.default, (x, x))
    assert scratch == Scratch(around=[4 * x.numel()])


def test_rolls_mixed_types_and_magnitudes_take_copies():
    kernels = MeasuredKernels(RATES)
    x = torch.empty(2, 5, 7, dtype=torch.complex64)
    assert kernels.scratch(_aten.roll.default, (x, [1, 2, 3], [0, 1, 2])) == Scratch(beside=[8 * 70] * 2)
    assert kernels.scratch(_aten.mul.Tensor, (x, torch.empty(5, 7))) == Scratch(around=[8 * 35])
    assert kernels.scratch(_aten.mul.Tensor, (x, x)) == Scratch(around=[])
    assert kernels.scratch(_aten.abs.default, (x,)) == Scratch(beside=[8 * 70])
    assert kernels.scratch(_aten.abs.default, (x.real,)) == Scratch()


def test_a_trial_finds_what_is_known_to_be_there():
    """So small a convolution torch computes itself, from a copy of the nine neighbours of every pixel."""
    args = [torch.empty(1, 4, 100, 50), torch.empty(5, 4, 3, 3), None]
    rest = [[1, 1], [1, 1], [1, 1], False, [0, 0], 1]
    convolution = Convolution.of(_aten.convolution.default, [*args, *rest])
    (cost,) = do_apart(partial(try_convolutions, [convolution]), GIVE_BACK).values()
    counted_in = 400_000  # bytes: the system adds up a process's pages in batches
    activations = 4 * 100 * 50 * (4 + 5)
    assert cost.fixed + cost.scratch * activations == pytest.approx(9 * 4 * 4 * 100 * 50, abs=counted_in)
