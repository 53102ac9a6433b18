"""What of a prediction and its target is compared: centre crops, and which slices."""

from collections.abc import Sequence

from torch import Tensor

from invrim.errors import ShapeError

_CALGARY_EDGE = 50
"""Slices at either end that the Calgary-Campinas challenge leaves out."""


def crop_to_width(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the centre, as wide as the target and as high, from both; a lower target keeps its height.

    fastMRI's scorer takes this square and refuses targets lower than wide; here those are compared whole.
    """
    width = target.shape[-1]
    height = min(target.shape[-2], width)
    return _centre(prediction, height, width), _centre(target, height, width)


def inner_slices(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out 50 slices at either end, where there is little anatomy; the rest is compared whole.

    The volumes of the Calgary-Campinas challenge have 256 slices, of which 156 are scored.
    """
    if len(target) <= 2 * _CALGARY_EDGE:
        raise ShapeError(
            f"target has {len(target)} slices: expected more than {2 * _CALGARY_EDGE}, since the first and the last "
            f"{_CALGARY_EDGE} are not scored. Evaluate whole volumes, or choose another protocol."
        )
    inside = slice(_CALGARY_EDGE, -_CALGARY_EDGE)
    return _centre(prediction, *target.shape[-2:])[inside], target[inside]


def heart_region(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cut what CMRxRecon ranks: the middle third of the readout, half of the phase encoding, the two middle slices.

    Of fewer than three slices all are taken. A challenge's file of several frames is ranked by its first three:
    evaluate each as a stack of its own.
    """
    count = len(target)
    middle = _rounded(count, 2)
    chosen = slice(0, count) if count < 3 else slice(middle - 2, middle)
    size = _rounded(target.shape[-2], 3), _rounded(target.shape[-1], 2)
    found = [_middle(volume[chosen], size) for volume in (_centre(prediction, *target.shape[-2:]), target)]
    return found[0], found[1]


def _rounded(number: int, parts: int) -> int:
    """Divide and round as Matlab does, halves up."""
    return (2 * number + parts) // (2 * parts)


def _middle(volume: Tensor, size: Sequence[int]) -> Tensor:
    """Cut ``(y, x)`` around pixel ``n // 2``, as the ``crop`` of Lustig's Matlab code does."""
    top, left = (n // 2 - m // 2 for n, m in zip(volume.shape[-2:], size, strict=True))
    return volume[..., top : top + size[0], left : left + size[1]]


def _centre(volume: Tensor, height: int, width: int) -> Tensor:
    top, left = (volume.shape[-2] - height) // 2, (volume.shape[-1] - width) // 2
    if top < 0 or left < 0:
        raise ShapeError(
            f"prediction is {tuple(volume.shape[-2:])} pixels (y, x) but the target has {(height, width)} to compare. "
            f"Reconstruct at the target's size or larger."
        )
    return volume[..., top : top + height, left : left + width]
