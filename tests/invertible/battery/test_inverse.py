"""The inverse of a whole chain undoes its steps from last to first, each with its own weights."""

import torch
from torch import Tensor

from invrim import InvertibleChain
from invrim.invertible import ExactlyInvertible, Grid
from plain_autograd import MODES, blocks, both_kinds, couplings, every_mode, grads, state


class Logged(ExactlyInvertible):
    """A step that writes down when it is visited."""

    def __init__(self, number: int, log: list[tuple[str, int]]) -> None:
        super().__init__()
        self.number = number
        self.log = log

    def forward(self, z: Tensor, _: object = None, /) -> Tensor:
        self.log.append(("forward", self.number))
        return z + self.number

    def inverse(self, z: Tensor, _: object = None, /) -> Tensor:
        self.log.append(("inverse", self.number))
        return z - self.number

    def forward_exact(self, z: Tensor, _: Grid, context: object = None, /) -> Tensor:
        return self.forward(z, context)

    def inverse_exact(self, z: Tensor, _: Grid, context: object = None, /) -> Tensor:
        return self.inverse(z, context)


@every_mode
def test_steps_are_visited_from_last_to_first(mode):
    log: list[tuple[str, int]] = []
    a, b, c, d, e = (Logged(number, log) for number in range(5))
    chain = InvertibleChain([a, InvertibleChain([b, InvertibleChain([c, d])]), e], backprop=mode)
    with torch.no_grad():
        chain.inverse(chain(state()))
    assert log == [("forward", n) for n in range(5)] + [("inverse", n) for n in reversed(range(5))]


@every_mode
@both_kinds
def test_eight_distinct_steps_are_undone(mode, make):
    chain, z = InvertibleChain([*make(), *blocks(), *couplings()][:8], backprop=mode), state(requires_grad=False)
    with torch.no_grad():
        torch.testing.assert_close(chain.inverse(chain(z)), z, rtol=MODES[mode], atol=MODES[mode])
        torch.testing.assert_close(chain(chain.inverse(z)), z, rtol=MODES[mode], atol=MODES[mode])


@every_mode
@both_kinds
def test_the_order_matters(mode, make):
    """The fault to find: undoing the first step first."""
    z = state(requires_grad=False)
    with torch.no_grad():
        wrong = InvertibleChain(make()[::-1], backprop=mode).inverse(InvertibleChain(make(), backprop=mode)(z))
    assert torch.linalg.vector_norm(wrong - z) > 1e-2 * torch.linalg.vector_norm(z)


@every_mode
@both_kinds
def test_gradients_of_the_inverse(mode, make):
    """The Jacobian of the inverse is the inverse of the Jacobian: pulling back through both changes nothing."""
    chain, z, weight = InvertibleChain(make(), backprop=mode), state(), state(4, requires_grad=False)
    (grad,) = grads((chain.inverse(chain(z)) * weight).sum(), z)
    torch.testing.assert_close(grad, weight, rtol=1e-8, atol=1e-8)
