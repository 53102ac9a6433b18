"""Write a stack of images as a DICOM series, one file a slice, in a folder that is complete or absent."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from invrim.data.geometry import Geometry
from invrim.errors import DataError, ShapeError, import_extra
from invrim.files import atomic_folder

SUFFIX = ".dcm"
_WHITE = 65535
"""Largest stored value: 16 bit, unsigned."""
_WHITE_PERCENTILE = 99.5
"""Where the suggested window ends, as in `invrim.data.formats.pictures`."""
_NOT_KNOWN = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "SeriesNumber", "Manufacturer",
)  # fmt: skip
"""What every file must have, if only empty."""
_LONGEST = 64
"""Characters of a name or a description."""
_ORTHOGONAL = 1e-3
"""Of the cosine between rows and columns, as `invrim.data.geometry.Geometry` allows."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Whose images they are; empty where nobody said it."""

    name: str = ""
    """As DICOM writes names: ``"Family^Given"``."""
    identifier: str = ""
    birth_date: str = ""
    """``"YYYYMMDD"``."""
    sex: str = ""
    """``"M"``, ``"F"`` or ``"O"``."""

    def __post_init__(self) -> None:
        known = re.fullmatch(r"(\d{8})?", self.birth_date) and self.sex in ("", "M", "F", "O")
        if not known or max(len(self.name), len(self.identifier)) > _LONGEST or "\\" in self.name + self.identifier:
            raise DataError(
                f"expected a patient's name and identifier in at most {_LONGEST} characters without backslash, birth "
                f"date YYYYMMDD and sex M, F or O, got {self}. Correct it."
            )


def write_series(
    folder: Path,
    stack: Tensor,
    geometry: Geometry | None = None,
    volumes: int = 1,
    *,
    patient: Patient | None = None,
    description: str = "",
    software: str = "invrim",
) -> None:
    """Write slices, float32 ``(n, y, x)``, as ``folder/0001.dcm`` and so on, one series.

    Where position and directions are known the files are MR images: that class must say where its pixels lie. Else
    they are secondary captures, which need not, with voxel sizes where those are known, and nothing is made up. Both
    say so, *research mode* and *workstation*, and hold no word on patient, study or time but what is given.

    Intensities are stored in 16 bit; times the rescale slope, one for the series, they are the stack's to half a
    slope, 1/131,070 of its maximum. Slices count as thick as they are apart: a geometry knows of no gaps.

    Parameters
    ----------
    folder
        Of this series alone; an older one of DICOM files is replaced once the new one is complete.
    stack
        Magnitudes, of several volumes one after the other.
    geometry
        Of the stack as it is, its axes x, y and n.
    volumes
        How many the stack holds; their number becomes DICOM's acquisition number.
    patient
        None: fields of the patient are there and empty, as the standard has it.
    description
        Of the series; 64 characters of it are kept.
    software
        Name and version of what made the images.

    Raises
    ------
    ShapeError
        The stack has other axes.
    DataError
        An intensity is negative or not finite, or rows and columns are not at right angles.
    FileError
        The folder cannot be written, or holds other files.
    MissingExtraError
        Without the extra ``dicom``.

    References
    ----------
    .. [1] DICOM PS3.3, C.7.6.2.1.1 (image plane: positions are those of pixel centres), C.8.3.1 (MR image), C.8.6
       (secondary capture).
    """
    require_pydicom()
    array = _magnitudes(stack)
    if geometry is not None and geometry.is_oriented:
        _require_right_angles(geometry)
    values, slope, white = _stored(array)
    series = _series(geometry, patient or Patient())
    series.SeriesDescription, series.SoftwareVersions = description[:_LONGEST], software
    digits = max(4, len(str(len(values))))
    per_volume = len(values) // volumes
    with atomic_folder(folder, SUFFIX) as temporary:
        for n, pixels in enumerate(values):
            volume, position = divmod(n, per_volume)
            image = _image(series, pixels, slope, white)
            image.InstanceNumber, image.AcquisitionNumber = n + 1, volume + 1
            _place(image, geometry, position)
            image.save_as(temporary / f"{n + 1:0{digits}}{SUFFIX}", enforce_file_format=True)


def require_pydicom() -> None:
    """Notice before a long computation that pydicom is not installed."""
    import_extra("pydicom", extra="dicom", to="write DICOM")


def _magnitudes(stack: Tensor) -> np.ndarray:
    if stack.ndim != 3 or 0 in stack.shape:
        raise ShapeError(f"expected images (slices, y, x), got shape {tuple(stack.shape)}. Add or remove axes.")
    if stack.is_complex() or not stack.isfinite().all() or stack.min() < 0:
        raise DataError(
            "expected finite magnitudes for DICOM, got complex, negative, NaN or infinite values. Take absolute values."
        )
    array: np.ndarray = stack.detach().cpu().double().numpy()
    return array


def _require_right_angles(geometry: Geometry) -> None:
    x, y = (geometry.lps[:3, axis] / geometry.spacing[axis] for axis in (0, 1))
    if abs(float(x @ y)) > _ORTHOGONAL:
        raise DataError(
            f"expected rows and columns at right angles, as DICOM has them, got a cosine of {float(x @ y):.3g} between "
            f"them. Write NIfTI, or resample the images."
        )


def _stored(array: np.ndarray) -> tuple[np.ndarray, Any, float]:
    """Stored values uint16, the slope exactly as the files will say it, and the end of the window."""
    from pydicom.valuerep import DSfloat

    slope = DSfloat(float(array.max()) / _WHITE or 1.0, auto_format=True)
    written = float(str(slope))
    values = np.rint(array / written).clip(0, _WHITE).astype(np.uint16)
    return values, slope, float(np.percentile(array, _WHITE_PERCENTILE)) or written


def _series(geometry: Geometry | None, patient: Patient) -> Any:
    """What all files have in common."""
    from pydicom.dataset import Dataset
    from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage, generate_uid

    common = Dataset()
    oriented = geometry is not None and geometry.is_oriented
    common.SOPClassUID = MRImageStorage if oriented else SecondaryCaptureImageStorage
    common.StudyInstanceUID, common.SeriesInstanceUID = generate_uid(prefix=None), generate_uid(prefix=None)
    for empty in _NOT_KNOWN:
        setattr(common, empty, None)
    _identify(common, patient)
    common.Modality = "MR"
    common.ImageComments = "Research reconstruction, not for diagnosis."
    if oriented:
        common.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        common.ScanningSequence, common.SequenceVariant = "RM", "NONE"  # research mode
        for empty in ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"):
            setattr(common, empty, None)
        common.FrameOfReferenceUID = generate_uid(prefix=None)
        common.PositionReferenceIndicator = common.PatientPosition = None
    else:
        common.ImageType = ["DERIVED", "SECONDARY"]
        common.ConversionType = "WSD"  # workstation
        common.PatientOrientation = None
    return common


def _identify(common: Any, patient: Patient) -> None:
    common.PatientName, common.PatientID = patient.name, patient.identifier
    common.PatientBirthDate, common.PatientSex = patient.birth_date, patient.sex
    if not patient.name.isascii() or not patient.identifier.isascii():
        common.SpecificCharacterSet = "ISO_IR 192"  # UTF-8


def _image(series: Any, pixels: np.ndarray, slope: Any, white: float) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    from pydicom.valuerep import DSfloat

    image = deepcopy(series)
    image.SOPInstanceUID = generate_uid(prefix=None)
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.Rows, image.Columns = pixels.shape
    image.PixelData = pixels.astype("<u2").tobytes()
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = slope, 0, "US"  # no unit
    image.WindowCenter = DSfloat(white / 2, auto_format=True)
    image.WindowWidth = DSfloat(white, auto_format=True)
    return image


def _place(image: Any, geometry: Geometry | None, position: int) -> None:
    """Say where the pixels of slice ``position`` lie, as far as it is known."""
    if geometry is None:
        return
    lps, (x, y, between) = geometry.lps, geometry.spacing
    image.PixelSpacing = _decimals([y, x])  # distance of rows, then of columns
    if geometry.is_oriented:
        rows, columns = lps[:3, 0] / x, lps[:3, 1] / y
        image.ImagePositionPatient = _decimals(lps[:3] @ [0, 0, position, 1])
        image.ImageOrientationPatient = _decimals([*rows, *columns])
        between = abs(float(np.cross(rows, columns) @ lps[:3, 2]))  # along the normal, also of staggered slices
    image.SliceThickness, image.SpacingBetweenSlices = _decimals([between, between])


def _decimals(numbers: Any) -> list[Any]:
    """Decimal strings of at most 16 characters, as DICOM wants them."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(number), auto_format=True) for number in numbers]
