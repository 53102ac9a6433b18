"""Run a program of torch for the memory it asks for, without computing anything."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Hashable, Sequence
from resource import getpagesize
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

from invrim.invertible.foretelling import foretell

SMALL = 1 << 14
"""Entries up to which a tensor is real and computed with: what programs decide on, and states of generators."""

_OWNED = 4
"""References to an argument that are the dispatcher's, the count's and ours."""
_UNSHARED = 2
"""References to a storage that are the argument's and ours."""
_LONGEST_LINE = 200
"""Of ``/proc/self/statm``, in bytes."""
_aten = torch.ops.aten
_BOOKKEEPING = frozenset(
    {
        _aten.set_.source_Storage_storage_offset,
        _aten.set_.source_Tensor,
        _aten.set_.source_Storage,
        _aten._unsafe_view.default,
        _aten._reshape_alias.default,
        _aten.resize_.default,
        _aten.is_pinned.default,
    }
)
"""Besides views: operations that move no entries."""


class Scratch(NamedTuple):
    """Bytes of the blocks of memory that an operation takes while it runs, in the order in which they come and go."""

    before: int = 0
    """Taken first, and given back once the first of the next is there: an input in the layout of a library."""
    around: Sequence[int] = ()
    """Taken next, and given back once the result is there: an input in another type, a result in another layout."""
    beside: Sequence[int] = ()
    """Taken when the result is there, all at once."""


_NONE = Scratch()


class Alongside(Protocol):
    """What is really done while operations run."""

    def prepare(self, func: Any, args: Sequence[Any]) -> None:
        """Do something while the first blocks of scratch memory are there, and the result is not yet."""

    def finish(self, func: Any, args: Sequence[Any], result: Any) -> None:
        """Do something when the result is there."""


class Kernels(Protocol):
    """What operations cost beside the tensors that they make."""

    def scratch(self, func: Any, args: Sequence[Any]) -> Scratch:
        """What an operation takes while it runs."""

    def seconds(self, func: Any, args: Sequence[Any], result: Any) -> float:
        """How long it runs."""


class Phantoms(TorchDispatchMode):
    """Inside this context tensors are asked for from the system as ever, but no entry of a large one is computed.

    The C library hands out addresses for every tensor, in the order and in the sizes of the real program, so that
    freed blocks are kept, cut up and given back as they would be; but memory that is never written to takes no place.
    `peak` is what the program would take of it. A pass costs some 100 microseconds an operation, whatever the sizes.

    Large tensors hold zeros, or anything: what the program decides on must not depend on them.

    Parameters
    ----------
    kernels
        What operations cost beside their results; None: nothing.
    alongside
        What is done while an operation runs; None: nothing.
    """

    def __init__(self, kernels: Kernels | None = None, alongside: Alongside | None = None) -> None:
        super().__init__()
        self.kernels, self.alongside = kernels, alongside
        self.seconds = 0.0
        """Of all operations so far."""
        self.operations = 0
        gc.collect()  # else garbage of before, let go of inside, would count as memory that the program gave back
        self._start = asked_for()
        self.peak = 0
        self._known: dict[Hashable, Any] = {}

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.is_view or func in _BOOKKEEPING:
            return func(*args, **kwargs)
        self.operations += 1
        if func is _aten.add.Tensor and _accumulates(args):
            self._note_time(func, args, args[0])
            return args[0]
        plan = self._planned(func, args, kwargs)
        if plan is None:
            return func(*args, **kwargs)
        scratch = _NONE if self.kernels is None else self.kernels.scratch(func, args)
        before, around = _block(scratch.before), [_block(size) for size in scratch.around[:1]]
        self._note_peak()
        if self.alongside is not None:
            self.alongside.prepare(func, args)
        del before
        around += [_block(size) for size in scratch.around[1:]]
        result = _in_place(func, args, kwargs) if func._schema.is_mutable else tree_map_only(_Plan, _phantom, plan)
        self._note_peak()
        if self.alongside is not None:
            self.alongside.finish(func, args, result)
        del around
        held = [_block(size) for size in scratch.beside]
        self._note_peak()
        del held
        self._note_time(func, args, result)
        return result

    def _note_time(self, func: Any, args: Any, result: Any) -> None:
        if self.kernels is not None:
            self.seconds += self.kernels.seconds(func, args, result)

    def _note_peak(self) -> None:
        self.peak = max(self.peak, asked_for() - self._start)

    def _planned(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Say what tensors the operation makes; None if all are small, and it can be carried out."""
        leaves, spec = tree_flatten((args, kwargs))
        key = (func, spec, tuple(_described(leaf) for leaf in leaves))
        try:
            if key not in self._known:
                self._known[key] = _plan(func, leaves, spec)
        except TypeError:  # an argument that cannot be looked up, e.g. a random generator
            return _plan(func, leaves, spec)
        return self._known[key]


class _Plan:
    """A tensor to be."""

    def __init__(self, tensor: Tensor) -> None:
        self.shape = tensor.shape
        self.strides = tensor.stride()
        self.dtype = tensor.dtype


def _accumulates(args: Sequence[Any]) -> bool:
    """Whether the engine of autograd adds up gradients, the first of which nobody else has a reference to.

    Without phantoms it does so in place, but not where a mode of dispatch is on.
    """
    if torch.is_grad_enabled() or torch._C._current_graph_task_id() == -1 or len(args) != 2:
        return False
    x, y = args
    if not (isinstance(y, Tensor) and x.shape == y.shape and x.numel() > SMALL):
        return False
    return sys.getrefcount(x) <= _OWNED and torch._C._storage_Use_Count(x.untyped_storage()._cdata) <= _UNSHARED


def asked_for() -> int:
    """Return the bytes of this process's own that the system has agreed to, taken or not (Linux).

    Read without buffers: memory for these would be cut off the very blocks whose fate is in question.
    """
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(file, _LONGEST_LINE).split()[5]) * getpagesize()
    finally:
        os.close(file)


def _block(size: int) -> Tensor | None:
    return torch.empty(size, dtype=torch.uint8) if size else None


def _plan(func: Any, leaves: list[Any], spec: Any) -> Any:
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    small = all(tensor.numel() <= SMALL for tensor in tensors)
    if small and tensors and func._schema.is_mutable:
        return None
    try:
        _, made = foretell(func, *tree_unflatten(leaves, spec))
    except RuntimeError:
        if small:  # what has no shape to be foretold, such as a number
            return None
        raise
    if small and all(made_.numel() <= SMALL for made_ in tree_leaves(made) if isinstance(made_, Tensor)):
        return None
    return tree_map_only(Tensor, _Plan, made)


def _phantom(plan: _Plan) -> Tensor:
    tensor = torch.empty_strided(plan.shape, plan.strides, dtype=plan.dtype)
    return tensor.zero_() if plan.shape.numel() <= SMALL else tensor


def _described(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    return type(value), value


def _in_place(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operation returns that writes into its arguments: these."""
    written = {}
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = kwargs[argument.name] if argument.name in kwargs else args[position]
            written[frozenset(argument.alias_info.before_set)] = value
    returned = [written[frozenset(r.alias_info.before_set)] for r in func._schema.returns]
    return None if not returned else returned[0] if len(returned) == 1 else tuple(returned)
