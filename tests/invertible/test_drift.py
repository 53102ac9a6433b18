"""The drift of real training steps is seen, judged once in a while, and never imagined."""

import copy

import pytest
import torch
from torch import Tensor, nn

from invrim import Invertible, InvertibleChain, ReversibleBlock
from invrim.errors import DriftError, InexactError, OptionError
from invrim.invertible import DriftWatch
from invrim.invertible.drift import LOOK_EVERY, SAMPLE, sample
from plain_autograd import Coupling, blocks, every_mode, state

OFF = 0.01
"""How far `Off` misses its input."""


class Off(Invertible):
    """A shift whose inverse is wrong by one part in a hundred."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()).double())
        self.off = OFF

    def forward(self, z: Tensor, _: object = None, /) -> Tensor:
        return z + self.shift

    def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
        return (1 + self.off) * (z - self.shift)


def deep(count: int, gain: float) -> list[ReversibleBlock]:
    torch.manual_seed(0)
    steps = [ReversibleBlock(6, 4, 1 + i % 2) for i in range(count)]
    with torch.no_grad():
        for step in steps:
            step.net.scale_output(gain)
    return steps


def silent(**options) -> DriftWatch:
    return DriftWatch(warn_above=None, **options)


def train(chain: InvertibleChain, z: Tensor) -> float | None:
    """Make one step; return the drift that was seen in it."""
    chain(z).sin().sum().backward()
    drift = chain.watch.take()
    return None if drift is None else float(drift)


def test_it_is_the_error_of_the_walk_back():
    chain = InvertibleChain(deep(40, gain=8))
    z = torch.randn(2, 6, 17, 19)  # larger than a sample
    assert z.numel() > 2 * SAMPLE
    assert train(chain, z) == pytest.approx(chain.drift(z), rel=0.5)


def test_nothing_inverted_nothing_seen():
    assert train(InvertibleChain(blocks(), backprop="store"), state()) is None
    assert train(InvertibleChain(blocks(), memory_budget="1GB"), state()) is None
    chain = InvertibleChain(blocks())
    with torch.no_grad():
        chain(state())
    assert chain.watch.take() is None


def test_exact_has_none():
    assert train(InvertibleChain(blocks(), backprop="exact"), state()) == 0


def test_taken_is_the_largest_since_it_was_last_taken():
    step = Off()
    chain = InvertibleChain([step], watch=silent())
    for step.off in (0.01, 0.02, 0.005):
        chain(state()).sum().backward()
    assert float(chain.watch.take()) == pytest.approx(0.02)
    assert chain.watch.take() is None


@pytest.mark.parametrize("options", [{"anchor_every": 2}, {}], ids=["anchor", "returned state"])
@pytest.mark.parametrize("position", [0, 3])
def test_every_walk_counts_not_the_last_one_alone(options, position):
    """One walk ends at the state in the middle, the other at the input; either may be the one that is off."""
    steps = blocks()[:3]
    steps.insert(position, Off())
    chain = InvertibleChain(steps, watch=silent(), **options)
    outputs = chain(state(), return_states=[3] if options else [1, 3])
    sum(out.sin().sum() for out in outputs).backward()
    drift = float(chain.watch.take())
    assert drift == pytest.approx(OFF, rel=0.5)


def test_walks_that_end_early_count_too():
    """Nothing before the first trained step is walked over."""
    frozen = blocks()
    chain = InvertibleChain([*frozen, Off()], watch=silent())
    for step in frozen:
        step.requires_grad_(False)
    assert train(chain, state(requires_grad=False)) == pytest.approx(OFF)
    assert train(InvertibleChain([Off(), *blocks()], watch=silent()), state(requires_grad=False)) == pytest.approx(OFF)


def test_what_hooks_change_is_no_drift():
    chain = InvertibleChain(blocks())
    chain.steps[1].register_forward_pre_hook(lambda _, args: (2 * args[0], *args[1:]))
    chain.steps[2].register_forward_hook(lambda *_: 3 * _[2])
    assert 0 < train(chain, state()) < 1e-12


@every_mode
@pytest.mark.parametrize(
    "retain", [{"retain_graph": True}, {"create_graph": True}], ids=lambda option: next(iter(option))
)
def test_seen_when_the_graph_is_kept(mode, retain):
    chain, z = InvertibleChain(blocks(), backprop=mode), state()
    loss = chain(z).sin().sum()
    (grad,) = torch.autograd.grad(loss, z, **retain)
    first = chain.watch.take()
    loss = loss + grad.square().sum() if "create_graph" in retain else loss
    loss.backward()
    second = chain.watch.take()
    bound = 1e-12 if mode == "invert" else 0
    assert float(second) <= bound
    # Where a graph is made, a state of the grid comes back in floating point, and there are no bits to compare.
    assert first is None if mode == "exact" and "create_graph" in retain else float(first) <= bound


def test_a_state_of_zeros_is_measured_by_what_became_of_it():
    chain = InvertibleChain(blocks())
    assert train(chain, torch.zeros_like(state())) < 1e-12
    assert train(InvertibleChain([Off()]), torch.zeros_like(state())) == 0


def test_warns_once_with_figure_limit_and_remedies():
    chain = InvertibleChain([Off(), *blocks()])
    with pytest.warns(RuntimeWarning, match=r"below 0\.001, got 0\.01: .*anchor_every.*'exact'.*float32.*smaller"):
        train(chain, state())
    for _ in range(2 * LOOK_EVERY):
        train(chain, state())  # a second warning would be an error here


def test_what_nets_round_themselves_is_no_reason_to_warn():
    """Gradients of bfloat16 nets are further off than this with all activations stored."""
    below, above = Off(), Off()
    below.off, above.off = 0.005, 0.01
    with torch.autocast("cpu", torch.bfloat16):
        assert train(InvertibleChain([below, *blocks()]), state()) == pytest.approx(0.005, rel=0.1)
        with pytest.warns(RuntimeWarning, match=r"below 0\.0078, got 0\.01"):
            train(InvertibleChain([above, *blocks()]), state())
        with pytest.warns(RuntimeWarning, match=r"below 0\.001, got 0\.005"):
            train(InvertibleChain([below, *blocks()], watch=DriftWatch(warn_above=1e-3)), state())


def test_raises_if_asked():
    limits = DriftWatch(warn_above=None, raise_above=OFF / 2)
    with pytest.raises(DriftError, match=r"below 0\.005, got 0\.01"):
        train(InvertibleChain([Off(), *blocks()], watch=limits), state())
    train(InvertibleChain([Off(), *blocks()], watch=silent(raise_above=2 * OFF)), state())


def test_not_a_number_is_beyond_every_limit():
    with pytest.raises(DriftError, match="got nan"):
        train(InvertibleChain(blocks(), watch=DriftWatch(raise_above=1e9)), state() * float("nan"))


def test_a_peak_between_two_looks_is_not_missed(monkeypatch):
    watch, looks = DriftWatch(), []
    monkeypatch.setattr(watch, "_judge", lambda drift, _: looks.append(drift))
    for walk in range(2 * LOOK_EVERY + 1):
        watch.note(torch.tensor(1.0 if walk == 5 else 0.25))
    assert looks == [0.25, 1.0, 0.25]


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
@pytest.mark.parametrize("name", ["warn_above", "raise_above"])
def test_limits_are_above_zero(name, limit):
    with pytest.raises(OptionError, match=f"expected {name} above 0, got {limit}"):
        DriftWatch(**{name: limit})


def test_a_copied_chain_watches_for_itself():
    chain = InvertibleChain(blocks())
    chain(state()).sum().backward()
    twin = copy.deepcopy(chain)
    assert train(twin, state()) is not None
    assert twin.watch is not chain.watch


@pytest.mark.parametrize("shape", [(1, 64, 128, 128), (2, 6, 17, 19), (1, 1024), (3, 5, 8), (0, 4)])
def test_a_sample_is_of_different_entries_from_all_over(shape):
    numbers = torch.arange(torch.Size(shape).numel()).double().reshape(shape)
    taken = sample(numbers).long()
    assert len(taken.unique()) == len(taken) == min(SAMPLE, numbers.numel())
    for axis, size in enumerate(shape):
        coordinates = torch.unravel_index(taken, shape)[axis]
        assert len(coordinates.unique()) > 0.95 * size or numbers.numel() == 0


def test_a_sample_does_not_depend_on_the_memory_format():
    z = torch.randn(2, 6, 17, 19)
    assert torch.equal(sample(z), sample(z.to(memory_format=torch.channels_last)))
    assert sample(z.half()).dtype == torch.float32


def test_exact_notices_a_segment_above_an_anchor():
    class Wavering(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x[:, :2] * self.calls

    chain = InvertibleChain([*blocks(), Coupling(Wavering())], backprop="exact", anchor_every=4)
    with pytest.raises(InexactError, match="a net does not repeat itself"):
        chain(state()).sum().backward()


def test_bf16_nets_in_a_deep_chain_are_warned_of():
    chain = InvertibleChain(deep(200, gain=4))
    z = torch.randn(2, 6, 17, 19)
    train(chain, z)  # a warning would be an error here
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(RuntimeWarning, match="keep the nets in float32"):
        train(InvertibleChain(chain.steps), z)
