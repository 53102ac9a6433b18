"""Where to look closer: the part of an image with the most fine structure."""

import numpy as np
from numpy.typing import NDArray

ZOOM = 0.3
"""Side of the detail relative to the image: a three-fold magnification."""
SATURATION = 50
"""Percentile of the edges at which they stop counting, so that much texture wins over one bright rim such as fat."""
FAINT = 0.02
"""Gradients below this part of the strongest are background, which has no say in the percentile."""
RIM_WEIGHT = 0.5
"""Weight of a window at the middle of a side, 1 at the centre: what was scanned for lies in the middle."""


def detail_window(target: NDArray[np.floating], zoom: float = ZOOM) -> tuple[slice, slice]:
    """Find the window ``(y, x)``, of the image's proportions, with most saturated gradients near the centre."""
    rows, columns = (max(1, round(zoom * side)) for side in target.shape)
    sums = _window_sums(_saturated_gradient(target), rows, columns)
    top, left = np.unravel_index(np.argmax(sums * _centrality(sums.shape)), sums.shape)
    return slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)


def _saturated_gradient(image: NDArray[np.floating]) -> NDArray[np.float64]:
    along_y, along_x = np.gradient(image.astype(np.float64))
    strength = np.hypot(along_y, along_x)
    edges = strength[strength > FAINT * strength.max()]
    return np.minimum(strength, np.percentile(edges, SATURATION)) if edges.size else strength


def _window_sums(image: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Sum over every window, by differences of a summed-area table."""
    table = np.pad(image, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return table[rows:, columns:] - table[:-rows, columns:] - table[rows:, :-columns] + table[:-rows, :-columns]


def _centrality(shape: tuple[int, ...]) -> NDArray[np.float64]:
    y, x = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in shape)
    return 1 - (1 - RIM_WEIGHT) * np.minimum(1, np.hypot(y[:, None], x[None]))
