"""Other machinery around a chain: right, or refused; never wrong."""

import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.utils.checkpoint import checkpoint

from plain_autograd import (
    MODES,
    Coupling,
    assert_close,
    assert_like_store,
    assert_like_store_or_refused,
    blocks,
    both_kinds,
    every_mode,
    grads,
    results,
    state,
)

REFUSAL = r"Batching rule not implemented|Set chain\.backprop = 'store'"
"""How torch and invrim refuse a transform that custom backward passes cannot take."""


torchs_own_warnings = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",
    "ignore:`torch.jit.script:DeprecationWarning",
)


def loss_of(chain):
    return lambda z: chain(z).sin().sum()


def forward_mode(chain):
    with forward_ad.dual_level():
        out = chain(forward_ad.make_dual(state(), state(4, requires_grad=False)))
        return [forward_ad.unpack_dual(out).tangent]


def per_sample_gradients(chain):
    def loss(parameters, z):
        return functional_call(chain, parameters, (z[None],)).sin().sum()

    return vmap(grad(loss), in_dims=(None, 0))(dict(chain.named_parameters()), state().detach()).values()


TRANSFORMS = {
    "func.grad": lambda chain: [grad(loss_of(chain))(state())],
    "func.jvp": lambda chain: jvp(chain, (state().detach(),), (state(4).detach(),)),
    "func.jacrev": lambda chain: [jacrev(lambda z: chain(z)[:, 0, 0, :2])(state().detach())],
    "func.vmap": lambda chain: [vmap(lambda z: chain(z[None])[0])(state().detach())],
    "vmap of grad": per_sample_gradients,
    "forward mode": forward_mode,
    "hvp": lambda chain: torch.autograd.functional.hvp(loss_of(chain), state(), state(4))[1:],
    "jvp by double backward": lambda chain: torch.autograd.functional.jvp(chain, state(), state(4))[1:],
}


@every_mode
@both_kinds
@torchs_own_warnings
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_function_transforms(mode, make, transform):
    assert_like_store_or_refused(mode, lambda chain, _: transform(chain), print, make, REFUSAL)


@every_mode
@both_kinds
def test_forward_mode_without_gradients(mode, make):
    def run(chain, _):
        with torch.no_grad():
            return forward_mode(chain)

    assert_like_store_or_refused(mode, run, print, make, REFUSAL)


@every_mode
@both_kinds
def test_batched_gradients(mode, make):
    def run(chain, _):
        z = state()
        several = torch.stack([state(seed, requires_grad=False) for seed in (4, 5, 6)])
        return torch.autograd.grad(chain(z), [z, *chain.parameters()], several, is_grads_batched=True)

    assert_like_store_or_refused(mode, run, print, make, REFUSAL)


@every_mode
@both_kinds
def test_vmap_without_gradients(mode, make):
    def run(chain):
        with torch.no_grad():
            return [vmap(lambda z: chain(z[None])[0])(state())]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_functional_call_differentiates_into_the_substitutes(mode, make):
    def run(chain):
        own = dict(chain.named_parameters())
        substitutes = {name: (p.detach() + 0.1).requires_grad_() for name, p in own.items()}
        computed = {name: p.sin() for name, p in substitutes.items()}
        z = state()
        return grads(functional_call(chain, computed, (z,)).sin().sum(), z, *substitutes.values(), *own.values())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_functional_call_twice_differentiated(mode, make):
    """One gradient step inside the loss, as in meta-learning."""

    def run(chain):
        own = dict(chain.named_parameters())
        inner = grads(chain(state()).sin().sum(), *own.values(), create_graph=True)
        stepped = {name: p - 1e-2 * g for (name, p), g in zip(own.items(), inner, strict=True)}
        return grads(functional_call(chain, stepped, (state(4),)).sin().sum(), *own.values())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_anomaly_mode(mode, make):
    def run(chain):
        z = state()
        with torch.autograd.set_detect_anomaly(True):
            return grads(chain(z).sin().sum(), z, *chain.parameters())

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint_around_a_chain(mode, make, use_reentrant):
    def run(chain):
        z = state()
        out = checkpoint(chain, z.sin(), use_reentrant=use_reentrant)
        out.sin().sum().backward()
        return [z.grad, *(p.grad for p in chain.parameters())]

    assert_like_store(mode, run, make)


@every_mode
@both_kinds
def test_saved_tensors_offloaded(mode, make):
    def run(chain):
        z = state()
        with torch.autograd.graph.save_on_cpu():
            loss = chain(z).sin().sum()
        return grads(loss, z, retain_graph=True) + grads(loss, z, *chain.parameters())

    assert_like_store(mode, run, make)


class Curve(nn.Module):
    """One kernel is enough: a C++ compiler takes seconds for each."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.rand(2, 1, 1).double())

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.slope * x[:, :2])


def with_nets_compiled(steps, backend: str):
    for step in steps:
        step.net.compile(backend=backend)
    return steps


@every_mode
@torchs_own_warnings
def test_compiled_nets(mode):
    def run(chain):
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    torch.compiler.reset()
    compiled = results(mode, run, lambda: with_nets_compiled(blocks()[1:3], "aot_eager"))
    assert_close(compiled, results("store", run, lambda: blocks()[1:3]), MODES[mode])


@every_mode
@torchs_own_warnings
@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")
def test_net_compiled_to_machine_code(mode):
    def run(chain):
        z = state()
        return grads(chain(z).sin().sum(), z, *chain.parameters())

    torch.compiler.reset()
    steps = [Coupling(Curve()) for _ in range(2)]
    expected = results("store", run, lambda: steps)
    with_nets_compiled(steps, "inductor")
    assert_close(results(mode, run, lambda: steps), expected, MODES[mode])


@every_mode
@torchs_own_warnings
def test_compiled_chain(mode):
    def run(chain):
        z = state()
        compiled = torch.compile(chain, backend="eager")
        return grads(compiled(z).sin().sum(), z, *chain.parameters())

    torch.compiler.reset()
    assert_like_store(mode, run, lambda: blocks()[1:3])
