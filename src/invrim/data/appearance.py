"""What scanners add to the looks of a head: bright fat, brightness near the coils, tissues of different phase."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from invrim.errors import OptionError

OBJECT = 0.1
"""Pixels above this fraction of the reference intensity count as object: head, not air."""
_FAT = 0.03
"""Thickness of the layer under the skin, of the field of view: 7 mm of 24 cm."""
_NEAR = 0.2
"""Depth to which coils see better than further in, of the field of view."""
_GAPS = 0.08
"""Half width of the gaps that still belong to the head, such as the skull, of the field of view."""


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """How a scan differs from the image that it is simulated from; the defaults change nothing."""

    fat: float = 1.0
    """Factor on the layer under the skin: without fat suppression, on a T1w scan, fat outshines the brain."""
    receive_bias: float = 0.0
    """How much brighter than the middle a head is at its skin, where the coils are: 1 for twice as bright."""
    tissue_phase: float = 0.0
    """Radians that tissue of intensity 1 has beside the smooth phase, others in proportion: chemical shift and
    susceptibility give tissues phases of their own, as sharp as the image."""

    def __post_init__(self) -> None:
        if not (self.fat > 0 and self.receive_bias >= 0):
            raise OptionError(
                f"expected fat > 0 and receive_bias >= 0, got {self.fat:g} and {self.receive_bias:g}. "
                f"Use 1 and 0 to change nothing."
            )

    def magnitude(self, stack: Tensor) -> Tensor:
        """Brighten images ``(slices, y, x)`` of reference intensity 1; air stays as it is."""
        head = head_of(stack)
        return stack * (1 + (self.fat - 1) * near_skin(head, _FAT) + self.receive_bias * near_skin(head, _NEAR))

    def phase(self, magnitude: Tensor) -> Tensor:
        """Radians ``(slices, y, x)`` of the tissues."""
        return self.tissue_phase * magnitude


def head_of(stack: Tensor) -> Tensor:
    """Head, 1, and air, 0, of images ``(slices, y, x)``; cavities and the dark skull belong to the head."""
    smooth = _box_mean(stack, 1)
    gap = _pixels(stack, _GAPS)
    # Room for the head to grow beyond the image, or it would stick to the edges that it comes near.
    canvas = pad((smooth > OBJECT).to(stack.dtype), (2 * gap,) * 4)
    closed = -_box_max(-_box_max(canvas, gap), gap)
    return closed[:, 2 * gap : -2 * gap, 2 * gap : -2 * gap]


def near_skin(head: Tensor, depth: float) -> Tensor:
    """Fall from 1 at the skin to 0 at a depth, given as a fraction of the field of view; 0 in air, ``(slices, y, x)``.

    Where the field of view cuts through the head there is no skin.
    """
    return head * (2 * (1 - _box_mean(head, _pixels(head, depth)))).clamp(0, 1)


def _box_mean(stack: Tensor, reach: int) -> Tensor:
    """Mean over the square that extends ``reach`` pixels to every side, axis by axis."""
    rows = avg_pool2d(pad(stack, (0, 0, reach, reach), mode="replicate"), (2 * reach + 1, 1), stride=1)
    return avg_pool2d(pad(rows, (reach, reach, 0, 0), mode="replicate"), (1, 2 * reach + 1), stride=1)


def _box_max(stack: Tensor, reach: int) -> Tensor:
    """Largest value in that square."""
    rows = max_pool2d(stack, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return max_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))


def _pixels(stack: Tensor, fraction: float) -> int:
    return max(1, round(fraction * max(stack.shape[-2:])))
