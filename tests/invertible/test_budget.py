"""A memory budget: kept, used as far as it goes, and without influence on the result."""

import pytest
import torch
from torch import nn

from invrim import InvertibleChain, ReversibleBlock
from invrim.errors import MemoryBudgetError, OptionError
from invrim.invertible import chain as chain_module
from invrim.invertible.budget import bytes_of, inverted_steps, peak
from invrim.invertible.drift import SAMPLE_BYTES
from invrim.invertible.footprint import LiveBytes, _TooLargeError, footprints
from plain_autograd import blocks_with, couplings, grads, state

DEPTH = 8
HUGE = 10**12


def blocks(depth: int = DEPTH) -> list[ReversibleBlock]:
    torch.manual_seed(depth)
    return [ReversibleBlock(6, 4 + i % 3, 1 + i % 2) for i in range(depth)]


def large_state() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(1, 6, 90, 70, requires_grad=True)


def peak_of(chain: InvertibleChain, z: torch.Tensor) -> int:
    chain(z)  # measures its steps
    for parameter in chain.parameters():  # their gradients are there before, and not counted
        parameter.grad = torch.zeros_like(parameter)
    with LiveBytes() as live:
        out = chain(z)
        out.backward(torch.ones_like(out))
    return live.peak


def predicted_peaks(steps, z, kept=()) -> list[int]:
    found = footprints(steps, z, None)
    return [peak(found, inverted, kept) for inverted in range(len(steps) + 1)]


def test_a_sweep_of_budgets_keeps_each_and_uses_it():
    z, steps = large_state(), blocks()
    peaks = predicted_peaks(steps, z)
    smallest, largest = min(peaks), max(peaks)
    stored_bytes = []
    for part in torch.linspace(0, 1, 10).tolist():
        budget = int(smallest + part * (largest - smallest))
        chain = InvertibleChain(steps, memory_budget=budget)
        assert smallest * 0.9 < peak_of(chain, z) <= budget
        with LiveBytes() as live:
            out = chain(z)
            stored_bytes.append(live.now)
        del out
    assert stored_bytes == sorted(stored_bytes)
    assert len(set(stored_bytes)) > 5
    assert stored_bytes[0] < stored_bytes[-1] / 4  # the last block costs nothing: gone before the walk back begins


def test_the_check_rejects_a_chain_that_stores_more_than_its_budget(monkeypatch):
    z, steps = large_state(), blocks()
    budget = min(predicted_peaks(steps, z))
    monkeypatch.setattr(chain_module, "inverted_steps", lambda *_, **__: 2)
    assert peak_of(InvertibleChain(steps, memory_budget=budget), z) > budget


@pytest.mark.parametrize("inverted", range(DEPTH + 1))
def test_the_predicted_peak_is_the_peak(inverted, monkeypatch):
    z, steps = large_state(), blocks()
    predicted = predicted_peaks(steps, z)[inverted]
    monkeypatch.setattr(chain_module, "inverted_steps", lambda *_, **__: inverted)
    assert 0.9 * predicted < peak_of(InvertibleChain(steps, memory_budget=HUGE), z) <= predicted


@pytest.mark.parametrize("inverted", [0, 1, 3, 4])
@pytest.mark.parametrize("make", [lambda: blocks_with(lambda: nn.Dropout(0.4)), couplings])
def test_gradients_do_not_depend_on_the_budget(make, inverted, monkeypatch):
    def run(**options):
        z, chain = state(), InvertibleChain(make(), **options)
        torch.manual_seed(7)
        first, last = chain(z, return_states=[1, -1])
        return [first, last, *grads(first.sin().sum() + last.cos().sum(), z, *chain.parameters())]

    expected = run(backprop="store")
    monkeypatch.setattr(chain_module, "inverted_steps", lambda *_, **__: inverted)
    for ours, theirs in zip(run(memory_budget=HUGE), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_returned_states_are_counted():
    z, steps = large_state(), blocks()
    found = footprints(steps, z, None)
    more = 2 * (z.nbytes + SAMPLE_BYTES)
    assert peak(found, DEPTH, [1, 3]) - peak(found, DEPTH, []) == pytest.approx(more, rel=0.01)


def test_an_impossible_budget_names_one_that_works():
    z, steps = large_state(), blocks()
    with pytest.raises(MemoryBudgetError, match=r"at least \d+\.\dMB for this chain and state, got 0\.1MB") as error:
        InvertibleChain(steps, memory_budget="100 KB")(z)
    named = str(error.value).split("at least ")[1].split(" for")[0]
    assert peak_of(InvertibleChain(steps, memory_budget=named), z) <= bytes_of(named)


def test_steps_are_measured_once_for_each_situation(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return footprints(*arguments)

    monkeypatch.setattr(chain_module, "footprints", counted)
    chain = InvertibleChain(blocks(), memory_budget=HUGE)
    for size in (20, 20, 24):
        chain(torch.randn(1, 6, size, 10))
    with torch.no_grad():
        chain(torch.randn(1, 6, 30, 10))
    assert len(calls) == 2
    chain.steps[0].requires_grad_(requires_grad=False)
    chain(torch.randn(1, 6, 20, 10))
    assert len(calls) == 3


def test_measuring_leaves_nothing_behind():
    chain = InvertibleChain(blocks_with(lambda: nn.Dropout(0.4)), memory_budget=HUGE)
    before = torch.get_rng_state()
    with torch.enable_grad():
        footprints(list(chain.flattened()), state(), None)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in chain.parameters())


def thrifty_blocks() -> list[ReversibleBlock]:
    """Blocks that take less inverted than one of them takes stored."""
    torch.manual_seed(0)
    return [ReversibleBlock(6, 24, tile=16) for _ in range(4)]


def test_measuring_keeps_the_budget():
    z, steps = torch.randn(1, 6, 64, 64, requires_grad=True), thrifty_blocks()
    found = footprints(steps, z, None)
    budget = int(peak(found, len(steps), []))
    assert min(step.backward for step in found) > 1.5 * budget
    with LiveBytes() as live:
        InvertibleChain(steps, memory_budget=budget)(z)
    assert live.peak <= budget


def test_what_is_stored_no_further_than_the_budget_is_not_planned_for():
    z, steps = torch.randn(1, 6, 64, 64), thrifty_blocks()
    budget = int(peak(footprints(steps, z, None), len(steps), []))
    found = footprints(steps, z, None, budget)
    assert [peak(found, inverted, []) for inverted in range(len(steps))] == [float("inf")] * len(steps)
    assert peak(found, len(steps), []) == budget
    with pytest.raises(MemoryBudgetError, match=f"at least {budget / 1e6:.1f}"):
        InvertibleChain(steps, memory_budget=budget // 2)(z.requires_grad_())


@pytest.mark.parametrize("make", [lambda _: torch.zeros(1000), lambda x: x.expand(100, 10).clone()])
def test_an_operation_that_would_pass_the_limit_is_not_begun(make):
    x = torch.ones(10)
    with LiveBytes(4000) as live:
        kept = make(x)
    assert live.now == kept.nbytes == 4000
    with pytest.raises(_TooLargeError), LiveBytes(3999) as live:
        make(x)
    assert live.peak == 0


def test_operations_that_want_to_see_data_are_counted_once_they_are_done():
    x = torch.ones(10)
    with LiveBytes(1000) as live:
        assert x.sum().item() == 10
        found = x.nonzero()
    assert live.now >= found.nbytes == 80


@pytest.mark.parametrize(("layout", "copied"), [(torch.contiguous_format, 1), (torch.channels_last, 0)])
def test_convolutions_copy_what_does_not_lie_channels_last(layout, copied):
    x = torch.ones(1, 32, 16, 16).contiguous(memory_format=layout)
    weight = torch.ones(32, 32, 3, 3)
    with LiveBytes() as live:
        y = torch.nn.functional.conv2d(x, weight, padding=1)
    assert live.peak == y.nbytes + copied * x.nbytes + weight.nbytes


def test_the_outermost_chain_decides():
    z, steps = large_state(), blocks()
    inner = InvertibleChain(steps[:4], memory_budget=1)
    chain = InvertibleChain([inner, *steps[4:]], memory_budget=HUGE)
    chain(z).sum().backward()  # the inner budget would be impossible
    assert z.grad is not None


@pytest.mark.parametrize(
    ("words", "expected"),
    [("8GB", 8 * 10**9), ("512MiB", 2**29), ("1.5 kB", 1500), ("700", 700), (700, 700), (" 2 gib ", 2**31)],
)
def test_budgets_in_words(words, expected):
    assert bytes_of(words) == expected


@pytest.mark.parametrize("words", ["8 parsecs", "", "GB", "-3MB", 0, "0GB", True, "1e9"])
def test_words_that_are_no_budget(words):
    with pytest.raises(OptionError, match="expected a memory budget such as '8GB'"):
        InvertibleChain(blocks(2), memory_budget=words)


@pytest.mark.parametrize("options", [{"backprop": "store"}, {"backprop": "exact"}, {"anchor_every": 2}])
def test_options_that_contradict_a_budget(options):
    with pytest.raises(OptionError, match=r"memory_budget with backprop='invert' and no anchors, got .*Leave"):
        InvertibleChain(blocks(2), memory_budget="1GB", **options)


def test_as_many_as_fit_are_stored():
    z, steps = large_state(), blocks()
    found = footprints(steps, z, None)
    for inverted in range(DEPTH):
        assert inverted_steps(found, peak(found, inverted, []), []) <= inverted
    assert inverted_steps(found, HUGE, []) == 0
