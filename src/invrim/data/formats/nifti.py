"""Read NIfTI volumes into one orientation, cut them into upright slices, write slices as a volume."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import nibabel
import numpy as np
from torch import Tensor

from invrim.data.geometry import Geometry
from invrim.errors import DataError, FileError, InvrimError, OptionError
from invrim.files import atomic_write, reason

Plane = Literal["axial", "coronal", "sagittal"]

_SUFFIXES = (".nii", ".nii.gz")
_DENSEST = 1100
"""Times smaller than what it holds may a file be: gzip ends at 1,032."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A magnitude image in patient space."""

    name: str
    """File name without suffix."""
    array: np.ndarray
    """Float32 ``(x, y, z)``; indices grow towards the patient's right, anterior and superior (RAS+)."""
    voxel_mm: tuple[float, float, float]
    """Voxel size along x, y, z in millimetres."""


def read_volume(path: Path) -> Volume:
    """Read a ``.nii`` or ``.nii.gz`` file; of a time series, the first frame.

    Raises
    ------
    FileError
        The file is missing, not NIfTI, or cut short.
    DataError
        It holds no 3D image, or values that are not finite.
    """
    path = Path(path)
    _require_nifti(path)
    try:
        image: Any = nibabel.load(path)  # whichever of NIfTI-1 and NIfTI-2 it is
        if len(image.shape) not in (3, 4):
            raise DataError(f"{path}: expected a 3D or 4D image, got shape {image.shape}. Give a volume.")
        _require_plausible(path, image)
        image = nibabel.as_closest_canonical(image.slicer[..., 0] if len(image.shape) == 4 else image)
        array = np.asarray(image.dataobj, dtype=np.float32)
    except InvrimError:
        raise
    except Exception as error:  # nibabel, gzip and zlib each have their own; the user needs one sentence
        raise FileError(
            f"{path}: expected a complete NIfTI file, got one that cannot be read ({reason(error)}). Copy it again."
        ) from error
    if not np.isfinite(array).all():
        raise DataError(f"{path}: expected finite intensities, got NaN or Inf. Replace them by numbers first.")
    x, y, z = (float(size) for size in image.header.get_zooms()[:3])
    return Volume(name=volume_name(path), array=array, voxel_mm=(x, y, z))


def volume_name(path: Path) -> str:
    """File name without folder and suffix."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def slices(volume: Volume, plane: Plane) -> np.ndarray:
    """Cut a volume into slices ``(n, y, x)`` that are upright on screen, in radiological convention.

    ========  ==================  ==============  =========================
    plane     slices go to        top of image    left of image
    ========  ==================  ==============  =========================
    axial     superior            anterior        patient's right
    coronal   anterior            superior        patient's right
    sagittal  patient's right     superior        anterior
    ========  ==================  ==============  =========================
    """
    if plane == "axial":
        stack = volume.array.transpose(2, 1, 0)[:, ::-1, ::-1]
    elif plane == "coronal":
        stack = volume.array.transpose(1, 2, 0)[:, ::-1, ::-1]
    elif plane == "sagittal":
        stack = volume.array.transpose(0, 2, 1)[:, ::-1, ::-1]
    else:
        raise OptionError(f"expected a plane of {', '.join(get_args(Plane))}, got {plane!r}. Name one of them.")
    return np.ascontiguousarray(stack)


def write_volume(path: Path, stack: Tensor, geometry: Geometry | None = None, volumes: int = 1) -> None:
    """Write slices, float32 ``(n, y, x)``, as NIfTI with axes ``(x, y, n)``, or ``(x, y, n, volume)`` of several.

    Without a geometry voxels are 1 mm. Where spacing alone is known, or not even that, the affine's code says
    *unknown*, so that no viewer takes the axes for a patient's.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.
    stack
        Of several volumes one after the other.
    geometry
        Of the stack as it is, its axes x, y and n.
    volumes
        How many the stack holds.
    """
    known = geometry or Geometry.of_spacing((1, 1, 1))
    array = stack.unflatten(0, (volumes, -1)).permute(3, 2, 1, 0).cpu().numpy()
    image = nibabel.Nifti1Image(array if volumes > 1 else array[..., 0], known.affine)
    image.header.set_xyzt_units("mm")
    code = "scanner" if known.is_oriented else "unknown"
    image.set_sform(known.affine, code=code)
    image.set_qform(known.affine if known.is_oriented else None, code=code)
    with atomic_write(path) as temporary:
        nibabel.save(image, temporary)


def _require_nifti(path: Path) -> None:
    if not path.is_file():
        raise FileError(f"{path}: expected a NIfTI file, got nothing at this path. Check the spelling.")
    if not path.name.endswith(_SUFFIXES):
        raise FileError(f"{path}: expected a name ending in {' or '.join(_SUFFIXES)}. Convert the image to NIfTI.")


def _require_plausible(path: Path, image: Any) -> None:
    """Before memory is asked for: as much as the header claims can be in the file."""
    claimed = math.prod(map(int, image.shape)) * image.get_data_dtype().itemsize
    most = path.stat().st_size * (_DENSEST if path.name.endswith(".gz") else 1)
    if claimed > most:
        raise FileError(
            f"{path}: expected at most {most} bytes of intensities in a file of this size, got a header that claims "
            f"{claimed}. Copy it again."
        )
