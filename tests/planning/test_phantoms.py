"""Phantoms ask for the memory of the program, in its order, and write to none of it."""

import pytest
import torch

from invrim.planning.memory import resident_bytes
from invrim.planning.phantoms import SMALL, Phantoms, Scratch

ENTRIES = 1 << 24  # 64 MB each: the C library asks the system for every one, and gives it back at once
TENSOR = 4 * ENTRIES
SLACK = 2_000_000


def chain(*, forgets: bool) -> torch.Tensor:
    a = torch.randn(ENTRIES)
    b = a * 2
    if forgets:
        del a
    return b + 1


@pytest.mark.parametrize(("forgets", "tensors"), [(True, 2), (False, 3)])
def test_the_peak_is_that_of_what_is_held_at_once(forgets, tensors):
    before = resident_bytes()
    with Phantoms() as phantoms:
        chain(forgets=forgets)
    assert abs(phantoms.peak - tensors * TENSOR) < SLACK
    assert resident_bytes() - before < TENSOR / 4


def test_gradients_count_and_views_do_not():
    weight = torch.nn.Parameter(torch.ones(1))
    with Phantoms() as phantoms:
        x = torch.randn(2, ENTRIES // 2)
        y = (weight * x.mT.mT.view(-1)).sin()
        y.sum().backward()
    # x, the product and its sine, the gradient of the sum is a view of one number; back: cosine, and what it makes.
    assert abs(phantoms.peak - 4 * TENSOR) < TENSOR + SLACK
    assert phantoms.peak > 4 * TENSOR - SLACK


def test_what_is_written_in_place_makes_nothing():
    with Phantoms() as phantoms:
        x = torch.zeros(ENTRIES)
        alone = phantoms.peak
        y = x.add_(1).mul_(x).t_()
    assert y is x
    assert phantoms.peak - alone < SLACK


def test_small_tensors_are_real():
    with Phantoms():
        small = torch.full((SMALL,), 3.0) * 2
        state = torch.get_rng_state()
        assert torch.equal(state, torch.get_rng_state())
        assert small.sum().item() == 6 * SMALL


def test_scratch_is_held_while_an_operation_runs():
    class Costly:
        def scratch(self, func, _args):
            return Scratch(beside=[TENSOR, TENSOR]) if func is torch.ops.aten.mul.Tensor else Scratch()

        def seconds(self, *_):
            return 0.5

    with Phantoms(Costly()) as phantoms:
        x = torch.zeros(ENTRIES)
        y = x * x
        del x
        y + 1
    assert abs(phantoms.peak - 4 * TENSOR) < SLACK
    assert phantoms.seconds >= 1.0


def test_layouts_of_a_library_are_not_there_all_at_once():
    class Copying:
        def scratch(self, *_):
            return Scratch(before=TENSOR, around=[TENSOR])

        def seconds(self, *_):
            return 0.0

    x = torch.zeros(ENTRIES)
    with Phantoms(Copying()) as phantoms:
        x * x
    assert abs(phantoms.peak - 2 * TENSOR) < SLACK


def test_gradients_are_added_up_in_place():
    x = torch.zeros(ENTRIES, requires_grad=True)
    weights = torch.zeros(3, ENTRIES)
    with Phantoms() as phantoms:
        sum((x * weight).sum() for weight in weights).backward()
    # Products are gone before; the gradient so far, and the one that is added to it.
    assert abs(phantoms.peak - 2 * TENSOR) < SLACK


def test_gradients_that_are_views_are_added_up_apart():
    x = torch.zeros(ENTRIES // 2, dtype=torch.complex64, requires_grad=True)
    weights = torch.zeros(3, ENTRIES // 2, 2)
    with Phantoms() as phantoms:
        sum((torch.view_as_real(x) * weight).sum() for weight in weights).backward()
    # The gradient so far, the one that is added to it, and their sum.
    assert abs(phantoms.peak - 3 * TENSOR) < SLACK


def test_operations_are_told_while_they_run():
    told = []

    class Alongside:
        def prepare(self, func, args):
            told.append((func, args))

        def finish(self, func, args, result):
            told.append((func, args, result.shape))

    with Phantoms(alongside=Alongside()):
        torch.zeros(ENTRIES).view(-1, 4).sum(dim=1)
    (func, (summed, *_)), (finished, _, shape) = told[-2:]
    assert func is finished is torch.ops.aten.sum.dim_IntList
    assert (summed.shape, shape) == ((ENTRIES // 4, 4), (ENTRIES // 4,))
