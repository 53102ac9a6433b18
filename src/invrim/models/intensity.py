"""The unit in which a model sees an image: the standard deviation of the back-projected data."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.errors import OptionError
from invrim.layers.scaling import nonzero
from invrim.operators.crop import crop_centre
from invrim.operators.fidelity import DataFidelity
from invrim.sharding import Shard
from invrim.typing import Image


def reference_image(fidelity: DataFidelity, start: Image | None) -> Image:
    """Image with the data's intensity: where it can be, not the start, which may be anything, zeros too."""
    back_project = getattr(fidelity, "start", None)
    if back_project is not None:
        return back_project()
    if start is None:
        raise OptionError(
            f"expected a start image, since {type(fidelity).__name__} has no start(). Pass start=, e.g. A^H d."
        )
    return start


def standard_deviation(images: Image, crop: int, slack: float = 0.0, shard: Shard | None = None) -> Tensor:
    """Over real and imaginary parts of the central ``crop`` pixels along each in-plane axis, plus slack, ``(b,)``.

    Where the images are parts of a shard, over those of the whole.
    """
    if shard is not None:
        return _over_parts(_central_part(images, crop, shard), shard) + slack
    return torch.view_as_real(crop_centre(images, (crop, crop))).flatten(1).std(dim=1) + slack


def _over_parts(images: Image, shard: Shard) -> Tensor:
    values = torch.view_as_real(images).flatten(1)
    count = shard.total(torch.tensor(float(values.shape[1]), dtype=values.dtype, device=values.device))
    mean = shard.total(values.sum(dim=1)) / count
    variance = shard.total((values - mean[:, None]).square().sum(dim=1)) / (count - 1)
    # An image without contrast would have the gradient of a root at 0, which is infinite.
    return torch.where(variance > 0, nonzero(variance).sqrt(), variance)


def _central_part(images: Image, crop: int, shard: Shard) -> Image:
    """What of this part lies in the middle of the whole; it may be nothing."""
    part = shard.part(images)
    sizes = [crop, crop]
    if shard.dim < -len(sizes):
        return crop_centre(images, sizes)
    sizes[shard.dim] = part.rows  # not the middle of the part
    width = min(part.whole, crop)
    start = (part.whole - width) // 2 - part.first
    start, stop = (min(max(end, 0), part.rows) for end in (start, start + width))
    return crop_centre(images, sizes).narrow(shard.dim, start, stop - start)
