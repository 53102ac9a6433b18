"""Write an image as PNG."""

from pathlib import Path

import numpy as np
from torch import Tensor

from invrim.files import atomic_write


def write_picture(path: Path, image: Tensor) -> None:
    """Write a magnitude image ``(y, x)`` as 8-bit grey PNG, from 0 to its 99.5th percentile."""
    from matplotlib.image import imsave

    array = image.detach().cpu().numpy()
    white = float(np.percentile(array, 99.5)) or 1.0
    with atomic_write(path) as temporary:
        imsave(temporary, array, cmap="gray", vmin=0.0, vmax=white)
