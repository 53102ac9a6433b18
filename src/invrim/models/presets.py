"""Named configurations of the i-RIM: the two published ones, and one for volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from invrim.errors import OptionError

_PUBLISHED: Mapping[str, Any] = {
    "steps": 8,
    "hidden": [64, 64, 128, 128, 256, 1024, 1024, 256, 128, 128, 64, 64],
    "strides": [1, 1, 2, 2, 4, 8, 8, 4, 2, 2, 1, 1],
    "metadata": 8,
    "coil_maps": False,
    "normalisation_slack": 1e-6,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fastmri-singlecoil-2019": {**_PUBLISHED, "channels": 64, "multiplicity": 4, "head": "learned"},
    "fastmri-multicoil-2019": {**_PUBLISHED, "channels": 96, "images": 15, "head": "combined"},
    "volume-400": {
        "steps": 8,
        "hidden": [32, 32, 64, 64, 128, 128, 64, 64, 32, 32],
        "strides": [1, 1, 2, 2, 4, 4, 2, 2, 1, 1],
        "channels": 32,
        "ndim": 3,
        "head": "eta",
    },
}
"""Options of `invrim.IRIM` by name.

``fastmri-singlecoil-2019`` and ``fastmri-multicoil-2019`` are the networks of the fastMRI challenge [P19b]_, 480 layers
each (a block has three convolutions and two orthogonal mixings): 275,247,552 and 329,670,304 parameters. The second
sees the 15 coils' images side by side and reads one image off its state. ``volume-400`` is the depth of [P19]_ in 3D,
8 steps of 10 blocks of 5 layers; a stride is never along slices. Its widths are our choice: 13,550,080 parameters,
54.2 MB of weights in float32. It takes coil maps, thus any number of coils, and no metadata, thus any scanner.

References
----------
.. [P19] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019.
.. [P19b] Putzky et al., *i-RIM applied to the fastMRI challenge*, arXiv 1910.08952, and the code released with it.
"""


def preset(name: str) -> dict[str, Any]:
    """Return the options of a preset, a copy that may be changed."""
    if name not in PRESETS:
        raise OptionError(f"expected a preset of {', '.join(PRESETS)}, got {name!r}. Choose one of them.")
    return dict(PRESETS[name])
