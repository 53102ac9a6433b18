"""A chain of invertible steps, itself invertible."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Literal, get_args, overload

import torch
from torch import Tensor, nn

from invrim.errors import OptionError
from invrim.invertible.arithmetic import FixedPoint, Floating
from invrim.invertible.base import Invertible, PulledBack, add_gradients
from invrim.invertible.budget import bytes_of, inverted_steps
from invrim.invertible.drift import DriftWatch
from invrim.invertible.engine import invert_to_learn
from invrim.invertible.exact import Grid
from invrim.invertible.footprint import footprints, situation
from invrim.invertible.refusals import refuse_tangents

Backprop = Literal["store", "invert", "exact"]


class InvertibleChain(Invertible):
    """Apply invertible steps in order, and choose how the chain is differentiated.

    Parameters
    ----------
    steps
        The steps, first to last. One step may occur several times (shared weights), and a step may be a chain.
    backprop
        ``"store"`` is plain autograd: every activation is kept. ``"invert"`` keeps the final state only and walks back
        by inversion; memory does not grow with the number of steps, time is about 4/3 of ``"store"``. ``"exact"`` is
        ``"invert"`` on a fixed-point state: every activation comes back bit for bit, for some more time; its steps
        must be `ExactlyInvertible`. The outermost chain decides for the chains inside it.
    anchor_every
        Keep the state after every so many steps as well, so that inversion errors do not add up over more of them.
        Costs one state of memory each.
    memory_budget
        Bytes, or words such as ``"8GB"``. With ``"invert"``: store as many of the last steps as fit, and invert the
        others, so that time grows from that of ``"store"`` only as far as memory forces it. Counted is what a call
        adds to the caller's input until the end of its backward pass: states, their gradients, what is stored, and
        working space; not the gradients of parameters. The first call with a new shape, or with other
        ``return_states``, finds out by running every step once in either way, and takes as long as two others.
    watch
        Limits for the inversion error in training. By default it warns once, beyond 1e-3; ``chain.watch.take()`` has
        the number for a log. The outermost chain watches for the chains inside it.

    Raises
    ------
    OptionError
        If an option is not among its values, or options contradict each other.
    """

    def __init__(
        self,
        steps: Sequence[Invertible],
        *,
        backprop: Backprop = "invert",
        anchor_every: int | None = None,
        memory_budget: str | int | None = None,
        watch: DriftWatch | None = None,
    ) -> None:
        super().__init__()
        if backprop not in get_args(Backprop):
            raise OptionError(f"expected backprop of {get_args(Backprop)}, got {backprop!r}. Choose one of them.")
        if anchor_every is not None and anchor_every < 1:
            raise OptionError(f"expected anchors at least 1 step apart, got {anchor_every}. Use None for no anchors.")
        if memory_budget is not None and (backprop != "invert" or anchor_every is not None):
            raise OptionError(
                f"expected memory_budget with backprop='invert' and no anchors, got backprop={backprop!r} and "
                f"anchor_every={anchor_every}. Leave memory_budget or the others out."
            )
        self.steps = nn.ModuleList(steps)
        self.backprop = backprop
        self.anchor_every = anchor_every
        self.memory_budget = None if memory_budget is None else bytes_of(memory_budget)
        self.watch = watch or DriftWatch()
        self._decided: dict[Hashable, int] = {}

    @overload
    def forward(self, z: Tensor, context: object = None, /) -> Tensor: ...
    @overload
    def forward(self, z: Tensor, context: object = None, /, *, return_states: Sequence[int]) -> list[Tensor]: ...
    def forward(
        self, z: Tensor, context: object = None, /, *, return_states: Sequence[int] | None = None
    ) -> Tensor | list[Tensor]:
        """Apply the steps.

        Parameters
        ----------
        z
            State ``(b, c, ...)``; it is not changed.
        context
            What every step may read.
        return_states
            Numbers of steps, from 0 or negative from the end. Their outputs are returned as a list, in this order, in
            place of the last output alone; each is kept for the backward pass, and may be used in a loss.
        """
        steps = list(self.flattened())
        if return_states is None:
            return self._outputs(steps, z, context, [])[-1] if steps else z
        numbers = [_number(index, len(steps)) for index in return_states]
        wanted = sorted(set(numbers))
        states = dict(zip([*wanted, len(steps) - 1], self._outputs(steps, z, context, wanted), strict=False))
        return [states[number] for number in numbers]

    def inverse(self, z: Tensor, context: object = None, /) -> Tensor:
        arithmetic = self._arithmetic(z)
        for step in reversed(list(self.flattened())):
            z = arithmetic.inverse(step, z, context)
        return z

    def pull_back(self, z_out: Tensor, grad_out: Tensor, context: object = None, /) -> PulledBack:
        gradients: dict[Tensor, Tensor] = {}
        z, grad, arithmetic = z_out, grad_out, self._arithmetic(z_out)
        for step in reversed(list(self.flattened())):
            z, grad, new = arithmetic.pull_back(step, z, grad, context)
            add_gradients(gradients, new)
        return PulledBack(z, grad, gradients)

    def flattened(self) -> Iterator[Invertible]:
        """Iterate over the steps with nested chains resolved into theirs."""
        for step in self.steps:
            assert isinstance(step, Invertible)
            if isinstance(step, InvertibleChain):
                yield from step.flattened()
            else:
                yield step

    @torch.no_grad()
    def drift(self, z: Tensor, context: object = None, /) -> float:
        """Relative round-trip error ``||inverse(forward(z)) - z|| / ||z||``; of a state of zeros, over its output's.

        With ``backprop="exact"`` the state is first rounded to the grid, from which it comes back unchanged.
        """
        z = Grid.of(z.dtype).enter(z) if self.backprop == "exact" else z
        out = self(z, context)
        error = float(torch.linalg.vector_norm(self.inverse(out, context) - z))
        size = float(torch.linalg.vector_norm(z)) or float(torch.linalg.vector_norm(out))
        return 0.0 if error == 0 else error / size  # NaN stays NaN

    def _outputs(self, steps: list[Invertible], z: Tensor, context: object, wanted: list[int]) -> list[Tensor]:
        """Outputs of the wanted steps, ascending, and of the last one."""
        arithmetic = self._arithmetic(z)
        if self.backprop == "exact":
            refuse_tangents(z)
        count = self._inverted_steps(steps, z, context, wanted)
        outputs = []
        if count > 0:
            returned = [index for index in wanted if index < count]
            outputs = invert_to_learn(
                steps[:count], z, context,
                returned=returned, anchor_every=self.anchor_every, arithmetic=arithmetic, watch=self.watch,
            )  # fmt: skip
            z = outputs[-1]
            if count < len(steps):
                outputs = outputs[: len(returned)]
        else:
            z = arithmetic.enter(z)
        for index in range(count, len(steps)):
            z = self._evaluate(arithmetic, steps[index], z, context)
            if index in wanted or index == len(steps) - 1:
                outputs.append(z)
        return outputs

    def _inverted_steps(self, steps: list[Invertible], z: Tensor, context: object, wanted: list[int]) -> int:
        """How many steps, from the first, are differentiated by inversion."""
        if self.backprop == "store" or not torch.is_grad_enabled():
            return 0
        if self.memory_budget is None:
            return len(steps)
        key = (situation(steps, z, context), tuple(wanted), self.memory_budget)
        if key not in self._decided:
            found = footprints(steps, z, context, self.memory_budget)
            self._decided[key] = inverted_steps(found, self.memory_budget, kept=wanted)
        return self._decided[key]

    def _evaluate(self, arithmetic: Floating, step: Invertible, z: Tensor, context: object) -> Tensor:
        if self.backprop == "exact":
            return arithmetic.forward(step, z, context, may_overwrite=False)
        return step(z, context)

    def _arithmetic(self, z: Tensor) -> Floating:
        return FixedPoint(Grid.of(z.dtype)) if self.backprop == "exact" else Floating()


def _number(index: int, count: int) -> int:
    if not -count <= index < count:
        raise OptionError(f"expected numbers of {count} steps, got {index}. Count from 0, or back from -1.")
    return index % count
