"""A net evaluated in tiles or strips is the net, for less memory."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from invrim.invertible.footprint import LiveBytes
from invrim.layers import ResidualNet, residual
from invrim.layers.in_parts import evaluate_in_parts

CASES = {
    "1d": ((13,), 3, 6),
    "2d": ((9, 11), 1, (4, 3)),
    "2d, ragged": ((9, 11), 2, 4),
    "3d": ((5, 9, 8), 2, 4),
    "1d, strips": ((50,), 3, "auto"),
    "2d, strips": ((19, 11), 1, "auto"),
    "2d, ragged strips": ((37, 11), 2, "auto"),
    "3d, strips": ((5, 9, 37), 2, "auto"),
}
"""Space, stride, tile."""

in_parts = pytest.mark.parametrize("tile", [3, "auto"], ids=["tiles", "strips"])


@pytest.fixture(autouse=True)
def thin_strips(monkeypatch) -> None:
    monkeypatch.setattr(residual, "_STRIP_BYTES", {"cpu": (1.0, 1.0)})


every_case = pytest.mark.parametrize(("space", "stride", "tile"), CASES.values(), ids=CASES)


def net_of(space, stride, *, gated: bool = False) -> ResidualNet:
    torch.manual_seed(0)
    return ResidualNet(3, 4, 2, stride, ndim=len(space), gated=gated).double()


def draw(*shape: int, dtype: torch.dtype = torch.double) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(1)).requires_grad_()


def assert_close(got, expected) -> None:
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@every_case
@pytest.mark.parametrize("gated", [False, True])
def test_result_and_gradients_are_those_of_the_whole(space, stride, tile, gated):
    net, x = net_of(space, stride, gated=gated), draw(2, 3, *space)
    inputs = [x, *net.parameters()]
    found = []
    for out in (evaluate_in_parts(net, x, tile), net(x)):
        found.append([out, *torch.autograd.grad(out.sin().sum(), inputs)])
    assert_close(*found)


@in_parts
def test_gradients_of_gradients_are_those_of_the_whole(tile):
    net, x = net_of((19,), 1), draw(1, 3, 19)
    found = []
    for out in (evaluate_in_parts(net, x, tile), net(x)):
        (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(grad.square().sum(), [x, *net.parameters()]))
    assert_close(*found)


@in_parts
def test_autograd_keeps_the_input_and_nothing_else_of_its_batch(tile):
    net, x = net_of((19,), 1), draw(7, 3, 19)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        evaluate_in_parts(net, x, tile)
    assert {t.data_ptr() for t in kept if len(t) == len(x)} == {x.data_ptr()}


def test_the_peak_is_output_gradient_and_a_part():
    net, x = ResidualNet(8, 8, 2, gated=False), draw(1, 8, 128, 128, dtype=torch.float32)
    peaks = {}
    for tile in (16, "auto", None):
        with LiveBytes() as live:
            evaluate_in_parts(net, x, tile).sum().backward()
        peaks[tile] = live.peak / x.nbytes
    assert peaks[16] < 1 + 2 / 8 + 0.3 < 4 < peaks[None]
    assert peaks["auto"] < 1 + 2 / 8 + 0.6


@pytest.mark.parametrize("part", [4, "auto"])
@pytest.mark.parametrize("inside", [False, True])
def test_the_backward_pass_has_the_precision_of_the_forward_pass(inside, part):
    net, x = ResidualNet(3, 4, 2), draw(1, 3, 19, 11, dtype=torch.float32)
    grads = []
    for tile in (part, None):
        with torch.autocast("cpu", torch.bfloat16):
            out = evaluate_in_parts(net, x, tile)
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            grads.append(torch.autograd.grad(out.float().square().sum(), x)[0])
        assert out.dtype == torch.bfloat16
    torch.testing.assert_close(*grads, rtol=0.05, atol=0.05)
    assert not torch.equal(*(torch.autograd.grad(net(x).square().sum(), x)[0], grads[0]))


@in_parts
def test_parameters_of_another_are_used_backwards_too(tile):
    net, other, x = net_of((19,), 1), net_of((19,), 1), draw(1, 3, 19)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    named = dict(other.named_parameters())

    class Tiled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return evaluate_in_parts(self.net, x, tile)

    out = functional_call(Tiled(), {f"net.{name}": parameter for name, parameter in named.items()}, (x,))
    expected = other(x)
    got = torch.autograd.grad(out.square().sum(), [x, *named.values()])
    assert_close([out, *got], [expected, *torch.autograd.grad(expected.square().sum(), [x, *named.values()])])


@in_parts
def test_what_is_frozen_gets_no_gradient(tile):
    net, x = net_of((19,), 1), draw(1, 3, 19)
    net.middle.requires_grad_(False)
    evaluate_in_parts(net, x.detach(), tile).sum().backward()
    assert [p.grad is None for p in net.parameters()] == [not p.requires_grad for p in net.parameters()]
    expected = torch.autograd.grad(net(x).sum(), [p for p in net.parameters() if p.requires_grad])
    assert_close([p.grad for p in net.parameters() if p.requires_grad], expected)


@in_parts
def test_weights_changed_before_the_backward_pass_are_noticed(tile):
    net, x = net_of((19,), 1), draw(1, 3, 19)
    out = evaluate_in_parts(net, x, tile)
    with torch.no_grad():
        net.middle.bias.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@in_parts
def test_hooks_and_transforms_see_the_net_evaluated_at_once(tile):
    net, x = net_of((19,), 1), draw(1, 3, 19)
    expected = net(x)
    mapped = torch.func.vmap(lambda x: evaluate_in_parts(net, x, tile))(torch.stack([x, 2 * x]))
    assert_close(mapped, [expected, net(2 * x)])
    seen = []
    handle = net.register_forward_hook(lambda *told: seen.append(told[-1].shape))
    assert torch.equal(evaluate_in_parts(net, x, tile), expected)
    handle.remove()
    assert seen == [expected.shape]


def test_a_second_backward_pass_finds_the_same():
    net, x = net_of((19,), 1), draw(1, 3, 19)
    out = evaluate_in_parts(net, x, "auto").sin().sum()
    inputs = [x, *net.parameters()]
    assert_close(torch.autograd.grad(out, inputs, retain_graph=True), torch.autograd.grad(out, inputs))


def test_a_space_of_one_part_is_plain_autograd():
    net, x = net_of((7,), 1), draw(1, 3, 7)
    assert type(evaluate_in_parts(net, x, "auto").grad_fn) is type(net(x).grad_fn)
