"""Turn slices the way up that radiologists look at them."""

from __future__ import annotations

from nibabel.orientations import io_orientation
from torch import Tensor

from invrim.data.geometry import Geometry


def upright(images: Tensor, geometry: Geometry | None) -> Tensor:
    """Turn and mirror slices ``(..., y, x)`` so that they are upright on screen, in radiological convention.

    As `invrim.data.formats.nifti.slices` has it: superior, or anterior of axial slices, is the top; the patient's
    right, or anterior of sagittal slices, is on the left. Of an oblique slice the nearest of the three planes counts.
    Without a known orientation the slices stay as they are, the readout from top to bottom.
    """
    if geometry is None or not geometry.is_oriented:
        return images
    (x_axis, x_sign), (y_axis, y_sign), _ = io_orientation(geometry.affine)
    flipped = [axis for axis, sign in ((-1, x_sign), (-2, y_sign)) if sign > 0]
    images = images.flip(flipped)
    return images.mT if x_axis > y_axis else images
