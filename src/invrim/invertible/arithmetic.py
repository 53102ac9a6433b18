"""The two ways to compute a step and to undo it: in floating point, and on a grid of fixed-point numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.errors import InexactError, OptionError
from invrim.invertible.base import Invertible, PulledBack, evaluate
from invrim.invertible.drift import relative_error, sample
from invrim.invertible.exact import ExactlyInvertible, Grid, fingerprint


class Floating:
    """Plain floating point: inversion leaves round-off."""

    copies_on_entry = False
    """Whether `enter` returns a tensor of its own, which may be overwritten."""

    def enter(self, z: Tensor) -> Tensor:
        """Make the caller's state one that the steps take."""
        return z

    def forward(self, step: Invertible, z: Tensor, context: object, *, may_overwrite: bool) -> Tensor:
        """Apply the step without a graph."""
        return step.forward_(z, context) if may_overwrite else evaluate(step, z, context)

    def inverse(self, step: Invertible, z: Tensor, context: object) -> Tensor:
        """Undo the step."""
        return step.inverse(z, context)

    def pull_back(self, step: Invertible, z_out: Tensor, grad_out: Tensor, context: object) -> PulledBack:
        """Undo the step and differentiate it; both tensors may be overwritten."""
        return step.pull_back(z_out, grad_out, context)

    def note(self, z: Tensor) -> Tensor:
        """Note down something of a state, by which it is known again when a walk back arrives there."""
        return sample(z)

    def drift(self, z: Tensor, noted: Tensor, scale: Tensor) -> Tensor | None:
        """Relative error of a state that a walk arrived at; of a state of zeros, to `scale`. None if unknown."""
        return relative_error(sample(z), noted, scale)


class FixedPoint(Floating):
    """States on a grid: inversion gives back every bit."""

    copies_on_entry = True

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def enter(self, z: Tensor) -> Tensor:
        return self.grid.enter(z)

    def forward(self, step: Invertible, z: Tensor, context: object, *, may_overwrite: bool) -> Tensor:
        return _exact(step).forward_exact(z if may_overwrite else z.clone(), self.grid, context)

    def inverse(self, step: Invertible, z: Tensor, context: object) -> Tensor:
        if torch.is_grad_enabled():
            return step.inverse(z, context)  # differentiably, which rounding is not
        return _exact(step).inverse_exact(z.clone(), self.grid, context)

    def pull_back(self, step: Invertible, z_out: Tensor, grad_out: Tensor, context: object) -> PulledBack:
        return _exact(step).pull_back_exact(z_out, grad_out, self.grid, context)

    def note(self, z: Tensor) -> Tensor:
        return fingerprint(z)

    def drift(self, z: Tensor, noted: Tensor, _: Tensor) -> Tensor | None:
        """Return 0, or raise; None where the walk was one in floating point, with a graph."""
        if torch.is_grad_enabled():
            return None
        if bool(noted == fingerprint(z)):
            return z.new_zeros(())
        raise InexactError(
            f"expected every bit of the state back, got others. Either a state, or what a block makes of its channels "
            f"on the way, which may be tens of times as large, left the exact range, below {self.grid.limit:g} (here "
            f"it reaches {float(z.abs().max()):.3g}): scale it down, or make it float64; or a net does not repeat "
            f"itself: use torch.use_deterministic_algorithms(True)."
        )


def _exact(step: Invertible) -> ExactlyInvertible:
    if not isinstance(step, ExactlyInvertible):
        raise OptionError(
            f"expected steps with forward_exact, inverse_exact and pull_back_exact for backprop='exact', got "
            f"{type(step).__name__}. Derive it from invrim.invertible.ExactlyInvertible, or use backprop='invert'."
        )
    return step
