"""Where to look closer: the part of an image with the most fine structure."""

import numpy as np
from numpy.typing import NDArray

ZOOM = 0.3
"""Side of the detail relative to the image: a three-fold magnification."""
SATURATION = 85
"""Percentile at which edges stop counting, so that much texture wins over one bright rim such as scalp fat."""


def detail_window(target: NDArray[np.floating], zoom: float = ZOOM) -> tuple[slice, slice]:
    """Find the window ``(y, x)``, of the image's proportions, with the largest sum of saturated gradients."""
    rows, columns = (max(1, round(zoom * side)) for side in target.shape)
    sums = _window_sums(_saturated_gradient(target), rows, columns)
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)


def _saturated_gradient(image: NDArray[np.floating]) -> NDArray[np.float64]:
    along_y, along_x = np.gradient(image.astype(np.float64))
    strength = np.hypot(along_y, along_x)
    return np.minimum(strength, np.percentile(strength, SATURATION))


def _window_sums(image: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Sum over every window, by differences of a summed-area table."""
    table = np.pad(image, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return table[rows:, columns:] - table[:-rows, columns:] - table[rows:, :-columns] + table[:-rows, :-columns]
