"""Reconstructed slices as MRD images, each at its place in the patient."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import ismrmrd
import numpy as np
from torch import Tensor

from invrim.data.formats.ismrmrd import Plan, heads_of_images
from invrim.data.readouts import Encoding
from invrim.errors import DataError

_LARGEST = 2**16 - 1
"""Of a matrix in the header of an MRD image."""
_SERIES = 1


@dataclass(frozen=True, kw_only=True)
class Series:
    """What is said of all images of one answer."""

    description: str
    """For the scanner's list of series."""
    comments: str = ""
    """What a reader of the images has to know."""
    sizes_known: bool = True
    """Whether there was a header that says how large voxels are; else the field of view is 0."""


def images_of(stack: Tensor, plan: Plan, head: np.ndarray, series: Series) -> list[ismrmrd.Image]:
    """Turn a stack into images with x along the readout, y along the phase encoding, z along the partitions.

    Voxel ``n // 2`` along every axis lies at the position that the scanner gave the readouts. Images of which nothing
    was measured are left out.

    Parameters
    ----------
    stack
        Magnitudes, float32 ``(slices, y, x)``, as `invrim.data.assembly.assemble` orders them.
    plan, head
        Of the table that it was made of.
    series
        Of the answer.
    """
    heads = heads_of_images(plan, head)
    volumes = _volumes(stack, plan.encoding)
    shift = _shift_of_middle(plan.encoding, volumes.shape[:0:-1])
    if max(volumes.shape[1:]) > _LARGEST:
        raise DataError(f"expected at most {_LARGEST} voxels along an axis, got {max(volumes.shape[1:])}.")
    millimetres = _voxel(plan.encoding)
    numbers = itertools.count(1)
    return [_image(volumes[n], _moved(heads[n], shift), millimetres, next(numbers), series) for n in sorted(heads)]


def _volumes(stack: Tensor, encoding: Encoding) -> np.ndarray:
    """Bring ``(slices, readout, phase)``, or ``(readout, partition, phase)``, to ``(n, partition, phase, readout)``."""
    array = stack.numpy()
    if encoding.is_cartesian and encoding.matrix[2] > 1:
        readout = encoding.image_size[0]
        return array.reshape(-1, readout, *array.shape[1:]).transpose(0, 2, 3, 1)
    return array.transpose(0, 2, 1)[:, None]


def _voxel(encoding: Encoding) -> Sequence[float]:
    """Millimetres along readout, phase encoding and partition; of a slice its thickness."""
    if encoding.is_cartesian:
        return encoding.spacing
    x, y, _ = encoding.image_size
    width, height, depth = encoding.image_fov_mm
    return width / x, height / y, depth


def _shift_of_middle(encoding: Encoding, size: Sequence[int]) -> np.ndarray:
    """Millimetres along readout, phase encoding and partition from voxel ``n // 2`` encoded to that of the image.

    Not 0 where `crop_centre` makes an odd number of an even one. The readout is cropped about its middle.
    """
    if not encoding.is_cartesian:
        return np.zeros(3)
    before, after = np.array([size[0], *encoding.matrix[1:]]), np.array(size)
    return (after // 2 + (before - after) // 2 - before // 2) * np.array(encoding.spacing)


def _moved(head: np.ndarray, millimetres: np.ndarray) -> np.ndarray:
    """Header of a readout at a position further along its three directions."""
    moved = head.copy()
    moved["position"] = head["position"] + millimetres @ [head["read_dir"], head["phase_dir"], head["slice_dir"]]
    return moved


def _image(
    volume: np.ndarray, head: np.ndarray, millimetres: Sequence[float], number: int, series: Series
) -> ismrmrd.Image:
    acquisition = ismrmrd.Acquisition(ismrmrd.AcquisitionHeader.from_buffer_copy(head.tobytes()))
    view = [n * mm if series.sizes_known else 0.0 for n, mm in zip(volume.shape[::-1], millimetres, strict=True)]
    image = ismrmrd.Image.from_array(
        np.ascontiguousarray(volume, np.float32),
        acquisition=acquisition,
        field_of_view=tuple(view),
        image_type=ismrmrd.IMTYPE_MAGNITUDE,
        image_index=number,
        image_series_index=_SERIES,
    )
    image.meta = {
        "DataRole": "Image",
        "SeriesDescription": series.description,
        "ImageProcessingHistory": "invrim",
        "Keep_image_geometry": 1,
        "ImageRowDir": [f"{value:.9g}" for value in acquisition.read_dir],
        "ImageColumnDir": [f"{value:.9g}" for value in acquisition.phase_dir],
        **({"ImageComments": series.comments} if series.comments else {}),
    }
    return image
