"""The few lines of an ISMRMRD header that are read of a fastMRI file: what was encoded, and which scanner it was."""

import math
from xml.etree import ElementTree

from invrim.errors import DataError

_NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"


def zero_padding(header: bytes | str) -> tuple[int, int] | None:
    """Lines ``[left, right)`` that the scanner encoded; those outside were filled with zeros.

    The rule is fastMRI's: ``left = encoded // 2 - centre`` and ``right = left + maximum + 1`` along the phase
    encoding.

    Parameters
    ----------
    header
        ISMRMRD XML.

    Returns
    -------
    tuple or None
        None where the header gives no encoding limits.

    Raises
    ------
    DataError
        The header is not XML, or its limits are not whole numbers.
    """
    root = _root(header)
    try:
        size = _find(root, "encodedSpace", "matrixSize", "y")
        centre = _find(root, "encodingLimits", "kspace_encoding_step_1", "center")
        maximum = _find(root, "encodingLimits", "kspace_encoding_step_1", "maximum")
    except ValueError as error:
        raise _foreign(error) from error
    if size is None or centre is None or maximum is None:
        return None
    left = size // 2 - centre
    return left, left + maximum + 1


def voxel_sizes(header: bytes | str) -> tuple[float, float, float] | None:
    """Voxel sizes of the encoded space in millimetres, along phase encoding, readout and slices.

    Returns
    -------
    tuple or None
        None where the header gives no field of view or matrix.

    Raises
    ------
    DataError
        The header is not XML, or a size is no positive number.
    """
    root = _root(header)
    sizes = []
    for axis in "yxz":  # of ISMRMRD, whose x is the readout
        view = _text(root, "encoding", "encodedSpace", "fieldOfView_mm", axis)
        matrix = _text(root, "encoding", "encodedSpace", "matrixSize", axis)
        if view is None or matrix is None:
            return None
        try:
            sizes.append(float(view) / int(matrix))
        except (ValueError, ZeroDivisionError) as error:
            raise _foreign(error) from error
    if not all(0 < size < math.inf for size in sizes):
        return None
    phase, readout, between = sizes
    return phase, readout, between


def scanner_model(header: bytes | str) -> str | None:
    """Model of the scanner, e.g. ``"Skyra"``; None where the header does not name it.

    Raises
    ------
    DataError
        The header is not XML.
    """
    text = _text(_root(header), "acquisitionSystemInformation", "systemModel")
    return (text or "").strip() or None


def declares_a_type(xml: bytes | str) -> bool:
    """Whether XML has a document type, whose entities could be expanded without limit; in any encoding."""
    text = xml if isinstance(xml, str) else bytes(xml).decode("latin-1")  # HDF5 hands out bytes of several types
    return "<!DOCTYPE" in text.replace("\0", "")


def _root(header: bytes | str) -> ElementTree.Element:
    if declares_a_type(header):
        raise _foreign(ValueError("a document type"))
    try:
        return ElementTree.fromstring(header)
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise _foreign(error) from error


def _foreign(error: Exception) -> DataError:
    return DataError(
        f"expected ISMRMRD XML in `ismrmrd_header`, got something else ({error}). Repair or delete the dataset."
    )


def _find(root: ElementTree.Element, *path: str) -> int | None:
    text = _text(root, "encoding", *path)
    return None if text is None else int(text)


def _text(root: ElementTree.Element, *path: str) -> str | None:
    return root.findtext("/".join(_NAMESPACE + name for name in path))
