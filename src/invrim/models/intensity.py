"""The unit in which a model sees an image: the standard deviation of the back-projected data."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.errors import OptionError
from invrim.operators.crop import crop_centre
from invrim.operators.fidelity import DataFidelity
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


def standard_deviation(images: Image, crop: int, slack: float = 0.0) -> Tensor:
    """Over real and imaginary parts of the central ``crop`` pixels along each in-plane axis, plus slack, ``(b,)``."""
    return torch.view_as_real(crop_centre(images, (crop, crop))).flatten(1).std(dim=1) + slack
