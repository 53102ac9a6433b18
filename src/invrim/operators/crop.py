"""The middle of an image."""

from collections.abc import Sequence

from torch import Tensor


def crop_centre(images: Tensor, size: Sequence[int]) -> Tensor:
    """Crop the last axes of ``(..., y, x)`` to the central ``size``; an axis that is smaller already stays whole."""
    for axis, wanted in zip(range(-len(size), 0), size, strict=True):
        n = images.shape[axis]
        width = min(n, wanted)
        images = images.narrow(axis, (n - width) // 2, width)
    return images
