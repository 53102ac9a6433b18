"""The XML header of ISMRMRD, in our words."""

from __future__ import annotations

from typing import Any

from invrim.data.formats.encoding import declares_a_type
from invrim.data.readouts import Encoding
from invrim.errors import DataError, import_extra


def parse_header(xml: bytes | str) -> Any:
    """Parse an ISMRMRD header by the ISMRMRD library.

    Raises
    ------
    DataError
        It is no such header, or declares entities, which would be expanded without limit.
    MissingExtraError
        Without the extra ``raw``.
    """
    xsd = import_extra("ismrmrd.xsd", extra="raw", to="read ISMRMRD headers")
    if declares_a_type(xml):
        raise DataError("expected an ISMRMRD header without a document type, got one that declares its own. Drop it.")
    try:
        return xsd.CreateFromDocument(xml)
    except Exception as error:  # the parser's, of lxml or expat, and the schema's, each have their own
        raise DataError(
            f"expected an ISMRMRD header, got XML that breaks its schema ({' '.join(str(error).split())}). Repair it."
        ) from error


def encoding_of(header: Any, space: int) -> Encoding:
    """Read sizes and centres of one encoding space.

    Raises
    ------
    DataError
        It is not there, or a size is not positive.
    """
    if not 0 <= space < len(header.encoding):
        raise DataError(
            f"expected encoding space {space}, as the data say, got {len(header.encoding)} of them in the header. "
            f"Correct encoding_space_ref."
        )
    encoding = header.encoding[space]
    matrix, fov = _sizes(encoding.encodedSpace)
    _, image_fov = _sizes(encoding.reconSpace)
    limits = encoding.encodingLimits
    centre = tuple(
        n // 2 if limit is None else int(limit.center)
        for n, limit in zip(
            matrix[1:],
            (limits.kspace_encoding_step_1, limits.kspace_encoding_step_2) if limits else (None, None),
            strict=True,
        )
    )
    factors = encoding.parallelImaging.accelerationFactor if encoding.parallelImaging else None
    return Encoding(
        matrix=matrix,
        fov_mm=fov,
        image_fov_mm=image_fov,
        centre=(centre[0], centre[1] if matrix[2] > 1 else 0),
        is_cartesian=str(getattr(encoding.trajectory, "value", encoding.trajectory)).lower() in {"cartesian", "epi"},
        acceleration=factors.kspace_encoding_step_1 * factors.kspace_encoding_step_2 if factors else 1,
    )


def calibrates_within(header: Any, space: int) -> bool:
    """Whether calibration lines belong to the image's own k-space, not to a scan before or beside it."""
    parallel = header.encoding[space].parallelImaging
    mode = parallel.calibrationMode if parallel else None
    return str(getattr(mode, "value", mode)).lower() not in {"separate", "external"}


def protocol_of(header: Any) -> dict[str, str]:
    """What is known of scanner and protocol, by the names of `invrim.data.acquisition.Acquisition.attributes`."""
    system, measurement = header.acquisitionSystemInformation, header.measurementInformation
    known = {
        "scanner": system and system.systemModel,
        "vendor": system and system.systemVendor,
        "acquisition": measurement and measurement.protocolName,
    }
    return {name: value for name, value in known.items() if value}


def _sizes(space: Any) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    matrix, fov = space.matrixSize, space.fieldOfView_mm
    sizes, millimetres = (matrix.x, matrix.y, matrix.z), (fov.x, fov.y, fov.z)
    if min(sizes) < 1 or not all(0 < mm < float("inf") for mm in millimetres):
        raise DataError(
            f"expected positive matrix and field of view, got {list(sizes)} and {list(millimetres)} mm. "
            f"Correct the header."
        )
    return sizes, millimetres
