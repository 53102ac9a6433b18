"""The image that needs neither learning nor a faultless stream: the root sum of squares of what was received."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.formats.ismrmrd import Plan, image_readouts
from invrim.data.readouts import Encoding
from invrim.data.scan import header_of, part_of
from invrim.errors import DataError
from invrim.operators import crop_centre
from invrim.reconstruction import fidelity_of

_IN_COMMON = (
    "active_channels", "number_of_samples", "discard_pre", "discard_post", "center_sample", "encoding_space_ref",
    "trajectory_dimensions",
)  # fmt: skip
"""Fields that all readouts of an image share."""
_LARGEST = 1e15
"""Of a sample: the sum of squares of many such is still within float32."""


@torch.no_grad()
def root_sum_of_squares(acquisition: Acquisition) -> Tensor:
    """Back-project every coil and combine their magnitudes, float32 ``(slices, y, x)``, one slice at a time."""
    header = header_of(acquisition)
    images = []
    for number in range(header.slices):
        coils = fidelity_of(part_of(acquisition, slice(number, number + 1)), coil_maps=False).start()
        image = torch.linalg.vector_norm(coils, dim=1) if coils.ndim == 4 else coils.abs()
        images.append(crop_centre(image, header.image_size))
    return torch.cat(images)


def usable(table: np.ndarray) -> np.ndarray:
    """Leave out readouts that are empty, no image, not finite or absurdly large, and such as differ from most others.

    Raises
    ------
    DataError
        None remain.
    """
    head = table["head"]
    # NaN is not below either.
    sound = [len(row) > 0 and bool((np.abs(row) < _LARGEST).all()) for row in table["data"]]
    good = image_readouts(head) & np.array(sound)
    if not good.any():
        raise DataError(f"expected a readout with finite samples below {_LARGEST:g}, got none. Measure again.")
    kinds = np.stack([head[field] for field in _IN_COMMON], axis=1)
    _, kind, count = np.unique(kinds[good], axis=0, return_inverse=True, return_counts=True)
    good[good] = kind.reshape(-1) == count.argmax()
    return table[good]


def plan_without_header(head: np.ndarray) -> Plan:
    """Plan by the counters of readouts alone, whose voxels are then of unknown size.

    Where zero frequency of the phase encodings lies does not matter: it changes the phase of an image only.

    Raises
    ------
    DataError
        They follow a trajectory, whose units only a header tells.
    """
    first = head[0]
    if first["trajectory_dimensions"]:
        raise DataError("expected a valid header, to interpret the trajectory by, got none. Send one.")
    last = [int(head["idx"][f"kspace_encode_step_{n}"].max()) for n in (1, 2)]
    samples = int(first["number_of_samples"]) - int(first["discard_pre"]) - int(first["discard_post"])
    centre = int(first["center_sample"]) - int(first["discard_pre"])
    # With zero frequency in the middle all samples have a place, also those of an asymmetric echo.
    widest = 2 * max(centre, samples - centre) if 0 < centre < samples else samples
    matrix = (max(widest, 1), last[0] + 1, last[1] + 1)
    sizes = (float(matrix[0]), float(matrix[1]), float(matrix[2]))
    encoding = Encoding(
        matrix=matrix, fov_mm=sizes, image_fov_mm=sizes, acceleration=2,
        centre=(matrix[1] // 2, matrix[2] // 2),
    )  # fmt: skip
    return Plan(chosen=np.ones(len(head), bool), encoding=encoding)
