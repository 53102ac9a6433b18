"""How far reconstructed states are from the true ones, watched while a chain trains."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import torch
from torch import Tensor

from invrim.errors import DriftError, OptionError

SAMPLE = 1024
"""Entries of a state that are compared: enough for an estimate, and nothing beside a state."""

SAMPLE_BYTES = 8 * SAMPLE
"""At most, in float64."""

WARN_ABOVE = 1e-3
"""Relative error that is worth a warning, whatever the precision of the nets."""

LOOK_EVERY = 32
"""Walks back between two looks at the number. Looking makes an accelerator wait, so that not every walk does it."""


class DriftWatch:
    """Notice, in training, when inversion no longer brings back the states that it should.

    Wherever a walk back ends, at a chain's input or at a state that is kept, `SAMPLE` entries of the reconstructed
    state are compared with those noted down in the forward pass: the real drift of a real training step, for less
    than a hundredth of its time. The first walk is looked at, and then the largest drift of every `LOOK_EVERY`.

    Parameters
    ----------
    warn_above
        Relative error beyond which one warning is given, a `RuntimeWarning`; None gives none. "auto" is `WARN_ABOVE`,
        or under autocast the resolution of its dtype if that is coarser (bfloat16: 7.8e-3): below it gradients owe more
        of their error to the nets' own round-off than to inversion.
    raise_above
        Relative error beyond which the backward pass raises `DriftError`; None lets every one pass.

    Raises
    ------
    OptionError
        If a limit is not above 0.
    """

    def __init__(
        self, *, warn_above: float | Literal["auto"] | None = "auto", raise_above: float | None = None
    ) -> None:
        for name, limit in {"warn_above": warn_above, "raise_above": raise_above}.items():
            if limit is not None and limit != "auto" and not limit > 0:
                raise OptionError(f"expected {name} above 0, got {limit}. Raise it, or use None for no limit.")
        self.warn_above = warn_above
        self.raise_above = raise_above
        self._walks = 0
        self._unlooked: Tensor | None = None
        self._untaken: Tensor | None = None

    def take(self) -> Tensor | None:
        """Return the largest drift since the last call, a scalar where the states are; None if nothing was inverted.

        ``float`` of it waits for an accelerator: take it in every step, and convert it when it is logged.
        """
        drift, self._untaken = self._untaken, None
        return drift

    def note(self, drift: Tensor, resolution: float = 0.0) -> None:
        """Take down the drift of a walk; raise or warn if it is time to look and a limit is passed.

        ``resolution`` is the relative round-off of the nets, 0 where nothing lowers their precision.
        """
        self._untaken = _larger(self._untaken, drift)
        self._unlooked = _larger(self._unlooked, drift)
        if self._walks % LOOK_EVERY == 0:
            largest, self._unlooked = float(self._unlooked), None
            self._judge(largest, resolution)
        self._walks += 1

    def _judge(self, drift: float, resolution: float) -> None:
        # "not below" rather than "above": NaN is beyond every limit.
        if self.raise_above is not None and not drift <= self.raise_above:
            raise DriftError(_message(drift, self.raise_above))
        limit = max(WARN_ABOVE, resolution) if self.warn_above == "auto" else self.warn_above
        if limit is not None and not drift <= limit:
            warnings.warn(_message(drift, limit), RuntimeWarning, stacklevel=2)
            self.warn_above = None


def sample(z: Tensor) -> Tensor:
    """Copy up to `SAMPLE` entries from all over a state, the same ones of every state of its shape.

    A step near the golden section of the state, and without a common divisor, spreads them over all axes: a plain
    stride would stay in one column of an image.
    """
    size = max(1, z.numel())
    step = round(size * (math.sqrt(5) - 1) / 2) or 1
    while math.gcd(step, size) > 1:
        step += 1
    index = torch.arange(min(SAMPLE, z.numel()), device=z.device) * step % size
    # `take` reads any memory format without a copy; half precision has too small a range for sums of squares.
    return torch.take(z.detach(), index).to(torch.promote_types(z.dtype, torch.float32))


def relative_error(got: Tensor, expected: Tensor, scale: Tensor) -> Tensor:
    """``||got - expected|| / ||expected||``; where nothing but zeros is expected, over ``scale``. No error is 0."""
    error, size = torch.linalg.vector_norm(got - expected), torch.linalg.vector_norm(expected)
    size = torch.where(size > 0, size, scale)
    return torch.where(error == 0, error, error / size)


def _larger(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else torch.maximum(a.to(b.device), b)  # which keeps NaN


def _message(drift: float, limit: float) -> str:
    return (
        f"expected states that come back by inversion with a relative error below {limit:.2g}, got {drift:.2g}: "
        f"gradients are as wrong, or more. Set anchor_every or backprop='exact', keep the nets in float32, or make "
        f"the steps smaller."
    )
