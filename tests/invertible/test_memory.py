"""What a chain keeps for the backward pass does not grow with its number of blocks."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invrim import InvertibleChain, ReversibleBlock
from invrim.invertible.drift import SAMPLE
from invrim.planning.memory import saved_bytes


def chain_of(depth: int, backprop: str = "invert") -> InvertibleChain:
    torch.manual_seed(depth)
    return InvertibleChain([ReversibleBlock(5, 3 + i % 2, 1 + i % 3) for i in range(depth)], backprop=backprop)


def state(*, requires_grad: bool = False) -> Tensor:
    return torch.randn(2, 5, 17, 19, requires_grad=requires_grad)


def bytes_of(z: Tensor) -> int:
    return z.numel() * z.element_size()


def assert_one_state(shallow: InvertibleChain, deep: InvertibleChain, z: Tensor) -> None:
    """The project's bar: the same bytes whatever the depth, and they are one state."""
    assert saved_bytes(shallow, z) == saved_bytes(deep, z) == bytes_of(z)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_200_blocks_keep_what_2_keep_one_state(requires_grad):
    assert_one_state(chain_of(2), chain_of(200), state(requires_grad=requires_grad))


def test_the_check_rejects_a_chain_that_stores():
    with pytest.raises(AssertionError):
        assert_one_state(chain_of(2, "store"), chain_of(20, "store"), state())


def test_the_check_rejects_a_tape_that_keeps_its_first_block_too(monkeypatch):
    z = state()
    deep = chain_of(3)
    plain = deep.forward
    monkeypatch.setattr(deep, "forward", lambda z: plain(z) * torch.sigmoid(deep.steps[0](z)).detach())
    with pytest.raises(AssertionError):
        assert_one_state(chain_of(2), deep, z)


def nodes_of(out: Tensor) -> list[object]:
    """Every node of the graph behind ``out``."""
    found: dict[object, None] = {}
    queue = [out.grad_fn]
    while queue:
        node = queue.pop()
        if node is not None and node not in found:
            found[node] = None
            queue += [parent for parent, _ in node.next_functions]
    return list(found)


def reachable_tensors(thing: object, seen: dict[int, object]) -> list[Tensor]:
    """Tensors in attributes of ``thing``, its containers and its objects; hooks see only what autograd packs."""
    if id(thing) in seen:
        return []
    seen[id(thing)] = thing
    if isinstance(thing, Tensor):
        return [thing]
    if isinstance(thing, (list, tuple)):
        parts = list(thing)
    elif isinstance(thing, dict):
        parts = list(thing.values())
    else:
        parts = [*getattr(thing, "__dict__", {}).values(), *getattr(thing, "saved_tensors", ())]
        parts += [getattr(thing, name) for name in dir(thing) if name.startswith("_saved_")]
    return [tensor for part in parts for tensor in reachable_tensors(part, seen)]


def attribute_bytes(chain: InvertibleChain, z: Tensor) -> int:
    """Bytes of all distinct tensors that hang on the graph by any attribute, without the parameters."""
    own = {p.untyped_storage().data_ptr() for p in (*chain.parameters(), *chain.buffers())}
    seen: dict[int, object] = {}
    storages = {t.untyped_storage() for node in nodes_of(chain(z)) for t in reachable_tensors(node, seen)}
    sizes = {s.data_ptr(): s.nbytes() for s in storages}
    return sum(size for address, size in sizes.items() if address not in own)


def test_nothing_hangs_on_the_graph_beside_what_autograd_packs_and_a_sample_of_the_input():
    z = state()
    expected = bytes_of(z) + 4 * SAMPLE
    assert attribute_bytes(chain_of(2), z) == attribute_bytes(chain_of(200), z) == expected


def test_the_walk_sees_what_a_storing_chain_keeps():
    z = state()
    assert attribute_bytes(chain_of(20, "store"), z) > 20 * bytes_of(z)


class MadeLike(TorchDispatchMode):
    """Notes where tensors are that were made like others, and what was done besides."""

    def __init__(self):
        super().__init__()
        self.places: list[int] = []
        self.walked = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.empty_like.default and not self.walked:
            self.places.append(made.data_ptr())
        self.walked |= "convolution_backward" in str(func)
        return made


def test_gradients_stay_where_nothing_is_freed_beside_them():
    """Their memory is taken before the first step is pulled back, that of all steps; later passes add to it."""
    chain = InvertibleChain([ReversibleBlock(8, 8) for _ in range(3)])
    z = torch.randn(1, 8, 32, 32)
    with MadeLike() as made:
        chain(z).square().mean().backward()
    places = [parameter.grad.data_ptr() for parameter in chain.parameters()]
    assert set(places) <= set(made.places)
    once = [parameter.grad.clone() for parameter in chain.parameters()]
    chain(z).square().mean().backward()
    assert [parameter.grad.data_ptr() for parameter in chain.parameters()] == places
    for parameter, gradient in zip(chain.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)
